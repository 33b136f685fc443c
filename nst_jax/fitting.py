"""A perceptron that learns to paint one picture, from the coordinates of a pixel to its colour."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import optimize, transfer
from nst_jax.compilation import Jit
from nst_jax.method import LONGEST_CHUNK
from nst_jax.parameterization import PARAMETERIZATIONS, Shape

_PAINTER = PARAMETERIZATIONS["coordinates"]
_ERROR = "squared_error"


class Fit(NamedTuple):
    """How far it has come.

    Attributes:
        step: of L-BFGS, after it was taught by Adam; see `parameterization`.
        variables: its weights, `[P]`.
        error: root of the mean square over pixels and colours.
    """

    step: int
    variables: np.ndarray
    error: float


def fit(picture: np.ndarray, *, steps: int) -> Iterator[Fit]:
    """Learns a picture `[H, W, 3]`, RGB in [0, 1], and tells now and then how far it is."""
    target = jnp.asarray(picture)
    state = _BEGIN(target)
    yield _fit_of(state)
    advance = functools.partial(_ADVANCE, target)
    for reached, _, _ in transfer.drive(advance, state, done=0, steps=steps, pause_every=0):
        yield _fit_of(reached)


def draw(variables: jax.Array, shape: Shape) -> np.ndarray:
    """Returns the picture `[H, W, 3]` at any height and width."""
    return np.asarray(_PAINTER.render(variables, shape))


def _objective(target: jax.Array) -> optimize.Evaluate:
    def evaluate(variables: jax.Array, _: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        error = jnp.mean(jnp.square(_PAINTER.render(variables, target.shape[:2]) - target))
        return error, {_ERROR: error}

    return evaluate


def _begin(target: jax.Array) -> optimize.State:
    variables = _PAINTER.encode(target)
    return optimize.init(_objective(target), variables, jnp.float32(1), optimizer="lbfgs", limits=_PAINTER.limits)


def _advance(target: jax.Array, state: optimize.State, length: jax.Array) -> tuple[optimize.State, optimize.Info]:
    return optimize.chunk(
        _objective(target), state, length, optimizer="lbfgs", longest=LONGEST_CHUNK, limits=_PAINTER.limits
    )


def _fit_of(state: optimize.State) -> Fit:
    return Fit(int(state.step), np.asarray(state.point.variables), float(jnp.sqrt(state.point.loss)))


_BEGIN = Jit(_begin)
_ADVANCE = Jit(_advance, donate_argnames="state")
