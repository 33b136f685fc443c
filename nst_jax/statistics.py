"""Statistics of a feature map: what is left of a picture's style when the positions are forgotten."""

import jax
import jax.numpy as jnp


def gram(features: jax.Array) -> jax.Array:
    """Returns the Gram matrix: the mean over positions of the products of channels.

    Gatys et al. 2016, equation 3, divided by the number of positions M. Their losses divide by M² later; dividing here
    gives the same numbers and lets the painting have another size than the picture.

    Args:
        features: `[H, W, C]`.

    Returns:
        `[C, C]`, symmetric.
    """
    height, width, channels = features.shape
    flat = features.reshape(height * width, channels)
    return jnp.matmul(flat.T, flat, precision=jax.lax.Precision.HIGHEST) / (height * width)
