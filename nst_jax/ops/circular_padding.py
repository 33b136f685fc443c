"""Maps that are tiles: beside each there is itself again.

A network that sees a picture so gives the features of the plane that is tiled with it, one period of them. For that all
its windows have to go around, those of pools and of convolutions without padding too, and the strides have to divide
the sides of the picture: otherwise the last windows of one tile and the first of the next are too near to each other.
"""

import jax
import jax.numpy as jnp

from nst_jax.errors import UserError
from nst_jax.settings import Padding

CIRCULAR: Padding = "circular"


def wrap(maps: jax.Array, *, size: int, stride: int, before: int) -> jax.Array:
    """Returns maps with so much of their other side around them that there are windows for a whole period.

    Args:
        maps: `[N, H, W, C]`.
        size: of the windows.
        stride: between windows; there will be H / stride of them, rounded up, and W / stride.
        before: by how many positions the first window begins above and left of the map.

    Returns:
        `[N, H', W', C]`.
    """

    def around(length: int) -> tuple[int, int]:
        last = (-(-length // stride) - 1) * stride
        return before, max(0, last + size - before - length)

    return jnp.pad(maps, ((0, 0), *map(around, maps.shape[1:3]), (0, 0)), mode="wrap")


def check_sides(height: int, width: int, *, stride: int, layer: str) -> None:
    """Checks that a picture of so many pixels can be a tile.

    Args:
        height: in pixels.
        width: in pixels.
        stride: of the deepest layer that is looked at.
        layer: its name.

    Raises:
        UserError: the stride does not divide a side; the message has the nearest that it does.
    """
    for name, length in (("width", width), ("height", height)):
        if length % stride:
            below = length // stride * stride
            nearest = f"{below} or {below + stride}" if below else stride
            raise UserError(
                f"{name}: expected a multiple of {stride}, the stride of {layer}, so that circular padding leaves no "
                f"seam; found {length}: choose {nearest}"
            )
