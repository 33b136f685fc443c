"""Weights that change while a run is on its way."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from nst_jax import loop, optimize, stacking, transfer
from nst_jax.backbones import pretrained
from nst_jax.lbfgs import lbfgs
from nst_jax.presets import PRESETS
from nst_jax.regions import Regions
from nst_jax.settings import TRACED, WEIGHING

MOVED = {"content_weight": 3.0, "style_weight": 7.0, "tv_weight": 0.5, "strength": 0.3, "learning_rate": 0.5}
SOLVERS = {
    "adam": optimize.adam,
    "averaged": lambda rate: optimize.averaged(optimize.adam(rate), 0.5),
    "lbfgs": lbfgs,
}


@pytest.fixture(scope="module")
def network():
    return pretrained.load("squeezenet1_1")


def picture(seed, shape=(40, 48, 3)):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def settings(**options):
    small = {"style_layers": ("conv1",), "content_layers": ("fire2/concat",), "margin": 2, **options}
    return dataclasses.replace(PRESETS["squeezenet"], **small)


class Bowl(struct.PyTreeNode):
    """The problem of coming down a bowl, (a x² + y²) / 2, by a solver."""

    steepness: jax.Array
    name: str = struct.field(pytree_node=False)

    def evaluate(self, values, _):
        loss, gradient = jax.value_and_grad(lambda at: (self.steepness * at[0] ** 2 + at[1] ** 2) / 2)(values)
        return optimize.Evaluation(values, loss, {"height": loss}, gradient)

    @property
    def solver(self):
        return SOLVERS[self.name](0.1)

    def init(self, start):
        return self.solver.init(self.evaluate, start)

    def step(self, state):
        return self.solver.step(self.evaluate, state)

    def again(self, state):
        return self.solver.again(state)

    def result(self, state):
        return self.solver.read(state)

    @property
    def start_shape(self):
        return jax.ShapeDtypeStruct((2,), jnp.float32)


def steered(name, *, at=3, steps=8):
    """Returns the progress of a run whose bowl becomes steeper after some steps."""
    moves = {at: Bowl(jnp.float32(5), name)}

    def steer(index, problem):
        return moves.pop(done, None)

    done, found = 0, []
    stages = [loop.stage(Bowl(jnp.float32(1), name), jnp.array([1.0, -2.0]), steps=steps)]
    for progress in loop.run(stages, pause_every=1, steer=steer):
        done = int(progress.state.step)
        found.append((done, np.asarray(progress.result), progress.history.loss[-1]))
    return found


def test_adam_goes_on_with_its_moments():
    """As Optax's Adam does, when it is given the gradients of the steeper bowl from then on."""
    solver, values = optax.adam(0.1), jnp.array([1.0, -2.0])
    memory, expected = solver.init(values), []
    for step in range(8):
        gradient = jnp.array([1.0 if step < 3 else 5.0, 1.0]) * values
        updates, memory = solver.update(gradient, memory)
        values = optax.apply_updates(values, updates)
        expected.append(values)
    found = steered("adam")
    assert [step for step, *_ in found] == list(range(9))
    np.testing.assert_allclose([result for _, result, _ in found[1:]], expected, rtol=1e-6)


def test_lbfgs_begins_anew_where_it_is():
    before, after = steered("lbfgs")[:4], steered("lbfgs")[4:]
    fresh = loop.run([loop.stage(Bowl(jnp.float32(5), "lbfgs"), before[-1][1], steps=5)], pause_every=1)
    expected = [(np.asarray(progress.result), progress.history.loss[-1]) for progress in fresh][1:]
    np.testing.assert_array_equal([result for _, result, _ in after], [result for result, _ in expected])
    np.testing.assert_array_equal([loss for *_, loss in after], [loss for _, loss in expected])


def test_an_average_counts_no_place_twice():
    """The mean of Adam's places with weights that halve: the change of the bowl is no step."""
    places = [np.array([1.0, -2.0]), *[result for _, result, _ in steered("adam")[1:]]]
    weights = 0.5 ** np.arange(len(places))[::-1]
    np.testing.assert_allclose(steered("averaged")[-1][1], weights @ places / weights.sum(), rtol=1e-5)


def test_all_that_weighs_is_traced():
    assert set(WEIGHING) <= TRACED


@pytest.mark.parametrize("divided", [False, True])
def test_reweighted_is_as_prepared_with_these_weights(network, divided):
    content, styles = picture(0), [picture(1), picture(2)]
    regions = None
    if divided:
        left = np.zeros((40, 48), np.float32)
        left[:, :20] = 1
        guides = np.stack([left, 1 - left], axis=-1)
        style_guides = tuple(np.tile(own, (40, 48, 1)) for own in np.eye(2, dtype=np.float32))
        regions = Regions(guides, style_guides, names=("left", "right"))
    shares = {"region_weights": (1.0, 4.0)} if divided else {"blend_weights": (0.2, 0.8)}
    moved = {**MOVED, **shares, "style_layer_weights": (0.7,)}
    first, other = settings(), settings(**moved)
    before, expected = (
        stacking.stack([transfer.prepare(network, own, content, styles, regions=regions)]) for own in (first, other)
    )
    found = stacking.reweighted(before, [other], regions=regions)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found.cells.weights, expected.cells.weights)
    np.testing.assert_array_equal(found.cells.learning_rate, expected.cells.learning_rate)


def test_moved_weights_act_and_compile_nothing(network, count_compilations):
    before = stacking.stack([transfer.prepare(network, settings(), picture(0), picture(1))])
    moves = {3: settings(**MOVED), 5: settings(style_weight=1.0)}

    def steer(index, problem):
        return stacking.reweighted(problem, [moves.pop(done)]) if done in moves else None

    done, losses = 0, []
    run = loop.run([loop.stage(before, picture(0)[None], steps=7)], pause_every=1, steer=steer)
    for progress in run:
        done = int(progress.state.step[0])
        losses += progress.history.loss[:, 0].tolist()
        if done == 2:
            counting = count_compilations()
            compiled = counting.__enter__()
    counting.__exit__(None, None, None)
    assert compiled == []
    assert len(losses) == 8
    assert not moves
    weights = progress.problem.cells.weights.terms
    assert float(weights["style"][0]) == 1.0
    # The loss of the last step is that of the last weights.
    terms = progress.history.terms
    expected = sum(float(weights[name][0]) * float(terms[name][0, 0]) for name in weights)
    np.testing.assert_allclose(losses[-1], expected, rtol=1e-5)
