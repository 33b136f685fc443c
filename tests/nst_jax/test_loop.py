"""The one loop: stages that carry over, chunks, what is compiled ahead."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from nst_jax import loop, optimize
from nst_jax.loop import Stage, stage

pytestmark = pytest.mark.quick

_SOLVER = optimize.adam(0.1)


class Towards(struct.PyTreeNode):
    """The problem of coming near to a target `[N]`."""

    target: jax.Array

    def evaluate(self, values, _):
        loss, gradient = jax.value_and_grad(lambda values: jnp.sum(jnp.square(values - self.target)))(values)
        return optimize.Evaluation(values, loss, {"distance": loss}, gradient)

    def init(self, start):
        return _SOLVER.init(self.evaluate, start)

    def step(self, state):
        return _SOLVER.step(self.evaluate, state)

    def result(self, state):
        return state.variables

    @property
    def start_shape(self):
        return jax.ShapeDtypeStruct(self.target.shape, jnp.float32)


def growing(*lengths, steps=5):
    """Stages of targets of ones, of these lengths, each beginning with the one before and zeros."""

    def longer(length):
        return lambda before: jnp.zeros(length) if before is None else jnp.zeros(length).at[: len(before)].set(before)

    return [Stage(lambda length=length: Towards(jnp.ones(length)), longer(length), steps) for length in lengths]


def test_each_stage_starts_from_the_one_before():
    found = [(progress, np.asarray(progress.result)) for progress in loop.run(growing(2, 3, steps=8))]
    assert [progress.stage for progress, _ in found] == sorted(progress.stage for progress, _ in found)
    ends = {progress.stage: (progress, result) for progress, result in found}
    first, second = (pair for pair in found if pair[0].history.step.tolist() == [0])
    assert [len(first[1]), len(second[1])] == [2, 3]
    np.testing.assert_array_equal(second[1], [*ends[0][1], 0])
    assert int(ends[1][0].history.step[-1]) == 8
    assert ends[1][0].history.loss[-1] < second[0].history.loss[0]
    # A state that is done lies in no memory beside the next one, though a progress still has it.
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(ends[0][0].state.memory))


def test_a_run_goes_on_within_any_stage():
    stages = growing(4, 5, 6)
    *_, whole = loop.run(stages)
    reached = next(found for found in loop.run(stages, pause_every=2) if found.stage == 1 and found.state.step == 2)
    kept = jax.device_get(reached.state)
    again = list(loop.run(stages, first=1, state=kept))
    assert [again[0].stage, again[0].history.step[0]] == [1, 3]
    jax.tree.map(np.testing.assert_array_equal, again[-1].state, whole.state)


def test_the_next_stage_is_compiled_in_a_thread_and_only_there():
    threads = []

    def listen(event, _, **kwargs):
        if event.endswith("backend_compile_duration") and kwargs["fun_name"] in ("jit(chunk)", "jit(_init)"):
            threads.append((kwargs["fun_name"], threading.current_thread() is threading.main_thread()))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        list(loop.run(growing(7, 8, 9)))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert sorted(threads) == [("jit(_init)", False)] * 2 + [("jit(_init)", True)] + [("jit(chunk)", False)] * 2 + [
        ("jit(chunk)", True)
    ]


def test_what_is_wrong_with_the_next_stage_is_raised_when_it_comes():
    def broken():
        raise ValueError("no such stage")

    stages = [*growing(2), Stage(broken, lambda before: before, 1)]
    seen = []
    with pytest.raises(ValueError, match="no such stage"):
        seen.extend(progress.stage for progress in loop.run(stages))
    ends = loop.run(stages)
    assert next(ends).stage == 0
    ends.close()  # nobody waits for the thread


def test_an_exit_while_the_next_stage_is_compiled_keeps_its_status():
    """A daemon thread that comes back from XLA into an interpreter that is ending aborts it."""
    code = "import sys, test_loop; next(r := test_loop.loop.run(test_loop.growing(2, 3))); next(r); sys.exit(3)"
    folder = Path(__file__).parent
    paths = os.pathsep.join([str(folder), str(folder.parents[1])])
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert done.returncode == 3


def test_a_clock_that_stands_still_ends_nothing(monkeypatch):
    """As on Windows before Python 3.13, where it ticks every 15.6 ms."""
    monkeypatch.setattr(time, "perf_counter", lambda: 1.0)
    *_, last = loop.run([stage(Towards(jnp.ones(3)), jnp.zeros(3), steps=200)])
    assert int(last.state.step) == 200


def test_no_steps_are_where_it_begins():
    (only,) = loop.run([stage(Towards(jnp.ones(3)), jnp.zeros(3), steps=0)])
    assert only.history.step.tolist() == [0]
    np.testing.assert_array_equal(only.result, np.zeros(3))
