"""Solvers: `init(evaluate, variables) → state`, `step(evaluate, state) → (state, info)`.

As in Optax, `init` evaluates nothing: the first step of a state does so, and leaves it at that. Otherwise the network
would be compiled twice, once for the start and once for the steps.

The variables are any pytree of arrays: pixels, other variables from which a picture is rendered, parameters of a
network. They always stay within their bounds: every step is projected. Adam is Optax's, and `from_optax` makes a solver
of any other transformation; L-BFGS is in `lbfgs`, and the solvers by name in `solvers`.
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

Variables = Any
"""A pytree of arrays."""

Bounds = tuple[float, float]
"""The least and greatest value of a variable."""

UNBOUNDED: Bounds = (-math.inf, math.inf)


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
        again: state → the same for an objective that has changed: the next step evaluates its variables, and neither
            moves nor counts.
        read: state → the variables that it stands for, which may be a mean of those that the steps went through.
    """

    init: Callable[[Evaluate, Variables], State]
    step: Callable[[Evaluate, State], tuple[State, Info]]
    map_memory: Callable[[Callable[[jax.Array], Any], Any], Any]
    again: Callable[[State], State]
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
        return first_state(evaluate, variables, transformation.init, bounds)

    def step(evaluate: Evaluate, state: State) -> tuple[State, Info]:
        here, first, number = state.evaluation, ~state.evaluated, following(state)

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
        return accepted(state, there, memory, jnp.full_like(state.step, 1))

    return Solver(init, step, functools.partial(optax.tree.map_params, transformation), unevaluated)


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

    def again(state: State) -> State:
        own = solver.again(state.replace(memory=state.memory.memory))
        return own.replace(memory=state.memory.replace(memory=own.memory))

    def read(state: State) -> Variables:
        return jax.tree.map(lambda total: total / state.memory.share, state.memory.sum)

    return Solver(init, step, map_memory, again, read)


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


def first_state(evaluate: Evaluate, variables: Variables, memory: Callable[[Variables], Any], bounds: Bounds) -> State:
    """Returns the state of variables, clipped to their bounds, before anything was computed.

    Args:
        evaluate: the objective, which is only asked for the shapes of its results.
        variables: the variables.
        memory: variables → the memory of a solver that has done no step.
        bounds: bounds of the variables.
    """
    start = jnp.zeros((), jnp.int32)
    clipped = optax.tree.clip(variables, *bounds)
    shapes = jax.eval_shape(evaluate, clipped, start)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    unevaluated = nothing.replace(variables=clipped, loss=jnp.full_like(nothing.loss, jnp.inf))
    with jax_defaults(clipped):
        return State(unevaluated, start, memory(clipped), jnp.zeros((), bool))


def unevaluated(state: State) -> State:
    """Returns a state whose variables the next step evaluates, with the memory that it has."""
    return state.replace(evaluated=jnp.zeros_like(state.evaluated))


def following(state: State) -> jax.Array:
    """Returns the number of the next step; evaluating the start is none."""
    return state.step + state.evaluated.astype(state.step.dtype)


def accepted(
    state: State, there: Evaluation, memory: Any, evaluations: jax.Array, *, finite: jax.Array | None = None
) -> tuple[State, Info]:
    """Returns the state after a step, or the one before if the loss is not finite, and the info of the step."""
    info = Info(there.loss, there.terms, there.finite if finite is None else finite, evaluations)
    after = state.replace(
        evaluation=there, step=following(state), memory=memory, evaluated=jnp.ones_like(state.evaluated)
    )
    return jax.lax.cond(info.finite | ~state.evaluated, lambda: after, lambda: state), info


MakeSolver = Callable[..., Solver]
"""(Learning rate, traced or not, and `bounds`) → solver; such as `adam`."""
