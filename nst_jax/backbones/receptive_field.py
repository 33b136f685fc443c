"""Receptive fields: which pixels of the picture each unit of a layer sees, as follows from the table of a backbone.

Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
doi:10.23915/distill.00021. What they find backwards from a layer is found here forwards, for all layers at once.
"""

import math
from typing import NamedTuple

from nst_jax.backbones.spec import INPUT, Backbone, Concat, Conv, GlobalAverage, Pool, inputs, layer_names


class Box(NamedTuple):
    """Some rows and columns of pixels, `bottom` and `right` not included; those outside of the picture do not exist."""

    top: float
    left: float
    bottom: float
    right: float

    def within(self, height: int, width: int) -> tuple[slice, slice]:
        """Returns the rows and columns that a picture of `height` × `width` pixels really has."""
        rows, columns = (self.top, self.bottom, height), (self.left, self.right, width)
        return tuple(slice(*(int(min(max(end, 0), length)) for end in ends)) for *ends, length in (rows, columns))


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
    fields = {INPUT: Field(0, 1, 1)}
    for row in backbone.rows:
        match row:
            case Conv():
                field = _windowed(fields[row.input], row.kernel, row.stride, row.padding)
            case Pool():
                field = _windowed(fields[row.input], row.size, row.stride, padding=0)
            case Concat():
                offsets, ends, strides = zip(*(fields[name] for name in inputs(row)), strict=True)
                field = Field(min(offsets), max(ends), max(strides))
            case GlobalAverage():
                field = EVERYTHING
        fields |= dict.fromkeys(layer_names(row), field)
    del fields[INPUT]
    return fields


def _windowed(field: Field, size: int, stride: int, padding: int) -> Field:
    """Returns the field of units that see a window of units with this field."""
    first = field.offset - padding * field.stride
    return Field(first, field.end + (size - 1 - padding) * field.stride, field.stride * stride)
