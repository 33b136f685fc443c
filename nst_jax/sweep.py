"""Many transfers as one program: a leading axis of cells, under the very steps of a single transfer.

What differs from cell to cell is a traced array: weights, also those of layers and paintings, the photograph, the
initial picture, the learning rate. What they share is there once: the parameters, and the targets of every photograph
and painting, from which each cell takes its own. Cells may thus use other layers, paintings and photographs and still
be one compiled program.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nst_jax import optimize, transfer
from nst_jax.backbones.spec import Backbone
from nst_jax.backbones.weights import Pretrained
from nst_jax.compilation import Jit
from nst_jax.errors import UserError
from nst_jax.objective import Objective, Targets, Weights
from nst_jax.settings import Optimizer, Settings
from nst_jax.transfer import History, Transfer

TRACED = {
    *("content_weight", "style_weight", "tv_weight", "content_layers", "style_layers", "style_layer_weights"),
    *("blend_weights", "learning_rate", "steps", "init", "init_noise"),
}
"""Settings that cells of one program may differ in; all others are part of the program."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A transfer among many.

    Attributes:
        settings: its own.
        content: index of its photograph.
        paintings: indices of its paintings.
        seed: of the noise, where its initial picture has any.
    """

    settings: Settings
    content: int = 0
    paintings: tuple[int, ...] = (0,)
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Program:
    """What is compiled; cells with an equal one, and pictures of the same size, can be in one batch.

    Attributes:
        objective: the formulas.
        optimizer: of the pictures.
        margin: of the canvas, see `Transfer`.
        content_layers: all layers at which some cell compares content.
        style_layers: likewise for style.
    """

    objective: Objective
    optimizer: Optimizer
    margin: int
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]


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
    """What all cells share, ready to run.

    Attributes:
        params: of `prepare_params`.
        content: layer → features of every photograph `[P, H, W, C]`.
        style: layer → Gram matrices of every painting `[S, C, C]`.
        program: the static part.
    """

    params: Any
    content: dict[str, jax.Array]
    style: dict[str, jax.Array]
    program: Program = struct.field(pytree_node=False)

    def transfer(self, cell: Cells) -> Transfer:
        """Returns the transfer of one cell, whose arrays have no leading axis."""
        targets = Targets(content={layer: maps[cell.content] for layer, maps in self.content.items()}, style=self.style)
        program = self.program
        return Transfer(self.params, targets, cell.weights, program.objective, program.optimizer, program.margin)


class News(NamedTuple):
    """What some steps of all cells found.

    Attributes:
        history: as of a single transfer, its arrays `[S, N]` for S steps but for `step`, which is `[S]`.
        finite: `[S, N]`, whether loss and gradient of the cell were numbers; a cell where they were not stays where it
            was before, and none of its later steps means anything.
    """

    history: History
    finite: np.ndarray

    def of(self, cell: int) -> History:
        """Returns the history of a cell; `transfer.diverged` tells what is wrong where it is not finite."""
        step, *others = self.history
        return History(step, *jax.tree.map(lambda values: values[:, cell], others))


def news_of(states: optimize.State) -> News:
    """Returns the news that consist of where the cells stand: as a history, the picture before the first step."""
    point = states.point
    loss, terms, finite = jax.device_get((point.loss, point.terms, jax.vmap(lambda point: point.finite)(point)))
    history = History(np.asarray(states.step.max()), loss, terms, np.ones(len(loss), np.int32))
    return News(jax.tree.map(lambda values: values[None], history), finite[None])


def state_of(states: optimize.State, cell: int) -> optimize.State:
    """Returns the state of a cell, on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[cell]), states)


def program_settings(settings: Settings) -> tuple[tuple[str, Any], ...]:
    """Returns those settings, by name, that are part of the program: cells in which they differ need several."""
    return tuple((name, value) for name, value in dataclasses.asdict(settings).items() if name not in TRACED)


