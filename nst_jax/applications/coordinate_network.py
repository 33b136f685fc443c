"""A coordinate network: a perceptron, from the coordinates of a pixel to its colour, fitted to one picture."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nst_jax import optimize
from nst_jax.lbfgs import lbfgs
from nst_jax.loop import run, stage
from nst_jax.problem import seed_key
from nst_jax.rendering.parameterization import PARAMETERIZATIONS, Shape
from nst_jax.surroundings import float32_on_device

_PAINTER = PARAMETERIZATIONS["coordinates"]
_SOLVER = lbfgs(1.0, bounds=_PAINTER.bounds)
_ERROR = "squared_error"


class Fit(NamedTuple):
    """Progress of a fit.

    Attributes:
        step: step of L-BFGS, which follows a fit by Adam; see `parameterization`.
        variables: weights of the perceptron, `[P]`.
        error: root mean square error over pixels and colours.
    """

    step: int
    variables: np.ndarray
    error: float


class PictureFit(struct.PyTreeNode):
    """The problem of fitting a perceptron to a picture.

    Attributes:
        picture: `[H, W, 3]`, RGB in [0, 1].
        key: random key of the initial weights.
    """

    picture: jax.Array
    key: jax.Array

    def init(self, picture: jax.Array) -> optimize.State:
        """Returns the state of a perceptron that Adam has fitted to a picture."""
        return _SOLVER.init(self.evaluate, _PAINTER.encode(picture, self.key))

    def step(self, state: optimize.State) -> tuple[optimize.State, optimize.Info]:
        """Returns the state after one step, and the loss found in it."""
        return _SOLVER.step(self.evaluate, state)

    def result(self, state: optimize.State) -> jax.Array:
        """Returns the weights `[P]` of the perceptron."""
        return state.variables

    def evaluate(self, variables: jax.Array, _: jax.Array) -> optimize.Evaluation:
        """Returns the mean squared error of the picture with the weights `[P]`."""
        height, width = self.picture.shape[:2]

        def loss(variables: jax.Array) -> jax.Array:
            return jnp.mean(jnp.square(_PAINTER.render(variables, (height, width)) - self.picture))

        error, gradient = jax.value_and_grad(loss)(variables)
        return optimize.Evaluation(variables, error, {_ERROR: error}, gradient)

    @property
    def start_shape(self) -> jax.ShapeDtypeStruct:
        """The shape of the picture."""
        return jax.ShapeDtypeStruct(self.picture.shape, self.picture.dtype)


def fit(picture: np.ndarray, *, steps: int, seed: int = 0) -> Iterator[Fit]:
    """Fits a perceptron to a picture `[H, W, 3]`, RGB in [0, 1], and yields its progress."""
    target = float32_on_device(picture)
    problem = PictureFit(target, seed_key(seed))
    for progress in run([stage(problem, target, steps=steps)]):
        error = float(np.sqrt(progress.history.loss[-1]))
        yield Fit(int(progress.history.step[-1]), jax.device_get(progress.result), error)


def draw(variables: jax.Array | np.ndarray, shape: Shape) -> np.ndarray:
    """Returns the picture `[H, W, 3]` of a perceptron, at any height and width."""
    return jax.device_get(_render(float32_on_device(variables), shape))


@functools.partial(jax.jit, static_argnums=1)
def _render(variables: jax.Array, shape: Shape) -> jax.Array:
    return _PAINTER.render(variables, shape)
