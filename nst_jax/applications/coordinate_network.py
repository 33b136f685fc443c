"""A perceptron that learns to paint one picture, from the coordinates of a pixel to its colour."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nst_jax import optimize
from nst_jax.loop import run, stage
from nst_jax.rendering.parameterization import PARAMETERIZATIONS, Shape
from nst_jax.transfer import seed_key

_PAINTER = PARAMETERIZATIONS["coordinates"]
_SOLVER = optimize.lbfgs(1.0, bounds=_PAINTER.bounds)
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


class PictureFit(struct.PyTreeNode):
    """The problem of painting a picture by a perceptron.

    Attributes:
        picture: `[H, W, 3]`, RGB in [0, 1].
        key: of the weights to begin with.
    """

    picture: jax.Array
    key: jax.Array

    def init(self, picture: jax.Array) -> optimize.State:
        """Returns the state of a perceptron that Adam has taught a picture."""
        return _SOLVER.init(self.evaluate, _PAINTER.encode(picture, self.key))

    def step(self, state: optimize.State) -> tuple[optimize.State, optimize.Info]:
        """Returns the state after one step, and what the step found."""
        return _SOLVER.step(self.evaluate, state)

    def result(self, state: optimize.State) -> jax.Array:
        """Returns the weights `[P]` of the perceptron."""
        return state.variables

    def evaluate(self, variables: jax.Array, _: jax.Array) -> optimize.Evaluation:
        """Returns the mean squared error of the picture that the weights `[P]` paint."""
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
    """Learns a picture `[H, W, 3]`, RGB in [0, 1], and tells now and then how far it is."""
    target = jnp.asarray(picture)
    problem = PictureFit(target, seed_key(seed))
    for progress in run([stage(problem, target, steps=steps)]):
        error = float(np.sqrt(progress.history.loss[-1]))
        yield Fit(int(progress.history.step[-1]), np.asarray(progress.result), error)


def draw(variables: jax.Array, shape: Shape) -> np.ndarray:
    """Returns the picture `[H, W, 3]` at any height and width."""
    return np.asarray(_PAINTER.render(variables, shape))
