"""Many transfers as one program: `jax.vmap` over stacked transfers.

Everything that differs between cells is an array of the transfer: targets, keys, learning rates, and the weights of
terms, layers and style images. The parameters of the backbone, which all share, exist once. A layer or style image that
a cell does not use has weight 0, so cells with different ones are still one compiled program.
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
from nst_jax.regions import Regions
from nst_jax.settings import TRACED, Settings
from nst_jax.surroundings import float32_on_device, int32_on_device
from nst_jax.targets import Layers, make_weights, network_layers, union
from nst_jax.targets import stack as stack_trees
from nst_jax.terms import STYLE
from nst_jax.transfer import Transfer
from nst_jax.vocabulary import LUMINANCE

_LARGE = 1 << 20
"""Bytes from which on arrays are not copied without need."""


class Batch(struct.PyTreeNode):
    """N cells that run at once: a problem like each of them, with a leading axis of N.

    Attributes:
        cells: a problem, such as a transfer, whose arrays have a leading axis of N where its `axes` say so.
        count: N.
    """

    cells: Any
    count: int = struct.field(pytree_node=False)

    def init(self, start: jax.Array) -> optimize.State:
        """Returns the states of the starts of the cells `[N, ...]`, which the first step evaluates."""
        return self._each(lambda cell, own: cell.init(own), start)

    def step(self, states: optimize.State) -> tuple[optimize.State, optimize.Info]:
        """Returns the states after one step, and the losses found in it."""
        return self._each(lambda cell, state: cell.step(state), states)

    def result(self, states: optimize.State) -> jax.Array:
        """Returns the results of the states: of transfers, the pictures `[N, H, W, 3]`."""
        return self._each(lambda cell, state: cell.result(state), states)

    def carry(self, before: optimize.State, states: optimize.State) -> optimize.State:
        """Returns states from starts with what goes on from the last states of a coarser scale."""
        return self._each(lambda cell, both: cell.carry(*both), (before, states))

    def again(self, states: optimize.State) -> optimize.State:
        """Returns states of these cells with other weights as states of the cells as they are."""
        return self._each(lambda cell, state: cell.again(state), states)

    @property
    def start_shape(self) -> jax.ShapeDtypeStruct:
        """The shape of the starts that `init` takes."""
        single = self.cells.start_shape
        return jax.ShapeDtypeStruct((self.count, *single.shape), single.dtype)

    def _each(self, function: Callable[[Any, Any], Any], values: Any) -> Any:
        """Applies a function to each cell and its part of the values, by `jax.vmap`.

        A single cell goes without: vmap computes both sides of every branch and selects, which copies the solver's
        memory and takes a fifth of a step on SqueezeNet.
        """
        axes = self.cells.axes
        if self.count > 1:
            return jax.vmap(function, in_axes=(axes, 0))(self.cells, values)
        cell = map_cells(lambda part: jax.tree.map(_only, part), self.cells)
        found = function(cell, jax.tree.map(_only, values))
        return jax.tree.map(lambda leaf: leaf[None], found)


def map_cells(function: Callable[[Any], Any], cells: Any, *, shared: Callable[[Any], Any] = lambda part: part) -> Any:
    """Returns a problem with a function applied to the cells' own arrays, and `shared` to those that all share."""
    return jax.tree.map(
        lambda axis, part: shared(part) if axis is None else function(part),
        cells.axes,
        cells,
        is_leaf=lambda axis: axis is None,
    )


def stack(transfers: Sequence[Transfer], *, style_images: int = 0) -> Batch:
    """Returns transfers stacked into one batch.

    For a layer that a cell does not use it has the target of another cell, for a style image that of its last one, with
    weight 0: against a target of zeros a relative error could become very large.

    Args:
        transfers: one or more transfers of one program.
        style_images: least number of style images to make room for.

    Raises:
        UserError: there are no transfers, or they need several programs.
    """
    if not transfers:
        raise UserError("transfers: expected one or more, found none")
    first = transfers[0]
    for other in transfers[1:]:
        _check_same_program(first, other)
    layers = union(_layers(transfer) for transfer in transfers)
    room = max(style_images, *(transfer.weights.style_images.shape[-1] for transfer in transfers))
    others = {
        term: {
            layer: next(t.targets[term][layer] for t in transfers if layer in t.targets.get(term, ())) for layer in of
        }
        for term, of in layers.items()
    }
    positions = {
        layer: of for each in transfers if each.weights.regions for layer, of in each.weights.regions.positions.items()
    }
    wide = [_widened(transfer, layers, others, positions, room) for transfer in transfers]
    params = first.params
    if _layers(first) != layers:
        params = first.config.objective.prepare({"params": params["params"]}, network_layers(layers))
    parts = [map_cells(lambda part: part, transfer, shared=lambda _: None) for transfer in wide]
    cells = stack_trees(parts) if len(parts) > 1 else jax.tree.map(_alone, parts[0])
    return Batch(cells.replace(params=params), len(transfers))


