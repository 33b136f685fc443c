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
    ordered = jnp.sort(rows.T, axis=-1)  # the values of a channel beside each other
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
