"""Checks that settings, images and a backbone fit together, before anything is computed."""

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import edges
from nst_jax.activations import channel_weights
from nst_jax.backbones.registry import choose_layer
from nst_jax.backbones.spec import Backbone, channels, layer_shapes, least_side, strides, tensor
from nst_jax.errors import UserError
from nst_jax.io.images import Picture
from nst_jax.losses import STYLE_LOSSES
from nst_jax.ops.circular_padding import CIRCULAR, check_sides
from nst_jax.regions import Regions
from nst_jax.rendering.canvas import canvas_shape, check_margin
from nst_jax.settings import Settings
from nst_jax.terms import STYLE, TERMS
from nst_jax.tiling import seeing_all


def check_image(image: Any, *, what: str) -> None:
    """Checks that an array is an image `[H, W, 3]`, RGB in [0, 1].

    Raises:
        UserError: it is not.
    """
    if not isinstance(image, np.ndarray | jax.Array):
        raise UserError(
            f"{what}: expected an array [H, W, 3] of NumPy or JAX, found {type(image).__name__}{_instead(image)}"
        )
    if image.ndim != 3 or image.shape[-1] != 3 or not image.size or not jnp.issubdtype(image.dtype, jnp.floating):
        raise UserError(
            f"{what}: expected floating-point RGB [H, W, 3] in [0, 1], found {image.dtype} {list(image.shape)}"
            f"{_instead(image)}"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # NaN is not either
        raise UserError(f"{what}: expected values in [0, 1], found {low:g} to {high:g}")


def _instead(given: Any) -> str:
    """Returns what to pass instead of something that is no image; nothing for what has no obvious one."""
    if isinstance(given, Picture):
        return "; pass its .pixels"
    if isinstance(given, str | os.PathLike):
        return "; pass nst_jax.read_image(path).pixels"
    if isinstance(given, list | tuple):
        return "; pass numpy.asarray(it, numpy.float32)"
    if hasattr(given, "convert"):  # an image of Pillow's
        return '; pass numpy.asarray(it.convert("RGB"), numpy.float32) / 255'
    if getattr(given, "dtype", None) == np.uint8 and given.shape[2:] == (3,):
        return "; pass it / numpy.float32(255)"
    return ""


def check_layers(backbone: Backbone, named: tuple[str, ...], shape: tuple[int, ...], *, what: str) -> None:
    """Checks that a backbone has the layers, that each is named once, and that a picture of this shape reaches them.

    Raises:
        UserError: a layer is unknown, named twice, or has no positions left.
    """
    height, width, _ = shape
    shapes = layer_shapes(backbone, height, width)
    for layer in named:
        choose_layer(backbone, layer, what=what)
        if min(shapes[layer]) < 1:
            raise UserError(
                f"{what} {layer}: nothing is left of a picture of {width}×{height} pixels there; "
                f"use at least {least_side(backbone, layer)}×{least_side(backbone, layer)}, or a lower layer"
            )
    if len(set(named)) < len(named):
        raise UserError(f"{what}s: expected each once, found {', '.join(named)}; leave the repeated ones out")


def check_known(backbone: Backbone, settings: Settings) -> None:
    """Checks that a backbone has all layers that the settings name.

    Raises:
        UserError: it has not; the message names near matches.
    """
    for kind in TERMS.values():
        for layer in getattr(settings, kind.layers) if kind.layers else ():
            choose_layer(backbone, layer, what=f"{kind.label} layer")


def check_style(backbone: Backbone, settings: Settings, shapes: Sequence[tuple[int, ...]]) -> None:
    """Checks that style images of these shapes `(H, W, 3)` can be used.

    Raises:
        UserError: a layer is unknown or vanishes, the numbers of layer weights and style layers, or of blend weights
            and style images, differ, there are colours to match and no style images, or the style loss has no mean of
            several style images.
    """
    for shape in shapes:
        check_layers(backbone, settings.style_layers, shape, what="style layer")
    named, given = settings.style_layers, settings.style_layer_weights
    for formula in ("style_loss", "finish_loss") if settings.finish_steps else ("style_loss",):
        loss = STYLE_LOSSES[getattr(settings, formula)]
        found = f"{formula} {getattr(settings, formula)}"
        if named and len(shapes) > 1 and settings.blending == "targets" and not loss.additive:
            raise UserError(
                f"blending: expected losses for {len(shapes)} style images with {found}, whose targets have no "
                "meaningful mean, found targets"
            )
        if named and settings.style_rotations and not (loss.additive or loss.pool):
            raise UserError(
                f"style_rotations: expected false with {found}, as the target of several images together is unknown"
            )
        if loss.joint and any(weight < 0 for weight in given):
            raise UserError(
                f"style_layer_weights: expected 0 or more with {found}, whose layers are one, found "
                f"{', '.join(map(str, given))}"
            )
    if given and len(given) not in (1, len(named)):
        raise UserError(
            f"style_layer_weights: expected one number for all or one for each of {', '.join(named) or 'no layers'}, "
            f"found {len(given)}"
        )
    if settings.colour_match != "none" and not shapes:
        raise UserError(
            f"colour_match: expected none without style images, found {settings.colour_match}; leave it out"
        )
    if named and not shapes:
        raise UserError("style: expected one or more style images for the style layers, found none")
    shares = len(settings.blend_weights)
    if shares and len(shapes) < 2:
        images = "one style image, which has all of the style" if shapes else "no style image"
        raise UserError(
            f"blend_weights: expected none with {images}, found {shares}; leave them out or give more style images"
        )
    if shares not in (0, len(shapes)):
        raise UserError(f"blend_weights: expected one for each of {len(shapes)} style images, found {shares}")


def check_canvas(backbone: Backbone, settings: Settings, height: int, width: int, *, guided: bool = False) -> None:
    """Checks that a picture of this height and width can be optimised with these settings.

    Args:
        backbone: the network.
        settings: options of the transfer.
        height: height of the picture in pixels.
        width: width of the picture in pixels.
        guided: whether there is a guide for the dream layers.

    Raises:
        UserError: the margin is too wide, a layer is unknown or vanishes, dream layers or channels cannot be used, the
            picture is too small for a term, or padding is circular and the stride of a layer does not divide the sides.
    """
    check_margin(settings.margin, height, width)
    canvas = canvas_shape(height, width, settings.margin)
    check_layers(backbone, settings.content_layers, (*canvas, 3), what="content layer")
    check_layers(backbone, settings.style_layers, (*canvas, 3), what="style layer")
    check_dream(backbone, settings, canvas, guided=guided)
    for weight, least in (("laplacian_weight", edges.least_side(settings.laplacian_pool)), ("matting_weight", 3)):
        if getattr(settings, weight) and min(canvas) < least:
            raise UserError(
                f"{weight}: expected a picture of at least {least}×{least} pixels with its margin, found "
                f"{canvas[1]}×{canvas[0]}; choose a larger one, or leave the term out"
            )
    if isinstance(settings.tile, int) and (reason := why_untiled(backbone, settings)):
        raise UserError(f"tile: expected off with {reason}, found {settings.tile}; use --tile=off or remat")
    named = settings.content_layers + settings.style_layers + settings.dream_layers
    if settings.padding == CIRCULAR and named:
        stride = strides(backbone)
        deepest = max(named, key=lambda layer: stride[layer])
        check_sides(height, width, stride=stride[deepest], layer=deepest)


def why_untiled(backbone: Backbone, settings: Settings) -> str:
    """Returns why a picture cannot be computed in tiles; nothing if it can."""
    if settings.smoothing != "none":
        return f"smoothing {settings.smoothing}, which sees the whole of a layer"
    formulas = [(kind, kind.formula) for kind in TERMS.values() if kind.layers and kind.formula]
    if settings.finish_steps:
        formulas.append((TERMS[STYLE], "finish_loss"))
    for kind, formula in formulas:
        layers = kind.layers_in(settings)
        name = getattr(settings, formula)
        if layers and not kind.formulas[name].additive:
            return f"{formula} {name}, which is no sum over the parts of a picture"
        if whole := seeing_all(backbone, layers):
            return f"{kind.label} layer {whole[0]}, whose units see the whole picture"
    return ""


def check_dream(backbone: Backbone, settings: Settings, canvas: tuple[int, int], *, guided: bool = False) -> None:
    """Checks that dream layers and channels exist, and that no other term pulls at the same activations.

    Args:
        backbone: the network.
        settings: options of the transfer.
        canvas: height and width of the canvas.
        guided: whether there is a guide, whose features are amplified.

    Raises:
        UserError: a layer or channel is unknown or used otherwise, or the activation objective does not suit the guide.
    """
    check_layers(backbone, settings.dream_layers, (*canvas, 3), what="dream layer")
    used = {tensor(backbone, layer): layer for layer in settings.content_layers + settings.style_layers}
    shared = [layer for layer in settings.dream_layers if tensor(backbone, layer) in used]
    if shared and not settings.dream_anywhere:
        free = [row.name for row in backbone.rows if row.name not in used]
        raise UserError(
            f"dream_layers: expected layers that neither content nor style uses, found {', '.join(shared)}; choose "
            f"from {', '.join(free)}, or set dream_anywhere"
        )
    if guided and not settings.dream_layers:
        raise UserError("guide: expected dream_layers, at which the guide's features are amplified, found none")
    if settings.dream_layers and (settings.dream_objective == "guided") != guided:
        found = settings.dream_objective + (" with a guide" if guided else " without a guide")
        raise UserError(f"dream_objective: expected guided with a guide, another without one, found {found}")
    if guided and (settings.dream_channels or settings.dream_channel_weights):
        raise UserError("dream_channels: expected none with a guide, whose features are amplified instead, found some")
    if settings.dream_objective == "log_deepdream" and any(weight < 0 for weight in settings.dream_channel_weights):
        raise UserError("dream_channel_weights: expected 0 or more with log_deepdream; use dream_objective channel")
    counts = channels(backbone)
    for layer in settings.dream_layers:
        channel_weights(layer, counts[layer], settings.dream_channels, settings.dream_channel_weights)


def check_regions(
    settings: Settings, regions: Regions | None, content: Sequence[int], styles: Sequence[Sequence[int]]
) -> None:
    """Checks that a picture with a content image and style images of these shapes `(H, W, 3)` can have regions.

    Raises:
        UserError: guides do not fit the images, settings need the style of the whole picture, or the number of region
            weights is another.
    """
    if regions is None:
        if settings.region_weights:
            raise UserError(f"region_weights: expected none without regions, found {len(settings.region_weights)}")
        return
    if not isinstance(regions, Regions):
        raise UserError(
            f"regions: expected nst_jax.regions.Regions, as its from_maps makes them, found {type(regions).__name__}"
        )
    if not settings.style_layers:
        raise UserError("regions: expected style layers, whose statistics are taken in each, found none")
    for formula in ("style_loss", "finish_loss") if settings.finish_steps else ("style_loss",):
        if not STYLE_LOSSES[getattr(settings, formula)].additive:
            additive = ", ".join(name for name, term in STYLE_LOSSES.items() if term.additive)
            raise UserError(
                f"{formula}: expected a mean over positions with regions, found {getattr(settings, formula)}; choose "
                f"one of {additive}"
            )
    for option in ("jitter", "random_scale", "random_rotate"):
        if found := getattr(settings, option):
            raise UserError(f"{option}: expected 0 with regions, which stay in place, found {found}")
    regions.check(content, styles)
    if len(settings.region_weights) not in (0, regions.count):
        raise UserError(
            f"region_weights: expected one for each of {regions.count} regions, found {len(settings.region_weights)}"
        )
    if settings.blend_weights and (regions.has.sum(axis=1) == 1).all():
        raise UserError(
            "blend_weights: expected none where each region has one style image, found "
            f"{', '.join(f'{share:g}' for share in settings.blend_weights)}; for more style in a region there are "
            "region_weights"
        )
    regions.shares(settings.blend_weights or (1.0,) * len(styles))
    if regions.keep is not None and settings.colour_match_to != "content":
        raise UserError(
            "colour_match_to: expected content where a part of the content image stays as it is, found "
            f"{settings.colour_match_to}"
        )


def check_images(
    backbone: Backbone,
    settings: Settings,
    content: Any,
    styles: Sequence[Any],
    guide: Any | None = None,
    *,
    regions: Regions | None = None,
) -> None:
    """Checks that the images `[H, W, 3]` of a transfer can be used, and that the settings fit them.

    Raises:
        UserError: an array is not an image, or the settings do not fit.
    """
    check_image(content, what="content image")
    check_canvas(backbone, settings, *content.shape[:2], guided=guide is not None)
    for image in styles:
        check_image(image, what="style image")
    shapes = [image.shape for image in styles]
    check_regions(settings, regions, content.shape, shapes)
    check_style(backbone, settings, shapes)
    if guide is not None:
        check_image(guide, what="guide")
        check_layers(backbone, settings.dream_layers, guide.shape, what="dream layer of the guide")
