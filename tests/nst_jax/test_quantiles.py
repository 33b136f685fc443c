"""Tables of quantiles against SciPy, scikit-image and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from skimage import exposure

from nst_jax import losses, quantiles

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(0)
CHANNELS = 3
F, S = RANDOM.normal(loc=[[[[0]]], [[[0.5]]]], size=(2, 16, 16, CHANNELS))
"""As many positions as the table has levels: it is their values in order."""

TABLE = jax.jit(quantiles.quantiles)


@pytest.mark.parametrize(("one", "other"), [((16, 16), (16, 16)), ((8, 8), (8, 16)), ((4, 4), (16, 16))])
def test_the_mean_distance_of_tables_is_that_of_scipy(one, other):
    # A value that is several whole levels of the table: no part of the probability has two.
    found, target = RANDOM.normal(size=(*one, CHANNELS)), 1 + RANDOM.exponential(size=(*other, CHANNELS))
    expected = [
        stats.wasserstein_distance(found[..., channel].ravel(), target[..., channel].ravel())
        for channel in range(CHANNELS)
    ]
    distances = np.abs(TABLE(jnp.float32(found)) - TABLE(jnp.float32(target))).mean(axis=0)
    np.testing.assert_allclose(distances, expected, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 5, 100, 255, 300, 1000, 4099])
def test_levels_are_means_over_equal_parts(count):
    values = RANDOM.normal(size=(count, 2))
    # Each value 256 times, so that parts have whole numbers of them.
    expected = np.sort(np.repeat(values, quantiles.LEVELS, axis=0), axis=0).reshape(quantiles.LEVELS, count, 2).mean(1)
    np.testing.assert_allclose(TABLE(jnp.float32(values)), expected, rtol=1e-5, atol=1e-5)


def test_a_repeated_picture_has_the_same_table():
    np.testing.assert_allclose(TABLE(jnp.float32(np.tile(F, (2, 3, 1)))), TABLE(jnp.float32(F)), rtol=1e-5, atol=1e-6)


def test_histogram_is_the_distance_to_the_matched_features():
    """Value and derivative are those of Risser et al., whose target is the picture's features with other values."""
    matched = exposure.match_histograms(F, S, channel_axis=-1)
    term = losses.STYLE_LOSSES["histogram"]
    target = term.statistic(jnp.float32(S))
    value, gradient = jax.jit(jax.value_and_grad(lambda f: term.error(term.statistic(f), target)))(jnp.float32(F))
    scale = (S**2).sum() + 1e-6 * S.size
    np.testing.assert_allclose(value, ((F - matched) ** 2).sum() / scale, rtol=1e-4)
    np.testing.assert_allclose(gradient, 2 * (F - matched) / scale, rtol=1e-3, atol=1e-6)


def test_sliced_is_the_distance_along_directions():
    directions = quantiles._directions(CHANNELS)
    np.testing.assert_allclose(directions.T @ directions, np.eye(CHANNELS), atol=1e-12)
    found, target = (np.sort(values.reshape(-1, CHANNELS) @ directions, axis=0) for values in (F, S))
    term = losses.STYLE_LOSSES["sliced_wasserstein"]
    error = term.error(term.statistic(jnp.float32(F)), term.statistic(jnp.float32(S)))
    np.testing.assert_allclose(error, ((found - target) ** 2).sum() / ((target**2).sum() + 1e-6 * S.size), rtol=1e-4)


def test_sliced_sees_what_channels_alone_do_not():
    """The same values in each channel, but those of one with those of another."""
    x = RANDOM.normal(size=(1000, 1))
    along, across = np.concatenate([x, x], axis=1), np.concatenate([x, RANDOM.permutation(x)], axis=1)
    for name, least, most in (("histogram", 0, 1e-10), ("sliced_wasserstein", 1e-2, 1)):
        term = losses.STYLE_LOSSES[name]
        assert least <= term.error(term.statistic(jnp.float32(along)), term.statistic(jnp.float32(across))) <= most
