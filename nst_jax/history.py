"""The losses of a run, and the error when one is not a number."""

from typing import NamedTuple

import jax
import numpy as np

from nst_jax import optimize
from nst_jax.errors import UserError


class History(NamedTuple):
    """Losses of consecutive steps; in a batch of N cells every array but `step` has a second axis of N.

    Attributes:
        step: `[S]`, the numbers of the steps.
        loss: `[S]`, the loss after each step.
        terms: name → `[S]`, the terms of that loss.
        evaluations: `[S]`, the number of evaluations of loss and gradient in each step.
    """

    step: np.ndarray
    loss: np.ndarray
    terms: dict[str, np.ndarray]
    evaluations: np.ndarray

    def of(self, cell: int) -> "History":
        """Returns the history of one cell of a batch."""
        step, *others = self
        return History(step, *jax.tree.map(lambda values: values[:, cell], others))


class DivergedError(UserError):
    """The loss is not a number; `state` is the last good one, `history` ends there."""

    def __init__(self, message: str, state: optimize.State, history: History) -> None:
        super().__init__(message)
        self.state = state
        self.history = history


def first_history(state: optimize.State) -> History:
    """Returns the history of a state alone: the loss before the next step."""
    step, loss, terms = jax.device_get((state.step, state.evaluation.loss, state.evaluation.terms))
    found = History(np.asarray(step.max()), loss, terms, np.ones_like(loss, np.int32))
    return jax.tree.map(lambda values: np.asarray(values)[None], found)


def history_of(done: int, info: optimize.Info) -> History:
    """Returns the history of the steps after the first `done`, from their info on the host."""
    loss, terms, evaluations = jax.tree.map(np.asarray, (info.loss, info.terms, info.evaluations))
    return History(done + 1 + np.arange(len(loss)), loss, terms, evaluations)


def join(histories: list[History]) -> History:
    """Returns consecutive histories joined."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *histories)


def diverged(state: optimize.State, history: History) -> DivergedError:
    """Returns the error for a history whose first step after the state, or whose only entry, is not a number.

    The history of the error ends before that step.
    """
    done = int(jax.device_get(state.step))
    bad = int(np.argmax(history.step > done)) if history.step[-1] > done else 0
    broken = {name: values[bad] for name, values in history.terms.items() if not np.isfinite(values[bad])}
    if broken:
        # A sum is not a number because one of its parts is not: name the part.
        term = next((name for name in broken if "/" in name), next(iter(broken)))
        problem = f"the {term} is {broken[term]}"
    elif not np.isfinite(history.loss[bad]):
        problem = f"the loss is {history.loss[bad]}"
    else:
        problem = "the gradient of the loss is not finite"
    return DivergedError(
        f"step {history.step[bad]}: expected numbers, {problem}; lower learning_rate or the weights",
        state,
        jax.tree.map(lambda values: values[:bad], history),
    )
