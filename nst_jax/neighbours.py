"""Positions of a style image that are most like those of the picture, by the angle between their features.

Such errors compare every position with every other, so at most 4096 of each are taken, by a fixed rule, and products
are made in blocks.

Sources:
    Kolkin, Kucera, Paris, Sýkora, Shechtman & Shakhnarovich, "Neural Neighbor Style Transfer", 2022.
    Mechrez, Talmi & Zelnik-Manor, "The Contextual Loss for Image Transformation with Non-Aligned Data", ECCV 2018.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.statistics import activations
from nst_jax.surroundings import per_channel

POSITIONS = 4096

_ROWS = 512
"""Positions of a block: 8 MB of products with 4096 others."""

NEXT_TO_NOTHING = 1e-6
"""A negligible square of a length; activations of the networks are of the order of 1 to 1000."""

_BANDWIDTH = 0.5
_LEAST_DISTANCE = 1e-5
"""h and ε of Mechrez et al. 2018, for style."""


class Sample(NamedTuple):
    """Features at positions of a style image.

    Attributes:
        rows: `[4096, C]`, or as many times more as there are images; of a smaller map all positions, and the last one
            again.
        present: 1 for each row that is none of these repetitions, 0 for these.
    """

    rows: jax.Array
    present: jax.Array


def positions(features: jax.Array) -> jax.Array:
    """Returns the features `[M, C]` at all positions, or at 4096 of them spread over the map at random, but fixed."""
    rows = activations(features.reshape(-1, features.shape[-1]))
    return rows if len(rows) <= POSITIONS else rows[_spread(len(rows))]


def sample(features: jax.Array) -> Sample:
    """Returns the features at `positions`, as many whatever the size of the map `[..., C]`."""
    rows = positions(features)
    indices = np.arange(POSITIONS, dtype=np.int32)
    return Sample(rows[np.minimum(indices, len(rows) - 1)], jnp.asarray(indices < len(rows), rows.dtype))


def pool(samples: Sequence[Sample]) -> Sample:
    """Returns the features of several images as those of one."""
    return Sample(*(jnp.concatenate(parts) for parts in zip(*samples, strict=True)))


def nearest(rows: jax.Array, target: Sample) -> jax.Array:
    """Returns which of the style image's features is nearest to each of the rows `[M, C]`, `[M]`.

    Nearest by the cosine after each side's mean was subtracted.
    """
    centred = rows - per_channel(rows.mean(axis=0), 2)
    candidates = _unit(target.rows - per_channel(_mean(target), 2))
    best = _in_blocks(lambda block: jnp.argmax(_products(block, candidates), axis=-1).astype(jnp.int32), centred)
    return best.reshape(-1)[: len(rows)]


def nearest_neighbour(found: jax.Array, target: Sample) -> jax.Array:
    """Returns the mean over positions of 1 − cos(F, S), S the style image's features that are nearest to F.

    As in Kolkin et al. 2022, who choose anew for a layer in each step of their last pass. The choice itself has no
    derivative.

    Args:
        found: features at positions of the picture, `[M, C]`.
        target: features of the style image.
    """
    matched = target.rows[nearest(jax.lax.stop_gradient(found), target)]
    # Half the square of their distance, which for two zeros is 0.
    return jnp.mean(jnp.sum(jnp.square(_unit(found) - _unit(matched)), axis=-1)) / 2


def contextual(found: jax.Array, target: Sample) -> jax.Array:
    """Returns −log CX of Mechrez et al. 2018: how far from every S of the style image is any F that is near it alone.

    d_ij = (1 − cos(F_i, S_j)) / 2 after the mean of S was subtracted from both; w_ij = exp((1 − d_ij / min_k d_ik) /
    h); CX = mean_j max_i w_ij / Σ_k w_ik. Of equal images it is 0, but for positions that are like each other.

    Args:
        found: features at positions of the picture, `[M, C]`.
        target: features of the style image.
    """
    mean = per_channel(_mean(target), 2)
    candidates = _unit(target.rows - mean)
    present = per_channel(target.present, 2)

    @jax.checkpoint  # the products of all blocks would be stored for the derivative
    def likeness(block: jax.Array) -> jax.Array:
        distances = jnp.maximum(1 - _products(block, candidates), 0) / 2
        relative = distances / (distances.min(axis=-1, keepdims=True) + _LEAST_DISTANCE)
        weights = jnp.exp((1 - relative) / _BANDWIDTH) * present
        return (weights / weights.sum(axis=-1, keepdims=True)).max(axis=0)

    likenesses = _in_blocks(likeness, _unit(found - mean)).max(axis=0)
    return -jnp.log(jnp.sum(likenesses) / jnp.sum(target.present))


@functools.cache
def _spread(count: int) -> np.ndarray:
    """Returns 4096 of `count` indices: one, at random, of each of 4096 equal runs. An even step would meet columns."""
    offsets = np.random.default_rng(0).uniform(size=POSITIONS)
    return ((np.arange(POSITIONS) + offsets) * (count / POSITIONS)).astype(np.int32)


def _in_blocks(function: Callable[[jax.Array], jax.Array], rows: jax.Array) -> jax.Array:
    """Returns the stacked results for blocks of rows, the last one filled up with the last row."""
    size = min(_ROWS, len(rows))
    indices = np.minimum(np.arange(-(-len(rows) // size) * size, dtype=np.int32), len(rows) - 1).reshape(-1, size)
    return jax.lax.map(function, rows[indices])


def _mean(target: Sample) -> jax.Array:
    whole = jnp.matmul(target.present, target.rows, precision=jax.lax.Precision.HIGHEST)
    return whole / jnp.sum(target.present)


def _unit(rows: jax.Array) -> jax.Array:
    """Returns rows `[M, C]` divided by their lengths; zeros stay zeros."""
    return rows * jax.lax.rsqrt(jnp.sum(jnp.square(rows), axis=-1, keepdims=True) + NEXT_TO_NOTHING)


def _products(rows: jax.Array, others: jax.Array) -> jax.Array:
    return jnp.matmul(rows, others.T, precision=jax.lax.Precision.HIGHEST)
