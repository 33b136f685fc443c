"""Statistics of a feature map, which terms of the loss compare with their targets.

A map has any number of spatial axes before its channels: `[T, C]` of a signal, `[H, W, C]` of an image, `[D, H, W, C]`
of a volume. A batch of maps is `jax.vmap`.

These statistics of style are means over positions. So the statistic of a map is the mean over its parts, weighted by
their numbers of positions, and statistics of several style images can be averaged; anything non-linear, such as a
covariance, is left to the error. Those that are not are in `quantiles` and `neighbours`.
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


def gram(features: jax.Array) -> jax.Array:
    """Returns the Gram matrix: the mean over positions of the products of channels.

    Gatys et al. 2016, equation 3, divided by the number of positions M. Their losses divide by M² later; dividing here
    gives the same numbers and lets the style image have another size than the picture.

    Args:
        features: `[..., C]`, of any precision.

    Returns:
        `[C, C]`, float32 at least, symmetric.
    """
    rows = features.reshape(-1, features.shape[-1])
    return _self_product(rows) / len(rows)


def moments(features: jax.Array) -> Moments:
    """Returns mean and raw second moment of the channels of features `[..., C]`, float32 at least.

    The second moment is the Gram matrix. Unlike covariances, both combine linearly: over parts of a picture, and over
    several style images.
    """
    rows = activations(features.reshape(-1, features.shape[-1]))
    return Moments(rows.mean(axis=0), gram(features))


def channel_moments(features: jax.Array) -> ChannelMoments:
    """Returns mean and mean square of each channel of features `[..., C]`, float32 at least."""
    rows = activations(features.reshape(-1, features.shape[-1]))
    return ChannelMoments(rows.mean(axis=0), jnp.square(rows).mean(axis=0))


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
