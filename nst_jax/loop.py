"""The one loop: a list of stages, each a problem that is solved in chunks of steps without a look at the host.

A transfer is one stage. The octaves of a dream, the scales of a picture that is painted from coarse to fine, the frames
of a video are several: each starts from what the one before has come to, and while one runs, the next is prepared and
compiled in a thread.
"""

import operator
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.compilation import Jit
from nst_jax.history import History, diverged, first_history, history_of
from nst_jax.optimize import Info, State

LONGEST_CHUNK = 64
"""Steps that the device does without a break, at most."""

CHUNK_SECONDS = 1.0
"""How long the device works between two looks at progress, Ctrl-C and snapshots; short against a person's patience."""

_SHORTEST = 1e-3
"""Seconds that a chunk is taken for at least: clocks may tell the same time twice."""


class Problem(Protocol):
    """What can be run: a pytree whose arrays are the data and whose static part is the program."""

    def init(self, start: Any) -> State:
        """Returns the state before the first step."""

    def step(self, state: State) -> tuple[State, Info]:
        """Returns the state after one step, and what the step found."""

    def result(self, state: State) -> Any:
        """Returns what a state stands for, such as a picture."""

    @property
    def start_shape(self) -> Any:
        """The shapes of what `init` takes."""


class Stage(NamedTuple):
    """A part of a run.

    Attributes:
        prepare: makes the problem; called in a thread while the stage before runs, which does not see the caller's
            `jax.default_device` and the like.
        start: the result of the stage before, None for the first, to what the problem's `init` takes.
        steps: at which the stage ends.
    """

    prepare: Callable[[], Problem]
    start: Callable[[Any], Any]
    steps: int


def stage(problem: Problem, start: Any, *, steps: int) -> Stage:
    """Returns the stage that solves a problem from what its `init` takes."""
    return Stage(lambda: problem, lambda _: start, steps)


class Progress(NamedTuple):
    """How far a run has come.

    Attributes:
        stage: the index of the present stage.
        problem: of that stage.
        state: of that problem.
        history: of the steps since the last look; at first, of the variables before any step.
        finite: whether loss and gradient were numbers, `[S]` as the history; in a batch of N cells `[S, N]`. A cell
            where they were not stays where it was before, and none of its later steps means anything.
    """

    stage: int
    problem: Any
    state: State
    history: History
    finite: np.ndarray

    @property
    def result(self) -> Any:
        """What the state stands for."""
        return self.problem.result(self.state)


def run(
    stages: Sequence[Stage],
    *,
    first: int = 0,
    state: State | None = None,
    pause_every: int = 0,
    advance: Callable[[Any, State, jax.Array], tuple[State, Info]] | None = None,
) -> Iterator[Progress]:
    """Runs the stages, yielding now and then; what comes out does not depend on when.

    Args:
        stages: one or more.
        first: the index of the stage to begin with.
        state: to go on from in that stage, given up to the device; by default it begins with its start.
        pause_every: yields at every multiple of it; 0 for only as time has passed.
        advance: runs a number of steps of a problem, at most `LONGEST_CHUNK`, from a state that it may overwrite; by
            default `chunk`, compiled at the first call.

    Yields:
        The progress: once before the first step of every stage that begins with its start, then after each chunk. Its
        state may be used until the next is asked for.

    Raises:
        DivergedError: a loss or a gradient of a problem that is no batch is no number; the message names step and term.
    """
    cancelled = threading.Event()
    result, ahead = None, None
    try:
        for index, stage in enumerate(stages[first:], start=first):
            problem = ahead.result() if ahead else stage.prepare()
            upcoming, ahead = stages[index + 1] if index + 1 < len(stages) else None, None
            if state is None:
                state = _INIT(problem, stage.start(result))
                yield _first_progress(index, problem, state)
            done, length, seconds = int(jnp.max(state.step)), 1, None
            while done < stage.steps:
                length = min(length, stage.steps - done, LONGEST_CHUNK)
                if pause_every:
                    length = min(length, pause_every - done % pause_every)
                began = time.perf_counter()
                state, info = (advance or _CHUNK)(problem, state, jnp.int32(length))
                info = jax.tree.map(operator.itemgetter(slice(length)), jax.device_get(info))
                # The first call may compile, so its time says nothing about steps; what comes next would only delay it.
                warm, seconds = seconds is not None, max(time.perf_counter() - began, _SHORTEST)
                if upcoming and not ahead:
                    ahead = _in_thread(upcoming, cancelled)
                yield _checked(Progress(index, problem, state, history_of(done, info), info.finite))
                done += length
                length = max(1, int(length * CHUNK_SECONDS / seconds)) if warm else 1
            if upcoming:
                result = problem.result(state)
            state = None
    finally:
        cancelled.set()


def chunk(problem: Problem, state: State, length: jax.Array) -> tuple[State, Info]:
    """Runs `length` steps, at most `LONGEST_CHUNK`; one compiled program for every length.

    Returns:
        The state, and the info of each step stacked `[LONGEST_CHUNK]`, the first `length` of which mean something.
    """
    idle = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(problem.step, state)[1])

    def body(state: State, index: jax.Array) -> tuple[State, Info]:
        return jax.lax.cond(index < length, problem.step, lambda state: (state, idle), state)

    return jax.lax.scan(body, state, jnp.arange(LONGEST_CHUNK))


def init(problem: Problem, start: Any) -> State:
    """Returns the state before the first step, compiled."""
    return _INIT(problem, start)


def state_shapes(problem: Problem) -> State:
    """Returns the shapes of the states of a problem; computes nothing."""
    return _INIT.shapes(problem, problem.start_shape)


def compile_chunk(problem: Problem, state: State) -> jax.stages.Compiled:
    """Returns the program that `run` runs for arrays like these, or of these shapes, to ask for its memory or to use as
    `advance`.
    """
    return _CHUNK.lower(problem, state, jnp.int32(1)).compile()


def _in_thread(stage: Stage, cancelled: threading.Event) -> Future[Problem]:
    """Returns what will be the problem of a stage, after everything that it needs was compiled in a thread of its own.

    No daemon: one that comes back from XLA into an interpreter that is ending would take it down with an abort. So an
    exit waits for the program that is being compiled, and no longer.
    """
    future: Future[Problem] = Future()

    def work() -> None:
        try:
            problem = stage.prepare()
            if not cancelled.is_set():
                _INIT.lower(problem, problem.start_shape).compile()
            if not cancelled.is_set():
                compile_chunk(problem, state_shapes(problem))
            future.set_result(problem)
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work).start()
    return future


def _first_progress(index: int, problem: Problem, state: State) -> Progress:
    finite = state.evaluation.finite if jnp.ndim(state.step) == 0 else jax.vmap(lambda at: at.finite)(state.evaluation)
    return _checked(Progress(index, problem, state, first_history(state), np.asarray(finite)[None]))


def _checked(progress: Progress) -> Progress:
    """Returns the progress, unless it is that of a problem which is no batch and has diverged."""
    if progress.finite.ndim == 1 and not progress.finite.all():
        raise diverged(progress.state, progress.history)
    return progress


def _init(problem: Problem, start: Any) -> State:
    return problem.init(start)


_INIT = Jit(_init)
# The weights behind the last layer that is wanted lie on the device all the same, and whoever asks the program for its
# memory is to be told of them: jax 0.12 would leave them out of its arguments.
_CHUNK = Jit(chunk, donate_argnames="state", keep_unused=True)
