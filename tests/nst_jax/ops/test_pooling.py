"""Pooling by slices against XLA's own windows, values and derivatives; Caffe's rules are in test_features."""

import functools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nst_jax.ops import pooling
from nst_jax.vocabulary import Pooling

pytestmark = pytest.mark.quick

SHAPES = [(2, 2, (8, 9)), (2, 2, (7, 7)), (3, 2, (9, 10)), (3, 2, (8, 8)), (2, 3, (10, 11)), (3, 1, (5, 6))]


def surroundings(size, stride, shape):
    """None, what Caffe's rule adds at the end, and paddings."""
    up = tuple((0, -(-(length - size) // stride) * stride + size - length) for length in shape)
    padded = ((1, 1), (1, 0)) if size > 2 else ((0, 1), (1, 1))
    return {((0, 0), (0, 0)), up, padded} if stride <= size else {((0, 0), (0, 0))}


def reference(images, size, stride, around, kind):
    windows = (1, size, size, 1), (1, stride, stride, 1), [(0, 0), *around, (0, 0)]
    if kind == "max":
        return jax.lax.reduce_window(images, -jnp.inf, jax.lax.max, *windows)
    summed = images**2 if kind == "l2" else images
    total, covered = (
        jax.lax.reduce_window(values, 0.0, jax.lax.add, *windows) for values in (summed, jnp.ones_like(images))
    )
    return size * jnp.sqrt(total / covered) if kind == "l2" else total / covered


@pytest.mark.parametrize("kind", ["max", "average", "l2"])
@pytest.mark.parametrize(("size", "stride", "shape"), SHAPES)
def test_values_and_derivative(kind, size, stride, shape):
    images = jax.random.normal(jax.random.key(0), (2, *shape, 3))
    for around in surroundings(size, stride, shape):

        def energy(pool, images, around=around):
            return jnp.sum(jnp.sin(pool(images, around)))

        pools = (
            lambda x, o: pooling.pool(x, size=size, stride=stride, around=o, kind=kind),
            lambda x, o: reference(x, size, stride, o, kind),
        )
        (value, found), (expected_value, expected) = (
            jax.jit(jax.value_and_grad(lambda x, pool=pool: energy(pool, x)))(images) for pool in pools
        )
        np.testing.assert_allclose(value, expected_value, rtol=1e-5, atol=1e-5)  # a hundred sines, whose sum may be 0
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", typing.get_args(Pooling))
def test_the_derivative_is_that_of_finite_differences(kind):
    with jax.enable_x64(True):
        images = jax.random.normal(jax.random.key(0), (1, 7, 6, 2), jnp.float64)
        pool = functools.partial(pooling.pool, size=3, stride=2, around=((0, 0), (0, 1)), kind=kind)
        check_grads(pool, (images,), order=1, modes=["rev"], eps=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_silent_window_has_a_norm_of_0_and_no_derivative(dtype):
    silent = jnp.zeros((1, 4, 4, 2), dtype).at[0, 0, 0, 0].set(-3)
    pool = functools.partial(pooling.pool, size=2, stride=2, around=((0, 0), (0, 0)), kind="l2")
    value, gradient = jax.value_and_grad(lambda x: pool(x).sum())(silent)
    assert value == 3
    np.testing.assert_array_equal(gradient, jnp.zeros_like(silent).at[0, 0, 0, 0].set(-1))


@pytest.mark.parametrize("ceil", [False, True])
def test_norms_are_those_of_pytorch(ceil):
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is no dependency")
    images = np.abs(np.random.default_rng(0).normal(size=(1, 9, 10, 3))).astype(np.float32)
    pool = torch.nn.LPPool2d(2, 3, 2, ceil_mode=ceil)
    expected = pool(torch.from_numpy(images).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    found = pooling.pool(jnp.asarray(images), size=3, stride=2, around=((0, 0), (0, int(ceil))), kind="l2")
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


def test_of_equal_maxima_the_first_takes_all():
    gradient = jax.grad(lambda x: pooling.pool(x, size=2, stride=2, around=((0, 0), (0, 0)), kind="max").sum())(
        jnp.ones((1, 4, 4, 1))
    )
    np.testing.assert_array_equal(gradient[0, :, :, 0], np.kron(np.ones((2, 2)), [[1, 0], [0, 0]]))


def test_what_is_no_number_goes_on():
    images = jnp.ones((1, 2, 2, 1)).at[0, 1, 0, 0].set(jnp.nan)
    assert np.isnan(pooling.pool(images, size=2, stride=2, around=((0, 0), (0, 0)), kind="max")).all()
