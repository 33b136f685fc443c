"""Laplacian pyramids against NumPy, and pictures that stay in range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax.rendering import laplacian

pytestmark = pytest.mark.quick

SHAPES = pytest.mark.parametrize("shape", [(64, 64), (37, 50), (1, 9), (1, 1), (700, 3)])


def picture(shape):
    values = np.random.default_rng(0).uniform(0, 1, (*shape, 3)).astype(np.float32)
    values[0, 0], values[-1, -1] = 0, 1
    return values


@SHAPES
def test_a_picture_is_the_sum_of_its_levels(shape):
    values = picture(shape)
    coefficients = jax.jit(laplacian.decompose)(values)
    assert len(coefficients) == 3 * sum(height * width for height, width in laplacian.level_shapes(shape))
    np.testing.assert_allclose(laplacian.compose(coefficients, shape), values, atol=1e-6)


def test_there_are_eight_levels_and_the_coarsest_version():
    shapes = laplacian.level_shapes((1024, 700))
    assert len(shapes) == 9
    assert shapes[:3] == [(1024, 700), (512, 350), (256, 175)]
    assert laplacian.level_shapes((64, 40))[-1] == (1, 1)


def test_even_sides_are_halved_by_means_of_four():
    values = picture((8, 12))
    coarse = values.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3))
    of_coarse = laplacian.decompose(jnp.asarray(coarse))
    np.testing.assert_allclose(laplacian.decompose(values)[values.size :], of_coarse, atol=1e-6)


def test_a_flat_picture_is_in_the_coarsest_version():
    coefficients = np.asarray(laplacian.decompose(jnp.full((32, 48, 3), 0.3)))
    np.testing.assert_allclose(coefficients[:-3], 0, atol=1e-6)
    np.testing.assert_allclose(coefficients[-3:], 0.3, atol=1e-6)


def test_what_lies_beyond_the_range_can_come_back():
    image = jnp.array([-0.1, 0.0, 0.5, 1.0, 1.2])
    np.testing.assert_array_equal(laplacian.bounded(image), np.clip(image, 0, 1))
    for sign, expected in ((1, [0, 0, 1, 1, 1]), (-1, [-1, -1, -1, 0, 0])):
        gradient = jax.grad(lambda values, sign=sign: sign * laplacian.bounded(values).sum())(image)
        np.testing.assert_array_equal(gradient, expected)
