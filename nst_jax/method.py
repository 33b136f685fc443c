"""One transfer as it runs: from variables to a canvas, to what the network sees, to a loss, to the next step."""

import dataclasses
from typing import Any

import jax
from flax import struct

from nst_jax import optimize
from nst_jax.objective import Objective, Targets, Weights
from nst_jax.parameterization import PARAMETERIZATIONS, Parameterizer
from nst_jax.settings import Optimizer, Parameterization
from nst_jax.transformation import Transformation, transform

LONGEST_CHUNK = 64
"""Steps that the device does without a break, at most."""


@dataclasses.dataclass(frozen=True)
class Method:
    """The static part of a transfer, which is compiled. Hashable: a static argument of jit.

    Attributes:
        objective: the formulas.
        optimizer: of the picture.
        margin: of the canvas, in pixels.
        parameterization: of the canvas.
        transformation: of the canvas, before the network sees it.
    """

    objective: Objective
    optimizer: Optimizer
    margin: int
    parameterization: Parameterization
    transformation: Transformation

    @property
    def parameterizer(self) -> Parameterizer:
        """The functions of the parameterization."""
        return PARAMETERIZATIONS[self.parameterization]


@struct.dataclass
class Transfer:
    """One transfer, ready to run: a pytree whose static part is the program and whose arrays are the data.

    It works on a canvas `[H + 2 margin, W + 2 margin, 3]`, the picture and the margin that is cut off at the end.

    Attributes:
        params: of the backbone, see `Objective.prepare`.
        targets: what the canvas is compared with.
        weights: of the terms.
        seed: of the transformations.
        method: the static part.
        canvas: its height and width.
    """

    params: Any
    targets: Targets
    weights: Weights
    seed: jax.Array
    method: Method = struct.field(pytree_node=False)
    canvas: tuple[int, int] = struct.field(pytree_node=False)

    def evaluate(self, variables: jax.Array, step: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the loss of the canvas that the variables render to, as a step sees it, and its terms by name."""
        canvas, how = self.render(variables), self.method.transformation
        seen = canvas
        if how.moves:
            seen = transform(how, canvas, jax.random.fold_in(jax.random.key(self.seed), step))
        return self.method.objective.loss(self.params, canvas, self.targets, self.weights, seen=seen)

    def render(self, variables: jax.Array) -> jax.Array:
        """Returns the canvas of the variables."""
        return self.method.parameterizer.render(variables, self.canvas)

    def begin(self, canvas: jax.Array, learning_rate: jax.Array) -> optimize.State:
        """Returns the state before the first step of painting over a canvas; see `optimize.init`."""
        how = self.method
        variables = how.parameterizer.encode(canvas)
        return optimize.init(
            self.evaluate, variables, learning_rate, optimizer=how.optimizer, limits=how.parameterizer.limits
        )

    def advance(self, state: optimize.State, length: jax.Array) -> tuple[optimize.State, optimize.Info]:
        """Runs `length` steps, at most `LONGEST_CHUNK`; see `optimize.chunk`."""
        how, longest = self.method, LONGEST_CHUNK
        return optimize.chunk(
            self.evaluate, state, length, optimizer=how.optimizer, longest=longest, limits=how.parameterizer.limits
        )
