"""Statistics of a feature map, which terms of the loss compare with their targets.

A map has any number of spatial axes before its channels: `[T, C]` of a signal, `[H, W, C]` of an image, `[D, H, W, C]`
of a volume. A batch of maps is `jax.vmap`.

These statistics of style are means over positions. So the statistic of a map is the mean over its parts, weighted by
their numbers of positions, and statistics of several style images can be averaged; anything non-linear, such as a
covariance, is left to the error. Those that are not are in `quantiles` and `neighbours`.

The means may be weighted, so that they tell of a region: `weights` has the share of each position, 1 in all. With
w = T² / Σ T² that is the guided Gram matrix of Gatys et al. 2017 ("Controlling Perceptual Factors in Neural Style
Transfer", equation 6), of features that were multiplied by a guide T whose mean square is 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Moments(NamedTuple):
    """Mean and raw second moment of the channels over positions: `[C]` and `[C, C]`."""

    mean: jax.Array
    second: jax.Array


class ChannelMoments(NamedTuple):
    """Mean and mean square of each channel over positions: `[C]` both."""

    mean: jax.Array
    square: jax.Array


def activations(features: jax.Array) -> jax.Array:
    """Returns the features `[..., C]` themselves, position by position, float32 at least."""
    return features.astype(jnp.promote_types(features.dtype, jnp.float32))


def gram(features: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Returns the Gram matrix: the mean over positions of the products of channels.

    Gatys et al. 2016, equation 3, divided by the number of positions M. Their losses divide by M² later; dividing here
    gives the same numbers and lets the style image have another size than the picture.

    Args:
        features: `[..., C]`, of any precision.
        weights: `[...]`, the shares of the positions; equal ones by default. No derivative is taken by them.

    Returns:
        `[C, C]`, float32 at least, symmetric.
    """
    rows = features.reshape(-1, features.shape[-1])
    if weights is None:
        return _self_product(rows) / len(rows)
    return _weighted_self_product(activations(rows), weights.reshape(-1))


def moments(features: jax.Array, weights: jax.Array | None = None) -> Moments:
    """Returns mean and raw second moment of the channels of features `[..., C]`, float32 at least.

    The second moment is the Gram matrix. Unlike covariances, both combine linearly: over parts of a picture, and over
    several style images.
    """
    return Moments(_mean(features, weights), gram(features, weights))


def channel_moments(features: jax.Array, weights: jax.Array | None = None) -> ChannelMoments:
    """Returns mean and mean square of each channel of features `[..., C]`, float32 at least."""
    return ChannelMoments(_mean(features, weights), _mean(jnp.square(activations(features)), weights))


def _mean(features: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Returns the mean of features `[..., C]` over positions, perhaps by their shares `[...]`."""
    rows = activations(features.reshape(-1, features.shape[-1]))
    if weights is None:
        return rows.mean(axis=0)
    return jnp.matmul(weights.reshape(-1), rows, precision=jax.lax.Precision.HIGHEST)


def covariance(moments: Moments) -> jax.Array:
    """Returns the covariances of the channels, `[C, C]`."""
    return moments.second - jnp.outer(moments.mean, moments.mean)


@jax.custom_vjp
def _self_product(rows: jax.Array) -> jax.Array:
    """Returns Fᵀ F for `[M, C]`, accumulated in float32 at least.

    Its derivative is one product, F (Ḡ + Ḡᵀ), where JAX would compute two.
    """
    return jax.lax.dot_general(
        rows,
        rows,
        dimension_numbers=(((0,), (0,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.promote_types(rows.dtype, jnp.float32),
    )


def _self_product_forward(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _self_product(rows), rows


def _self_product_backward(rows: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    symmetric = (cotangent + cotangent.T).astype(rows.dtype)
    return (jnp.matmul(rows, symmetric, precision=jax.lax.Precision.HIGHEST),)


_self_product.defvjp(_self_product_forward, _self_product_backward)


@jax.custom_vjp
def _weighted_self_product(rows: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns Fᵀ diag(w) F for `[M, C]` and `[M]`.

    Of several weights of the same rows, the derivative keeps the rows once, and they are in single precision at least.
    """
    return jax.lax.dot_general(
        rows * weights[:, None],
        rows,
        dimension_numbers=(((0,), (0,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
    )


def _weighted_self_product_forward(rows: jax.Array, weights: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return _weighted_self_product(rows, weights), (rows, weights)


def _weighted_self_product_backward(saved: tuple[jax.Array, ...], cotangent: jax.Array) -> tuple[jax.Array, None]:
    rows, weights = saved
    return jnp.matmul(rows, cotangent + cotangent.T, precision=jax.lax.Precision.HIGHEST) * weights[:, None], None


_weighted_self_product.defvjp(_weighted_self_product_forward, _weighted_self_product_backward)
