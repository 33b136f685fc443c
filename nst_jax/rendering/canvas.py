"""The canvas: a picture and a margin around it that is optimised with it and cropped at the end."""

from typing import Any

import jax
import jax.numpy as jnp

from nst_jax.errors import UserError
from nst_jax.surroundings import jax_defaults

CUBIC = jax.image.ResizeMethod.CUBIC_PYTORCH
"""The cubic filter with a = −0.75, which PyTorch's bicubic interpolation has; Keys' own choice was −0.5."""


def canvas_shape(height: int, width: int, margin: int) -> tuple[int, int]:
    """Returns the height and width of a canvas, from those of its picture."""
    return height + 2 * margin, width + 2 * margin


def extend(images: jax.Array, margin: int) -> jax.Array:
    """Returns images `[..., H, W, 3]` with a margin that mirrors them.

    Raises:
        UserError: the margin is as wide as the image, or wider.
    """
    *lead, height, width, _ = images.shape
    check_margin(margin, height, width)
    return jnp.pad(images, (*[(0, 0)] * len(lead), (margin, margin), (margin, margin), (0, 0)), mode="reflect")


def resize(
    images: jax.Array, shape: tuple[int, int], *, method: str | Any = CUBIC, antialias: bool = False
) -> jax.Array:
    """Returns images `[..., H, W, C]` enlarged to another height and width, by default as PyTorch's bicubic does.

    Args:
        images: the images.
        shape: height and width of the result.
        method: see `jax.image.resize`.
        antialias: whether the filter grows where images are reduced.
    """
    *lead, _, _, channels = images.shape
    with jax_defaults(images):  # its weights would be rounded otherwise in double precision
        return jax.image.resize(images, (*lead, *shape, channels), method, antialias=antialias)


def check_margin(margin: int, height: int, width: int) -> None:
    """Checks that a picture of this height and width can be mirrored by the margin.

    Raises:
        UserError: it cannot.
    """
    if margin >= min(height, width):
        raise UserError(f"margin: expected less than the short side of {min(height, width)} px, found {margin}")


def crop(canvases: jax.Array, margin: int) -> jax.Array:
    """Returns canvases `[..., H, W, 3]` without their margin."""
    *_, height, width, _ = canvases.shape
    rows = jax.lax.slice_in_dim(canvases, margin, height - margin, axis=-3)
    return jax.lax.slice_in_dim(rows, margin, width - margin, axis=-2)
