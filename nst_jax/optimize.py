"""Solvers: `init(evaluate, variables) → state`, `step(evaluate, state) → (state, info)`.

As in Optax, `init` evaluates nothing: the first step of a state does so, and leaves it at that. Otherwise the network
would be compiled twice, once for the start and once for the steps.

The variables are any pytree of arrays: pixels, other variables from which a picture is rendered, parameters of a
network. They always stay within their bounds: every step is projected. Adam is Optax's, and `from_optax` makes a solver
of any other transformation. L-BFGS is Optax's two-loop recursion (`optax.scale_by_lbfgs`,
the core of `optax.lbfgs`) under a backtracking line search of our own along the projected path (Bertsekas, "Projected
Newton methods for optimization problems with simple constraints", 1982, without its sets of active bounds, so that
descent is checked and not guaranteed): the line searches of Optax know neither bounds nor auxiliary outputs, so
clipping would cost a second evaluation per step and the terms a third.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from nst_jax.settings import Settings
from nst_jax.surroundings import jax_defaults
from nst_jax.vocabulary import Optimizer

Variables = Any
"""A pytree of arrays."""

Bounds = tuple[float, float]
"""The least and greatest value of a variable."""

UNBOUNDED: Bounds = (-math.inf, math.inf)

LBFGS_PAIRS = 10
"""Number of steps that L-BFGS remembers: its pairs of differences."""

SUFFICIENT_DECREASE = 1e-4
"""Share of the decrease predicted by the gradient that a step must achieve (c₁ of Armijo's rule)."""
MOST_HALVINGS = 12

_FROZEN = -1
"""Count of steps in the memory of L-BFGS after one that found no finite loss."""


class Evaluation(struct.PyTreeNode):
    """The objective and its gradient at some variables.

    Attributes:
        variables: the variables.
        loss: the objective, a scalar.
        terms: terms of the loss, by name.
        gradient: gradient of the loss, with the structure of the variables.
    """

    variables: Variables
    loss: jax.Array
    terms: dict[str, jax.Array]
    gradient: Variables

    @property
    def finite(self) -> jax.Array:
        """Whether the loss and its gradient are finite."""
        parts = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(self.gradient)]
        return functools.reduce(jnp.logical_and, parts, jnp.isfinite(self.loss))


Evaluate = Callable[[Variables, jax.Array], Evaluation]
"""(Variables, number of the step) → their evaluation; a random loss depends on the step."""


class State(struct.PyTreeNode):
    """State of an optimisation.

    Attributes:
        evaluation: evaluation of the current variables.
        step: number of steps done.
        memory: memory of the solver.
        evaluated: whether the variables were evaluated; else the next step does so, and nothing else.
        chosen: what a problem chose once, at the start, and its evaluations depend on; solvers leave it alone.
    """

    evaluation: Evaluation
    step: jax.Array
    memory: Any
    evaluated: jax.Array
    chosen: Any = None

    @property
    def variables(self) -> Variables:
        """The current variables."""
        return self.evaluation.variables


class Info(struct.PyTreeNode):
    """Losses of a step.

    Attributes:
        loss: loss of the new variables.
        terms: terms of that loss.
        finite: whether the loss and its gradient are finite; if not, the state keeps the variables before the step.
        evaluations: number of evaluations of the loss and its gradient in this step.
    """

    loss: jax.Array
    terms: dict[str, jax.Array]
    finite: jax.Array
    evaluations: jax.Array


class Solver(NamedTuple):
    """A way to minimise, as a value.

    Attributes:
        init: (objective, variables) → the state before anything was computed, with the variables clipped to their
            bounds. The objective is only asked for the shapes of its results.
        step: (objective, state) → the state after one step, and its info; the first evaluates the variables of `init`,
            and neither moves nor counts. If the loss or gradient of a later one is not finite, the state stays as it
            was; its memory alone may say so.
        map_memory: (function, memory) → the memory with the function applied to every array that has the shape of a
            variable, or that shape after a leading axis.
        read: state → the variables that it stands for, which may be a mean of those that the steps went through.
    """

    init: Callable[[Evaluate, Variables], State]
    step: Callable[[Evaluate, State], tuple[State, Info]]
    map_memory: Callable[[Callable[[jax.Array], Any], Any], Any]
    read: Callable[[State], Variables] = lambda state: state.variables


