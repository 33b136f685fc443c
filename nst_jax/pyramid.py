"""Coarse to fine: a picture at growing scales, each starting from the enlarged result of the one before.

At a coarse scale the network's receptive fields cover much of the picture: large strokes and shapes of the style are
laid out there, at a small share of the cost, and the finer scales add what the coarser could not show. Gatys et al.
2017 ("Controlling Perceptual Factors in Neural Style Transfer", arXiv:1611.07865, section 6) paint large pictures so;
the scales and what is carried from one to the next are those of crowsonkb's style-transfer-pytorch.

`stylize` is the whole method.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.backbones.pretrained import Pretrained, loaded
from nst_jax.backbones.spec import Backbone
from nst_jax.checks import check_canvas, check_images, check_style
from nst_jax.errors import UserError
from nst_jax.free_memory import free_bytes
from nst_jax.io import images
from nst_jax.loop import Stage, run
from nst_jax.memory import settled
from nst_jax.presets import PRESETS, default_preset
from nst_jax.problem import Transfer
from nst_jax.regions import Regions
from nst_jax.rendering.canvas import resize
from nst_jax.rendering.colour_matching import matched
from nst_jax.settings import Settings
from nst_jax.transfer import Image, as_images, content_share, initial_image, prepare_matched, ready

FACTORS = {"cpu": 2.0}
"""Platform → ratio of successive scales: each costs a compilation, which weighs more on a processor."""

FACTOR = 2**0.5
"""The ratio elsewhere."""

STEPS = (0.5, 0.33, 0.27)
"""Steps of the coarsest scale, of those between, and of the finest, as shares of those of a single scale."""


class Scale(NamedTuple):
    """A scale of a picture; one of the same size as the one before is the finishing pass, see `finishes`.

    Attributes:
        shape: height and width in pixels.
        end: number of the step at which it ends; steps are counted over all scales.
    """

    shape: tuple[int, int]
    end: int


def stylize(
    content: Image,
    style: Image | Sequence[Image],
    network: Pretrained | str | None = None,
    *,
    settings: Settings | None = None,
    regions: Regions | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Renders the content image in the style of one or more other images.

    Args:
        content: the content image, `[H, W, 3]`, RGB in [0, 1].
        style: the style image, `[H', W', 3]`, or several of any sizes, whose styles are blended.
        network: the backbone, or its name; by default the best installed one.
        settings: the options; by default the preset of the backbone.
        regions: which parts of the content image follow which parts of the style images, and which stay as they are.
        seed: seed of the noise in the initial image and of random transformations.

    Returns:
        The stylised image, float32 `[H, W, 3]` in [0, 1].

    Raises:
        UserError: the settings do not suit the backbone or the images, or the run diverged.
    """
    network = loaded(network)
    settings = settings or PRESETS[default_preset(network.backbone.name)]
    styles = as_images(style)
    check_images(network.backbone, settings, content, styles, regions=regions)
    content, styles = matched(settings, content, styles)
    settings = settled(settings, network.backbone, [image.shape for image in (content, *styles)], free_bytes())
    scales = scales_of(network.backbone, settings, content.shape, [image.shape for image in styles])
    make = transfers(network, settings, content, styles, scales, regions=regions, seed=seed)
    start = initial_image(settings, at_scale(content, scales[0].shape), seed=seed)
    begin = starts(settings, scales, content)
    *_, last = run(stages(make, start, scales, begin))
    return jax.device_get(last.result)


def transfers(
    network: Pretrained,
    settings: Settings,
    content: Image,
    styles: Sequence[Image],
    scales: Sequence[Scale],
    *,
    regions: Regions | None = None,
    seed: int = 0,
) -> Callable[[int], Transfer]:
    """Returns a function from the index of a scale to its transfer, of images reduced alike; it keeps the last one.

    Those of scales that are done would lie in memory beside it, with the content's features.

    Args:
        network: the backbone.
        settings: the options.
        content: the content image, `[H, W, 3]`, RGB in [0, 1], of the size of the finest scale.
        styles: the style images, likewise; the colours of all are matched already, see `colour_matching.matched`.
        scales: see `scales_of`.
        regions: those of the finest scale, if there are some.
        seed: seed of random transformations.
    """
    shared = ready(network, settings)
    shapes = [scale.shape for scale in scales]

    def make(index: int) -> Transfer:
        ratio = ratio_of(shapes, index)
        reduced = [at_scale(image, scaled(image.shape, ratio)) for image in styles]
        own = settings_at(settings, shapes, index)
        within = regions and regions.at_scale(shapes[index], [image.shape[:2] for image in reduced])
        return prepare_matched(shared, own, at_scale(content, shapes[index]), reduced, regions=within, seed=seed)

    return functools.lru_cache(1)(make)


