"""Luminance and chroma: a picture is painted in greys, and its colours are those of the content image.

Gatys, Bethge, Hertzmann & Shechtman, "Preserving Color in Neural Artistic Style Transfer", 2016 (arXiv:1606.05897):
the Y of YIQ is painted, its I and Q are the photograph's. The axis of Y is that of the greys, so that another Y adds
one number to red, green and blue alike: chroma is what a pixel has beside its luminance.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Image = TypeVar("Image", jax.Array, np.ndarray)

WEIGHTS = (0.299, 0.587, 0.114)
"""Red, green and blue in the luminance, of sRGB as it is encoded (luma); they add up to 1."""


def luminance(image: Image) -> Image:
    """Returns the luminance `[..., 1]` of an image `[..., 3]`; that of greys is the grey."""
    red, green, blue = (weight * image[..., index : index + 1] for index, weight in enumerate(WEIGHTS))
    return red + green + blue


@jax.jit
def greys(image: jax.Array) -> jax.Array:
    """Returns the luminance of an image `[..., 3]` as three equal channels."""
    return jnp.broadcast_to(luminance(image), image.shape)


@jax.jit
def chroma(image: jax.Array) -> jax.Array:
    """Returns what an image `[..., 3]` has beside its luminance, in [-1, 1]; exactly 0 for greys."""
    red, green, blue = (weight * (image - image[..., index : index + 1]) for index, weight in enumerate(WEIGHTS))
    return red + green + blue


def recoloured(greys: jax.Array, chroma: jax.Array) -> jax.Array:
    """Returns a picture of some luminance and chroma, in [0, 1].

    Saturated colours have no very light and no very dark version. Where the chroma does not fit under the luminance, it
    is reduced until it does: luminance and hue stay, where clipping each channel (the authors' program) would change
    both.

    Args:
        greys: the luminance as three equal channels, `[..., 3]`; clipped to [0, 1].
        chroma: the chroma, of the same shape.
    """
    greys = jnp.clip(greys, 0, 1)
    room = jnp.where(chroma > 0, 1 - greys, greys)
    share = (room / jnp.maximum(jnp.maximum(jnp.abs(chroma), room), 1e-30)).min(axis=-1, keepdims=True)
    return jnp.clip(greys + share * chroma, 0, 1)