def make_program(backbone: Backbone, cells: Sequence[Cell]) -> Program:
    """Returns the program that runs all the cells.

    Raises:
        UserError: there are none, or they need several.
    """
    if not cells:
        raise UserError("cells: expected one or more, found none")
    settings = cells[0].settings
    for entries in zip(*(program_settings(cell.settings) for cell in cells), strict=True):
        if len(set(entries)) > 1:
            found = ", ".join(sorted({str(value) for _, value in entries}))
            raise UserError(f"{entries[0][0]}: expected the same in all cells of one program, found {found}")
    return Program(
        objective=transfer.make_objective(backbone, settings),
        optimizer=settings.optimizer,
        margin=settings.margin,
        content_layers=_union(cell.settings.content_layers for cell in cells),
        style_layers=_union(cell.settings.style_layers for cell in cells),
    )


def content_targets(params: Any, program: Program, content: np.ndarray) -> dict[str, jax.Array]:
    """Returns layer → features `[H', W', C]` of a photograph `[H, W, 3]`; raises as `transfer.content_targets`."""
    return transfer.content_targets(params, program.objective, program.content_layers, content, margin=program.margin)


def style_targets(params: Any, program: Program, painting: np.ndarray) -> dict[str, jax.Array]:
    """Returns layer → Gram matrix `[C, C]` of a painting `[H, W, 3]`; raises as `transfer.style_targets`."""
    return transfer.style_targets(params, program.objective, program.style_layers, painting)


def prepare_params(params: Any, program: Program) -> Any:
    """Returns the parameters as `gather` wants them, with what makes many evaluations fast; see `Objective.prepare`."""
    return program.objective.prepare(params, program.content_layers + program.style_layers)


def gather(
    params: Any,
    program: Program,
    cells: Sequence[Cell],
    contents: Sequence[dict[str, jax.Array]],
    paintings: Sequence[dict[str, jax.Array]],
) -> tuple[Sweep, Cells]:
    """Puts together what the cells share, and what they do not.

    Args:
        params: of `prepare_params`.
        program: that runs the cells.
        cells: one or more.
        contents: the targets of the photographs that the cells have the indices of.
        paintings: likewise of the paintings.

    Raises:
        UserError: photographs of several sizes, or weights that do not fit the layers or paintings.
    """
    if any(len({maps[layer].shape for maps in contents}) > 1 for layer in program.content_layers):
        raise UserError("photographs: expected one size in a sweep, found several; resize them, or sweep size by size")
    weights = [_weights(program, cell, len(paintings)) for cell in cells]
    indices = jnp.asarray([cell.content for cell in cells], jnp.int32)
    return Sweep(params, transfer.stack(contents), transfer.stack(paintings), program), Cells(
        transfer.stack(weights), indices
    )


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
    program = make_program(pretrained.backbone, cells)
    params = jax.device_put(pretrained.params)
    features = [content_targets(params, program, content) for content in contents]
    grams = [style_targets(params, program, painting) for painting in paintings]
    return gather(prepare_params(params, program), program, cells, features, grams)


def initial_images(cells: Sequence[Cell], contents: Sequence[np.ndarray]) -> jax.Array:
    """Returns the pictures to start from, `[N, H, W, 3]`: those of single transfers with the same settings."""
    return jnp.stack(
        [transfer.initial_image(cell.settings, jnp.asarray(contents[cell.content]), seed=cell.seed) for cell in cells]
    )


def start(sweep: Sweep, cells: Cells, images: jax.Array, learning_rates: Sequence[float]) -> optimize.State:
    """Returns the states before the first step of painting over `images` `[N, H, W, 3]`, with a leading axis of N.

    A cell whose initial loss is no number shows in `state.point.finite`.
    """
    canvases = transfer.extend(images, sweep.program.margin)
    return _START(sweep, cells, canvases, jnp.asarray(learning_rates, jnp.float32))


def state_shapes(sweep: Sweep, cells: Cells, images: jax.Array | jax.ShapeDtypeStruct) -> optimize.State:
    """Returns the shapes of what `start` would return for `images` `[N, H, W, 3]`; computes nothing."""
    rates = jax.ShapeDtypeStruct(images.shape[:1], jnp.float32)
    canvases = jax.eval_shape(functools.partial(transfer.extend, margin=sweep.program.margin), images)
    return jax.eval_shape(_start, sweep, cells, canvases, rates)  # not `start`: compiler options allow no jit around it