def scales_of(
    backbone: Backbone, settings: Settings, shape: Sequence[int], style_shapes: Sequence[Sequence[int]] = ()
) -> tuple[Scale, ...]:
    """Returns the scales of a picture, from coarse to fine, and the finishing pass if there is one.

    Where the settings leave them open, they are as many as fit: none is too small for the layers.

    Args:
        backbone: the network.
        settings: of the transfer.
        shape: height and width of the picture.
        style_shapes: those of the style images at the finest scale.

    Raises:
        UserError: scales that do not grow to the size of the picture, or more numbers of steps than scales.
    """
    long = max(shape[:2])
    shapes = [shape[:2], *style_shapes]
    sides = tuple(side or long for side in settings.scales)
    if not sides:
        factor = settings.scale_factor or FACTORS.get(jax.default_backend(), FACTOR)
        sides = long_sides(long, start=settings.coarsest, factor=factor)
        sides = sides if settings.parameterization != "coordinates" else (long,)
        sides = (*(side for side in sides[:-1] if _fits(backbone, settings, shapes, side / long)), long)
    if sides[-1] != long or any(after <= before for before, after in itertools.pairwise(sides)):
        found = ", ".join(map(str, sides))
        raise UserError(f"scales: expected growing long sides up to the {long} px of the picture, found {found}")
    if len(sides) > 1 and settings.parameterization == "coordinates":
        raise UserError("scales: expected one for a coordinate network, which has no size, found several")
    for side in sides:
        try:
            _check_scale(backbone, settings, shapes, side / long)
        except UserError as error:
            raise error if side == long else UserError(f"scale of {side} px: {error}") from None
    ends = ends_of(settings, len(sides))
    sizes = [scaled(shape, side / long) for side in (*sides, *[long] * (len(ends) - len(sides)))]
    return tuple(map(Scale, sizes, ends))


def resolved(settings: Settings, scales: Sequence[Scale]) -> Settings:
    """Returns settings that name these scales and their steps, so that they mean the same on any device."""
    sizes = scales[:-1] if settings.finish_steps else scales
    ends = [0, *(scale.end for scale in sizes)]
    each = tuple(end - begin for begin, end in itertools.pairwise(ends))
    return dataclasses.replace(
        settings,
        scales=tuple(max(scale.shape) for scale in sizes),
        scale_steps=each if len(sizes) > 1 else (),
        steps=ends[-1],
    )


def settings_at(settings: Settings, shapes: Sequence[tuple[int, int]], index: int) -> Settings:
    """Returns the settings of one of several scales with these heights and widths.

    A network sees more of the picture the smaller it is, so that what keeps a face at the final size lets it dissolve
    at a coarse one; and what was lost there, no finer scale brings back.
    """
    ratio = ratio_of(shapes, index)
    coarseness = 0.0 if ratio == 1 else math.log(ratio) / math.log(ratio_of(shapes, 0))  # 1 at the coarsest scale
    return dataclasses.replace(
        settings,
        content_weight=settings.content_weight * settings.coarse_content**coarseness,
        style_loss=settings.finish_loss if finishes(shapes, index) else settings.style_loss,
    )


def finishes(shapes: Sequence[tuple[int, int]], index: int) -> bool:
    """Returns whether one of several scales with these heights and widths is the finishing pass."""
    return index > 0 and shapes[index] == shapes[index - 1]


def long_sides(end: int, *, start: int, factor: float) -> tuple[int, ...]:
    """Returns the long sides of scales from coarse to fine: end / factorⁱ, rounded, while they are at least `start`."""
    least = min(start, end)
    count = 1
    while round(end / factor**count) >= least and factor > 1:
        count += 1
    sides = (round(end / factor**index) for index in reversed(range(count)))
    return tuple(dict.fromkeys(sides))  # of few pixels, several may round to the same


def steps_of(settings: Settings, count: int) -> tuple[int, ...]:
    """Returns the number of steps of each of `count` scales; the last one given holds for all that follow.

    Raises:
        UserError: there are more numbers than scales that the settings name. How many open ones there are depends on
            the size of the picture, so that the same numbers have to serve for all.
    """
    given = settings.scale_steps if settings.scales else settings.scale_steps[:count]
    if len(given) > count:
        raise UserError(f"scale_steps: expected at most {count} numbers, one per scale, found {len(given)}")
    if given:
        return (*given, *given[-1:] * (count - len(given)))
    if count == 1:
        return (settings.steps,)
    first, middle, last = (round(settings.steps * share) for share in STEPS)
    return (first, *[middle] * (count - 2), last)


def ends_of(settings: Settings, count: int) -> tuple[int, ...]:
    """Returns the step at which each of `count` scales ends, and the finishing pass if there is one.

    Raises:
        UserError: see `steps_of`.
    """
    finish = [settings.finish_steps] if settings.finish_steps else []
    return tuple(itertools.accumulate([*steps_of(settings, count), *finish]))


def ratio_of(shapes: Sequence[tuple[int, int]], index: int) -> float:
    """Returns the size of one of several scales with these heights and widths as a share of that of the finest."""
    return max(shapes[index]) / max(shapes[-1])


