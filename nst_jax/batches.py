"""Sweeps of any length on devices of any memory: the cells of one program, batch after batch.

A batch has as many cells as the devices hold; the last one repeats a cell until it is as long as the others, so that
one program is compiled for all. On a CPU a batch gains nothing (WORKSPACE.md tells what was measured), so there it is
one cell a device.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nst_jax import optimize, parallel, sweep
from nst_jax.backbones.weights import Pretrained
from nst_jax.errors import is_out_of_memory
from nst_jax.sweep import Cell, News

Item = TypeVar("Item")

USABLE = 0.9
"""Share of a device's memory that a program may take: the allocator needs some that it cannot fill."""

_KEPT_TARGETS = 16
"""Photographs whose targets are kept on the device; cells in the order of their photographs compute each once."""


class Batch(NamedTuple):
    """Cells that run at once.

    Attributes:
        indices: of the cells of the group; `states` and what comes of them has some more, repeated ones behind these.
        shared: what all of them share.
        traced: what they do not.
        states: where they stand.
    """

    indices: Sequence[int]
    shared: sweep.Sweep
    traced: sweep.Cells
    states: optimize.State


class Group:
    """Cells that one program runs, on pictures of one size."""

    def __init__(
        self,
        pretrained: Pretrained,
        cells: Sequence[Cell],
        contents: Callable[[int], np.ndarray],
        paintings: Callable[[int], np.ndarray],
        *,
        mesh: Mesh,
    ) -> None:
        """Makes the program, and computes nothing yet.

        Args:
            pretrained: the backbone.
            cells: one or more.
            contents: index → the photograph, `[H, W, 3]`, RGB in [0, 1]; all of one size.
            paintings: index → the painting, of any size.
            mesh: over whose `cells` the cells of a batch are spread.

        Raises:
            UserError: the cells need several programs.
        """
        self.cells = cells
        self._contents = contents
        self._mesh = mesh
        self._program = sweep.make_program(pretrained.backbone, cells)
        # Of these alone, not of the group: it would keep itself, and all that it has on the device.
        params, program = parallel.replicate(pretrained.params, mesh), self._program
        self._params = sweep.prepare_params(params, program)

        def features(index: int) -> dict[str, jax.Array]:
            return sweep.content_targets(params, program, contents(index))

        def grams(index: int) -> dict[str, jax.Array]:
            return sweep.style_targets(params, program, paintings(index))

        self._content_targets = functools.lru_cache(_KEPT_TARGETS)(features)
        self._style_targets = functools.lru_cache(None)(grams)
        self._compiled: dict[int, jax.stages.Compiled] = {}

    @property
    def spread(self) -> int:
        """Into how many parts a batch is divided: the least number of cells in one."""
        return self._mesh.shape[parallel.CELLS]

    def fitting(self, most: int) -> int:
        """Returns how many of `most` cells should be in a batch; compiles once if all fit, else mostly twice."""
        shared = sum(leaf.nbytes for leaf in jax.tree.leaves(self._params))
        available = bytes_available(self._mesh.devices.flat[0], mine=shared)
        if available is None:
            return self.spread
        count = self.rounded(most)
        while count > self.spread:
            try:
                needed = bytes_needed(self.compile(count))
            except RuntimeError as error:  # some compilers try the program, and find it too large
                if not is_out_of_memory(error):
                    raise
                count = self.rounded(count // 2)
                continue
            fit = self.spread * cells_that_fit(needed, cells=count // self.spread, shared=shared, available=available)
            if fit >= count:
                return count
            count = self.balanced(most, fit)
        return self.spread

    def balanced(self, most: int, size: int) -> int:
        """Returns the size of batches of at most `size` cells, as many as needed for `most`, that are about equal."""
        return self.rounded(math.ceil(most / math.ceil(most / max(size, self.spread))))

    def rounded(self, count: int) -> int:
        """Returns the number of cells in a batch of `count` when every device has as many as the others."""
        return self.spread * math.ceil(count / self.spread)

    def begin(self, indices: Sequence[int], images: Sequence[np.ndarray], size: int) -> Batch:
        """Returns the cells with these indices before their first step of painting over the images, as many.

        A cell whose initial loss is no number shows in `states.point.finite`.

        Args:
            indices: of cells.
            images: `[H, W, 3]` each.
            size: of the batch, a multiple of `spread`.
        """
        chosen = self._chosen(indices, size)
        shared, traced = self._gather(chosen, size)
        padded = np.stack(_padded(images, size))
        rates = np.float32([cell.settings.learning_rate for cell in chosen])
        images, rates = parallel.place_cells((padded, rates), self._mesh)
        states = parallel.place_cells(sweep.start(shared, traced, images, rates), self._mesh)
        return Batch(indices, shared, traced, states)

    def go_on(self, indices: Sequence[int], states: Sequence[optimize.State], size: int) -> Batch:
        """Returns the cells with these indices where they stood, all after the same number of steps, as `begin`."""
        shared, traced = self._gather(self._chosen(indices, size), size)
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *_padded(states, size))
        return Batch(indices, shared, traced, parallel.place_cells(stacked, self._mesh))

    @functools.cached_property
    def state_shapes(self) -> optimize.State:
        """Returns the shapes of the state of one cell."""
        *_, states = self._described(self.spread)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), states)

    def run(self, batch: Batch, *, steps: int, pause_every: int = 0) -> Iterator[tuple[optimize.State, News]]:
        """Runs a batch, whose states are given up, as `sweep.run`; the repeated cells are among what it yields.

        Raises:
            RuntimeError: the devices have not enough memory (`errors.is_out_of_memory`); fewer cells may fit.
        """
        program = self.compile(len(batch.states.step))

        def advance(*arguments: Any) -> tuple[optimize.State, optimize.Info]:
            states, info = program(*arguments)
            return parallel.place_cells(states, self._mesh), info  # where the program wants them the next time

        return sweep.run(
            batch.shared, batch.traced, batch.states, steps=steps, pause_every=pause_every, advance=advance
        )

    def _chosen(self, indices: Sequence[int], size: int) -> list[Cell]:
        """Returns the cells of a batch, the last one repeated."""
        return _padded([self.cells[index] for index in indices], size)

    def _gather(self, cells: Sequence[Cell], size: int) -> tuple[sweep.Sweep, sweep.Cells]:
        """Returns the arrays of a batch, with no more pictures than `size` cells can have."""
        contents, paintings = self._pictures(cells, size)
        local = [
            dataclasses.replace(
                cell,
                content=contents.index(cell.content),
                paintings=tuple(paintings.index(painting) for painting in cell.paintings),
            )
            for cell in cells
        ]
        features = [self._content_targets(index) for index in contents]
        grams = [self._style_targets(index) for index in paintings]
        shape = self._contents(cells[0].content).shape
        shared, traced = sweep.gather(self._params, self._program, local, features, grams, shape=shape)
        return parallel.replicate(shared, self._mesh), parallel.place_cells(traced, self._mesh)

    def _pictures(self, cells: Sequence[Cell], size: int) -> tuple[list[int], list[int]]:
        """Returns the indices of the cells' photographs and paintings, as many as any batch of this size may have."""
        contents, paintings = self._most_pictures(size)
        return (
            _padded(_distinct((cell.content,) for cell in cells), contents),
            _padded(_distinct(cell.paintings for cell in cells), paintings),
        )

    def _most_pictures(self, size: int) -> tuple[int, int]:
        """Returns how many photographs and paintings a batch of this size may have."""
        contents = _distinct((cell.content,) for cell in self.cells)
        paintings = _distinct(cell.paintings for cell in self.cells)
        together = max(len(cell.paintings) for cell in self.cells)
        return min(size, len(contents)), min(size * together, len(paintings))

    def compile(self, size: int) -> jax.stages.Compiled:
        """Returns the program for a batch, from the shapes of its arrays alone; the same one every time."""
        if size not in self._compiled:
            self._compiled[size] = sweep.compile_steps(*self._described(size))
        return self._compiled[size]

    def _described(self, size: int) -> tuple[sweep.Sweep, sweep.Cells, optimize.State]:
        """Returns the shapes of the arrays of a batch, and where they lie."""
        least = self._chosen([0], self.spread)
        shared, traced = self._gather(least, 1)
        images = jax.ShapeDtypeStruct((len(least), *self._contents(least[0].content).shape), jnp.float32)
        states = sweep.state_shapes(shared, traced, images)

        def lengthened(tree: Any, length: int) -> Any:
            return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((length, *leaf.shape[1:]), leaf.dtype), tree)

        def placed(tree: Any, sharding: jax.sharding.Sharding) -> Any:
            return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)

        contents, paintings = self._most_pictures(size)
        shared = shared.replace(content=lengthened(shared.content, contents), style=lengthened(shared.style, paintings))
        shares = jax.ShapeDtypeStruct((size, paintings), jnp.float32)
        traced = lengthened(traced, size)
        traced = traced.replace(weights=traced.weights.replace(paintings=shares))
        each = parallel.over_cells(self._mesh)
        return (
            placed(shared, parallel.everywhere(self._mesh)),
            placed(traced, each),
            placed(lengthened(states, size), each),
        )


