"""Receptive fields: which pixels of the picture each unit of a layer sees, as follows from the table of a backbone.

Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
doi:10.23915/distill.00021. What they find backwards from a layer is found here forwards, for all layers at once.
"""

import math
from typing import NamedTuple

from nst_jax.backbones.rows import Row
from nst_jax.backbones.spec import Backbone, forward


class Box(NamedTuple):
    """Some rows and columns of pixels, `bottom` and `right` not included; those outside of the picture do not exist."""

    top: float
    left: float
    bottom: float
    right: float

    def within(self, height: int, width: int) -> tuple[slice, slice]:
        """Returns the rows and columns that a picture of `height` × `width` pixels really has."""
        return _inside(self.top, self.bottom, height), _inside(self.left, self.right, width)


def _inside(first: float, end: float, length: int) -> slice:
    """Returns the part of a range that lies within `length` positions."""
    return slice(*(int(min(max(place, 0), length)) for place in (first, end)))


class Field(NamedTuple):
    """The receptive fields of a layer, which are squares: lengths in pixels, along rows and columns alike.

    Attributes:
        offset: first pixel that the first unit sees; negative where layers are padded.
        end: the pixel behind its last one.
        stride: from a unit to the next one.
    """

    offset: float
    end: float
    stride: int

    @property
    def size(self) -> float:
        """Side of the square; infinite for a unit that sees the whole picture, whatever its size."""
        return self.end - self.offset

    def box(self, row: int, column: int) -> Box:
        """Returns what the unit at a position of the layer sees, in part possibly outside of the picture.

        A unit at the lower or right border sees less where a layer before has dropped a remainder of its input.
        """
        down, right = row * self.stride, column * self.stride
        return Box(self.offset + down, self.offset + right, self.end + down, self.end + right)


EVERYTHING = Field(-math.inf, math.inf, 0)
"""Of a unit that sees the whole picture."""


def receptive_fields(backbone: Backbone) -> dict[str, Field]:
    """Returns the receptive fields of every layer."""
    return forward(backbone, Field(0, 1, 1), _field)


def _field(row: Row, *inputs: Field) -> Field:
    """Returns the field of a row's units, which see a window of units with these fields."""
    window = row.window
    if window is None:
        return EVERYTHING
    stride = max(field.stride for field in inputs)
    return Field(
        min(field.offset for field in inputs) - window.padding * stride,
        max(field.end for field in inputs) + (window.size - 1 - window.padding) * stride,
        stride * window.stride,
    )