def from_optax(transformation: optax.GradientTransformation, *, bounds: Bounds = UNBOUNDED) -> Solver:
    """Returns the solver that follows an Optax transformation, its learning rate or schedule included.

    Transformations that take the value, the gradient or the function itself receive them; their own evaluations are not
    counted.
    """
    return _following(transformation, bounds, cheap=False)


def _following(transformation: optax.GradientTransformation, bounds: Bounds, *, cheap: bool) -> Solver:
    """Returns the solver of `from_optax`.

    Args:
        transformation: the transformation.
        bounds: bounds of the variables.
        cheap: whether its update is cheap enough to be computed twice: once for where to evaluate, and for the memory
            when that is done, which then need not lie beside the old one meanwhile.
    """
    update = optax.with_extra_args_support(transformation).update

    def init(evaluate: Evaluate, variables: Variables) -> State:
        return _first(evaluate, variables, transformation.init, bounds)

    def step(evaluate: Evaluate, state: State) -> tuple[State, Info]:
        here, first, number = state.evaluation, ~state.evaluated, _next(state)

        def updated(gradient: Variables, memory: Any) -> tuple[Variables, Any]:
            with jax_defaults(here.variables):
                return update(
                    gradient,
                    memory,
                    here.variables,
                    value=here.loss,
                    grad=gradient,
                    value_fn=lambda variables: evaluate(variables, number).loss,
                )

        updates, memory = updated(here.gradient, state.memory)
        with jax_defaults(here.variables):
            moved = optax.apply_updates(here.variables, updates)
        there = evaluate(optax.tree.clip(optax.tree.where(first, here.variables, moved), *bounds), number)
        if cheap:
            before, there = jax.lax.optimization_barrier(((here.gradient, state.memory), there))
            _, memory = updated(*before)
        memory = optax.tree.where(first, state.memory, memory)
        return _accept(state, there, memory, jnp.full_like(state.step, 1))

    return Solver(init, step, functools.partial(optax.tree.map_params, transformation))


def adam(learning_rate: jax.Array | float, *, bounds: Bounds = UNBOUNDED, decay: float = Settings.adam_decay) -> Solver:
    """Returns Adam (Kingma & Ba 2015), whose learning rate is a step size in units of the variables.

    Args:
        learning_rate: length of a step.
        bounds: bounds of the variables.
        decay: that of the average of squared gradients, β₂.
    """
    return _following(optax.adam(learning_rate, b2=decay), bounds, cheap=True)


def gradient(learning_rate: jax.Array | float, *, bounds: Bounds = UNBOUNDED) -> Solver:
    """Returns descent along the gradient divided by its mean absolute value (Mordvintsev et al., "Inceptionism", 2015).

    The learning rate is the mean change of a variable per step.
    """

    def normalised(gradients: Variables, _: Variables) -> Variables:
        mean = optax.tree.sum(jax.tree.map(lambda leaf: jnp.sum(jnp.abs(leaf)), gradients)) / optax.tree.size(gradients)
        return jax.tree.map(lambda leaf: leaf / jnp.where(mean > 0, mean, 1), gradients)

    return from_optax(
        optax.chain(optax.stateless(normalised), optax.scale_by_learning_rate(learning_rate)), bounds=bounds
    )


