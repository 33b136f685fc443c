"""Guides in the layers of a network: which of its positions belong to which region of a picture.

The style of a region is a statistic of features in which positions are weighted by a guide (Gatys, Ecker, Bethge,
Hertzmann & Shechtman, "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017). Guides of pixels go to the
layers through the geometry of the network, so that no unit has to be probed. They are arrays beside the other weights:
nothing here runs in a step.
"""

import math
from collections.abc import Sequence

import numpy as np

from nst_jax.backbones.receptive_field import Field, Span, receptive_fields
from nst_jax.backbones.spec import Backbone, layer_shapes
from nst_jax.errors import UserError
from nst_jax.regions import Regions
from nst_jax.rendering.shifts import shift
from nst_jax.vocabulary import RegionGuides

_WHOLE = 1 - 1e-6
"""The share of a window from which on it counts as full: sums of many pixels are rounded."""

_TO_THE_EYE = 0.5
"""From here on a pixel of a soft map belongs to a region, where it has to be one way or the other."""


def canvas_positions(
    backbone: Backbone, layers: Sequence[str], regions: Regions, how: RegionGuides, *, margin: int, shifts: int
) -> dict[str, np.ndarray]:
    """Returns layer → weights of the positions of the canvas `[h, w, R]`; from several shifts, `[shifts, h, w, R]`.

    Args:
        backbone: the network.
        layers: the layers.
        regions: the regions.
        how: see `positions`.
        margin: width of the margin around the picture, in which it is mirrored.
        shifts: from how many shifts the network sees the canvas.
    """
    margins = ((margin, margin), (margin, margin), (0, 0))
    guides = np.pad(regions.content, margins, mode="reflect") if margin else regions.content
    seen = [np.roll(guides, shift(turn, shifts), (0, 1)) for turn in range(shifts)]
    each = [positions(backbone, layers, turned, how, what="content image") for turned in seen]
    return each[0] if shifts == 1 else {layer: np.stack([of[layer] for of in each]) for layer in layers}


def style_positions(
    backbone: Backbone, layers: Sequence[str], guides: np.ndarray, how: RegionGuides, *, rotations: bool
) -> list[dict[str, np.ndarray]]:
    """Returns layer → weights of the positions of a style image `[h, w, R]`, as it is and perhaps turned thrice.

    A region that the image has not is measured on all of it, which has no share in the target then.
    """
    has = guides.max(axis=(0, 1)) > 0
    filled = np.where(has, guides, np.float32(1))
    turns = range(4 if rotations else 1)
    return [positions(backbone, layers, np.rot90(filled, turn), how, what="style image") for turn in turns]


def positions(
    backbone: Backbone, layers: Sequence[str], guides: np.ndarray, how: RegionGuides, *, what: str
) -> dict[str, np.ndarray]:
    """Returns layer → weights of its positions `[h, w, R]`, float32, which add up to 1 for each region.

    They are T² / Σ T² of guides T of the layer. These are the means over the pixels that a unit stands for (`simple`),
    1 for units that see nothing else (`inside`) or some of the region (`all`). Where a layer has no unit that sees a
    region alone, as it sees too much of the picture, the means guide it.

    Args:
        backbone: the network.
        layers: the layers.
        guides: `[H, W, R]` in [0, 1], R > 0.
        how: which units have a part in a region.
        what: the image, for messages.

    Raises:
        UserError: a region is so small that nothing of it is left in a layer.
    """
    height, width, _ = guides.shape
    shapes, fields = layer_shapes(backbone, height, width), receptive_fields(backbone, height, width)
    found = {}
    for layer in layers:
        field, size = fields[layer], shapes[layer][:2]
        guide = _guide(guides, field, size, how)
        total = np.square(guide).sum(axis=(0, 1))
        if not (total > 0).all():
            raise UserError(
                f"regions: expected some of region {int(np.argmin(total)) + 1} of the {what} in {layer}, found nothing "
                "left of it there; make it larger, or choose lower style layers"
            )
        found[layer] = (np.square(guide) / total).astype(np.float32)
    return found


def _guide(guides: np.ndarray, field: Field, size: tuple[int, int], how: RegionGuides) -> np.ndarray:
    """Returns the guides `[h, w, R]`, float64, of a layer with this field and height and width."""
    simple = _window_means(guides, Field(_stood_for(field.rows), _stood_for(field.columns)), size)
    if how == "simple":
        return simple
    seen = _window_means(guides >= _TO_THE_EYE, field, size)
    if how == "all":
        return (seen > 1 - _WHOLE).astype(np.float64)
    inside = (seen >= _WHOLE).astype(np.float64)
    return np.where(inside.any(axis=(0, 1)), inside, simple)


def _stood_for(span: Span) -> Span:
    """Returns what units stand for: as much as the distance to the next one, around the middle of what they see."""
    beyond = (span.size - span.stride) / 2 if math.isfinite(span.size) else 0
    return Span(span.offset + beyond, span.end - beyond, span.stride)


def _window_means(guides: np.ndarray, field: Field, size: tuple[int, int]) -> np.ndarray:
    """Returns the means over windows of guides `[H, W, R]`, as far as they lie within, `[h, w, R]` in float64.

    Args:
        guides: the guides.
        field: the windows; infinite ones are all of the picture.
        size: h and w.
    """
    rows = _along(np.asarray(guides, np.float64), field.rows, axis=0, count=size[0])
    return _along(rows, field.columns, axis=1, count=size[1])


def _along(values: np.ndarray, span: Span, *, axis: int, count: int) -> np.ndarray:
    """Returns the means of values over windows along one axis, from differences of their sums up to any place."""
    length = values.shape[axis]
    sums = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)

    def up_to(places: np.ndarray) -> np.ndarray:
        whole = np.minimum(places.astype(int), length - 1)
        rest = np.expand_dims(places - whole, tuple(other for other in range(values.ndim) if other != axis))
        return sums.take(whole, axis) + rest * values.take(whole, axis)

    first, end = (np.clip(edge, 0, length) for edge in span.of(np.arange(count)))
    # A window beyond the picture, of nothing but padding, sees the pixel at the border.
    first, end = np.minimum(first, length - 1), np.maximum(end, 1)
    extents = np.expand_dims(end - first, tuple(other for other in range(values.ndim) if other != axis))
    return (up_to(end) - up_to(first)) / extents
