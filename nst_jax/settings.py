"""The options of a transfer: one row each, from which range checks, flags, help and sweeps are derived."""

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nst_jax.errors import UserError
from nst_jax.ranges import Range
from nst_jax.vocabulary import (
    LUMINANCE,
    ActivationObjective,
    Blending,
    ColourMatch,
    ColourMatchTo,
    Colours,
    ContentLoss,
    Init,
    Optimizer,
    Padding,
    Parameterization,
    Pooling,
    Precision,
    RegionGuides,
    Smoothing,
    StyleLoss,
    Tiles,
    VariationLoss,
)

LEAST_SCALE_FACTOR = 1.1
"""The smallest ratio of successive scales: with a smaller one there would be dozens, with hardly anything new."""


def option(
    default: Any,
    help: str,  # noqa: A002
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    traced: bool = False,
) -> Any:
    """Returns the dataclass field of an option.

    Args:
        default: the value where none is given.
        help: a sentence that stands alone: the option's only documentation, in Python and on the command line.
        least: the smallest number allowed; this and the next three hold for every item of a tuple.
        most: the largest number allowed.
        above: a number that every allowed one exceeds.
        below: a number that every allowed one falls short of.
        traced: whether a transfer with another value runs the same compiled program.
    """
    metadata = {"help": help, "range": Range(least, most, above, below), "traced": traced}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All options of a style transfer except the images, their size and the backbone.

    The defaults are our own settings for VGG networks, whose comparison is in WORKSPACE.md: errors relative to the
    target make one weight mean the same at every size and in every layer.
    """

    content_layers: tuple[str, ...] = option(
        ("relu4_2",), "Layers of the content loss, each with weight 1.", traced=True
    )
    style_layers: tuple[str, ...] = option(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        "Layers of the style loss, which compares their statistics.",
        traced=True,
    )
    style_layer_weights: tuple[float, ...] = option(
        (),
        "Weights of the style layers: one per layer, or one for all; an empty list means 1 / number of layers each.",
        traced=True,
    )
    content_loss: ContentLoss = option("relative_squared_error", "Formula of the content loss.")
    style_loss: StyleLoss = option(
        "relative_squared_error", "Formula of the style loss: what it compares, and how differences count."
    )
    smoothing: Smoothing = option(
        "none",
        "Smoothing of activations before content and style are compared: softmax over each layer, for networks with "
        "residual sums, whose few large activations are all that counts otherwise.",
    )
    variation_loss: VariationLoss = option("squared_variation", "Formula of the total variation loss.")
    content_weight: float = option(
        1.0, "Weight of the content loss (α); higher values keep more of the content image.", traced=True
    )
    style_weight: float = option(
        50.0, "Weight of the style loss (β); higher values take over more of the style image.", traced=True
    )
    strength: float = option(
        0.5,
        "How far the picture goes from the content image, 0, to a texture of the style image, 1, through what the "
        "weights say, 0.5; beyond that, it also starts from more and more noise.",
        least=0,
        most=1,
        traced=True,
    )
    style_rotations: bool = option(
        False,
        "Take the style image turned by 90, 180 and 270 degrees as well, so that its strokes may go anywhere.",
    )
    match_content: float = option(
        0.75,
        "For hypercolumns, the share of the content image in the picture whose positions choose those of the style "
        "image at the beginning of a scale; the rest is what the scale starts from.",
        least=0,
        most=1,
        traced=True,
    )
    blending: Blending = option(
        "targets",
        "Blending of several style images: targets averages their statistics, losses adds a loss towards each.",
    )
    blend_weights: tuple[float, ...] = option(
        (),
        "Shares of several style images, one per image, which are divided by their sum, so that 3,7 is 0.3,0.7; an "
        "empty list means equal shares. For more or less style in all there is the style weight.",
        least=0,
        traced=True,
    )
    region_weights: tuple[float, ...] = option(
        (),
        "How much style each region of the picture takes, one number per region, as a multiple of what it would take "
        "as a picture of its own; an empty list means 1 each.",
        least=0,
        traced=True,
    )
    region_guides: RegionGuides = option(
        "simple",
        "Which units of a layer belong to a region: simple, each as much as its pixels do, inside those that see "
        "nothing else, all those that see some of it.",
        traced=True,
    )
    tv_weight: float = option(
        3.0, "Weight of the total variation loss; higher values give smoother pictures.", least=0, traced=True
    )
    laplacian_weight: float = option(
        0.0,
        "Weight of the Laplacian loss, which keeps the content image's edges in place under any colours; 0 leaves it "
        "out, 20 keeps outlines.",
        least=0,
        traced=True,
    )
    laplacian_pool: int = option(
        4,
        "Side in pixels of the squares over which the Laplacian loss takes means first: the larger, the coarser the "
        "edges that it keeps.",
        least=1,
        most=16,
    )
    matting_weight: float = option(
        0.0,
        "Weight of the matting loss, which wants the colours of every small part of the picture to be a function of "
        "the content image's there, so that a photograph stays one; 0 leaves it out.",
        least=0,
        traced=True,
    )
    pooling: Pooling = option(
        "average", "Pooling of the network: max, as it was trained, average, or the root of the sum of squares."
    )
    padding: Padding = option(
        "zeros",
        "Padding of the network's convolutions, replicate_first that of the first with zeros in the others; circular "
        "gives a picture that repeats without a seam.",
    )
    antialias: bool = option(
        False,
        "Blur what the network sees by one pixel, content and style images too: a network whose first layer skips "
        "pixels leaves its grid in the picture otherwise.",
    )
    shifts: int = option(
        1,
        "Number of shifts by less than a stride, a power of 2, from which the network sees the picture by turns: 8 "
        "leave no woven grid. 1 means none.",
        least=1,
        most=64,
    )
    shift_steps: int = option(
        0,
        "Number of steps from one of several shifts to the next, with each of which lbfgs begins anew; 0 means 9 with "
        "lbfgs and 1 with other optimisers.",
        least=0,
        most=1000,
    )
    precision: Precision = option(
        "float32", "Floating-point precision of the network; tf32 and bfloat16 are faster on accelerators."
    )
    remat: bool = option(
        False,
        "Recompute activations for the gradient instead of storing them: less memory, more time, the same picture.",
    )
    tile: Tiles = option(
        "auto",
        "Side in pixels, about, of the tiles in which the network sees the picture, with exactly the loss and gradient "
        "of the whole; off sees all of it at once, and auto takes tiles where the memory that is free is not enough.",
        least=16,
    )
    margin: int = option(
        16,
        "Width in pixels of a margin around the picture that is optimised with it and cropped at the end; it keeps "
        "artefacts of the border out.",
        least=0,
    )
    optimizer: Optimizer = option("lbfgs", "Optimiser; gradient follows the normalised gradient, as DeepDream does.")
    learning_rate: float = option(
        1.0,
        "Step size in units of the variables; for lbfgs, the share of its step that is tried first.",
        above=0,
        traced=True,
    )
    lbfgs_pairs: int = option(
        0,
        "Number of steps that lbfgs remembers; 0 is 10, or for a single picture fewer, at least 3, where the memory "
        "that is free holds no more. neural-style has 100.",
        least=0,
        most=1000,
    )
    adam_decay: float = option(
        0.999,
        "Decay of the moving average of squared gradients by whose root adam divides its steps; 0.99 adapts sooner.",
        least=0,
        below=1,
    )
    steps: int = option(250, "Number of optimisation steps.", least=0, traced=True)
    scales: tuple[int, ...] = option(
        (),
        "Long sides in pixels of the scales, from coarse to fine, 0 for the size of the picture; an empty list means "
        "as many as coarsest and scale_factor make, and a single 0 paints at the final size from the first step.",
        least=0,
    )
    coarsest: int = option(
        256, "Long side in pixels that the coarsest scale has at least, where scales are left open.", least=1
    )
    scale_factor: float = option(
        0.0,
        "Ratio of successive scales where they are left open, 1.1 or more; 0 means 2 on CPUs and √2 elsewhere, as each "
        "scale costs a compilation.",
        least=0,
    )
    scale_steps: tuple[int, ...] = option(
        (),
        "Number of steps of each scale, the last for all that follow, in place of steps; an empty list means shares of "
        "steps. Where scales are left open, numbers beyond the last scale do not count.",
        least=0,
        traced=True,
    )
    coarse_content: float = option(
        4.0,
        "Content weight at the coarsest of several scales as a multiple of that at the finest; those between follow "
        "their size. 1 means the same weight at all scales.",
        least=0,
        traced=True,
    )
    content_detail: float = option(
        4.0,
        "Details of the content image smaller than this many pixels take the place of the coarser result's where a "
        "finer scale begins, by its share in the initial image; 0 means none.",
        least=0,
        traced=True,
    )
    finish_steps: int = option(
        0, "Number of steps of a finishing pass at the final size, after all others; 0 means none.", least=0
    )
    finish_loss: StyleLoss = option("nearest_neighbour", "Formula of the style loss in the finishing pass.")
    averaging: float = option(
        0.0,
        "Decay of the moving average over the steps of a scale that makes the picture; 0 takes the last step, and 0.99 "
        "suits adam.",
        least=0,
        below=1,
    )
    init: Init = option("content", "Initial image: the content image, white noise, or a blend of both.", traced=True)
    init_noise: float = option(1.0, "Share of white noise in a blended initial image.", least=0, most=1, traced=True)
    parameterization: Parameterization = option(
        "pixels",
        "Variables that are optimised: pixels, a Fourier spectrum in decorrelated colours, a Laplacian pyramid, or a "
        "small network from coordinates to colours.",
    )
    colours: Colours = option(
        "auto",
        "Colours of the picture: free, grey, or auto, grey if content and style images all are; luminance transfers "
        "the style's luminance only and keeps the colours of the content image.",
        traced=True,
    )
    colour_match: ColourMatch = option(
        "none",
        "Match of the style image's colours to those of the content image before the transfer: of mean and covariance, "
        "symmetric with the least change, or by pca or cholesky; or of the histogram of each channel.",
        traced=True,
    )
    colour_match_to: ColourMatchTo = option(
        "content",
        "Image whose colours stay in a colour match: content, or style, to whose colours, by their shares if there are "
        "several, the content image's are moved: stronger colours, fewer blotches.",
        traced=True,
    )
    dream_layers: tuple[str, ...] = option(
        (), "Layers whose activations are maximised, each with weight 1.", traced=True
    )
    dream_channels: tuple[int, ...] = option(
        (), "Channels of the dream layers to maximise; an empty list means all.", traced=True
    )
    dream_channel_weights: tuple[float, ...] = option(
        (), "Weights of the dream channels, one per channel; an empty list means 1 each.", traced=True
    )
    dream_objective: ActivationObjective = option(
        "log_deepdream", "Formula of the activation objective, which is maximised."
    )
    dream_weight: float = option(1.0, "Weight of the activation objective; higher values dream more.", traced=True)
    dream_anywhere: bool = option(
        False,
        "Allow dream layers that are also content or style layers, although the terms pull against each other.",
        traced=True,
    )
    jitter: int = option(
        0, "Maximal random shift of the network's input in each step, in pixels.", least=0, most=10_000
    )
    random_scale: float = option(
        0.0,
        "Maximal random change in size of the network's input in each step, as a share; 0.1 means 0.9 to 1.1 times.",
        least=0,
        below=1,
    )
    random_rotate: float = option(
        0.0, "Maximal random rotation of the network's input in each step, in degrees.", least=0, most=180
    )

    def __post_init__(self) -> None:
        """Makes shares add up to 1; raises UserError for numbers out of range and options that exclude each other."""
        for row in dataclasses.fields(self):
            row.metadata["range"].check(row.name, getattr(self, row.name))
        for name, words in _WORDS.items():
            if (given := getattr(self, name)) not in words:
                raise UserError(f"{name}: expected one of {', '.join(words)}, found {given!r}")
        object.__setattr__(self, "blend_weights", _shares("blend_weights", self.blend_weights))
        if self.region_weights and not any(self.region_weights):
            found = ", ".join(map(str, self.region_weights))
            raise UserError(f"region_weights: expected one or more above 0, found {found}; strength 0 means no style")
        if 0 < self.scale_factor < LEAST_SCALE_FACTOR:
            raise UserError(
                f"scale_factor: expected {LEAST_SCALE_FACTOR} or more, or 0 to choose by the device, "
                f"found {self.scale_factor}"
            )
        if self.shifts.bit_count() != 1:
            raise UserError(f"shifts: expected a power of 2, found {self.shifts}")
        if self.shift_steps == 1 and self.shifts > 1 and self.optimizer == "lbfgs":
            raise UserError("shift_steps: expected 2 or more with lbfgs, whose first step at a shift stays, found 1")
        if self.colours == LUMINANCE and self.colour_match_to != "content":
            raise UserError(
                f"colour_match_to: expected content with colours luminance, whose colours stay, found "
                f"{self.colour_match_to}"
            )
        if self.colour_match == "none" and self.colour_match_to != "content":
            raise UserError(
                f"colour_match_to: expected content without a colour_match, found {self.colour_match_to}; choose a "
                "colour_match, such as symmetric"
            )
        moves = [name for name in ("jitter", "random_scale", "random_rotate") if getattr(self, name)]
        if moves and self.optimizer == "lbfgs":
            raise UserError(f"{moves[0]}: expected an optimizer for a changing loss, found lbfgs; use adam")
        if moves and self.content_layers:
            raise UserError(f"{moves[0]}: expected no content_layers, whose features stay in place, found some")
        if compares_hypercolumns(vars(self)):
            for name, still in {"jitter": 0, "random_scale": 0, "random_rotate": 0, "shifts": 1}.items():
                if (found := getattr(self, name)) != still:
                    raise UserError(
                        f"{name}: expected {still} with hypercolumns, which are chosen for each place, found {found}"
                    )
        if self.averaging and self.optimizer == "lbfgs":
            raise UserError("averaging: expected 0 with lbfgs, each of whose steps is the best so far; use adam")
        if self.padding == "circular" and self.margin:
            raise UserError(f"margin: expected 0 with circular padding, which leaves no border, found {self.margin}")


def compares_hypercolumns(options: Mapping[str, Any]) -> bool:
    """Returns whether options, by name, have a style loss of hypercolumns, if only in the finishing pass."""
    return "hypercolumns" in (options["style_loss"], options["finish_loss"] if options["finish_steps"] else None)


def _shares(name: str, given: tuple[float, ...]) -> tuple[float, ...]:
    """Returns numbers of 0 or more divided by their sum; those that add up to 1 stay as they are, to the bit.

    Raises:
        UserError: all of them are 0.
    """
    whole = math.fsum(given)
    if given and whole == 0:
        raise UserError(f"{name}: expected shares of which one or more are above 0, found {', '.join(map(str, given))}")
    return given if not given or math.isclose(whole, 1, rel_tol=1e-9) else tuple(share / whole for share in given)


_ATTRIBUTES = [f"    {row.name}: {row.metadata['help']}" for row in dataclasses.fields(Settings)]
Settings.__doc__ = "\n".join([inspect.getdoc(Settings) or "", "", "Attributes:", *_ATTRIBUTES])

_WORDS = {name: get_args(hint) for name, hint in get_type_hints(Settings).items() if get_origin(hint) is Literal}
"""Option → the words that it may be."""

TRACED: frozenset[str] = frozenset(row.name for row in dataclasses.fields(Settings) if row.metadata["traced"])
"""Options that may differ between transfers that run as one compiled program; but luminance of `colours` is another."""

WEIGHING: tuple[str, ...] = (
    "content_weight",
    "style_weight",
    "style_layer_weights",
    "strength",
    "blend_weights",
    "region_weights",
    "tv_weight",
    "laplacian_weight",
    "matting_weight",
    "dream_weight",
    "learning_rate",
)
"""Traced options that say how much terms count: a transfer may change them on its way, see `stacking.reweighted`."""
