"""Every formula against plain NumPy written from its source, every gradient against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nst_jax import losses
from nst_jax.settings import ContentLoss, StyleLoss, VariationLoss
from nst_jax.statistics import gram

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(0)
HEIGHT, WIDTH, CHANNELS = 5, 7, 4
F, P = RANDOM.normal(size=(2, HEIGHT, WIDTH, CHANNELS))
X, A = F.reshape(-1, CHANNELS), P.reshape(-1, CHANNELS)
IMAGE = RANDOM.uniform(size=(HEIGHT, WIDTH, 3))

# F_ij of the papers: filter i at position j.
GATYS_G, GATYS_A = X.T @ X, A.T @ A
M, N = HEIGHT * WIDTH, CHANNELS


def relative(found, target):
    """The relative squared error, with the millionth that keeps it finite for a black picture."""
    return ((found - target) ** 2).sum() / ((target**2).sum() + 1e-6 * target.size)


def compare(term, features, target):
    return term.error(term.statistic(features), term.statistic(target))


def test_gram_is_the_mean_outer_product():
    expected = sum(np.outer(F[y, x], F[y, x]) for y in range(HEIGHT) for x in range(WIDTH)) / M
    np.testing.assert_allclose(jax.jit(gram)(jnp.float32(F)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("half_squared_error", 0.5 * ((F - P) ** 2).sum()),
        ("mean_squared_error", ((F - P) ** 2).mean()),
        ("quarter_mean_squared_error", ((F - P) ** 2).sum() / (4 * HEIGHT * WIDTH * CHANNELS)),
        ("relative_squared_error", ((F - P) ** 2).sum() / (P**2).sum()),
    ],
)
def test_content(name, expected):
    found = jax.jit(compare, static_argnames="term")(losses.CONTENT_LOSSES[name], jnp.float32(F), jnp.float32(P))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Gatys et al. 2016, equation 4; Ng's course: 1 / (4 n_C² (n_H n_W)²).
        ("gram_error", ((GATYS_G - GATYS_A) ** 2).sum() / (4 * N**2 * M**2)),
        # neural_style.lua: G:div(input:nElement()), then nn.MSECriterion.
        ("scaled_gram_error", ((GATYS_G / (N * M) - GATYS_A / (N * M)) ** 2).mean()),
        ("relative_squared_error", ((GATYS_G - GATYS_A) ** 2).sum() / (GATYS_A**2).sum()),
        (
            "mean_covariance_error",
            relative(X.mean(0), A.mean(0)) + relative(np.cov(X.T, ddof=0), np.cov(A.T, ddof=0)),
        ),
    ],
)
def test_style(name, expected):
    found = jax.jit(compare, static_argnames="term")(losses.STYLE_LOSSES[name], jnp.float32(F), jnp.float32(P))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("statistic", {term.statistic for term in losses.STYLE_LOSSES.values()})
def test_statistics_of_style_are_means_over_positions(statistic):
    """Of a whole: the mean of those of its parts, by their numbers of positions; in whatever order these come."""
    whole, upper, lower = (statistic(jnp.float32(part)) for part in (F, F[:2], F[2:]))
    combined = jax.tree.map(lambda a, b: (2 * a + 3 * b) / 5, upper, lower)
    shuffled = statistic(jnp.float32(RANDOM.permutation(X)))
    for found in (combined, shuffled, statistic(jnp.float32(np.concatenate([F, F], axis=0)))):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, whole)


@pytest.mark.parametrize("name", losses.STYLE_LOSSES)
def test_style_at_its_target_is_free_and_stays(name):
    term = losses.STYLE_LOSSES[name]
    value, gradient = jax.value_and_grad(lambda f: compare(term, f, jnp.float32(P)))(jnp.float32(P))
    assert value < 1e-12  # the differentiated program may sum in another order than the one for the target
    assert np.abs(gradient).max() < 1e-6


def test_squared_variation():
    expected = ((IMAGE[1:] - IMAGE[:-1]) ** 2).sum() + ((IMAGE[:, 1:] - IMAGE[:, :-1]) ** 2).sum()
    np.testing.assert_allclose(jax.jit(losses.squared_variation)(jnp.float32(IMAGE)), expected / M, rtol=1e-5)


def test_circular_variation_is_that_of_a_tile():
    # With the first row again below the last and the first column right of the last, what differs is all within.
    around = np.pad(IMAGE, [(0, 1), (0, 1), (0, 0)], mode="wrap")
    expected = (np.diff(around, axis=0)[:, :-1] ** 2).sum() + (np.diff(around, axis=1)[:-1] ** 2).sum()
    np.testing.assert_allclose(jax.jit(losses.circular_squared_variation)(jnp.float32(IMAGE)), expected / M, rtol=1e-5)


def test_neural_style_variation_has_the_gradient_of_its_source():
    # TVLoss:updateGradInput in neural_style.lua, with strength 1 and pixels in 0..255.
    pixels = 255 * IMAGE
    x_diff = pixels[:-1, :-1] - pixels[:-1, 1:]
    y_diff = pixels[:-1, :-1] - pixels[1:, :-1]
    expected = np.zeros_like(pixels)
    expected[:-1, :-1] += x_diff + y_diff
    expected[:-1, 1:] -= x_diff
    expected[1:, :-1] -= y_diff
    found = jax.grad(lambda p: losses.neural_style_variation(p / 255))(jnp.float32(pixels))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        features, target, image = jnp.asarray(F), jnp.asarray(P), jnp.asarray(IMAGE)
        assert features.dtype == jnp.float64
        for term in (*losses.CONTENT_LOSSES.values(), *losses.STYLE_LOSSES.values()):
            check_grads(lambda f, term=term: compare(term, f, target), (features,), order=1, modes=["rev"], eps=1e-6)
        for term in losses.VARIATION_LOSSES.values():
            check_grads(lambda x, term=term: compare(term, x, x), (image,), order=1, modes=["rev"], eps=1e-6)


def test_a_black_target_is_no_division_by_zero():
    black = jnp.zeros((2, 2, 1))
    assert losses.relative_squared_error(black, black) == 0
    assert losses.relative_squared_error(black + 0.1, black) < 1e5


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (ContentLoss, losses.CONTENT_LOSSES),
        (StyleLoss, losses.STYLE_LOSSES),
        (VariationLoss, losses.VARIATION_LOSSES),
    ],
)
def test_settings_name_every_loss(names, table):
    assert set(names.__args__) == set(table)
