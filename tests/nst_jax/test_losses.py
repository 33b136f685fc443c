"""Every formula against plain NumPy written from its source, every gradient against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nst_jax import losses
from nst_jax.statistics import gram
from nst_jax.vocabulary import ContentLoss, StyleLoss, VariationLoss

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
    return term.error(term.statistic(features), (term.target or term.statistic)(target))


def deviations(rows):
    """The standard deviations of the channels, with the millionth that gives a silent one a derivative."""
    return np.sqrt(rows.var(axis=0) + 1e-6)


def scaled(difference):
    return (difference**2).sum() / np.abs(difference).sum()


ROUNDED = {"wasserstein2", "relative_wasserstein2", "scaled_mse_gram_error", "relative_scaled_mse_gram_error"}
"""Those of which single precision leaves something there: differences of traces have their rounding, about 1e-7 of
each; a derivative that is as long near the target as far away is that of the rounding."""


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
        # Li et al. 2017, equation 13, each of the two as a share of the target.
        ("mean_variance_error", relative(X.mean(0), A.mean(0)) + relative(deviations(X), deviations(A))),
        # Galerne et al. 2022, with the weight that means and deviations have beside the Gram matrix in their program.
        (
            "gram_moments_error",
            ((GATYS_G - GATYS_A) ** 2).mean() / (M * N) ** 2
            + 10 * ((X.mean(0) - A.mean(0)) ** 2).mean()
            + 10 * ((deviations(X) - deviations(A)) ** 2).mean(),
        ),
        # ScaledMSELoss in style_transfer.py.
        ("scaled_mse_gram_error", scaled((GATYS_G - GATYS_A) / M)),
        ("relative_scaled_mse_gram_error", scaled((GATYS_G - GATYS_A) / M) / scaled(GATYS_A / M)),
        ("normalized_gradient_gram_error", ((GATYS_G / (N * M) - GATYS_A / (N * M)) ** 2).mean()),
    ],
)
def test_style(name, expected):
    found = jax.jit(compare, static_argnames="term")(losses.STYLE_LOSSES[name], jnp.float32(F), jnp.float32(P))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "statistic", dict.fromkeys(term.statistic for term in losses.STYLE_LOSSES.values() if term.additive)
)
def test_statistics_of_style_are_means_over_positions(statistic):
    """Of a whole: the mean of those of its parts, by their numbers of positions; in whatever order these come."""
    whole, upper, lower = (statistic(jnp.float32(part)) for part in (F, F[:2], F[2:]))
    combined = jax.tree.map(lambda a, b: (2 * a + 3 * b) / 5, upper, lower)
    shuffled = statistic(jnp.float32(RANDOM.permutation(X)))
    for found in (combined, shuffled, statistic(jnp.float32(np.concatenate([F, F], axis=0)))):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, whole)


@pytest.mark.parametrize("name", sorted(losses.STYLE_LOSSES.keys() - ROUNDED))
def test_style_at_its_target_is_free_and_stays(name):
    term = losses.STYLE_LOSSES[name]
    value, gradient = jax.value_and_grad(lambda f: compare(term, f, jnp.float32(P)))(jnp.float32(P))
    assert value < 1e-12  # the differentiated program may sum in another order than the one for the target
    # A derivative divided by its length is what rounding left of it, divided by 1e-8 at least.
    assert np.abs(gradient).max() < (1e-6 if name != "normalized_gradient_gram_error" else 1)


@pytest.mark.parametrize("name", losses.STYLE_LOSSES)
def test_style_at_its_target_is_free_and_stays_in_double_precision(name):
    term = losses.STYLE_LOSSES[name]
    with jax.enable_x64(True):
        value, gradient = jax.value_and_grad(lambda f: compare(term, f, jnp.asarray(P)))(jnp.asarray(P))
        assert gradient.dtype == jnp.float64
        assert abs(value) < 1e-12
        assert abs(gradient).max() < 1e-6


@pytest.mark.parametrize("name", losses.STYLE_LOSSES)
def test_style_does_not_know_where(name):
    """In whatever order the positions of either come, and in whatever shape."""
    term = losses.STYLE_LOSSES[name]
    expected = compare(term, jnp.float32(F), jnp.float32(P))
    found = compare(term, jnp.float32(RANDOM.permutation(X)), jnp.float32(RANDOM.permutation(A)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", losses.STYLE_LOSSES)
def test_targets_of_style_images_of_any_size_stack(name):
    term = losses.STYLE_LOSSES[name]
    one, other = ((term.target or term.statistic)(jnp.float32(features)) for features in (P, P[:3]))
    assert jax.tree.map(jnp.shape, one) == jax.tree.map(jnp.shape, other)
    assert {leaf.dtype for leaf in jax.tree.leaves((one, other))} == {np.dtype(np.float32)}


def test_normalized_gradients_are_those_of_neural_style():
    # StyleLoss:updateGradInput in neural_style.lua: gradInput:div(torch.norm(gradInput, 1) + 1e-8), then the strength.
    gradient = X @ (GATYS_G - GATYS_A)
    term = losses.STYLE_LOSSES["normalized_gradient_gram_error"]
    found = jax.grad(lambda f: 7 * compare(term, f, jnp.float32(P)))(jnp.float32(F))
    np.testing.assert_allclose(found.reshape(M, N), 7 * gradient / np.abs(gradient).sum(), rtol=1e-4, atol=1e-6)


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


def test_crowson_variation():
    # TVLoss in style_transfer.py: nine points, the border repeated once, means over all elements.
    padded = np.pad(IMAGE, [(1, 1), (1, 1), (0, 0)], mode="edge")
    right, down = padded[1:-1, 2:] - IMAGE, padded[2:, 1:-1] - IMAGE
    falling, rising = padded[1:, 1:] - padded[:-1, :-1], padded[1:, :-1] - padded[:-1, 1:]
    axes, diagonals = (sum((of**2).mean() for of in pair) for pair in ((right, down), (falling, rising)))
    found = jax.jit(losses.crowson_variation)(jnp.float32(IMAGE))
    np.testing.assert_allclose(found, 2 * (axes / 3 + diagonals / 12), rtol=1e-5)


@pytest.mark.parametrize("name", ["neural_style_variation", "crowson_variation"])
def test_variations_of_images_take_nothing_else(name):
    with pytest.raises(ValueError, match=f"{name}: expected an image"):
        getattr(losses, name)(jnp.zeros((5, 3)))


def test_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        features, target, image = jnp.asarray(F), jnp.asarray(P), jnp.asarray(IMAGE)
        assert features.dtype == jnp.float64
        # The one without has a derivative that is not its own.
        style = [term for name, term in losses.STYLE_LOSSES.items() if name != "normalized_gradient_gram_error"]
        for term in (*losses.CONTENT_LOSSES.values(), *style):
            check_grads(lambda f, term=term: compare(term, f, target), (features,), order=1, modes=["rev"], eps=1e-6)
        for term in losses.VARIATION_LOSSES.values():
            check_grads(lambda x, term=term: compare(term, x, x), (image,), order=1, modes=["rev"], eps=1e-6)


@pytest.mark.parametrize("name", losses.STYLE_LOSSES)
def test_a_style_image_of_one_colour_is_no_division_by_zero(name):
    term = losses.STYLE_LOSSES[name]
    black, grey = jnp.zeros((5, 7, 4)), jnp.full((5, 7, 4), 100.0)
    for features, target in ((black, black), (jnp.float32(F), black), (jnp.float32(F), grey), (grey, jnp.float32(P))):
        value, gradient = jax.value_and_grad(lambda f, target=target: compare(term, f, target))(features)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


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
