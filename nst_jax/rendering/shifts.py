"""Shifts by less than a stride, from which a network sees a picture by turns.

A network that skips positions sees some pixels more than others, and an optimiser writes that grid into the picture. A
grid that changes its place from turn to turn leaves none. Averaging over shifts in every step would cost as many times
as much.
"""

import functools
from typing import TypeVar

import jax
import jax.numpy as jnp

Turn = TypeVar("Turn", int, jax.Array)


def shift(turn: Turn, count: int) -> tuple[Turn, Turn]:
    """Returns the shift down and to the right in pixels, at a turn from 0 to `count` − 1; `count` is a power of 2.

    They are Hammersley's points: each row and each column once, and in every stride 2ⁱ as many at each of its 2ⁱ × 2ⁱ
    positions, while there are enough. One coordinate has the bits of the other in reverse.
    """
    bits = count.bit_length() - 1
    right = turn * 0
    for bit in range(bits):
        right = right | (turn >> bit & 1) << (bits - 1 - bit)
    return turn, right


@functools.partial(jax.jit, static_argnames="count")
def shifted(image: jax.Array, turn: jax.Array, count: int) -> jax.Array:
    """Returns an image `[H, W, C]` at one of several shifts; pixels that leave on one side come in on the other."""
    down, right = shift(turn, count)
    # A slice of a little more than the image: rolling by an amount that is not known makes four copies.
    around = jnp.pad(image, ((count, 0), (count, 0), (0, 0)), mode="wrap")
    return jax.lax.dynamic_slice(around, (count - down, count - right, turn * 0), image.shape)
