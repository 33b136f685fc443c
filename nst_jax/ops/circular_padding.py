"""Circular padding: maps that repeat themselves beyond their border.

A network with circular padding computes one period of the features of the plane tiled with the picture. All its windows
have to wrap, those of pools and of unpadded convolutions too, and the strides have to divide the sides of the picture:
otherwise the last windows of one period and the first of the next are too close.
"""

import jax
import jax.numpy as jnp

from nst_jax.errors import UserError
from nst_jax.vocabulary import Padding

CIRCULAR: Padding = "circular"


def wrap(maps: jax.Array, *, size: tuple[int, int], stride: int, before: tuple[int, int]) -> jax.Array:
    """Returns maps padded with their other side, so that the windows cover a whole period.

    Args:
        maps: `[N, H, W, C]`.
        size: height and width of the windows.
        stride: distance between windows; there will be ⌈H / stride⌉ × ⌈W / stride⌉ of them.
        before: numbers of positions padded above and to the left.

    Returns:
        `[N, H', W', C]`.
    """

    def around(length: int, size: int, before: int) -> tuple[int, int]:
        last = (-(-length // stride) - 1) * stride
        return before, max(0, last + size - before - length)

    return jnp.pad(maps, ((0, 0), *map(around, maps.shape[1:3], size, before), (0, 0)), mode="wrap")


def check_sides(height: int, width: int, *, stride: int, layer: str) -> None:
    """Checks that a picture can repeat without a seam.

    Args:
        height: height in pixels.
        width: width in pixels.
        stride: stride of the deepest layer in use.
        layer: name of that layer.

    Raises:
        UserError: the stride does not divide a side; the message has the nearest side that it divides.
    """
    for name, length in (("width", width), ("height", height)):
        if length % stride:
            below = length // stride * stride
            nearest = f"{below} or {below + stride}" if below else stride
            raise UserError(
                f"{name}: expected a multiple of {stride}, the stride of {layer}, so that circular padding leaves no "
                f"seam; found {length}: choose {nearest}"
            )
