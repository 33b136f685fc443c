"""Convolutions of every shape against XLA's own, values and derivatives; those of plain ones are in test_features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nst_jax.ops import conv

pytestmark = pytest.mark.quick

# Height and width of the kernel, channels, groups, features, stride, padding.
SHAPES = [
    ((1, 7), 6, 1, 5, 1, ((0, 0), (3, 3))),
    ((7, 1), 6, 1, 5, 1, ((3, 3), (0, 0))),
    ((2, 3), 4, 1, 5, 1, ((0, 1), (1, 1))),
    ((3, 3), 4, 1, 5, 2, ((0, 1), (1, 1))),
    ((7, 7), 3, 1, 8, 2, ((2, 3), (3, 3))),
    ((5, 5), 8, 2, 6, 1, ((2, 2), (2, 2))),
    ((3, 3), 8, 4, 8, 2, ((1, 1), (1, 1))),
    ((3, 3), 8, 8, 8, 1, ((1, 1), (1, 1))),
    ((3, 3), 8, 8, 8, 2, ((0, 1), (0, 1))),
    ((1, 3), 8, 8, 8, 1, ((0, 0), (1, 1))),
]


def reference(images, kernel, bias, stride, pads):
    groups = images.shape[-1] // kernel.shape[2]
    maps = jax.lax.conv_general_dilated(
        images, kernel, (stride,) * 2, pads, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )
    return maps + bias


@pytest.mark.parametrize(("size", "channels", "groups", "features", "stride", "pads"), SHAPES, ids=str)
def test_values_and_derivative(size, channels, groups, features, stride, pads):
    keys = jax.random.split(jax.random.key(0), 3)
    images = jax.random.normal(keys[0], (2, 9, 10, channels))
    kernel = jax.random.normal(keys[1], (*size, channels // groups, features))
    bias = jax.random.normal(keys[2], (features,))

    def energies(convolve):
        return jax.jit(jax.value_and_grad(lambda *arguments: jnp.sum(jnp.sin(convolve(*arguments))), (0, 1, 2)))

    found = energies(lambda *given: conv.conv2d(*given, stride=stride, pads=pads, mode="zeros"))(images, kernel, bias)
    expected = energies(lambda *given: reference(*given, stride, pads))(images, kernel, bias)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4), found, expected)


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_oblong_windows_see_beyond_the_border(mode, numpy_mode):
    images = np.random.default_rng(0).normal(size=(1, 8, 10, 4)).astype(np.float32)
    kernel = np.random.default_rng(1).normal(size=(1, 5, 2, 6)).astype(np.float32)
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (0, 0)), mode=numpy_mode)
    found = conv.conv2d(images, kernel, np.zeros(6, np.float32), stride=1, pads=((0, 0), (2, 2)), mode=mode)
    expected = reference(padded, kernel, 0, 1, ((0, 0), (0, 0)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_channels_by_themselves_without_shifts():
    images, kernel = (
        jax.random.normal(jax.random.key(0), (1, 9, 8, 4)),
        jax.random.normal(jax.random.key(1), (3, 3, 1, 4)),
    )
    both = [
        conv.convolve_each(images, kernel, 2, jax.lax.Precision.HIGHEST, shifted=shifted) for shifted in (True, False)
    ]
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-5)


def test_relu6():
    values = jnp.array([-3.0, 0.0, 0.5, 5.75, 6.0, 7.0])
    np.testing.assert_array_equal(conv.rectify(values, 6.0), [0, 0, 0.5, 5.75, 6, 6])
    # As in PyTorch's hardtanh, nothing passes at the ends.
    np.testing.assert_array_equal(jax.grad(lambda x: conv.rectify(x, 6.0).sum())(values), [0, 0, 1, 1, 0, 0])
    with jax.enable_x64(True):
        check_grads(lambda x: conv.rectify(x, 6.0), (jnp.array([-1.0, 2.0, 8.0]),), order=1, modes=["rev"])
