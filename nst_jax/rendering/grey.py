"""Grey pictures: three equal channels, painted where all images are grey.

Networks see colours, and their gradients lead a grey picture to pink and green fringes, which no image asked for.
"""

import itertools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.settings import Settings
from nst_jax.vocabulary import LUMINANCE

_MOST_CHROMA = 2.5 / 255
"""Spread of the channels of a grey image; lossy formats leave one or two levels of eight bits."""


def is_grey(image: jax.Array | np.ndarray) -> bool:
    """Returns whether an image `[H, W, 3]`, RGB in [0, 1], has no colours but greys."""
    return float(np.ptp(np.asarray(image), axis=-1).max()) <= _MOST_CHROMA


def paints_grey(settings: Settings, images_are_grey: Iterable[bool]) -> bool:
    """Returns whether a picture is to be grey.

    Args:
        settings: the settings of its transfer.
        images_are_grey: whether the content image and each style image is grey; asked only if it matters. Style images
            with a share of 0 do not.
    """
    if settings.colours != "auto":
        return settings.colours in ("grey", LUMINANCE)
    if not settings.style_layers:  # a visualisation has a blank canvas for a content image, and dreams have colours
        return False
    shares = itertools.chain([1.0], settings.blend_weights or itertools.repeat(1.0))
    return all(grey for grey, share in zip(images_are_grey, shares, strict=False) if share)


def project(grey: jax.Array, pictures: jax.Array) -> jax.Array:
    """Returns pictures `[..., 3]`, with the mean of their channels in each of them where `grey`, a scalar, is true.

    The mean, not luminance: so the channels of a gradient stay equal too.
    """
    red, green, blue = (pictures[..., channel : channel + 1] for channel in range(3))
    mean = (red + green + blue) / 3  # by slices, no array of means is made first
    return jnp.where(grey, jnp.broadcast_to(mean, pictures.shape), pictures)
