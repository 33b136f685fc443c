"""The Laplacian of a photograph as what a picture keeps of it: where its edges are, whatever their colours become.

Li, Xu, Nie & Chua, "Laplacian-Steered Neural Style Transfer", ACM Multimedia 2017, and its program `lap_style.lua`:
the picture is pooled by squares of p × p pixels, filtered with the Laplacian of four neighbours in each channel, the
channels are added up, and the result is compared with the content image's by the mean squared error.

Their squares lie in one grid. The gradient of their loss is the same in all pixels of a square, so that the grid shows;
here squares lie at every position, which is the mean over all places that the grid may have. With p = 1 it is theirs.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MOST_POOL = 16
"""The largest side of the squares."""


def least_side(pool: int) -> int:
    """Returns the least side in pixels of a picture: a square and its neighbours on both sides."""
    return 3 * pool


def halo(pool: int) -> int:
    """Returns how many pixels on each side of a position its value sees at most."""
    return least_side(pool) // 2


def brightness(photograph: np.ndarray) -> np.ndarray:
    """Returns the sum over the channels of a photograph `[H, W, 3]`, `[H, W, 1]`, with which a picture is compared.

    Pool and filter are linear, so that it is the differences which are pooled and filtered.
    """
    return photograph.sum(axis=-1, keepdims=True)


def values(picture: jax.Array, target: jax.Array, *, pool: int) -> jax.Array:
    """Returns (Σ_rgb K ∗ pool(x) − Σ_rgb K ∗ pool(c))² at each position, zeros where the border cuts the squares.

    Args:
        picture: x, `[H, W, 3]`.
        target: the `brightness` of the content image c, `[H, W, 1]`.
        pool: side of the squares in pixels.

    Returns:
        `[H, W]`.
    """
    mean = jnp.sum(picture, axis=-1) - target[..., 0]
    for axis in (0, 1):
        length = mean.shape[axis] - pool + 1
        mean = _sum(jax.lax.slice_in_dim(mean, first, first + length, axis=axis) for first in range(pool)) / pool
    middle = mean[pool:-pool, pool:-pool]
    around = mean[: -2 * pool, pool:-pool], mean[2 * pool :, pool:-pool], mean[pool:-pool, : -2 * pool]
    filtered = 4 * middle - _sum((*around, mean[pool:-pool, 2 * pool :]))
    before = (least_side(pool) - 1) // 2
    return jnp.pad(jnp.square(filtered), (before, least_side(pool) - 1 - before))


def _sum(parts: Any) -> jax.Array:
    return functools.reduce(jnp.add, parts)


def positions(height: int, width: int, *, pool: int) -> int:
    """Returns the number of positions of a picture of this size whose squares the border does not cut."""
    return (height - least_side(pool) + 1) * (width - least_side(pool) + 1)


def error(picture: jax.Array, target: jax.Array, *, pool: int) -> jax.Array:
    """Returns the mean of `values` over the positions whose squares the border does not cut."""
    return jnp.sum(values(picture, target, pool=pool)) / positions(*picture.shape[:2], pool=pool)
