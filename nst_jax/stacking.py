"""Many transfers as one program: `jax.vmap` over stacked transfers.

What differs from cell to cell is an array of the transfer: weights, also those of layers and style images, targets,
keys, learning rates. What they share is there once: the parameters of the backbone. A layer or a style image that a
cell does not use weighs nothing, so cells may use others and still be one compiled program.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nst_jax import optimize
from nst_jax.errors import UserError
from nst_jax.objective import STYLE
from nst_jax.settings import TRACED, Settings
from nst_jax.targets import Layers, network_layers, union
from nst_jax.targets import stack as stack_trees
from nst_jax.transfer import Transfer


class Batch(struct.PyTreeNode):
    """Cells that run at once: a problem as each of them is, with a leading axis of N.

    Attributes:
        cells: one problem, such as a transfer, whose arrays have a leading axis of N where its `axes` say so.
        count: N.
    """

    cells: Any
    count: int = struct.field(pytree_node=False)

    def init(self, start: jax.Array) -> optimize.State:
        """Returns the states before the first step, each cell from its part of `start` `[N, ...]`."""
        return self._each(lambda cell, own: cell.init(own), start)

    def step(self, states: optimize.State) -> tuple[optimize.State, optimize.Info]:
        """Returns the states after one step, and what it found."""
        return self._each(lambda cell, state: cell.step(state), states)

    def result(self, states: optimize.State) -> jax.Array:
        """Returns what the states stand for, of transfers the pictures `[N, H, W, 3]`."""
        return self._each(lambda cell, state: cell.result(state), states)

    @property
    def start_shape(self) -> jax.ShapeDtypeStruct:
        """The shape of what `init` takes."""
        single = self.cells.start_shape
        return jax.ShapeDtypeStruct((self.count, *single.shape), single.dtype)

    def _each(self, function: Callable[[Any, Any], Any], values: Any) -> Any:
        """Returns what a function makes of each cell and its part of the values, as `jax.vmap` does.

        Of one cell it is the function alone: vmap computes both sides of every branch and chooses, which means copies
        of the solver's memory, a fifth of a step on SqueezeNet.
        """
        axes = self.cells.axes
        if self.count > 1:
            return jax.vmap(function, in_axes=(axes, 0))(self.cells, values)
        cell = map_cells(lambda part: jax.tree.map(lambda leaf: leaf[0], part), self.cells)
        found = function(cell, jax.tree.map(lambda leaf: leaf[0], values))
        return jax.tree.map(lambda leaf: leaf[None], found)


def map_cells(function: Callable[[Any], Any], cells: Any, *, shared: Callable[[Any], Any] = lambda part: part) -> Any:
    """Returns a problem with a function applied to what each cell has of its own, and `shared` to what all share."""
    return jax.tree.map(
        lambda axis, part: shared(part) if axis is None else function(part),
        cells.axes,
        cells,
        is_leaf=lambda axis: axis is None,
    )


def stack(transfers: Sequence[Transfer], *, style_images: int = 0) -> Batch:
    """Returns transfers as one batch.

    A cell that does not use a layer or a style image has the target of another there, or of another style image of its
    own, with weight 0: no target of zeros, of which a relative error may become very large.

    Args:
        transfers: one or more, of one program.
        style_images: for how many of them there should be room, if that are more than any cell has.

    Raises:
        UserError: there are none, or they need several programs.
    """
    if not transfers:
        raise UserError("transfers: expected one or more, found none")
    first = transfers[0]
    for other in transfers[1:]:
        _check_same_program(first, other)
    layers = union(_layers(transfer) for transfer in transfers)
    room = max(style_images, *(len(transfer.weights.style_images) for transfer in transfers))
    others = {
        term: {
            layer: next(t.targets[term][layer] for t in transfers if layer in t.targets.get(term, ())) for layer in of
        }
        for term, of in layers.items()
    }
    wide = [_widened(transfer, layers, others, room) for transfer in transfers]
    params = first.params
    if _layers(first) != layers:
        params = first.config.objective.prepare({"params": params["params"]}, network_layers(layers))
    parts = [map_cells(lambda part: part, transfer, shared=lambda _: None) for transfer in wide]
    return Batch(stack_trees(parts).replace(params=params), len(transfers))


def compiled_settings(settings: Settings) -> tuple[tuple[str, Any], ...]:
    """Returns those settings, by name, that are part of the program: transfers in which they differ need several."""
    return tuple((name, value) for name, value in dataclasses.asdict(settings).items() if name not in TRACED)


def state_of(states: optimize.State, cell: int) -> optimize.State:
    """Returns the state of a cell, on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[cell]), states)


def _layers(transfer: Transfer) -> Layers:
    return {term: tuple(of) for term, of in transfer.weights.layers.items()}


def _widened(transfer: Transfer, layers: Layers, others: dict[str, dict[str, Any]], room: int) -> Transfer:
    """Returns a transfer with all these layers, those that it has not with others' targets, and more style images."""
    own, weights = transfer.targets, transfer.weights
    # Shares that are all 0 would blend another's targets to zeros.
    shares = weights.style_images if len(weights.style_images) else jnp.ones(min(room, 1))

    def more_images(leaf: jax.Array) -> jax.Array:
        return jnp.concatenate([leaf, *[leaf[-1:]] * (room - len(leaf))])

    targets = {
        term: {layer: own.get(term, {}).get(layer, others[term][layer]) for layer in of} for term, of in layers.items()
    }
    targets[STYLE] = jax.tree.map(more_images, targets[STYLE])
    nothing = jnp.float32(0)
    return transfer.replace(
        targets=targets,
        weights=weights.replace(
            terms={term: weights.terms.get(term, nothing) for term in layers},
            layers={
                term: {layer: weights.layers.get(term, {}).get(layer, nothing) for layer in of}
                for term, of in layers.items()
            },
            style_images=jnp.pad(shares, (0, room - len(shares))),
        ),
    )


def _check_same_program(first: Transfer, other: Transfer) -> None:
    """Checks that one program runs both.

    Raises:
        UserError: their canvases or something that is compiled differ.
    """
    pairs = {"canvas": (first.canvas, other.canvas)}
    for part, of in ((first.config, other.config), (first.config.objective, other.config.objective)):
        pairs |= {
            field.name: (getattr(part, field.name), getattr(of, field.name))
            for field in dataclasses.fields(part)
            if field.name != "objective"
        }
    for name, (one, another) in pairs.items():
        if one != another:
            raise UserError(f"{name}: expected the same in all transfers of a batch, found {one} and {another}")
    ours, theirs = first.params["params"], other.params["params"]
    if ours.keys() != theirs.keys() or any(
        ours[name] is not theirs[name] and not np.array_equal(ours[name], theirs[name]) for name in ours
    ):
        raise UserError("params: expected the same weights of the backbone in all transfers of a batch, found others")
