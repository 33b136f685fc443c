"""The binomial filter (1, 2, 1) / 4, which takes the finest pattern that pixels can have out of an image."""

import functools

import jax
import jax.numpy as jnp


def blur(image: jax.Array, *, wrap: bool = False) -> jax.Array:
    """Returns an image `[H, W, C]` blurred by one pixel along rows and columns.

    A pattern of period 2, to which a layer of stride 2 is blind or which it takes for an area, vanishes; one of period
    4 is halved; the mean stays. Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019, blurs before
    each stride instead, in networks that are trained so.

    Args:
        image: `[H, W, C]`.
        wrap: whether the image repeats itself beyond its border; else its border does.
    """
    return _blur(wrap, image)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _blur(wrap: bool, image: jax.Array) -> jax.Array:
    for axis in (0, 1):
        pads = [(1, 1) if axis == other else (0, 0) for other in range(image.ndim)]
        padded = jnp.pad(image, pads, mode="wrap" if wrap else "edge")
        before, here, after = (
            jax.lax.slice_in_dim(padded, first, first + image.shape[axis], axis=axis) for first in range(3)
        )
        image = (before + after) / 4 + here / 2
    return image


def _forward(wrap: bool, image: jax.Array) -> tuple[jax.Array, None]:
    return _blur(wrap, image), None


def _backward(wrap: bool, _: None, cotangent: jax.Array) -> tuple[jax.Array]:
    # The filter is its own transpose, at both kinds of border. JAX's derivative pads each slice by itself, and keeps
    # all of these: eight arrays of the image's size.
    return (_blur(wrap, cotangent),)


_blur.defvjp(_forward, _backward)
