"""How the activations of a layer are distributed: along each channel, or along random directions.

The distance of two distributions on a line is that of their sorted values (optimal transport in one dimension). Here
both are tables of one length, so that pictures of any sizes compare.

Sources:
    Risser, Wilmot & Barnes, "Stable and Controllable Neural Texture Synthesis and Style Transfer Using Histogram
    Losses", 2017.
    Heitz, Vanhoey, Chambon & Belcour, "A Sliced Wasserstein Loss for Neural Texture Synthesis", CVPR 2021.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.statistics import activations

LEVELS = 256


def quantiles(features: jax.Array) -> jax.Array:
    """Returns for each channel the means of its values from the least 256th of them to the greatest.

    The mean of a quantile function over equal parts of the probability: a value on the border of two parts counts in
    both by its shares, so any number of positions has its table, and every position a derivative. The sum of squared
    differences to the table of a style image is that to the features after their histograms were matched, as in Risser
    et al. 2017, up to what varies within a 256th.

    Args:
        features: `[..., C]`.

    Returns:
        `[256, C]`, ascending, float32 at least.
    """
    rows = activations(features.reshape(-1, features.shape[-1]))
    ordered = _ascending(rows.T)  # the values of a channel beside each other
    indices, shares = _parts(len(rows))
    return jnp.einsum("lp,clp->lc", jnp.asarray(shares, rows.dtype), ordered[:, indices], precision="highest")


def sliced_quantiles(features: jax.Array) -> jax.Array:
    """Returns `quantiles` of the features along C random directions, the same at every call.

    Heitz et al. 2021 draw directions anew in each step, of any angles to each other. These are fixed, as a search
    along a line needs one function to descend, and orthogonal: no difference of means is missed.

    Args:
        features: `[..., C]`.

    Returns:
        `[256, C]`, a column for each direction.
    """
    rows = activations(features.reshape(-1, features.shape[-1]))
    along = jnp.asarray(_directions(rows.shape[-1]), rows.dtype)
    return quantiles(jnp.matmul(rows, along, precision=jax.lax.Precision.HIGHEST))


@jax.custom_vjp
def _ascending(rows: jax.Array) -> jax.Array:
    """Returns each row of `[C, M]` in ascending order, but for values that differ by next to nothing; see `_order`."""
    return _ascending_forward(rows)[0]


def _ascending_forward(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    order = _order(rows)
    return jnp.take_along_axis(rows, order, axis=-1), order


def _ascending_backward(order: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    channels = np.arange(len(order), dtype=np.int32)[:, None]
    return (jnp.zeros_like(cotangent).at[channels, order].set(cotangent, unique_indices=True),)


_ascending.defvjp(_ascending_forward, _ascending_backward)


def _order(rows: jax.Array) -> jax.Array:
    """Returns the indices that put each row of `[C, M]` into ascending order.

    Each value and its index are one whole number of 32 bits: with 14 bits for the index of 16,000 positions, values
    that differ by a 260,000th of their range count as equal, and with 20 bits for a million by a 4,000th. XLA's CPU
    compiler (jax 0.10) sorts such numbers six times as fast as floating-point ones with their indices.
    """
    count = rows.shape[-1]
    for_index = max(count - 1, 1).bit_length()
    least = rows.min(axis=-1, keepdims=True)
    span = rows.max(axis=-1, keepdims=True) - least
    share = (rows - least) / jnp.where(span > 0, span, 1)
    steps = 2 ** (32 - for_index) * (1 - 2**-20)  # the greatest is still below the number that needs one bit more
    keys = ((share * steps).astype(jnp.uint32) << for_index) | np.arange(count, dtype=np.uint32)[None]
    return (jnp.sort(keys, axis=-1) & (2**for_index - 1)).astype(jnp.int32)


@functools.cache
def _parts(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each level the indices of the sorted values within its part, and their shares of it: `[256, P]`."""
    borders = np.arange(LEVELS + 1) * count  # in 256ths of a value
    first = borders[:-1] // LEVELS
    indices = first[:, None] + np.arange((-(-borders[1:] // LEVELS) - first).max())
    overlaps = np.minimum(borders[1:, None], (indices + 1) * LEVELS) - np.maximum(borders[:-1, None], indices * LEVELS)
    return np.minimum(indices, count - 1).astype(np.int32), np.maximum(overlaps, 0) / count


@functools.cache
def _directions(channels: int) -> np.ndarray:
    """Returns random orthogonal directions as the columns of `[C, C]`."""
    return np.linalg.qr(np.random.default_rng(0).normal(size=(channels, channels)))[0]
