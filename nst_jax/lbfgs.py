"""L-BFGS within bounds, with one evaluation a step.

It is Optax's two-loop recursion (`optax.scale_by_lbfgs`, the core of `optax.lbfgs`) under a backtracking line search of
our own along the projected path (Bertsekas, "Projected Newton methods for optimization problems with simple
constraints", 1982, without its sets of active bounds, so that descent is checked and not guaranteed): the line searches
of Optax know neither bounds nor auxiliary outputs, so clipping would cost a second evaluation per step and the terms a
third.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from nst_jax.optimize import (
    UNBOUNDED,
    Bounds,
    Evaluate,
    Evaluation,
    Info,
    Solver,
    State,
    Variables,
    accepted,
    first_state,
    following,
)
from nst_jax.surroundings import jax_defaults

PAIRS = 10
"""Number of steps that L-BFGS remembers: its pairs of differences."""

SUFFICIENT_DECREASE = 1e-4
"""Share of the decrease predicted by the gradient that a step must achieve (c₁ of Armijo's rule)."""
MOST_HALVINGS = 12

_FROZEN = -1
"""Count of steps in the memory of L-BFGS after one that found no finite loss."""


def lbfgs(
    learning_rate: jax.Array | float = 1.0,
    *,
    bounds: Bounds = UNBOUNDED,
    pairs: int = PAIRS,
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
        return first_state(evaluate, variables, direction_of.init, bounds)

    def step(evaluate: Evaluate, state: State) -> tuple[State, Info]:
        if change_every:  # the first evaluation with another objective is a step here
            due = state.evaluated & ((state.step + 1) % change_every == 0)
            state = _started_over(state, due).replace(step=state.step + due.astype(state.step.dtype))
        # Of a state that is still to be evaluated the gradient is 0, so that the first try stays where it is.
        here, first, number = state.evaluation, ~state.evaluated, following(state)
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
        after, info = accepted(state.replace(memory=None), there, None, tries, finite=finite)
        return after.replace(memory=jax.lax.optimization_barrier(memory)), info

    return Solver(init, step, _map_lbfgs_memory, functools.partial(_started_over, due=True))


def _map_lbfgs_memory(function: Callable[[jax.Array], Any], memory: Any) -> Any:
    fields = ("params", "updates", "diff_params_memory", "diff_updates_memory")
    return memory._replace(**{name: jax.tree.map(function, getattr(memory, name)) for name in fields})


def _started_over(state: State, due: jax.Array | bool) -> State:
    """Returns a state of L-BFGS whose variables are to be evaluated again, and that remembers nothing, where due."""
    here, memory = state.evaluation, state.memory
    return state.replace(
        evaluation=here.replace(
            loss=jnp.where(due, jnp.inf, here.loss),
            gradient=jax.tree.map(lambda leaf: jnp.where(due, 0, leaf), here.gradient),
        ),
        evaluated=state.evaluated & jnp.logical_not(due),
        memory=memory._replace(
            count=jnp.where(due, 0, memory.count),
            weights_memory=jnp.where(due, 0, memory.weights_memory),
        ),
    )
