"""A style transfer as a problem for the loop: one self-contained pytree, from a start to a picture.

`Transfer.init`, `Transfer.step` and `Transfer.result` are the parts of any run; `transfer.prepare` makes it.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from nst_jax import optimize
from nst_jax.configuration import TransferConfig
from nst_jax.objective import Choices, Targets, Weights
from nst_jax.rendering.canvas import CUBIC, crop, extend, resize
from nst_jax.rendering.grey import project
from nst_jax.rendering.luminance import recoloured
from nst_jax.rendering.shifts import shifted
from nst_jax.rendering.transformation import transform
from nst_jax.terms import CONTENT


class Matching(struct.PyTreeNode):
    """The content image's part in the picture that chooses among positions of the style image, see `losses.Joint`.

    Attributes:
        content: the canvas of the content image.
        share: its share; the rest is what the transfer starts from.
    """

    content: jax.Array
    share: jax.Array


class Kept(struct.PyTreeNode):
    """What stays of the content image.

    Attributes:
        content: the canvas of the content image, `[H, W, 3]`.
        share: how much of each of its pixels stays, `[H, W, 1]` in [0, 1].
    """

    content: jax.Array
    share: jax.Array

    def put_back(self, canvas: jax.Array) -> jax.Array:
        """Returns a canvas with what stays; where all of a pixel does, to the bit."""
        return self.share * self.content + (1 - self.share) * canvas


class Transfer(struct.PyTreeNode):
    """One transfer, self-contained: a pytree whose static part is the program and whose arrays are the data.

    It works on a canvas `[H + 2 margin, W + 2 margin, 3]`: the picture and a margin that is cropped at the end.

    Attributes:
        params: parameters of the backbone, see `Objective.prepare`.
        targets: the statistics that the canvas is compared with; those of the content image from each shift.
        weights: weights of the terms; the positions of regions from each shift.
        learning_rate: learning rate of the solver.
        grey: whether the canvas is grey.
        key: random key of transformations, and of variables that do not follow from the image alone.
        matching: how what does not change is chosen of the targets; None if nothing is.
        kept: what stays of the content image; None if nothing does.
        chroma: what is added to the luminance that is painted, `[H, W, 3]`; None if colours are painted.
        config: the static part.
        canvas: height and width of the canvas.
    """

    params: Any
    targets: Targets
    weights: Weights
    learning_rate: jax.Array
    grey: jax.Array
    key: jax.Array
    matching: Matching | None
    kept: Kept | None
    chroma: jax.Array | None
    config: TransferConfig = struct.field(pytree_node=False)
    canvas: tuple[int, int] = struct.field(pytree_node=False)

    def init(self, image: jax.Array) -> optimize.State:
        """Returns the state of an initial image `[H, W, 3]`, which the first step evaluates, see `optimize.Solver`."""
        canvas = extend(project(self.grey, self.config.seen(image)), self.config.margin)
        variables = self.config.parameterizer.encode(canvas, self.key)
        chosen = self._choose(canvas) if self.matching else None
        return self.solver.init(functools.partial(self.evaluate, chosen=chosen), variables).replace(chosen=chosen)

    def step(self, state: optimize.State) -> tuple[optimize.State, optimize.Info]:
        """Returns the state after one step, and the loss found in it; the first step evaluates the initial image."""
        return self.solver.step(functools.partial(self.evaluate, chosen=state.chosen), state)

    def result(self, state: optimize.State) -> jax.Array:
        """Returns the picture `[H, W, 3]` of a state, without the margin."""
        picture = crop(self.render(self.solver.read(state)), self.config.margin)
        return picture if self.chroma is None else recoloured(picture, self.chroma)

    def carry(self, before: optimize.State, state: optimize.State) -> optimize.State:
        """Returns a state from a start with what goes on from the last state of the same transfer at a coarser scale.

        That is the number of steps, and Adam's memory, as in crowsonkb's style-transfer-pytorch: its count, its first
        moments enlarged by the cubic filter, and its second moments linearly, so that none is below 0. Pairs of L-BFGS
        are differences in another space, so that it starts anew; so do averages, and whatever optimises no pixels.
        """
        state = state.replace(step=before.step)
        memories = optax.tree.get_all_with_path(before.memory, "nu")
        if not memories or self.config.parameterization != "pixels":
            return state

        def enlarged(moments: jax.Array, method: Any) -> jax.Array:
            picture = resize(crop(moments, self.config.margin), self.start_shape.shape[:2], method=method)
            return extend(picture, self.config.margin)

        memory = optax.tree.set(
            state.memory,
            count=optax.tree.get_all_with_path(before.memory, "count")[0][1],
            mu=enlarged(optax.tree.get(before.memory, "mu"), CUBIC),
            nu=jnp.maximum(enlarged(memories[0][1], "linear"), 0),
        )
        return state.replace(memory=memory)

    def again(self, state: optimize.State) -> optimize.State:
        """Returns a state of this transfer with other weights as one of it as it is, see `optimize.Solver`."""
        return self.solver.again(state)

    def evaluate(self, variables: jax.Array, step: jax.Array, chosen: Choices | None = None) -> optimize.Evaluation:
        """Returns the loss of the canvas that the variables render to in a step, its terms and its gradient.

        Args:
            variables: the variables.
            step: number of the step.
            chosen: what the start chose, in its state.
        """
        # Pixels are projected themselves, so that they and the canvas are one array, of which a large picture has few.
        pixels = self.config.parameterization == "pixels" and self.kept is None
        variables = project(self.grey, variables) if pixels else variables

        def loss(variables: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
            return self.loss(variables if pixels else self.render(variables), step, chosen)

        (value, terms), gradient = jax.value_and_grad(loss, has_aux=True)(variables)
        gradient = project(self.grey, gradient) if pixels else gradient
        return optimize.Evaluation(variables, value, terms, gradient)

    def loss(
        self, canvas: jax.Array, step: jax.Array, chosen: Choices | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the loss of a canvas as the network sees it in a step, and its terms; see `Objective.loss`."""
        seen, moves, targets, weights = canvas, self.config.transformation, self.targets, self.weights
        if moves.moves:
            seen = transform(moves, canvas, jax.random.fold_in(self.key, step))
        if self.config.shifts > 1:
            turn = step // self.config.shift_steps % self.config.shifts
            seen = shifted(seen, turn, self.config.shifts)
            targets = {**targets, CONTENT: jax.tree.map(lambda of: of[turn], targets[CONTENT])}
            if weights.regions is not None:
                positions = jax.tree.map(lambda of: of[turn], weights.regions.positions)
                weights = weights.replace(regions=weights.regions.replace(positions=positions))
        return self.config.objective.loss(self.params, canvas, targets, weights, seen=seen, chosen=chosen)

    def _choose(self, canvas: jax.Array) -> Choices:
        """Returns what the mean of content image and start, by their shares, chooses of the targets."""
        assert self.matching is not None, "asked for by init"
        content, share = project(self.grey, self.matching.content), self.matching.share
        mean = share * content + (1 - share) * canvas
        return self.config.objective.choose(self.params, mean, self.targets, self.weights)

    def render(self, variables: jax.Array) -> jax.Array:
        """Returns the canvas of the variables."""
        canvas = project(self.grey, self.config.parameterizer.render(variables, self.canvas))
        return canvas if self.kept is None else self.kept.put_back(canvas)

    @property
    def solver(self) -> optimize.Solver:
        """The solver, with the bounds of the variables."""
        solver = self.config.solver(self.learning_rate, bounds=self.config.parameterizer.bounds)
        return optimize.averaged(solver, self.config.averaging) if self.config.averaging else solver

    @property
    def axes(self) -> "Transfer":
        """The axis of cells in each array of stacked transfers; None for the parameters, which all share."""
        arrays = dict.fromkeys(("targets", "weights", "learning_rate", "grey", "key", "matching", "kept", "chroma"), 0)
        return self.replace(params=None, **arrays)

    @property
    def start_shape(self) -> jax.ShapeDtypeStruct:
        """The shape of the image that `init` takes, without margin."""
        height, width = (side - 2 * self.config.margin for side in self.canvas)
        return jax.ShapeDtypeStruct((height, width, 3), jnp.float32)


def seed_key(seed: int) -> jax.Array:
    """Returns the random key of a seed from 0 to 2³² − 1."""
    return jax.random.key(jax.device_put(np.uint32(seed)))
