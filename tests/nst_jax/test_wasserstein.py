"""Wasserstein-2 of normal distributions, against SciPy's root of a matrix and eigenvalues in double precision."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

import nst_jax
from nst_jax import wasserstein
from nst_jax.backbones.features import Features
from nst_jax.io import images
from nst_jax.statistics import moments

SAMPLES = Path(__file__).parents[2] / "experiments" / "samples"

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(0)
CHANNELS = 6
MIXING = RANDOM.normal(size=(2, CHANNELS, CHANNELS))
F, S = (RANDOM.normal(size=(60, CHANNELS)) @ mixing + 1 for mixing in MIXING)


def distance(features, style):
    """The formula of Olkin and Pukelsheim, with what is added to the variances."""
    found, target = (np.cov(rows.T, ddof=0) for rows in (features, style))
    ridge = (1e-3 * np.trace(target) / len(target) + 1e-6) * np.eye(len(target))
    found, target = found + ridge, target + ridge
    half = linalg.sqrtm(target)
    shift = ((features.mean(axis=0) - style.mean(axis=0)) ** 2).sum()
    return shift + np.trace(found + target - 2 * linalg.sqrtm(half @ found @ half).real)


def test_the_formula():
    found = jax.jit(wasserstein.wasserstein2)(moments(jnp.float32(F)), moments(jnp.float32(S)))
    np.testing.assert_allclose(found, distance(F, S) / CHANNELS, rtol=1e-4)
    share = jax.jit(wasserstein.relative_wasserstein2)(moments(jnp.float32(F)), moments(jnp.float32(S)))
    np.testing.assert_allclose(share, distance(F, S) / S.var(axis=0).sum(), rtol=1e-4)


def test_a_shift_is_its_square():
    found = jax.jit(wasserstein.wasserstein2)(moments(jnp.float32(S + 3)), moments(jnp.float32(S)))
    np.testing.assert_allclose(found, 9, rtol=1e-4)


def test_one_channel_is_means_and_deviations():
    found = jax.jit(wasserstein.wasserstein2)(moments(jnp.float32(F[:, :1])), moments(jnp.float32(S[:, :1])))
    f, s = F[:, 0], S[:, 0]
    ridge = 1e-3 * s.var() + 1e-6
    deviations = np.sqrt(f.var() + ridge) - np.sqrt(s.var() + ridge)
    np.testing.assert_allclose(found, (f.mean() - s.mean()) ** 2 + deviations**2, rtol=1e-4)


def test_the_derivative_of_the_root():
    matrix = MIXING[0] @ MIXING[0].T + np.eye(CHANNELS)
    value, gradient = jax.jit(jax.value_and_grad(wasserstein.trace_of_root))(jnp.float32(matrix))
    np.testing.assert_allclose(value, np.trace(linalg.sqrtm(matrix)), rtol=1e-5)
    np.testing.assert_allclose(gradient, linalg.inv(linalg.sqrtm(matrix)) / 2, rtol=1e-4, atol=1e-5)


def test_double_precision_is_that():
    with jax.enable_x64(True):
        found = wasserstein.wasserstein2(moments(jnp.asarray(F)), moments(jnp.asarray(S)))
        np.testing.assert_allclose(found, distance(F, S) / CHANNELS, rtol=1e-9)


@pytest.mark.parametrize("layer", ["conv1", "fire4/concat"])
def test_real_features(layer, rows_of):
    """Single precision and 18 steps are 1.5 % too much at most, and the derivative is right where it has an effect.

    It reaches the features F through the root of their covariance: the derivative by F is 2 F Ḡ / M, whose product with
    itself is that of Σ^½ Ḡ. In directions in which nothing varies, Ḡ may be anything.
    """
    features, style = rows_of("flow")[layer], rows_of("woodblock")[layer]
    expected = distance(features, style) / features.shape[1]
    program = jax.jit(jax.value_and_grad(wasserstein.wasserstein2))
    found, gradient = program(moments(jnp.float32(features)), moments(jnp.float32(style)))
    assert expected * 0.999 < found < expected * 1.015
    covariance, target = (np.cov(rows.T, ddof=0) for rows in (features, style))
    ridge = 1e-3 * np.trace(target) / len(target) * np.eye(len(target))
    half = root(target + ridge)
    exact = np.eye(len(target)) - half @ np.linalg.inv(root(half @ (covariance + ridge) @ half)) @ half
    found, expected = (np.ravel(root(covariance) @ of) for of in (np.float64(gradient.second), exact))
    assert found @ expected / np.linalg.norm(found) / np.linalg.norm(expected) > 0.998


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


@pytest.fixture(scope="module")
def rows_of():
    """A function from the name of a sample to its features by layer, `[M, C]` in double precision."""
    network = nst_jax.load("squeezenet1_1")
    apply = jax.jit(Features(network.backbone, "average", "reflect").apply)

    @functools.cache
    def rows(name):
        pixels = images.read(SAMPLES / f"{name}.jpg", size=128).pixels
        return {
            layer: np.float64(values).reshape(-1, values.shape[-1])
            for layer, values in apply(network.params, pixels).items()
        }

    return rows


def test_factors_of_a_batch_are_made_one_after_the_other():
    """A program of jaxlib 0.10 that factors several batches at once can wait for itself for ever."""
    features = jnp.stack([jnp.asarray(F), jnp.asarray(S)]).astype(jnp.float32)
    cells = jax.vmap(moments)(features)
    program = jax.jit(jax.vmap(wasserstein.wasserstein2)).lower(cells, cells)
    calls = [line for line in program.as_text().splitlines() if "potrf" in line]
    assert len(calls) == 1
    assert f"tensor<2x{CHANNELS}x{CHANNELS}" not in calls[0]
    each = [float(wasserstein.wasserstein2(moments(of), moments(features[1]))) for of in features]
    target = jax.tree.map(lambda leaf: leaf[1], cells)
    together = jax.vmap(wasserstein.wasserstein2, in_axes=(0, None))(cells, target)
    # Traces of 10, 10 and 20 that cancel, the last one of a root that takes 18 steps: 20 · 18 · 6e-8 is 2e-5.
    np.testing.assert_allclose(together, each, rtol=1e-5, atol=2e-5)
