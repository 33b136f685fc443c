"""The one loop: a list of stages, each a problem that is solved in chunks of steps without returning to the host.

A transfer is one stage. The octaves of a dream, the scales of a coarse-to-fine picture, the frames of a video are
several: each starts from the result of the one before, and while one runs, the next is prepared and compiled in a
thread.
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
from jax.sharding import NamedSharding, PartitionSpec

from nst_jax.allocator import trim
from nst_jax.compilation import Jit
from nst_jax.history import History, diverged, first_history, history_of
from nst_jax.optimize import Info, State
from nst_jax.surroundings import int32_on_device

LONGEST_CHUNK = 64
"""The most steps in a chunk."""

CHUNK_SECONDS = 1.0
"""Seconds for which a chunk should run, after which the host handles progress, Ctrl-C and snapshots."""

_SHORTEST = 1e-3
"""The least time that a chunk is assumed to take, in seconds: a coarse clock may not advance."""


class Problem(Protocol):
    """A problem that `run` solves: a pytree whose arrays are the data and whose static part is the program."""

    def init(self, start: Any) -> State:
        """Returns the state that the first step evaluates, see `optimize.Solver`."""

    def step(self, state: State) -> tuple[State, Info]:
        """Returns the state after one step, and the loss found in it."""

    def result(self, state: State) -> Any:
        """Returns the result of a state, such as a picture."""

    @property
    def start_shape(self) -> Any:
        """The shapes of the start that `init` takes."""


class Stage(NamedTuple):
    """A part of a run.

    Attributes:
        prepare: returns the problem, and has compiled whatever `advance` runs; called in a thread while the stage
            before runs, where the caller's `jax.default_device` and the like do not apply.
        start: the result of the stage before, None for the first → the start that the problem's `init` takes.
        steps: number of the step at which the stage ends.
        carries: whether more than the result is carried over: the problem's `carry` makes the state that the stage
            starts with, of the last state of the stage before and the one from its start.
        advance: (problem, state, number of steps up to `LONGEST_CHUNK`) → (state, info); it may overwrite the state. By
            default `chunk`, compiled at the first call.
    """

    prepare: Callable[[], Problem]
    start: Callable[[Any], Any]
    steps: int
    carries: bool = False
    advance: Callable[[Any, State, jax.Array], tuple[State, Info]] | None = None


def stage(problem: Problem, start: Any, *, steps: int) -> Stage:
    """Returns the stage that solves a problem from a start, which its `init` takes."""
    return Stage(lambda: problem, lambda _: start, steps)


class Progress(NamedTuple):
    """Progress of a run.

    Attributes:
        stage: index of the current stage.
        problem: problem of that stage.
        state: state of that problem.
        history: losses of the steps since the last progress; in the first, the loss before any step.
        finite: whether loss and gradient were finite, `[S]` as in the history; in a batch of N cells `[S, N]`. A cell
            keeps its last finite state, and its later steps mean nothing.
    """

    stage: int
    problem: Any
    state: State
    history: History
    finite: np.ndarray

    @property
    def result(self) -> Any:
        """The result of the state."""
        return _RESULT(self.problem, self.state)


def run(
    stages: Sequence[Stage],
    *,
    first: int = 0,
    state: State | None = None,
    pause_every: int = 0,
    chunk_seconds: float = CHUNK_SECONDS,
    steer: Callable[[int, Any], Any | None] | None = None,
) -> Iterator[Progress]:
    """Runs the stages, yielding between chunks of steps; the results do not depend on the chunks.

    Args:
        stages: one or more stages.
        first: index of the stage to begin with.
        state: state from which to resume that stage, donated to the device; by default the stage begins at its start.
        pause_every: number of steps at whose multiples to yield; 0 yields about every `chunk_seconds` only.
        chunk_seconds: seconds for which a chunk should run.
        steer: asked before each chunk: (index of the stage, its problem) → the problem with other arrays in it, such as
            other weights, for the same program; or None, with which it stays. The problem's `again` makes of the state
            one that is evaluated with the new arrays, which is no step.

    Yields:
        The progress: once before the first step of a stage, unless it is resumed, then after each chunk. Its state is
        valid until the next progress is requested.

    Raises:
        DivergedError: a loss or gradient of a problem that is not a batch is not finite; the message names step and
            term.
    """
    cancelled = threading.Event()
    result, before, ahead = None, None, None
    try:
        for index, stage in enumerate(stages[first:], start=first):
            problem = ahead.result() if ahead else stage.prepare()
            upcoming, ahead = stages[index + 1] if index + 1 < len(stages) else None, None
            advance = stage.advance or _CHUNK
            begins = state is None
            if state is None:
                state = _INIT(problem, stage.start(result))
                if before is not None:
                    state = _CARRY(problem, before, state) if stage.carries else state
                    _free(before, but=state)
                result = before = None
            done = int(np.max(jax.device_get(state.step)))
            if steer:
                _AGAIN.lower(problem, state).compile()  # so that the first change compiles nothing
            if not stage.advance and (begins or done < stage.steps):
                compile_chunk(problem, state)  # on its own, so that what it leaves is trimmed before a step
            if begins:
                if steer and (changed := steer(index, problem)) is not None:
                    problem = changed
                state, _ = advance(problem, state, int32_on_device(1))  # evaluates the start
                yield _first_progress(index, problem, state)
            length, seconds = 1, None
            while done < stage.steps:
                length = min(length, stage.steps - done, LONGEST_CHUNK)
                if pause_every:
                    length = min(length, pause_every - done % pause_every)
                if steer and (changed := steer(index, problem)) is not None:
                    problem = changed
                    state, _ = advance(problem, _AGAIN(problem, state), int32_on_device(1))
                began = time.perf_counter()
                state, info = advance(problem, state, int32_on_device(length))
                info = jax.tree.map(operator.itemgetter(slice(length)), jax.device_get(info))
                # The first call may compile, so its time says nothing about steps; the next stage would only delay it.
                warm, seconds = seconds is not None, max(time.perf_counter() - began, _SHORTEST)
                if upcoming and not ahead:
                    ahead = _in_thread(upcoming, cancelled)
                yield _checked(Progress(index, problem, state, history_of(done, info), info.finite))
                done += length
                length = max(1, int(length * chunk_seconds / seconds)) if warm else 1
            if upcoming:
                result, before = _RESULT(problem, state), state
            state = None
    finally:
        cancelled.set()


def chunk(problem: Problem, state: State, length: jax.Array) -> tuple[State, Info]:
    """Runs `length` steps, at most `LONGEST_CHUNK`; one compiled program for every length.

    Returns:
        The state, and the info of each step, stacked `[LONGEST_CHUNK]`; only the first `length` are meaningful.
    """
    idle = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(problem.step, state)[1])

    def body(state: State, index: jax.Array) -> tuple[State, Info]:
        return jax.lax.cond(index < length, problem.step, lambda state: (state, idle), state)

    return jax.lax.scan(body, state, jnp.arange(LONGEST_CHUNK, dtype=jnp.int32))


def init(problem: Problem, start: Any) -> State:
    """Returns the state before the first step that moves, evaluated; compiled, by the program of `run`."""
    state = _INIT(problem, start)
    compile_chunk(problem, state)
    return _CHUNK(problem, state, int32_on_device(1))[0]


def state_shapes(problem: Problem) -> State:
    """Returns the shapes of the states of a problem, without computing any; see `_there`."""
    return _there(problem, _INIT.shapes(problem, problem.start_shape))


def compile_chunk(problem: Problem, state: State) -> jax.stages.Compiled:
    """Returns the program of `run` for arrays, or shapes, like these: to query its memory or to use as `advance`."""
    program = _CHUNK.lower(problem, state, jax.ShapeDtypeStruct((), jnp.int32)).compile()
    trim()
    return program


def _in_thread(stage: Stage, cancelled: threading.Event) -> Future[Problem]:
    """Returns the future problem of a stage, while a thread prepares it and compiles its programs.

    Not a daemon thread: one that returns from XLA while the interpreter ends would abort it. So an exit waits for the
    program that is being compiled, but for no other.
    """
    future: Future[Problem] = Future()

    def work() -> None:
        try:
            problem = stage.prepare()
            if not cancelled.is_set():
                _INIT.lower(problem, _there(problem, problem.start_shape)).compile()
            if not (stage.advance or cancelled.is_set()):
                compile_chunk(problem, state_shapes(problem))
            future.set_result(problem)
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work).start()
    return future


def _there(problem: Problem, shapes: Any) -> Any:
    """Returns shapes of arrays as they will lie where those of a problem are.

    Of a problem with a copy on each of several devices, its states are copies too: a program that was compiled for
    anything else would be compiled again.
    """
    placed = [leaf.sharding for leaf in jax.tree.leaves(problem) if isinstance(leaf, jax.Array)]
    copies = [of for of in placed if isinstance(of, NamedSharding) and of.is_fully_replicated and of.num_devices > 1]
    if not copies or len(copies) < len(placed):
        return shapes
    everywhere = NamedSharding(copies[0].mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere), shapes)


def _free(before: State, *, but: State) -> None:
    """Frees the arrays of a state that whoever has the last progress still holds, but those of another one."""
    kept = {id(leaf) for leaf in jax.tree.leaves(but)}
    for leaf in jax.tree.leaves(before):
        if isinstance(leaf, jax.Array) and id(leaf) not in kept:
            leaf.delete()


def _first_progress(index: int, problem: Problem, state: State) -> Progress:
    return _checked(Progress(index, problem, state, first_history(state), jax.device_get(_FINITE(state))[None]))


def _checked(progress: Progress) -> Progress:
    """Returns the progress; raises DivergedError if it is that of a single problem that has diverged."""
    if progress.finite.ndim == 1 and not progress.finite.all():
        raise diverged(progress.state, progress.history)
    return progress


def _init(problem: Problem, start: Any) -> State:
    return problem.init(start)


def _carry(problem: Any, before: State, state: State) -> State:
    return problem.carry(before, state)


def _again(problem: Any, state: State) -> State:
    return problem.again(state)


def _result(problem: Problem, state: State) -> Any:
    return problem.result(state)


def _finite(state: State) -> jax.Array:
    return state.evaluation.finite if jnp.ndim(state.step) == 0 else jax.vmap(lambda at: at.finite)(state.evaluation)


_INIT, _RESULT, _FINITE = Jit(_init), Jit(_result), Jit(_finite)
_AGAIN = Jit(_again, donate_argnames="state")
_CARRY = Jit(_carry, donate_argnames="state")  # L-BFGS has 24 arrays of the picture's size in it
# The weights behind the last layer that is wanted lie on the device all the same, and whoever asks the program for its
# memory is to be told of them: jax 0.12 would leave them out of its arguments.
_CHUNK = Jit(chunk, donate_argnames="state", keep_unused=True)
