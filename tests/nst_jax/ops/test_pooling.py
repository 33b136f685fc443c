"""Pooling by slices against XLA's own windows, values and derivatives; Caffe's rules are in test_features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax.ops import pooling

pytestmark = pytest.mark.quick

SHAPES = [(2, 2, (8, 9)), (2, 2, (7, 7)), (3, 2, (9, 10)), (3, 2, (8, 8)), (2, 3, (10, 11)), (3, 1, (5, 6))]


def overhangs(size, stride, shape):
    up = tuple(-(-(length - size) // stride) * stride + size - length for length in shape)
    return {(0, 0), up} if stride <= size else {(0, 0)}


def reference(images, size, stride, overhang, kind):
    windows = (1, size, size, 1), (1, stride, stride, 1), [(0, 0), (0, overhang[0]), (0, overhang[1]), (0, 0)]
    if kind == "max":
        return jax.lax.reduce_window(images, -jnp.inf, jax.lax.max, *windows)
    total, covered = (
        jax.lax.reduce_window(values, 0.0, jax.lax.add, *windows) for values in (images, jnp.ones_like(images))
    )
    return total / covered


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(("size", "stride", "shape"), SHAPES)
def test_values_and_derivative(kind, size, stride, shape):
    images = jax.random.normal(jax.random.key(0), (2, *shape, 3))
    for overhang in overhangs(size, stride, shape):

        def energy(pool, images, overhang=overhang):
            return jnp.sum(jnp.sin(pool(images, overhang)))

        pools = (
            lambda x, o: pooling.pool(x, size=size, stride=stride, overhang=o, kind=kind),
            lambda x, o: reference(x, size, stride, o, kind),
        )
        (value, found), (expected_value, expected) = (
            jax.jit(jax.value_and_grad(lambda x, pool=pool: energy(pool, x)))(images) for pool in pools
        )
        np.testing.assert_allclose(value, expected_value, rtol=1e-5)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_of_equal_maxima_the_first_takes_all():
    gradient = jax.grad(lambda x: pooling.pool(x, size=2, stride=2, overhang=(0, 0), kind="max").sum())(
        jnp.ones((1, 4, 4, 1))
    )
    np.testing.assert_array_equal(gradient[0, :, :, 0], np.kron(np.ones((2, 2)), [[1, 0], [0, 0]]))


def test_what_is_no_number_goes_on():
    images = jnp.ones((1, 2, 2, 1)).at[0, 1, 0, 0].set(jnp.nan)
    assert np.isnan(pooling.pool(images, size=2, stride=2, overhang=(0, 0), kind="max")).all()
