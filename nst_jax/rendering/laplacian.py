"""Laplacian pyramids: a picture as its coarsest version and what each finer one adds to it.

Burt & Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983. Kolkin et al. ("Style Transfer by Relaxed Optimal
Transport and Self-Similarity", CVPR 2019; "Neural Neighbor Style Transfer", 2022) optimise its coefficients in place of
pixels: Adam changes all variables at the same rate, so that one step changes a whole region by its coarse levels as
easily as a pixel by the finest. As theirs, this pyramid is reduced and enlarged by bilinear interpolation.
"""

import itertools

import jax
import jax.numpy as jnp

from nst_jax.rendering.canvas import resize

LEVELS = 8
"""Levels beside the coarsest version, of Kolkin et al. 2022; a picture that is down to one pixel earlier has fewer."""


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns height and width of each level from fine to coarse, the picture's first."""
    shapes = [shape]
    while len(shapes) <= LEVELS and max(shapes[-1]) > 1:
        height, width = shapes[-1]
        shapes.append((max(1, height // 2), max(1, width // 2)))
    return shapes


def decompose(image: jax.Array) -> jax.Array:
    """Returns the coefficients of a picture `[H, W, C]`, all levels in one flat array, the finest first."""
    levels = []
    height, width, _ = image.shape
    for finer, coarser in itertools.pairwise(level_shapes((height, width))):
        reduced = _bilinear(image, coarser)
        levels.append(image - _bilinear(reduced, finer))
        image = reduced
    return jnp.concatenate([level.reshape(-1) for level in (*levels, image)])


def compose(coefficients: jax.Array, shape: tuple[int, int], *, channels: int = 3) -> jax.Array:
    """Returns the picture `[H, W, C]` of coefficients, whose values may lie anywhere.

    Args:
        coefficients: of `decompose`.
        shape: height and width of the picture.
        channels: C.
    """
    end = len(coefficients)
    image: jax.Array | None = None
    for height, width in reversed(level_shapes(shape)):
        begin = end - height * width * channels
        level = coefficients[begin:end].reshape(height, width, channels)
        image = level if image is None else level + _bilinear(image, (height, width))
        end = begin
    assert image is not None, "a picture has one level at least"
    return image


@jax.custom_vjp
def bounded(image: jax.Array) -> jax.Array:
    """Returns a picture clipped to [0, 1], whose derivative keeps what leads back from beyond.

    A pixel is the sum of several coefficients, so that there are no bounds for each. With the derivative of `jnp.clip`,
    which is 0 beyond, what once left the range would stay outside; the one here is that of a projection in each step.
    """
    return jnp.clip(image, 0, 1)


def _bounded_forward(image: jax.Array) -> tuple[jax.Array, jax.Array]:
    return bounded(image), image


def _bounded_backward(image: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    # A descent goes against the gradient.
    outward = ((image <= 0) & (gradient > 0)) | ((image >= 1) & (gradient < 0))
    return (jnp.where(outward, 0, gradient),)


bounded.defvjp(_bounded_forward, _bounded_backward)


def _bilinear(image: jax.Array, shape: tuple[int, int]) -> jax.Array:
    return resize(image, shape, method="linear")
