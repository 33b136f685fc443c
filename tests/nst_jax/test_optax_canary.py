"""What our L-BFGS takes from inside of Optax: it reads and writes the state of `optax.scale_by_lbfgs`.

No promise of Optax covers that, so that a version may change it in silence. A failure here is not of our code: compare
`_lbfgs` in nst_jax/optimize.py with the `scale_by_lbfgs` that is installed, and move the upper limit of optax in
pyproject.toml.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

pytestmark = pytest.mark.quick

LOOK = (
    f"Optax {optax.__version__} keeps the state of scale_by_lbfgs otherwise: see _lbfgs in nst_jax/optimize.py, and "
    "the limits of optax in pyproject.toml"
)
MEMORY = 3
SHAPE = (2, 4)
CURVATURES = jnp.linspace(1.0, 3.0, 8).reshape(SHAPE)
PLACES = [jnp.full(SHAPE, 2.0), jnp.linspace(-1.0, 1.5, 8).reshape(SHAPE), jnp.cos(jnp.arange(8.0)).reshape(SHAPE)]
LBFGS = optax.scale_by_lbfgs(memory_size=MEMORY)


def gradient(place):
    """Of Σ c p² / 2."""
    return CURVATURES * place


@pytest.fixture(scope="module")
def after_two():
    """The state after updates at the first two places."""
    state = LBFGS.init(PLACES[0])
    for place in PLACES[:2]:
        _, state = LBFGS.update(gradient(place), state, place)
    return state


def close(found, expected, what):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=f"{what}. {LOOK}")


def test_the_names_of_the_state(after_two):
    names = "count", "params", "updates", "diff_params_memory", "diff_updates_memory", "weights_memory"
    assert getattr(after_two, "_fields", None) == names, LOOK


def test_the_shapes_of_the_state(after_two):
    found = jax.tree.map(jnp.shape, after_two)
    assert tuple(found) == ((), SHAPE, SHAPE, (MEMORY, *SHAPE), (MEMORY, *SHAPE), (MEMORY,)), LOOK


def test_the_last_place_and_its_gradient_are_remembered(after_two):
    # `_lbfgs` measures by `params` how far the step before went.
    assert int(after_two.count) == 2, LOOK
    close(after_two.params, PLACES[1], "params: expected where the last update was")
    close(after_two.updates, gradient(PLACES[1]), "updates: expected the gradient there")


def test_weights_are_one_over_the_curvature_of_each_pair(after_two):
    # `_lbfgs` sets those to 0 that are below, of pairs without curvature.
    moved, turned = PLACES[1] - PLACES[0], gradient(PLACES[1]) - gradient(PLACES[0])
    close(after_two.weights_memory, [1 / jnp.vdot(moved, turned), 0, 0], "weights_memory: expected one pair")
    close(after_two.diff_params_memory[0], moved, "diff_params_memory: expected the pair of the first two places")
    close(after_two.diff_updates_memory[0], turned, "diff_updates_memory: expected the pair of the first two places")


def test_a_pair_of_negative_curvature_has_a_negative_weight():
    state = LBFGS.init(PLACES[0])
    for place in PLACES[:2]:
        _, state = LBFGS.update(-gradient(place), state, place)
    assert float(state.weights_memory[0]) < 0, LOOK


def test_pairs_of_weight_zero_do_not_turn_the_direction(after_two):
    """An emptied memory: the bare gradient, but for the scale γ that the newest pair gives.

    That pair is made within the update, so that only what was there before can be emptied.
    """
    here, slope = PLACES[2], gradient(PLACES[2])
    emptied = after_two._replace(weights_memory=jnp.zeros(MEMORY))
    found, _ = LBFGS.update(slope, emptied, here)
    alone = LBFGS.init(PLACES[1])
    _, alone = LBFGS.update(gradient(PLACES[1]), alone, PLACES[1])
    expected, _ = LBFGS.update(slope, alone, here)
    close(found, expected, "weights_memory of zeros: expected the direction of a memory with the newest pair alone")
    # Where nothing was moved since, there is no newest pair either.
    bare, _ = LBFGS.update(gradient(PLACES[1]), emptied, PLACES[1])
    close(bare, gradient(PLACES[1]), "weights_memory of zeros, nothing moved: expected the bare gradient")
    whole, _ = LBFGS.update(slope, after_two, here)
    assert not np.allclose(whole, found, rtol=1e-2), f"weights_memory: expected that it decides the direction. {LOOK}"


def test_a_count_of_zero_is_the_first_step(after_two):
    """Along the gradient, not farther than 1, and without a pair of what was before: how `_lbfgs` starts over."""
    slope = 10 * gradient(PLACES[2])
    begun = after_two._replace(count=jnp.zeros_like(after_two.count), weights_memory=jnp.zeros(MEMORY))
    found, state = LBFGS.update(slope, begun, PLACES[2])
    close(found, slope / jnp.linalg.norm(slope), "count of 0: expected the gradient scaled to length 1")
    close(state.weights_memory, jnp.zeros(MEMORY), "count of 0: expected no pair")
    assert int(state.count) == 1, LOOK
