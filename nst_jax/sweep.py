"""Many transfers as one program: a leading axis of cells, under the very steps of a single transfer.

What differs from cell to cell is a traced array: weights, also those of layers and paintings, the photograph, the
initial picture, the learning rate. What they share is there once: the parameters, and the targets of every photograph
and painting, from which each cell takes its own. Cells may thus use other layers, paintings and photographs and still
be one compiled program.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nst_jax import optimize, transfer
from nst_jax.backbones.weights import Pretrained
from nst_jax.errors import UserError
from nst_jax.objective import Objective, Targets, Weights
from nst_jax.settings import Optimizer, Settings
from nst_jax.transfer import History, Transfer

TRACED = {
    *("content_weight", "style_weight", "tv_weight", "content_layers", "style_layers", "style_layer_weights"),
    *("blend_weights", "learning_rate", "init", "init_noise"),
}
"""Settings that cells of one program may differ in; all others are part of the program."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A transfer among many.

    Attributes:
        settings: its own; `blend_weights` has a share for every painting of the sweep, 0 for those that are not its.
        content: index of its photograph.
        seed: of the noise, where its initial picture has any.
    """

    settings: Settings
    content: int = 0
    seed: int = 0


@struct.dataclass
class Cells:
    """What differs from cell to cell; every array has a leading axis of N cells.

    Attributes:
        weights: of the terms, layers and paintings.
        content: `[N]`, the index of the photograph.
    """

    weights: Weights
    content: jax.Array


@struct.dataclass
class Sweep:
    """What all cells share, ready to run; the static part is the program.

    Attributes:
        params: of the backbone.
        content: layer → features of every photograph `[P, H, W, C]`.
        style: layer → Gram matrices of every painting `[S, C, C]`.
        objective: the formulas.
        optimizer: of the pictures.
        margin: of the canvas, see `Transfer`.
    """

    params: Any
    content: dict[str, jax.Array]
    style: dict[str, jax.Array]
    objective: Objective = struct.field(pytree_node=False)
    optimizer: Optimizer = struct.field(pytree_node=False)
    margin: int = struct.field(pytree_node=False)

    def transfer(self, cell: Cells) -> Transfer:
        """Returns the transfer of one cell, whose arrays have no leading axis."""
        targets = Targets(content={layer: maps[cell.content] for layer, maps in self.content.items()}, style=self.style)
        return Transfer(self.params, targets, cell.weights, self.objective, self.optimizer, self.margin)


class News(NamedTuple):
    """What some steps of all cells found.

    Attributes:
        history: as of a single transfer, its arrays `[S, N]` for S steps but for `step`, which is `[S]`.
        finite: `[S, N]`, whether loss and gradient of the cell were numbers; a cell where they were not stays where it
            was before, and none of its later steps means anything.
    """

    history: History
    finite: np.ndarray


def prepare(
    pretrained: Pretrained, cells: Sequence[Cell], contents: Sequence[np.ndarray], paintings: Sequence[np.ndarray]
) -> tuple[Sweep, Cells]:
    """Computes what the pictures should resemble, once for each photograph and painting.

    Args:
        pretrained: the backbone.
        cells: one or more.
        contents: the photographs, `[H, W, 3]` each, RGB in [0, 1], all of one size.
        paintings: of any sizes.

    Raises:
        UserError: there are no cells, they need different programs, or the pictures or settings are unusable.
    """
    shared = _shared_settings(cells)
    if len({content.shape for content in contents}) != 1:
        raise UserError("photographs: expected one size in a sweep, found several; resize them, or sweep size by size")
    content_layers = _union(cell.settings.content_layers for cell in cells)
    style_layers = _union(cell.settings.style_layers for cell in cells)
    objective = transfer.make_objective(pretrained.backbone, shared)
    params = jax.device_put(pretrained.params)
    maps = [
        transfer.content_targets(params, objective, content_layers, content, margin=shared.margin)
        for content in contents
    ]
    sweep = Sweep(
        params=params,
        content=_stacked(maps),
        style=transfer.style_targets(params, objective, style_layers, paintings),
        objective=objective,
        optimizer=shared.optimizer,
        margin=shared.margin,
    )
    weights = [
        _with_layers(transfer.loss_weights(cell.settings, paintings=len(paintings)), content_layers, style_layers)
        for cell in cells
    ]
    return sweep, Cells(_stacked(weights), jnp.asarray([cell.content for cell in cells], jnp.int32))


def initial_images(cells: Sequence[Cell], contents: Sequence[np.ndarray]) -> jax.Array:
    """Returns the pictures to start from, `[N, H, W, 3]`: those of single transfers with the same settings."""
    return jnp.stack(
        [transfer.initial_image(cell.settings, jnp.asarray(contents[cell.content]), seed=cell.seed) for cell in cells]
    )


def start(sweep: Sweep, cells: Cells, images: jax.Array, learning_rates: Sequence[float]) -> optimize.State:
    """Returns the states before the first step of painting over `images` `[N, H, W, 3]`, with a leading axis of N.

    A cell whose initial loss is no number shows in `state.point.finite`.
    """
    return _start(sweep, cells, transfer.extend(images, sweep.margin), jnp.float32(learning_rates))


def run(
    sweep: Sweep, cells: Cells, states: optimize.State, *, steps: int, pause_every: int = 0
) -> Iterator[tuple[optimize.State, News]]:
    """Runs all cells until `steps` steps are done; otherwise as `transfer.run`, but that no cell can end the others.

    Args:
        sweep: what all cells share.
        cells: what they do not.
        states: to go on from, all after the same number of steps; given up to the device.
        steps: at which to end, counted from the first of all.
        pause_every: yields at every multiple of it; 0 for only as time has passed.

    Yields:
        The states, and what was found since the last yield.
    """
    advance = functools.partial(_advance, sweep, cells)
    done = int(states.step.max())
    for reached, before, info in transfer.drive(advance, states, done=done, steps=steps, pause_every=pause_every):
        yield reached, News(transfer.history_of(before, info), info.finite)


def pictures(sweep: Sweep, states: optimize.State) -> np.ndarray:
    """Returns the pictures `[N, H, W, 3]` that a run has come to, without the margin."""
    return transfer.crop(states.point.image, sweep.margin)


@jax.jit
def _start(sweep: Sweep, cells: Cells, images: jax.Array, learning_rates: jax.Array) -> optimize.State:
    def single(cell: Cells, image: jax.Array, learning_rate: jax.Array) -> optimize.State:
        return optimize.init(sweep.transfer(cell).evaluate, image, learning_rate, optimizer=sweep.optimizer)

    return jax.vmap(single)(cells, images, learning_rates)


@functools.partial(jax.jit, donate_argnames="states")
def _advance(
    sweep: Sweep, cells: Cells, states: optimize.State, length: jax.Array
) -> tuple[optimize.State, optimize.Info]:
    def single(cell: Cells, state: optimize.State) -> tuple[optimize.State, optimize.Info]:
        evaluate = sweep.transfer(cell).evaluate
        return optimize.chunk(evaluate, state, length, optimizer=sweep.optimizer, longest=transfer.LONGEST_CHUNK)

    # Steps first, as of a single transfer, cells second.
    return jax.vmap(single, out_axes=(0, 1))(cells, states)


def _shared_settings(cells: Sequence[Cell]) -> Settings:
    """Returns settings whose static part is that of all cells."""
    if not cells:
        raise UserError("cells: expected one or more, found none")
    first = cells[0].settings
    for field in dataclasses.fields(Settings):
        values = {getattr(cell.settings, field.name) for cell in cells}
        if field.name not in TRACED and len(values) > 1:
            found = ", ".join(map(str, sorted(values, key=str)))
            raise UserError(f"{field.name}: expected the same in all cells of one program, found {found}")
    return first


def _union(layers: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(itertools.chain.from_iterable(layers)))


def _with_layers(weights: Weights, content_layers: tuple[str, ...], style_layers: tuple[str, ...]) -> Weights:
    """Returns the weights with 0 for those layers that only other cells have."""
    return weights.replace(
        content_layers={layer: weights.content_layers.get(layer, jnp.float32(0)) for layer in content_layers},
        style_layers={layer: weights.style_layers.get(layer, jnp.float32(0)) for layer in style_layers},
    )


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
