"""Pooling by slices: the maximum, the average or the norm of shifted, strided copies of a map.

XLA's own windows are slow on CPUs, above all the derivative of the maximum (select-and-scatter); slices are fused into
one pass.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.vocabulary import Pooling

_SCALES: dict[Pooling, float] = {"scaled_average": 2.0, "scaled_l2": 0.78}
"""What a kind of pooling is multiplied by in crowsonkb's style-transfer-pytorch, for networks trained with `max`."""


Around = tuple[tuple[int, int], tuple[int, int]]
"""Numbers of positions above and below, and to the left and to the right."""


class Windows(NamedTuple):
    """Positions of windows on maps `[N, H, W, C]`.

    Attributes:
        size: side of a window.
        stride: distance between windows.
        height: H.
        width: W.
        around: numbers of positions by which the first and the last windows exceed the map, along both directions.
    """

    size: int
    stride: int
    height: int
    width: int
    around: Around

    @property
    def shape(self) -> tuple[int, int]:
        """The number of windows in both directions."""
        down, across = (
            (length + sum(around) - self.size) // self.stride + 1
            for length, around in zip((self.height, self.width), self.around, strict=True)
        )
        return down, across


def pool(images: jax.Array, *, size: int, stride: int, around: Around, kind: Pooling) -> jax.Array:
    """Returns the maximum, the average or the root of the sum of squares over windows of `size` × `size`.

    Only positions within the map count: the average divides by their number, as Caffe does, and the sum of squares is
    `size`² times their average, as PyTorch's `LPPool2d` has it. Among equal maxima the first takes the gradient; a root
    of 0 has none.

    Args:
        images: `[N, H, W, C]`.
        size: side of a window.
        stride: distance between windows.
        around: numbers of positions by which the first and the last windows exceed the map, above and below, left and
            right.
        kind: kind of pooling.

    Returns:
        `[N, H', W', C]`.
    """
    _, height, width, _ = images.shape
    windows = Windows(size, stride, height, width, around)
    if kind == "max":
        return _maximum(windows, images)
    scale = _SCALES.get(kind, 1.0)
    if kind in ("average", "scaled_average"):
        return scale * _average(windows, images)
    return scale * size * _root(_average(windows, jnp.square(images)))


def _average(windows: Windows, images: jax.Array) -> jax.Array:
    total = _sum(windows, images)
    if not any(map(any, windows.around)):
        return total / windows.size**2
    return total / _sum(windows, jnp.ones((1, windows.height, windows.width, 1), images.dtype))


def _root(values: jax.Array) -> jax.Array:
    """Returns the root of each value, with a derivative of 0 where that is 0, as behind a ReLU it often is."""
    positive = values > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, values, 1)), 0)


def _slices(windows: Windows, images: jax.Array, fill: float) -> list[jax.Array]:
    """Returns, for each position in a window, its values in all windows `[N, H', W', C]`, row by row."""
    padded = jnp.pad(images, ((0, 0), *windows.around, (0, 0)), constant_values=fill)
    high, wide = windows.shape
    step = windows.stride
    return [
        padded[:, row : row + step * (high - 1) + 1 : step, column : column + step * (wide - 1) + 1 : step]
        for row, column in itertools.product(range(windows.size), repeat=2)
    ]


def _scatter(windows: Windows, parts: Sequence[jax.Array]) -> jax.Array:
    """Returns the sum of the windows' values at each position, `[N, H, W, C]`: the transpose of `_slices`.

    Positions with the same remainders modulo the stride have the same places in windows, so that each plane of them is
    a sum of a few shifted parts; the map interleaves the planes.
    """
    size, step = windows.size, windows.stride
    number, high, wide, channels = parts[0].shape
    reach = (size - 1) // step
    shape = number, high + reach, wide + reach, channels

    def plane(row: int, column: int) -> jax.Array:
        total = jnp.zeros(shape, parts[0].dtype)
        for down, right in itertools.product(range(reach + 1), repeat=2):
            y, x = row + down * step, column + right * step
            if y < size and x < size:
                total += jnp.pad(parts[y * size + x], ((0, 0), (down, reach - down), (right, reach - right), (0, 0)))
        return total

    planes = [jnp.stack([plane(row, column) for column in range(step)], axis=3) for row in range(step)]
    full = jnp.stack(planes, axis=2).reshape(number, shape[1] * step, shape[2] * step, channels)
    (above, _), (left, _) = windows.around
    end = above + windows.height, left + windows.width
    # Rows that no window reaches, and those beyond the map.
    missing = [(0, max(0, length - have)) for length, have in zip(end, full.shape[1:3], strict=True)]
    return jnp.pad(full, ((0, 0), *missing, (0, 0)))[:, above : end[0], left : end[1]]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sum(windows: Windows, images: jax.Array) -> jax.Array:
    slices = _slices(windows, images, 0.0)
    return sum(slices[1:], slices[0])


def _sum_forward(windows: Windows, images: jax.Array) -> tuple[jax.Array, None]:
    return _sum(windows, images), None


def _sum_backward(windows: Windows, _: None, cotangent: jax.Array) -> tuple[jax.Array]:
    return (_scatter(windows, [cotangent] * windows.size**2),)


_sum.defvjp(_sum_forward, _sum_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _maximum(windows: Windows, images: jax.Array) -> jax.Array:
    return functools.reduce(jnp.maximum, _slices(windows, images, -jnp.inf))


def _maximum_forward(windows: Windows, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    slices = _slices(windows, images, -jnp.inf)
    most, where = slices[0], jnp.zeros(slices[0].shape, jnp.uint8)
    for index, values in enumerate(slices[1:], start=1):
        # Greater, or not a number, which is passed on.
        where = jnp.where(~(values <= most), np.uint8(index), where)
        most = jnp.maximum(most, values)
    # The barrier makes XLA store one byte per window for the derivative, not all its inputs.
    return most, jax.lax.optimization_barrier(where)


def _maximum_backward(windows: Windows, where: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    zero = jnp.zeros((), cotangent.dtype)
    return (_scatter(windows, [jnp.where(where == index, cotangent, zero) for index in range(windows.size**2)]),)


_maximum.defvjp(_maximum_forward, _maximum_backward)