def reweighted(batch: Batch, settings: Sequence[Settings], *, regions: Regions | None = None) -> Batch:
    """Returns a batch of transfers whose terms weigh what other settings say: other data for the same program.

    Nothing is measured, and nothing compiled, so that a run can change its weights on its way; see `loop.run`.

    Args:
        batch: the batch.
        settings: for each cell the settings that it has, but for those in `settings.WEIGHING`. A term that the batch
            does not have stays out.
        regions: the regions of all cells, if they have some.

    Raises:
        UserError: a region has no style image with a share.
    """
    before = batch.cells.weights
    layers = {term: tuple(of) for term, of in before.layers.items()}
    images = before.style_images.shape[-1]
    each = [make_weights(own, layers, style_images=images, regions=regions) for own in settings]
    # On the host: on the device, the first change of each kind would compile what stacks it.
    weights = jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves)), *jax.device_get(each))
    if before.regions is not None:
        weights = weights.replace(regions=weights.regions.replace(positions=before.regions.positions))
    rates = float32_on_device(np.array([own.learning_rate for own in settings]))
    return batch.replace(cells=batch.cells.replace(weights=weights, learning_rate=rates))


def compiled_settings(settings: Settings) -> tuple[tuple[str, Any], ...]:
    """Returns (name, value) of the settings that are compiled in, in which transfers of one program agree."""
    compiled = tuple((name, value) for name, value in dataclasses.asdict(settings).items() if name not in TRACED)
    return (*compiled, (LUMINANCE, settings.colours == LUMINANCE))


def state_of(states: optimize.State, cell: int) -> optimize.State:
    """Returns the state of a cell, on the host."""
    return jax.device_get(_cell(states, int32_on_device(cell)))


def _alone(leaf: jax.Array) -> jax.Array:
    """Returns an array with a leading axis of 1: of a large one on a CPU a view, where JAX would copy it.

    The content's features of a picture of 12 megapixels have 400 MB, and the transfer keeps its own.
    """
    if jax.default_backend() == "cpu" and jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.nbytes >= _LARGE:
        return jax.device_put(jax.device_get(leaf)[None])
    return stack_trees([leaf])


@jax.jit  # with a traced index, so that one program serves all cells
def _cell(states: optimize.State, cell: jax.Array) -> optimize.State:
    return jax.tree.map(lambda leaf: leaf[cell], states)


def _only(leaf: jax.Array) -> jax.Array:
    return jax.lax.index_in_dim(leaf, 0, keepdims=False)


def _layers(transfer: Transfer) -> Layers:
    return {term: tuple(of) for term, of in transfer.weights.layers.items()}


def _widened(
    transfer: Transfer, layers: Layers, others: dict[str, dict[str, Any]], positions: dict[str, jax.Array], room: int
) -> Transfer:
    """Returns a transfer with all these layers, with what others have where it has none, and more style images."""
    own, weights = transfer.targets, transfer.weights
    # Shares that are all 0 would blend the targets of others to zeros.
    shares = weights.style_images
    if not shares.shape[-1]:
        shares = float32_on_device(np.ones(min(room, 1)))
    others_shares = float32_on_device(np.zeros((*shares.shape[:-1], room - shares.shape[-1])))
    regions = weights.regions
    if regions is not None:
        own_positions = {layer: regions.positions.get(layer, positions[layer]) for layer in layers[STYLE]}
        regions = regions.replace(positions=own_positions)

    def more_images(leaf: jax.Array) -> jax.Array:
        last = jax.lax.slice_in_dim(leaf, len(leaf) - 1, len(leaf)) if len(leaf) else leaf
        return jnp.concatenate([leaf, *[last] * (room - len(leaf))])

    targets = {
        term: {layer: own.get(term, {}).get(layer, others[term][layer]) for layer in of} for term, of in layers.items()
    }
    targets[STYLE] = jax.tree.map(more_images, targets[STYLE])
    nothing = float32_on_device(0)
    return transfer.replace(
        targets=targets,
        weights=weights.replace(
            terms={term: weights.terms.get(term, nothing) for term in layers},
            layers={
                term: {layer: weights.layers.get(term, {}).get(layer, nothing) for layer in of}
                for term, of in layers.items()
            },
            style_images=jnp.concatenate([shares, others_shares], axis=-1),
            regions=regions,
        ),
    )


def _regions(transfer: Transfer) -> tuple[int, bool]:
    """Returns the number of regions of a transfer, and whether some of the content image stays."""
    regions = transfer.weights.regions
    return (0 if regions is None else len(regions.terms)), transfer.kept is not None


def _check_same_program(first: Transfer, other: Transfer) -> None:
    """Checks that one program runs both.

    Raises:
        UserError: their canvases or compiled settings differ.
    """
    pairs = {"canvas": (first.canvas, other.canvas), "regions": (_regions(first), _regions(other))}
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
        ours[name] is not theirs[name] and not np.array_equal(*jax.device_get((ours[name], theirs[name])))
        for name in ours
    ):
        raise UserError("params: expected the same weights of the backbone in all transfers of a batch, found others")
