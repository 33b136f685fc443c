"""Convolutions between maps of cells: the same sums, in a form that suits Winograd's algorithm on CPUs.

A network that paints has few channels where it has many positions, and XLA's convolution on CPUs is slow there. So a
map `[N, H, W, C]` is read as one of cells of b × b positions, `[N, H/b, W/b, b·b·C]`. There a 9 × 9 convolution from 3
to 8 channels is one of 3 × 3 cells, from 48 channels to 128 with b = 4; some of its products are with zeros, but 36 in
place of 144 remain of each tile, and all in large matrices. A convolution of a map that is enlarged e times reads cells
of b positions and writes cells of e·b: the enlarged map is never made, and each of the e·e phases has its own kernel.

Milliseconds of processor time at 1024 × 1024 px (AVX-512, jax 0.10.2), as the step is written, and between cells:

| step | direct | cells |
|---|---|---|
| 9 × 9, 3 → 8 | 249 | 115 |
| 9 × 9, 8 → 3 | 385 | 107 |
| 9 × 9, 3 → 32 | 1601 | 373 |
| 9 × 9, 32 → 3 | 7488 | 388 |
| 3 × 3, 32 → 32, at a quarter of the size | 62 | 29 |
| enlarged twice, 3 × 3, 32 → 16, from a quarter | 270 | 54 |
| enlarged twice, 3 × 3, 16 → 8, from half | 230 | 129 |
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.applications.feedforward.steps import Conv
from nst_jax.ops import winograd
from nst_jax.ops.conv import WINOGRAD_CHANNELS

_SIDES = (1, 2, 4)
_SHARE = 36 / 16
"""Products for each output position, input channel and output channel in Winograd's F(4 × 4, 3 × 3)."""


class Cells(NamedTuple):
    """A map of cells.

    Attributes:
        values: `[N, h, w, side · side · C]`, in a cell by row, column, channel.
        side: positions along each side of a cell; with 1 it is the map itself.
    """

    values: jax.Array
    side: int = 1

    @property
    def channels(self) -> int:
        """The number of channels of a position."""
        return int(self.values.shape[-1]) // self.side**2

    def positions(self) -> jax.Array:
        """Returns the positions in some order, `[N, h, w · side · side, C]`."""
        return self.values.reshape(*self.values.shape[:2], -1, self.channels)

    def each(self, values: jax.Array) -> jax.Array:
        """Returns values of each channel, `[..., C]`, for every position of a cell, `[..., side · side · C]`."""
        return jnp.tile(values, self.side**2) if self.side > 1 else values


class Sides(NamedTuple):
    """The sides of the cells that a convolution reads and writes."""

    read: int
    written: int


def sides(layer: Conv, channels: int) -> Sides | None:
    """Returns the cells for a convolution that reads this number of channels; None if it is better as it is."""
    reach = layer.kernel // 2
    if layer.depthwise or layer.stride > 1 or layer.kernel % 2 == 0 or not reach:
        return None
    if layer.border == "reflect" and 1 < layer.enlarge <= reach:  # a position would be reflected as several
        return None
    for read in _SIDES:
        written = read * layer.enlarge
        reads, writes = read**2 * channels, written**2 * layer.features
        if written >= reach and min(reads, writes) >= WINOGRAD_CHANNELS:
            products = _SHARE * reads * writes / written**2
            return Sides(read, written) if products <= layer.kernel**2 * channels * layer.features else None
    return None


def fits(shape: tuple[int, ...], side: int) -> bool:
    """Returns whether a map `[N, H, W, C]` is one of whole cells, two at least along each side."""
    return all(length % side == 0 and length >= 2 * side for length in shape[1:3])


def divided(cells: Cells, side: int) -> Cells:
    """Returns a map in cells of another side."""
    if side == cells.side:
        return cells
    if side % cells.side and cells.side % side:
        return divided(divided(cells, 1), side)
    count, high, wide, _ = cells.values.shape
    if side > cells.side:
        ratio, own = side // cells.side, cells.side
        parts = cells.values.reshape(count, high // ratio, ratio, wide // ratio, ratio, own, own, -1)
        values = parts.transpose(0, 1, 3, 2, 5, 4, 6, 7).reshape(count, high // ratio, wide // ratio, -1)
    else:
        ratio = cells.side // side
        parts = cells.values.reshape(count, high, wide, ratio, side, ratio, side, -1)
        values = parts.transpose(0, 1, 3, 2, 5, 4, 6, 7).reshape(count, high * ratio, wide * ratio, -1)
    return Cells(values, side)


def convolve(layer: Conv, cells: Cells, kernel: jax.Array, between: Sides) -> Cells:
    """Returns what a convolution makes of a map of cells; see `sides`.

    Args:
        layer: the convolution.
        cells: the map, in cells of `between.read`.
        kernel: `[k, k, C, K]`.
        between: the cells.
    """
    values, padding = cells.values, 1
    if layer.border == "reflect":
        for axis in (1, 2):
            values = _reflected(Cells(values, cells.side), axis, repeated=layer.enlarge > 1)
        padding = 0
    made = winograd.correlate(values, winograd.transformed(_kernel(layer, kernel, between)), padding)
    return Cells(made, between.written)


def _kernel(layer: Conv, kernel: jax.Array, between: Sides) -> jax.Array:
    """Returns the kernel between cells, `[3, 3, read² · C, written² · K]`."""
    where = np.zeros((3, between.read, between.written, layer.kernel), np.float32)
    for place in range(between.written):
        for offset in range(layer.kernel):
            cell, inside = divmod((place + offset - layer.kernel // 2) // layer.enlarge, between.read)
            where[cell + 1, inside, place, offset] = 1
    exact: Any = jax.lax.Precision.HIGHEST
    spread = jnp.einsum("xbpi,ycqj,ijmn->xybcmpqn", where, where, kernel, precision=exact)
    return spread.reshape(3, 3, between.read**2 * kernel.shape[2], -1)


def _reflected(cells: Cells, axis: int, *, repeated: bool) -> jax.Array:
    """Returns a map with one more cell at each end of an axis, in which its positions are reflected.

    Args:
        cells: the map.
        axis: 1 for rows, 2 for columns.
        repeated: whether the reflected positions begin with the border's own, as those of a map that is enlarged do.
    """
    side, skipped = cells.side, 0 if repeated else 1
    values = cells.values.reshape(*cells.values.shape[:3], side, side, -1)
    length = values.shape[axis]

    def beyond(first: int, *, below: bool) -> jax.Array:
        strip = jax.lax.slice_in_dim(values, first, first + 2, axis=axis)
        lines = jnp.moveaxis(strip, axis + 2, axis + 1)  # by position along the axis
        lines = lines.reshape(*lines.shape[:axis], 2 * side, *lines.shape[axis + 2 :])
        begin = side - skipped if below else skipped
        near = jnp.flip(jax.lax.slice_in_dim(lines, begin, begin + side, axis=axis), axis)
        return jnp.expand_dims(jnp.moveaxis(near, axis, axis + 1), axis)

    above, below = beyond(0, below=False), beyond(length - 2, below=True)
    extended = jnp.concatenate([above, values, below], axis)
    return extended.reshape(*extended.shape[:3], -1)
