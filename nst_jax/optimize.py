"""Optimising a picture: `step(state) → (state, info)`, and chunks of steps that run on the device without a break.

What is optimised, the variables, are the pixels or whatever the picture is rendered from: one array of any shape, so
that a signal or a volume will do as well. They stay within their limits throughout: every step is projected. Adam is
Optax's. L-BFGS is Optax's two-loop recursion
(`optax.scale_by_lbfgs`, the core of `optax.lbfgs`) under a backtracking line search of our own along the projected
path (Bertsekas, "Projected Newton methods for optimization problems with simple constraints", 1982, without its sets of
active bounds, so that descent is checked and not guaranteed): the line searches of Optax know neither bounds nor
auxiliary outputs, so clipping would cost a second evaluation a step and the terms a third.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from nst_jax.settings import Optimizer

Evaluate = Callable[[jax.Array, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]
"""The variables and the number of the step, on which a loss with something random in it depends, to the loss and its
terms by name."""

Limits = tuple[float, float]
"""The least and the greatest value of a variable."""

PIXELS: Limits = (0.0, 1.0)

LBFGS_MEMORY = 10
SUFFICIENT_DECREASE = 1e-4
"""Share of the decrease that the gradient promises which a step must bring (c₁ of Armijo's rule)."""
MOST_HALVINGS = 12

_ADAM = optax.scale_by_adam()
_LBFGS = optax.scale_by_lbfgs(memory_size=LBFGS_MEMORY)


@struct.dataclass
class Point:
    """A picture and what the objective says of it.

    Attributes:
        variables: of the picture: its pixels `[H, W, 3]`, or another array from which it is rendered.
        loss: of the picture.
        terms: of that loss.
        gradient: of that loss, of the shape of the variables.
    """

    variables: jax.Array
    loss: jax.Array
    terms: dict[str, jax.Array]
    gradient: jax.Array

    @property
    def finite(self) -> jax.Array:
        """Whether the loss and its gradient are numbers."""
        return jnp.isfinite(self.loss) & jnp.isfinite(self.gradient).all()


@struct.dataclass
class State:
    """Where a run stands.

    Attributes:
        point: the picture, evaluated.
        step: steps done.
        learning_rate: step size of Adam and of the plain gradient in units of the variables; L-BFGS's first try as a
            share of its step.
        optimizer: Optax's state.
    """

    point: Point
    step: jax.Array
    learning_rate: jax.Array
    optimizer: Any


@struct.dataclass
class Info:
    """What a step found.

    Attributes:
        loss: of the new picture.
        terms: of that loss.
        finite: whether the loss and its gradient are numbers; where not, the state keeps the picture before the step.
        evaluations: of the loss and its gradient in this step.
    """

    loss: jax.Array
    terms: dict[str, jax.Array]
    finite: jax.Array
    evaluations: jax.Array


def init(
    evaluate: Evaluate, variables: jax.Array, learning_rate: jax.Array, *, optimizer: Optimizer, limits: Limits = PIXELS
) -> State:
    """Returns the state before the first step, the variables clipped to their limits and evaluated."""
    start = jnp.zeros((), jnp.int32)
    point = _evaluate(evaluate, variables, start, limits)
    return State(point, start, jnp.asarray(learning_rate), _MEMORIES[optimizer].init(point.variables))


def step(evaluate: Evaluate, state: State, *, optimizer: Optimizer, limits: Limits = PIXELS) -> tuple[State, Info]:
    """Returns the state after one step, and what the step found.

    A step that meets a loss or a gradient that is not finite leaves the state as it was.
    """

    def try_variables(variables: jax.Array) -> Point:
        return _evaluate(evaluate, variables, state.step + 1, limits)

    point, memory, evaluations = _STEPS[optimizer](try_variables, state)
    after = state.replace(point=point, step=state.step + 1, optimizer=memory)
    info = Info(point.loss, point.terms, point.finite, evaluations)
    return jax.lax.cond(info.finite, lambda: after, lambda: state), info


def chunk(
    evaluate: Evaluate,
    state: State,
    length: jax.Array,
    *,
    optimizer: Optimizer,
    longest: int,
    limits: Limits = PIXELS,
) -> tuple[State, Info]:
    """Runs `length` steps, at most `longest`; one compiled program for every length.

    Returns:
        The state, and the info of each step stacked `[longest]`, the first `length` of which mean something.
    """

    def body(state: State, index: jax.Array) -> tuple[State, Info]:
        idle = Info(state.point.loss, state.point.terms, state.point.finite, jnp.int32(0))
        return jax.lax.cond(
            index < length,
            lambda: step(evaluate, state, optimizer=optimizer, limits=limits),
            lambda: (state, idle),
        )

    return jax.lax.scan(body, state, jnp.arange(longest))


_Try = Callable[[jax.Array], Point]
"""Variables to the point that they, clipped, are."""


def _adam(evaluate: _Try, state: State) -> tuple[Point, Any, jax.Array]:
    """Kingma & Ba, arXiv:1412.6980, with Optax's β₁ = 0.9, β₂ = 0.999."""
    direction, memory = _ADAM.update(state.point.gradient, state.optimizer)
    return evaluate(state.point.variables - state.learning_rate * direction), memory, jnp.int32(1)


def _gradient(evaluate: _Try, state: State) -> tuple[Point, Any, jax.Array]:
    """Mordvintsev, Olah & Tyka, "Inceptionism", 2015: the gradient divided by its mean absolute value."""
    gradient = state.point.gradient
    mean = jnp.mean(jnp.abs(gradient))
    direction = gradient / jnp.where(mean > 0, mean, 1)
    return evaluate(state.point.variables - state.learning_rate * direction), state.optimizer, jnp.int32(1)


def _lbfgs(evaluate: _Try, state: State) -> tuple[Point, Any, jax.Array]:
    """Liu & Nocedal 1989, projected: halves the step until the loss has decreased enough."""
    here = state.point
    direction, memory = _LBFGS.update(here.gradient, state.optimizer, here.variables)
    # Nothing in backtracking keeps the curvature positive, as a Wolfe line search would. Where a pair without it makes
    # the direction ascend, the gradient is taken instead, and the memory is emptied: twice as far as the step before,
    # for where the loss curves down a run would else go on for ever in steps as short as its first.
    descends = jnp.vdot(direction, here.gradient) > 0
    reach = jnp.linalg.norm(here.variables - state.optimizer.params)
    length = jnp.linalg.norm(here.gradient)
    direction = jnp.where(descends, direction, here.gradient * (2 * reach / jnp.where(length > 0, length, 1)))

    def decreased(there: Point) -> jax.Array:
        promise = jnp.vdot(here.gradient, here.variables - there.variables)
        return there.finite & (there.loss <= here.loss - SUFFICIENT_DECREASE * jnp.maximum(promise, 0))

    def go_on(carry: tuple[Point, jax.Array]) -> jax.Array:
        there, tries = carry
        return (tries == 0) | (~decreased(there) & (tries <= MOST_HALVINGS))

    def try_half(carry: tuple[Point, jax.Array]) -> tuple[Point, jax.Array]:
        _, tries = carry
        share = state.learning_rate * 0.5**tries
        return evaluate(here.variables - share * direction), tries + 1

    there, tries = jax.lax.while_loop(go_on, try_half, (here, jnp.int32(0)))
    # No decrease however short the step: the picture stays, and the next step begins anew. Optax takes a count of 0 for
    # the first step, which goes along the gradient and not far; otherwise it would try the whole gradient for ever.
    stay = there.finite & ~decreased(there)
    there = jax.lax.cond(stay, lambda: here, lambda: there)
    keep = descends & ~stay
    memory = memory._replace(
        count=jnp.where(stay, 0, memory.count),
        weights_memory=jnp.where(keep, jnp.maximum(memory.weights_memory, 0), 0),
    )
    return there, memory, tries


_MEMORIES = {"adam": _ADAM, "lbfgs": _LBFGS, "gradient": optax.identity()}
_STEPS = {"adam": _adam, "lbfgs": _lbfgs, "gradient": _gradient}


def _evaluate(evaluate: Evaluate, variables: jax.Array, step: jax.Array, limits: Limits) -> Point:
    variables = jnp.clip(variables, *limits)
    (loss, terms), gradient = jax.value_and_grad(evaluate, has_aux=True)(variables, step)
    return Point(variables, loss, terms, gradient)