def at_step(scales: Sequence[Scale], step: int) -> list[int]:
    """Returns the indices of the scales that a run may be in after a step: two where one has just ended."""
    begins = [0, *(scale.end for scale in scales[:-1])]
    found = [index for index, scale in enumerate(scales) if begins[index] <= step <= scale.end]
    return found or [len(scales) - 1]


def scaled(shape: Sequence[int], ratio: float) -> tuple[int, int]:
    """Returns height and width of a picture of this shape at a ratio of its size; 1 pixel at least."""
    height, width = (max(1, round(side * ratio)) for side in shape[:2])
    return height, width


def at_scale(pixels: Image, shape: tuple[int, int]) -> np.ndarray:
    """Returns an image `[H, W, 3]` reduced to another height and width, RGB in [0, 1]."""
    if pixels.shape[:2] == shape:
        return np.asarray(pixels, np.float32)
    return np.clip(images.resize(np.asarray(pixels, np.float32), shape), 0, 1)


def enlarge(pictures: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Returns pictures `[..., H, W, 3]` in [0, 1] enlarged to another height and width, each as if it were alone."""
    each = pictures.reshape(-1, *pictures.shape[-3:])
    larger = jnp.stack([resize(picture, shape) for picture in each])
    return jnp.clip(larger, 0, 1).reshape(*pictures.shape[:-3], *larger.shape[1:])


@functools.partial(jax.jit, static_argnames="size")
def with_details(picture: jax.Array, content: jax.Array, size: float) -> jax.Array:
    """Returns a picture whose details are those of the content image: both `[H, W, 3]` in [0, 1].

    Its forms, which stay, are what is left of it in cells of `size` pixels.
    """
    height, width, _ = picture.shape
    cells = (math.ceil(height / size), math.ceil(width / size))
    moved = resize(resize(picture - content, cells, method="linear", antialias=True), (height, width))
    return jnp.clip(content + moved, 0, 1)


def starts(settings: Settings, scales: Sequence[Scale], content: Image) -> Callable[[int, jax.Array], jax.Array]:
    """Returns what the scales of a single transfer start from, see `starts_of_batch`.

    Args:
        settings: the options.
        scales: from coarse to fine.
        content: the content image, `[H, W, 3]`, RGB in [0, 1], of the size of the finest scale.
    """
    return starts_of_batch([settings], scales, lambda index: [at_scale(content, scales[index].shape)])


def starts_of_batch(
    cells: Sequence[Settings], scales: Sequence[Scale], contents: Callable[[int], Sequence[Image]]
) -> Callable[[int, jax.Array], jax.Array]:
    """Returns a function from the index of a scale and the result of the one before to the picture it starts from.

    Details have the share that the content image has in the initial image, and none where nothing is to be kept.

    Args:
        cells: the settings of each transfer.
        scales: from coarse to fine; those of all.
        contents: index of a scale → the content image of each there, `[H, W, 3]`; called where there are details.
    """
    shapes = [scale.shape for scale in scales]
    shares = [content_share(of) if of.content_detail and of.content_layers and of.content_weight else 0 for of in cells]

    def start(index: int, result: jax.Array) -> jax.Array:
        larger = enlarge(result, shapes[index])
        if not any(shares) or finishes(shapes, index):
            return larger
        each = larger.reshape(-1, *larger.shape[-3:])
        made = [
            picture + np.float32(share) * (with_details(picture, jnp.asarray(content), of.content_detail) - picture)
            for picture, of, share, content in zip(each, cells, shares, contents(index), strict=True)
        ]
        return jnp.stack(made).reshape(larger.shape)

    return start


def stages(
    make: Callable[[int], Any],
    start: jax.Array,
    scales: Sequence[Scale],
    begin: Callable[[int, jax.Array], jax.Array],
) -> list[Stage]:
    """Returns the stages of a transfer, or of a batch of some, from coarse to fine.

    Args:
        make: index of a scale → its problem; called when its scale is next.
        start: the initial image of the coarsest scale, `[..., H, W, 3]`.
        scales: from coarse to fine.
        begin: what the others start from, see `starts`.
    """

    def scale(index: int) -> Stage:
        def started(result: jax.Array | None) -> jax.Array:
            return start if result is None else begin(index, result)

        return Stage(lambda: make(index), started, scales[index].end, carries=True)

    return [scale(index) for index in range(len(scales))]


def _fits(backbone: Backbone, settings: Settings, shapes: Sequence[Sequence[int]], ratio: float) -> bool:
    """Returns whether a picture and style images, the first and other shapes, can be used at a ratio of their size."""
    try:
        _check_scale(backbone, settings, shapes, ratio)
    except UserError:
        return False
    return True


def _check_scale(backbone: Backbone, settings: Settings, shapes: Sequence[Sequence[int]], ratio: float) -> None:
    """Checks that the same can be used; raises UserError if not."""
    picture, *styles = (scaled(shape, ratio) for shape in shapes)
    check_canvas(backbone, settings, *picture, guided=settings.dream_objective == "guided")
    if styles:
        check_style(backbone, settings, [(*style, 3) for style in styles])
