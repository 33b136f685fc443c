"""Pictures from other variables than their pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax.rendering.parameterization import PARAMETERIZATIONS

pytestmark = pytest.mark.quick


def smooth_picture(height, width):
    down, across = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    return np.float32(np.stack([0.2 + 0.6 * down, 0.5 + 0.3 * np.sin(3 * across), 0.9 - 0.7 * down * across], axis=-1))


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_noise_is_a_picture_that_differs_by_key(name):
    first, second = (PARAMETERIZATIONS[name].noise(jax.random.key(seed), (12, 17)) for seed in (0, 1))
    assert first.shape == (12, 17, 3)
    assert 0 < first.min() < first.max() < 1
    assert np.abs(first - second).mean() > 0.001


@pytest.mark.parametrize("shape", [(16, 16), (15, 22), (1, 9)])
@pytest.mark.parametrize("name", ["pixels", "fourier", "laplacian"])
def test_pixels_spectra_and_pyramids_render_any_picture(name, shape):
    parameterizer = PARAMETERIZATIONS[name]
    picture = np.random.default_rng(0).uniform(0.01, 0.99, (*shape, 3)).astype(np.float32)
    np.testing.assert_allclose(
        parameterizer.render(parameterizer.encode(picture, jax.random.key(0)), shape), picture, atol=2e-5
    )


def test_black_and_white_come_back_nearly():
    parameterizer = PARAMETERIZATIONS["fourier"]
    picture = np.zeros((8, 8, 3), np.float32)
    picture[:, 4:] = 1
    variables = parameterizer.encode(picture, jax.random.key(0))
    np.testing.assert_allclose(parameterizer.render(variables, (8, 8)), picture, atol=1 / 255 + 1e-4)


def test_the_spectrum_is_that_of_numpy():
    """One coefficient is one plane wave, of the amplitude of its frequency."""
    shape = height, width = 12, 10
    parameterizer = PARAMETERIZATIONS["fourier"]
    variables = np.zeros((*shape, 3), np.float32)
    variables[2, 3, 0] = 0.4
    logit = np.log(1 / (1 / np.float64(parameterizer.render(variables, shape)) - 1))
    down, across = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    angle = 2 * np.pi * (2 * down / height + 3 * across / width)
    wave = 0.4 * 0.25 / np.hypot(2 / height, 3 / width) * (np.cos(angle) + np.sin(angle)) / np.sqrt(height * width)
    light = np.array([0.26, 0.27, 0.27]) / np.linalg.norm([0.26, 0.27, 0.27])
    np.testing.assert_allclose(logit, wave[..., None] * light, atol=1e-5)


def test_a_perceptron_learns_a_smooth_picture():
    parameterizer = PARAMETERIZATIONS["coordinates"]
    picture = smooth_picture(40, 56)
    painted = parameterizer.render(jax.jit(parameterizer.encode)(picture, jax.random.key(0)), (40, 56))
    assert np.sqrt(np.mean(np.square(painted - picture))) < 0.02
    # and paints it at any size
    larger = parameterizer.render(jax.jit(parameterizer.encode)(picture, jax.random.key(0)), (80, 112))
    np.testing.assert_allclose(np.asarray(larger).reshape(40, 2, 56, 2, 3).mean((1, 3)), painted, atol=0.01)


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_every_variable_has_a_derivative(name):
    parameterizer = PARAMETERIZATIONS[name]
    variables = jax.jit(parameterizer.encode)(jnp.asarray(smooth_picture(9, 8)), jax.random.key(0))
    gradient = jax.grad(lambda values: jnp.sum(jnp.square(parameterizer.render(values, (9, 8)))))(variables)
    assert gradient.shape == variables.shape
    assert jnp.isfinite(gradient).all()
    assert (np.asarray(gradient) != 0).mean() > 0.9
