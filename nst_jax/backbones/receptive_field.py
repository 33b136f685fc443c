"""Receptive fields: the pixels that each unit of a layer sees, computed from the table of a backbone.

Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
doi:10.23915/distill.00021. They work backwards from a layer; this works forwards, for all layers at once.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

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


class Field(NamedTuple):
    """The receptive fields of a layer, which are squares, in pixels.

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
        """Side of the square; infinite for a unit that sees the whole picture, whatever its size."""
        return self.end - self.offset

    def box(self, row: int, column: int) -> Box:
        """Returns the field of the unit at a position of the layer, which may extend beyond the picture.

        A unit at the lower or right border sees less where an earlier layer has dropped a remainder of its input.
        """
        down, right = row * self.stride, column * self.stride
        return Box(self.offset + down, self.offset + right, self.end + down, self.end + right)


LEAST_PARTS = 4
"""How often the field of a unit of the deepest style layer fits into the long side of a picture that is painted region
by region: layers that see more lay out shapes of their own, across the borders of regions."""

EVERYTHING = Field(-math.inf, math.inf, 0)
"""The field of a unit that sees the whole picture."""


def receptive_fields(backbone: Backbone) -> dict[str, Field]:
    """Returns the receptive fields of every layer."""
    return forward(backbone, Field(0, 1, 1), _field)


def seeing_at_most(backbone: Backbone, layers: Iterable[str], pixels: float) -> tuple[str, ...]:
    """Returns those of some layers whose units see at most so many pixels a side."""
    fields = receptive_fields(backbone)
    return tuple(layer for layer in layers if fields[layer].size <= pixels)


def _field(row: Row, *inputs: Field) -> Field:
    """Returns the field of a row's units, given the fields of its inputs' units."""
    window = row.window
    if window is None:
        return EVERYTHING
    stride = max(field.stride for field in inputs)
    return Field(
        min(field.offset for field in inputs) - window.padding * stride,
        max(field.end for field in inputs) + (window.size - 1 - window.padding) * stride,
        stride * window.stride,
    )
