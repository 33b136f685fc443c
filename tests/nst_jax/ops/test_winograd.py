"""Winograd's convolution against SciPy in double precision, its derivative against JAX's of the direct one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from nst_jax.ops import winograd

pytestmark = pytest.mark.quick


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def direct(images, kernel, padding):
    pads = ((padding, padding),) * 2
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(images, kernel, (1, 1), pads, dimension_numbers=numbers, precision="highest")


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("size", [(3, 3), (8, 12), (9, 14)])
def test_is_the_convolution_of_scipy(padding, size):
    images, kernel = random(2, *size, 3), random(3, 3, 3, 2)
    found = jax.jit(winograd.convolve, static_argnums=2)(images, winograd.transform(kernel), padding)
    padded = np.pad(np.float64(images), [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    for index in range(2):
        for filter_ in range(2):
            expected = sum(
                scipy.signal.correlate2d(padded[index, ..., c], np.float64(kernel[..., c, filter_]), mode="valid")
                for c in range(3)
            )
            # Measured: 3e-5, of values of about 5. Bᵀ and Aᵀ make terms a hundred times as large that cancel later.
            np.testing.assert_allclose(found[index, ..., filter_], expected, atol=1e-4)


@pytest.mark.parametrize("padding", [0, 1])
def test_derivative_is_that_of_the_direct_convolution(padding):
    images, kernel = random(1, 10, 7, 4), random(3, 3, 4, 5)
    kernels = winograd.transform(kernel)
    found = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(winograd.convolve(x, kernels, padding)))))(images)
    expected = jax.grad(lambda x: jnp.sum(jnp.sin(direct(x, kernel, padding))))(images)
    # Two convolutions, one after the other: measured 1.4e-4, of values of about 5.
    np.testing.assert_allclose(found, expected, atol=5e-4)


def test_error_is_that_of_single_precision():
    images, kernel = random(1, 32, 32, 256), random(3, 3, 256, 64)
    found = jax.jit(winograd.convolve, static_argnums=2)(images, winograd.transform(kernel), 1)
    expected = direct(images, kernel, 1)
    # Measured: 3e-6. Lavin & Gray 2016, table 5, have 1e-5 to 3e-5 as the greatest error for F(4×4, 3×3).
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


def test_strips_change_nothing(monkeypatch):
    images, kernels = random(2, 21, 9, 3), winograd.transform(random(3, 3, 3, 4))
    whole = winograd.convolve(images, kernels, 1)
    monkeypatch.setattr(winograd, "_STRIP_BYTES", 20_000)
    np.testing.assert_allclose(winograd.convolve(images, kernels, 1), whole, atol=1e-5)


def test_batches_with_vmap():
    images, kernels = random(3, 1, 8, 8, 4), winograd.transform(random(3, 3, 4, 4))

    def energy(image):
        return jnp.sum(winograd.convolve(image, kernels, 1) ** 2)

    found = jax.jit(jax.vmap(jax.grad(energy)))(images)
    expected = jnp.stack([jax.grad(energy)(image) for image in images])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
