"""Receptive fields: the pixels that each unit of a layer sees, computed from the table of a backbone.

Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
doi:10.23915/distill.00021. They work backwards from a layer; this works forwards, for all layers at once.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from nst_jax.backbones.rows import Row
from nst_jax.backbones.spec import Backbone, forward


class Box(NamedTuple):
    """A rectangle of pixels, `bottom` and `right` excluded, which may extend beyond the picture."""

    top: float
    left: float
    bottom: float
    right: float

    def within(self, height: int, width: int) -> tuple[slice, slice]:
        """Returns the rows and columns within a picture of `height` × `width` pixels."""
        return _inside(self.top, self.bottom, height), _inside(self.left, self.right, width)


def _inside(first: float, end: float, length: int) -> slice:
    """Returns the part of a range that lies within `length` positions."""
    return slice(*(int(min(max(place, 0), length)) for place in (first, end)))


class Span(NamedTuple):
    """What the units of a layer see along one direction, in pixels.

    Attributes:
        offset: first pixel that the first unit sees; negative where layers are padded.
        end: the pixel after its last one.
        stride: distance between neighbouring units.
    """

    offset: float
    end: float
    stride: int

    @property
    def size(self) -> float:
        """The number of pixels; infinite for a unit that sees the whole picture, whatever its size."""
        return self.end - self.offset

    def of(self, units: Any) -> tuple[Any, Any]:
        """Returns the first pixel that each of some units sees, and the one after its last."""
        return self.offset + units * self.stride, self.end + units * self.stride


class Field(NamedTuple):
    """The receptive fields of a layer, which are rectangles: what they are along rows and along columns."""

    rows: Span
    columns: Span

    @property
    def size(self) -> float:
        """The longer side."""
        return max(self.rows.size, self.columns.size)

    @property
    def stride(self) -> int:
        """Distance between neighbouring units, which is the same in both directions."""
        return self.rows.stride

    def box(self, row: int, column: int) -> Box:
        """Returns the field of the unit at a position of the layer, which may extend beyond the picture.

        A unit at the lower or right border sees less where an earlier layer has dropped a remainder of its input.
        """
        (top, bottom), (left, right) = self.rows.of(row), self.columns.of(column)
        return Box(top, left, bottom, right)


LEAST_PARTS = 4
"""How often the field of a unit of the deepest style layer fits into the long side of a picture that is painted region
by region: layers that see more lay out shapes of their own, across the borders of regions."""

_ALL = Span(-math.inf, math.inf, 0)

EVERYTHING = Field(_ALL, _ALL)
"""The field of a unit that sees the whole picture."""


def receptive_fields(backbone: Backbone, height: int = 0, width: int = 0) -> dict[str, Field]:
    """Returns the receptive fields of every layer.

    Args:
        backbone: the network.
        height: height of the picture in pixels, on which the fields depend in networks with TensorFlow's padding; 0
            stands for any that the strides of all layers divide.
        width: its width.
    """
    rows, columns = (
        forward(backbone, (Span(0, 1, 1), length), functools.partial(_span, axis=axis))
        for axis, length in enumerate((height, width))
    )
    return {layer: Field(span, columns[layer][0]) for layer, (span, _) in rows.items()}


def seeing_at_most(backbone: Backbone, layers: Iterable[str], pixels: float) -> tuple[str, ...]:
    """Returns those of some layers whose units see at most so many pixels a side."""
    fields = receptive_fields(backbone)
    return tuple(layer for layer in layers if fields[layer].size <= pixels)


def _span(row: Row, *inputs: tuple[Span, int], axis: int) -> tuple[Span, int]:
    """Returns what a row's units see along a direction, and their number, given those of its inputs."""
    if row.windows is None:
        return _ALL, 1
    window, length = row.windows[axis], inputs[0][1]
    spans = [span for span, _ in inputs]
    stride, (before, _) = max(span.stride for span in spans), window.around(length)
    seen = Span(
        min(span.offset for span in spans) - before * stride,
        max(span.end for span in spans) + (window.size - 1 - before) * stride,
        stride * window.stride,
    )
    return seen, window.count(length)
