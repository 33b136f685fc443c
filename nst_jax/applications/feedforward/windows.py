"""Where the tiles of a picture lie, and the windows that see what is around them.

All windows have one size, so that one program computes all, and begin at multiples of the network's stride; those at
the picture's border end with it, so that every layer has its own border where the whole picture has it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Span(NamedTuple):
    """A window along one axis of the picture, in pixels.

    Attributes:
        start: its first pixel.
        length: of all windows.
        begin: first pixel of its tile.
        end: the one after the last of its tile.
    """

    start: int
    length: int
    begin: int
    end: int


class Window(NamedTuple):
    """A tile of a picture, with what is around it."""

    rows: Span
    columns: Span

    def slices(self, spacing: int = 1) -> tuple[slice, slice]:
        """Returns its positions in the map of the whole, whose positions are `spacing` pixels apart."""
        rows, columns = (slice(of.start // spacing, (of.start + of.length) // spacing) for of in self)
        return rows, columns

    def put(self, whole: np.ndarray, made: np.ndarray, spacing: int = 1) -> None:
        """Copies the tile from what the window gave, `[h, w, C]`, into the map of the whole, `[H, W, C]`."""
        to = tuple(slice(of.begin // spacing, of.end // spacing) for of in self)
        own = tuple(slice((of.begin - of.start) // spacing, (of.end - of.start) // spacing) for of in self)
        whole[to] = made[own]

    @property
    def tile(self) -> jax.Array:
        """`[2, 3]`: for rows and columns the tile's first pixel in it, the one after its last, and its own length."""
        return jax.device_put(np.array([[of.begin - of.start, of.end - of.start, of.length] for of in self], np.int32))


def windows(shape: tuple[int, ...], tile: int, around: int, multiple: int) -> list[Window]:
    """Returns the windows of a picture.

    Args:
        shape: `(height, width)` and perhaps more, multiples of `multiple`.
        tile: side of a tile, likewise.
        around: pixels to see around a tile, at least.
        multiple: the network's stride.
    """
    rows, columns = (spans(length, tile, rounded(around, multiple)) for length in shape[:2])
    return [Window(row, column) for row in rows for column in columns]


def spans(length: int, tile: int, around: int) -> list[Span]:
    """Returns the windows along an axis of the picture; all numbers are multiples of the network's stride."""
    own = min(length, tile + 2 * around)
    if own == length:
        return [Span(0, length, 0, length)]
    return [
        Span(min(max(begin - around, 0), length - own), own, begin, min(begin + tile, length))
        for begin in range(0, length, tile)
    ]


def rounded(pixels: int, multiple: int) -> int:
    """Returns a number of pixels, rounded up to a multiple."""
    return pixels + -pixels % multiple


def inside(made: jax.Array, tile: jax.Array) -> jax.Array:
    """Returns which positions of a window's map `[h, w, C]` are its tile's, `[h, w, 1]`.

    Args:
        made: the map, whose sides divide the window's.
        tile: see `Window.tile`.
    """
    # Places in pixels, which are fewer than those of the window: longer products would leave an int32.
    places = [
        jnp.arange(length, dtype=jnp.int32) * (tile[axis, 2] // length) for axis, length in enumerate(made.shape[:2])
    ]
    rows, columns = ((of >= tile[axis, 0]) & (of < tile[axis, 1]) for axis, of in enumerate(places))
    return (rows[:, None] & columns[None, :])[..., None]