def compile_steps(sweep: Sweep, cells: Cells, states: optimize.State) -> jax.stages.Compiled:
    """Returns the program that `run` runs for arrays like these, to ask for its memory, or to run it with `advance`."""
    return _ADVANCE.lower(sweep, cells, states, jnp.int32(1)).compile()


def run(
    sweep: Sweep,
    cells: Cells,
    states: optimize.State,
    *,
    steps: int,
    pause_every: int = 0,
    advance: Callable[..., tuple[optimize.State, optimize.Info]] | None = None,
) -> Iterator[tuple[optimize.State, News]]:
    """Runs all cells until `steps` steps are done; otherwise as `transfer.run`, but that no cell can end the others.

    Args:
        sweep: what all cells share.
        cells: what they do not.
        states: to go on from, all after the same number of steps; given up to the device.
        steps: at which to end, counted from the first of all.
        pause_every: yields at every multiple of it; 0 for only as time has passed.
        advance: what `compile_steps` returned, else it is compiled at the first call.

    Yields:
        The states, and what was found since the last yield.
    """
    chunk = functools.partial(advance or _ADVANCE, sweep, cells)
    done = int(states.step.max())
    for reached, before, info in transfer.drive(chunk, states, done=done, steps=steps, pause_every=pause_every):
        yield reached, News(transfer.history_of(before, info), info.finite)


def pictures(sweep: Sweep, states: optimize.State) -> np.ndarray:
    """Returns the pictures `[N, H, W, 3]` that a run has come to, without the margin."""
    return transfer.crop(states.point.image, sweep.program.margin)


def _start(sweep: Sweep, cells: Cells, images: jax.Array, learning_rates: jax.Array) -> optimize.State:
    def single(cell: Cells, image: jax.Array, learning_rate: jax.Array) -> optimize.State:
        return optimize.init(sweep.transfer(cell).evaluate, image, learning_rate, optimizer=sweep.program.optimizer)

    return _each_cell(single, (cells, images, learning_rates), out_axes=0)


def _advance(
    sweep: Sweep, cells: Cells, states: optimize.State, length: jax.Array
) -> tuple[optimize.State, optimize.Info]:
    def single(cell: Cells, state: optimize.State) -> tuple[optimize.State, optimize.Info]:
        evaluate = sweep.transfer(cell).evaluate
        return optimize.chunk(
            evaluate, state, length, optimizer=sweep.program.optimizer, longest=transfer.LONGEST_CHUNK
        )

    # Steps first, as of a single transfer, cells second.
    return _each_cell(single, (cells, states), out_axes=(0, 1))


_START = Jit(_start)
_ADVANCE = Jit(_advance, donate_argnames="states")


def _each_cell(single: Callable[..., Any], arguments: tuple[Any, ...], *, out_axes: Any) -> Any:
    """Returns what `single` makes of each cell, as `jax.vmap` does.

    Of one cell it is `single` alone: vmap computes both sides of every branch and chooses, which means copies of the
    optimiser's memory, a fifth of a step on SqueezeNet.
    """
    if len(jax.tree.leaves(arguments)[0]) > 1:
        return jax.vmap(single, out_axes=out_axes)(*arguments)
    results = single(*jax.tree.map(lambda leaf: leaf[0], arguments))
    return jax.tree.map(
        lambda axis, result: jax.tree.map(lambda leaf: jnp.expand_dims(leaf, axis), result), out_axes, results
    )


def _weights(program: Program, cell: Cell, paintings: int) -> Weights:
    """Returns the weights of a cell, 0 for the layers and for those of the `paintings` that only others have."""
    weights = transfer.loss_weights(cell.settings, paintings=len(cell.paintings))
    nothing = jnp.float32(0)
    shares = np.zeros(paintings, np.float32)
    np.add.at(shares, list(cell.paintings), weights.paintings)
    return weights.replace(
        content_layers={layer: weights.content_layers.get(layer, nothing) for layer in program.content_layers},
        style_layers={layer: weights.style_layers.get(layer, nothing) for layer in program.style_layers},
        paintings=jnp.asarray(shares),
    )


def _union(layers: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(itertools.chain.from_iterable(layers)))
