"""Nearest neighbours and the contextual loss against NumPy, all positions with all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import losses, neighbours

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(0)
F, S = RANDOM.normal(size=(7, 5, 4)) + 1, RANDOM.normal(size=(9, 6, 4)) + 1
LARGE = RANDOM.normal(size=(2, 70, 80, 3)) + 1
"""Of more positions than are taken, and of several blocks."""


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def nearest_neighbour(found, style):
    """Kolkin et al. 2022: centred to choose, as they are to compare."""
    likeness = unit(found - found.mean(axis=0)) @ unit(style - style.mean(axis=0)).T
    matched = style[likeness.argmax(axis=1)]
    return (1 - (unit(found) * unit(matched)).sum(axis=-1)).mean()


def contextual(found, style):
    """Equations 1 to 5 of Mechrez et al. 2018."""
    mean = style.mean(axis=0)
    distances = (1 - unit(found - mean) @ unit(style - mean).T) / 2
    weights = np.exp((1 - distances / (distances.min(axis=1, keepdims=True) + 1e-5)) / 0.5)
    return -np.log((weights / weights.sum(axis=1, keepdims=True)).max(axis=0).mean())


FORMULAS = pytest.mark.parametrize("formula", [nearest_neighbour, contextual])


def compare(formula, found, style):
    term = losses.STYLE_LOSSES[formula.__name__]
    return jax.jit(term.error)(term.statistic(jnp.float32(found)), term.target(jnp.float32(style)))


@FORMULAS
def test_the_formula(formula):
    expected = formula(F.reshape(-1, 4), S.reshape(-1, 4))
    np.testing.assert_allclose(compare(formula, F, S), expected, rtol=1e-4)


@FORMULAS
def test_many_positions_are_sampled_and_compared_in_blocks(formula):
    found, style = (np.float64(neighbours.positions(jnp.float32(features))) for features in LARGE)
    assert found.shape == style.shape == (neighbours.POSITIONS, 3)
    np.testing.assert_allclose(compare(formula, *LARGE), formula(found, style), rtol=1e-3)


def test_positions_are_spread_over_the_map():
    count = 3 * neighbours.POSITIONS
    chosen = neighbours._spread(count)
    np.testing.assert_array_equal(chosen // 3, np.arange(neighbours.POSITIONS))
    assert np.bincount(chosen % 3).min() > neighbours.POSITIONS / 4  # no column is left out


def test_the_choice_has_no_derivative():
    """The derivative is that to fixed targets, as in a scale of Kolkin et al. 2022."""
    found, style = F.reshape(-1, 4), S.reshape(-1, 4)
    likeness = unit(found - found.mean(axis=0)) @ unit(style - style.mean(axis=0)).T
    matched = unit(style[likeness.argmax(axis=1)])
    lengths = np.linalg.norm(found, axis=-1, keepdims=True)
    along = (unit(found) * matched).sum(axis=-1, keepdims=True) * unit(found)
    term = losses.STYLE_LOSSES["nearest_neighbour"]
    gradient = jax.grad(lambda f: term.error(f, term.target(jnp.float32(S))))(jnp.float32(found))
    np.testing.assert_allclose(gradient, (along - matched) / lengths / len(found), rtol=1e-3, atol=1e-6)


def test_silence_is_like_silence():
    assert compare(nearest_neighbour, np.zeros((4, 4, 2)), np.zeros((5, 5, 2))) == 0