def lbfgs(
    learning_rate: jax.Array | float = 1.0,
    *,
    bounds: Bounds = UNBOUNDED,
    pairs: int = LBFGS_PAIRS,
    change_every: int = 0,
) -> Solver:
    """Returns L-BFGS (Liu & Nocedal 1989), projected: it halves the step until the loss has decreased enough.

    After a step without a finite loss it does nothing more: in a batch, the other cells would wait in each step while
    it tries all halves again.

    Args:
        learning_rate: share of the step that is tried first.
        bounds: bounds of the variables.
        pairs: number of steps that are remembered.
        change_every: number of steps after each of which the objective is another one: the first with it evaluates the
            variables where they are, and the memory starts over; 0 for one that stays, at least 2 otherwise.
    """
    direction_of = optax.scale_by_lbfgs(memory_size=pairs)

    def init(evaluate: Evaluate, variables: Variables) -> State:
        return _first(evaluate, variables, direction_of.init, bounds)

    def step(evaluate: Evaluate, state: State) -> tuple[State, Info]:
        state = _started_over(state, change_every) if change_every else state
        # Of a state that is still to be evaluated the gradient is 0, so that the first try stays where it is.
        here, first, number = state.evaluation, ~state.evaluated, _next(state)
        frozen = state.memory.count == _FROZEN
        with jax_defaults(here.variables):
            direction, memory = direction_of.update(here.gradient, state.memory, here.variables)
        # Nothing in backtracking keeps the curvature positive, as a Wolfe line search would. Where a pair without it
        # makes the direction ascend, the gradient is taken instead, and the memory is emptied: twice as far as the step
        # before, for where the loss curves down a run would else go on for ever in steps as short as its first.
        descends = optax.tree.vdot(direction, here.gradient) > 0
        reach = optax.tree.norm(optax.tree.sub(here.variables, state.memory.params))
        length = optax.tree.norm(here.gradient)
        detour = 2 * reach / jnp.where(length > 0, length, 1)
        direction = jax.tree.map(
            lambda along, gradient: jnp.where(descends, along, gradient * detour), direction, here.gradient
        )

        def decreased(there: Evaluation) -> jax.Array:
            promise = optax.tree.vdot(here.gradient, optax.tree.sub(here.variables, there.variables))
            return there.finite & (there.loss <= here.loss - SUFFICIENT_DECREASE * jnp.maximum(promise, 0))

        def go_on(carry: tuple[Evaluation, jax.Array]) -> jax.Array:
            there, tries = carry
            return ~frozen & ((tries == 0) | (~decreased(there) & ~first & (tries <= MOST_HALVINGS)))

        def try_half(carry: tuple[Evaluation, jax.Array]) -> tuple[Evaluation, jax.Array]:
            _, tries = carry
            share = learning_rate * 0.5 ** tries.astype(jnp.float32)
            moved = jax.tree.map(lambda values, along: values - share * along, here.variables, direction)
            return evaluate(optax.tree.clip(moved, *bounds), number), tries + 1

        there, tries = jax.lax.while_loop(go_on, try_half, (here, jnp.zeros_like(state.step)))
        # No decrease however short the step: the variables stay, and the next step starts over. Optax takes a count of
        # 0 for the first step, which goes along the gradient and not far; otherwise it would try the whole gradient for
        # ever.
        stay = there.finite & ~decreased(there)
        there = jax.lax.cond(stay, lambda: here, lambda: there)
        keep, finite = descends & ~stay, there.finite & ~frozen
        memory = memory._replace(
            count=jnp.where(finite, jnp.where(stay | first, 0, memory.count), _FROZEN),
            weights_memory=jnp.where(keep, jnp.maximum(memory.weights_memory, 0), 0),
        )
        # The memory of a step that failed is never used again, so that nothing need keep the one before: 20 arrays. A
        # barrier ends the program that makes it, which XLA would otherwise repeat in each that reads it: in a batch, a
        # step took twice the time.
        accepted, info = _accept(state.replace(memory=None), there, None, tries, finite=finite)
        return accepted.replace(memory=jax.lax.optimization_barrier(memory)), info

    return Solver(init, step, _map_lbfgs_memory)


class Average(struct.PyTreeNode):
    """Memory of an averaging solver.

    Attributes:
        memory: memory of the solver underneath.
        sum: the weighted sum of the variables so far.
        share: sum of those weights; it approaches 1.
    """

    memory: Any
    sum: Variables
    share: jax.Array


def averaged(solver: Solver, decay: float) -> Solver:
    """Returns a solver whose state stands for an exponential moving average of its variables, the first included.

    The average is Σ dⁿ⁻ⁱ xᵢ / Σ dⁿ⁻ⁱ, corrected for its start as Adam's moments are, and free of the noise of the last
    step (Polyak & Juditsky 1992; crowsonkb's style-transfer-pytorch has d = 0.99). The steps are those of the solver.

    Args:
        solver: for the steps.
        decay: d, at least 0 and below 1.
    """

    def init(evaluate: Evaluate, variables: Variables) -> State:
        start = solver.init(evaluate, variables)
        total = jax.tree.map(lambda values: (1 - decay) * values, start.variables)
        return start.replace(memory=Average(start.memory, total, jnp.float32(1 - decay)))

    def step(evaluate: Evaluate, state: State) -> tuple[State, Info]:
        before = state.memory
        after, info = solver.step(evaluate, state.replace(memory=before.memory))
        moved = info.finite & state.evaluated
        weight = jnp.where(moved, jnp.float32(1 - decay), 0)
        keep = jnp.where(moved, jnp.float32(decay), 1)
        total = jax.tree.map(lambda sum_, values: keep * sum_ + weight * values, before.sum, after.variables)
        return after.replace(memory=Average(after.memory, total, keep * before.share + weight)), info

    def map_memory(function: Callable[[jax.Array], Any], memory: Any) -> Any:
        return memory.replace(memory=solver.map_memory(function, memory.memory), sum=jax.tree.map(function, memory.sum))

    def read(state: State) -> Variables:
        return jax.tree.map(lambda total: total / state.memory.share, state.memory.sum)

    return Solver(init, step, map_memory, read)


