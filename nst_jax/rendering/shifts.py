"""Shifts by less than a stride, from which a network sees a picture by turns.

A network that skips positions sees some pixels more than others, and an optimiser writes that grid into the picture. A
grid that changes its place from step to step leaves none. Averaging over shifts in every step would cost as many times
as much; solvers for a changing loss, such as Adam, average over steps.
"""

import jax
import jax.numpy as jnp
import numpy as np


def offsets(count: int) -> np.ndarray:
    """Returns shifts in pixels, `[count, 2]`, for a count that is a power of 2.

    They are Hammersley's points: each row and each column once, and in every stride 2ⁱ as many at each of its 2ⁱ × 2ⁱ
    positions, while there are enough. The second coordinate has the bits of the first in reverse.
    """
    bits = count.bit_length() - 1
    rows = np.arange(count, dtype=np.int32)
    columns = sum(((rows >> bit & 1) << (bits - 1 - bit) for bit in range(bits)), start=np.zeros_like(rows))
    return np.stack([rows, columns], axis=1)


def shifted(image: jax.Array, turn: jax.Array | int, count: int) -> jax.Array:
    """Returns an image `[H, W, C]` from one of several shifts; pixels that leave on one side come in on the other."""
    # A slice of a little more than the image: rolling by an amount that is not known makes four copies.
    around = jnp.pad(image, ((count, 0), (count, 0), (0, 0)), mode="wrap")
    down, right = jnp.asarray(count - offsets(count))[turn]
    return jax.lax.dynamic_slice(around, (down, right, jnp.zeros_like(down)), image.shape)