def bytes_needed(compiled: jax.stages.Compiled) -> int:
    """Returns the bytes that a program needs on each device, its arguments and results included."""
    memory = compiled.memory_analysis()
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes  # results in the place of arguments that were given up
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )


def bytes_available(device: jax.Device, *, mine: int) -> int | None:
    """Returns the bytes that a program may have on a device; None for one that does not tell, as CPUs do not.

    Args:
        device: to ask.
        mine: bytes there already that the program counts as its own.
    """
    memory = device.memory_stats() or {}
    if "bytes_limit" not in memory:
        return None
    return int(USABLE * memory["bytes_limit"]) - max(0, memory.get("bytes_in_use", 0) - mine)


def cells_that_fit(needed: int, *, cells: int, shared: int, available: int) -> int:
    """Returns how many cells a device has memory for, at least 1.

    Args:
        needed: bytes of a program for `cells` cells.
        cells: on that device.
        shared: bytes of what all cells share; the rest grows with their number.
        available: bytes.
    """
    each = max(1, needed - shared) / cells
    return max(1, int((available - shared) / each))


def _padded(items: Sequence[Item], count: int) -> list[Item]:
    """Returns so many items, the last one repeated."""
    return [*items, *[*items[-1:]] * (count - len(items))]


def _distinct(indices: Iterable[Iterable[int]]) -> list[int]:
    return list(dict.fromkeys(itertools.chain.from_iterable(indices)))