def map_variables(solver: Solver, state: State, function: Callable[[jax.Array], Any]) -> State:
    """Returns a state with a function applied to every array that has the layout of the variables.

    These are the variables, their gradient, and the solver's memory of them: moments of Adam, and the differences of
    L-BFGS, which have one more leading axis. This places a state on devices, crops it or rotates it. The loss and its
    terms stay: after a change of values, `solver.init` evaluates again.
    """
    evaluation = state.evaluation.replace(
        variables=jax.tree.map(function, state.evaluation.variables),
        gradient=jax.tree.map(function, state.evaluation.gradient),
    )
    return state.replace(evaluation=evaluation, memory=solver.map_memory(function, state.memory))


def _map_lbfgs_memory(function: Callable[[jax.Array], Any], memory: Any) -> Any:
    fields = ("params", "updates", "diff_params_memory", "diff_updates_memory")
    return memory._replace(**{name: jax.tree.map(function, getattr(memory, name)) for name in fields})


def _first(evaluate: Evaluate, variables: Variables, memory: Callable[[Variables], Any], bounds: Bounds) -> State:
    start = jnp.zeros((), jnp.int32)
    clipped = optax.tree.clip(variables, *bounds)
    shapes = jax.eval_shape(evaluate, clipped, start)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    unevaluated = nothing.replace(variables=clipped, loss=jnp.full_like(nothing.loss, jnp.inf))
    with jax_defaults(clipped):
        return State(unevaluated, start, memory(clipped), jnp.zeros((), bool))


def _started_over(state: State, change_every: int) -> State:
    """Returns a state of L-BFGS whose variables are to be evaluated again, as a step, where the next has a new loss."""
    here, memory = state.evaluation, state.memory
    due = state.evaluated & ((state.step + 1) % change_every == 0)
    return state.replace(
        evaluation=here.replace(
            loss=jnp.where(due, jnp.inf, here.loss),
            gradient=jax.tree.map(lambda leaf: jnp.where(due, 0, leaf), here.gradient),
        ),
        step=state.step + due.astype(state.step.dtype),
        evaluated=state.evaluated & ~due,
        memory=memory._replace(
            count=jnp.where(due, 0, memory.count),
            weights_memory=jnp.where(due, 0, memory.weights_memory),
        ),
    )


def _next(state: State) -> jax.Array:
    """Returns the number of the next step; evaluating the start is none."""
    return state.step + state.evaluated.astype(state.step.dtype)


def _accept(
    state: State, there: Evaluation, memory: Any, evaluations: jax.Array, *, finite: jax.Array | None = None
) -> tuple[State, Info]:
    """Returns the state after a step, or the one before if the loss is not finite, and the info of the step."""
    info = Info(there.loss, there.terms, there.finite if finite is None else finite, evaluations)
    after = state.replace(evaluation=there, step=_next(state), memory=memory, evaluated=jnp.ones_like(state.evaluated))
    return jax.lax.cond(info.finite | ~state.evaluated, lambda: after, lambda: state), info


MakeSolver = Callable[..., Solver]
"""(Learning rate, traced or not, and `bounds`) → solver; such as `adam`."""

SOLVERS: dict[Optimizer, MakeSolver] = {"adam": adam, "lbfgs": lbfgs, "gradient": gradient}


@functools.cache
def solver_of(
    optimizer: Optimizer,
    *,
    adam_decay: float = Settings.adam_decay,
    lbfgs_pairs: int = LBFGS_PAIRS,
    change_every: int = 0,
) -> MakeSolver:
    """Returns one of `SOLVERS` with its options; the same object for the same, so that programs are the same too."""
    if optimizer == "adam":
        return functools.partial(adam, decay=adam_decay)
    if optimizer == "lbfgs":
        return functools.partial(lbfgs, pairs=lbfgs_pairs, change_every=change_every)
    return SOLVERS[optimizer]
