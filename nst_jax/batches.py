"""Sweeps of any length on devices of any memory: the transfers of one program, batch after batch.

A batch has as many cells as fit the devices; the last one is filled up with copies of a cell, so that one program is
compiled for all. On a CPU batches gain nothing (measured in WORKSPACE.md), so there they have one cell per device.
"""

import functools
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from nst_jax import optimize, parallel, stacking
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.checks import check_canvas, check_image, check_known, check_style
from nst_jax.configuration import make_config
from nst_jax.errors import UserError, is_out_of_memory
from nst_jax.loop import Progress, Stage, compile_chunk, run, state_shapes
from nst_jax.problem import Transfer
from nst_jax.regions import Regions, kind_of
from nst_jax.rendering.canvas import extend
from nst_jax.rendering.grey import is_grey, paints_grey
from nst_jax.settings import Settings
from nst_jax.surroundings import float32_on_device
from nst_jax.targets import (
    layers_of,
    make_targets,
    measure_canvas,
    measure_content,
    measure_style,
    network_layers,
    union,
)
from nst_jax.terms import CONTENT, STYLE
from nst_jax.transfer import assemble
from nst_jax.vocabulary import RegionGuides

Item = TypeVar("Item")

USABLE = 0.9
"""Share of a device's memory that a program may take; the allocator cannot fill all of it."""

_KEPT_TARGETS = 16
"""Number of content images whose targets stay on the device; cells sorted by content image compute each once."""


class Recipe(NamedTuple):
    """A transfer that is yet to be prepared.

    Attributes:
        settings: the settings of the transfer.
        content: the content image `[H, W, 3]`, or the key by which a group reads it.
        styles: the style images, or their keys.
        seed: seed of random transformations.
        regions: which parts of the content image follow which parts of the style images, if it has regions.
    """

    settings: Settings
    content: Any
    styles: Sequence[Any]
    seed: int = 0
    regions: Regions | None = None


class Group:
    """Transfers of one program and one size, each prepared when its batch runs."""

    def __init__(
        self,
        network: Pretrained,
        recipes: Sequence[Recipe],
        read: Callable[[Any], np.ndarray],
        *,
        mesh: Mesh,
        alike: "Group | None" = None,
    ) -> None:
        """Checks the recipes; targets are computed later.

        Args:
            network: the backbone.
            recipes: one or more recipes, with hashable keys in place of images.
            read: key of an image → the image, `[H, W, 3]`, RGB in [0, 1]; all content images have the same size.
            mesh: devices over which the cells of a batch are spread.
            alike: a group of the same recipes at another size, whose parameters are used.

        Raises:
            UserError: the recipes need several programs.
        """
        for entries in zip(*(stacking.compiled_settings(recipe.settings) for recipe in recipes), strict=True):
            if len(set(entries)) > 1:
                found = ", ".join(sorted({str(value) for _, value in entries}))
                raise UserError(f"{entries[0][0]}: expected the same in all cells of one program, found {found}")
        if len(kinds := {kind_of(recipe.regions) for recipe in recipes}) > 1:
            raise UserError(f"regions: expected as many in all cells of one program, found {sorted(kinds)}")
        for recipe in recipes:
            check_known(network.backbone, recipe.settings)
        self.recipes = recipes
        self._network = network
        self._read = read
        self._mesh = mesh
        self._config = config = make_config(network.backbone, recipes[0].settings)
        self._layers = layers = union(layers_of(recipe.settings) for recipe in recipes)
        self._most_styles = max(len(recipe.styles) for recipe in recipes)
        # Closures over these alone: over the group, they would keep it and its arrays on the device.
        params: Any = alike._replicated if alike else parallel.replicate(network.params, mesh)
        self._replicated: Any = params
        self._params: Any = alike._params if alike else config.objective.prepare(params, network_layers(layers))
        margin = recipes[0].settings.margin

        def content_targets(key: Hashable) -> dict[str, Any]:
            image = read(key)
            check_image(image, what="content image")
            canvas = extend(config.seen(float32_on_device(image)), margin)
            return measure_content(
                params, canvas, objective=config.objective, layers=layers[CONTENT], shifts=config.shifts
            )

        def canvas_targets(key: Hashable) -> dict[str, Any]:
            return measure_canvas(
                config.seen(float32_on_device(read(key))), objective=config.objective, layers=layers, margin=margin
            )

        def style_targets(key: Hashable, regions: Regions | None, place: int, how: RegionGuides) -> dict[str, Any]:
            image, guides = read(key), None if regions is None else regions.styles[place]
            check_image(image, what="style image")
            return measure_style(
                params, float32_on_device(image), guides, how, objective=config.objective, layers=layers[STYLE]
            )

        self._content_targets = functools.lru_cache(_KEPT_TARGETS)(content_targets)
        self._canvas_targets = functools.lru_cache(_KEPT_TARGETS)(canvas_targets)
        self._style_targets = functools.lru_cache(None)(style_targets)
        self._is_grey = functools.lru_cache(None)(lambda key: is_grey(read(key)))
        self._compiled: dict[int, jax.stages.Compiled] = {}

    @property
    def spread(self) -> int:
        """Number of parts into which a batch is divided, the least number of cells in it."""
        return self._mesh.shape[parallel.CELLS]

    def fitting(self, most: int) -> int:
        """Returns the cells per batch, up to `most`, that fit memory; compiles once if all fit, else about twice."""
        shared = sum(leaf.nbytes for leaf in jax.tree.leaves(self._params))
        available = bytes_available(self._mesh.devices.flat[0], mine=shared)
        if available is None:
            return self.spread
        count = self.rounded(most)
        while count > self.spread:
            try:
                needed = bytes_needed(self.compile(count))
            except RuntimeError as error:  # some compilers run the program, and find it too large
                if not is_out_of_memory(error):
                    raise
                count = self.rounded(count // 2)
                continue
            fit = self.spread * cells_that_fit(needed, cells=count // self.spread, shared=shared, available=available)
            if fit >= count:
                return count
            count = self.balanced(most, fit)
        return self.spread

    def smaller(self, size: int, error: RuntimeError) -> int:
        """Returns the size of batches to go on with after one of `size` cells met an error: half of it.

        Raises:
            RuntimeError: that error, which is not about memory, or no batch is smaller.
        """
        if not is_out_of_memory(error) or size == self.spread:
            raise error
        return self.rounded(size // 2)

    def balanced(self, most: int, size: int) -> int:
        """Returns the size of batches for `most` cells that are about equal and have at most `size` cells."""
        return self.rounded(math.ceil(most / math.ceil(most / max(size, self.spread))))

    def rounded(self, count: int) -> int:
        """Returns `count` rounded up to equal numbers of cells per device."""
        return self.spread * math.ceil(count / self.spread)

    @functools.cached_property
    def state_shapes(self) -> optimize.State:
        """The shapes of the state of one cell."""
        states = state_shapes(self._least)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), states)

    def compile(self, size: int) -> jax.stages.Compiled:
        """Returns the program for batches of a size, compiled from shapes alone, once."""
        if size not in self._compiled:
            each, everywhere = parallel.over_cells(self._mesh), parallel.everywhere(self._mesh)

            def described(tree: Any, sharding: jax.sharding.Sharding, *, length: int | None = None) -> Any:
                def of(leaf: Any) -> jax.ShapeDtypeStruct:
                    shape = leaf.shape if length is None else (length, *leaf.shape[1:])
                    return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=sharding)

                return jax.tree.map(of, tree)

            cells = stacking.map_cells(
                lambda part: described(part, each, length=size),
                self._least.cells,
                shared=lambda part: described(part, everywhere),
            )
            states = described(state_shapes(self._least), each, length=size)
            self._compiled[size] = compile_chunk(stacking.Batch(cells, size), states)
        return self._compiled[size]

    def run(
        self,
        indices: Sequence[int],
        size: int,
        *,
        steps: int,
        images: Sequence[np.ndarray] = (),
        states: Sequence[optimize.State] = (),
        pause_every: int = 0,
    ) -> Iterator[Progress]:
        """Runs a batch like `loop.run`; the progress has copies of the last cell after the given ones.

        Args:
            indices: indices of the recipes.
            size: number of cells, a multiple of `spread`.
            steps: number of the step at which to end.
            images: initial images of the cells, `[H, W, 3]` each.
            states: states to resume from instead, all after the same number of steps.
            pause_every: see `loop.run`.

        Raises:
            RuntimeError: the devices are out of memory (`errors.is_out_of_memory`); fewer cells may fit.
        """
        self.compile(size)
        stage = self.stage(indices, size, steps=steps, start=lambda _: np.stack(padded(images, size)))
        return run([stage], state=self.stacked(states, size) if states else None, pause_every=pause_every)

    def stage(
        self, indices: Sequence[int], size: int, *, steps: int, start: Callable[[Any], Any], carries: bool = False
    ) -> Stage:
        """Returns the stage of a batch, whose program is compiled with it.

        Args:
            indices: indices of the recipes.
            size: number of cells, a multiple of `spread`.
            steps: number of the step at which to end.
            start: see `loop.Stage`; `[size, H, W, 3]`.
            carries: see `loop.Stage`.
        """

        def prepare() -> stacking.Batch:
            self.compile(size)
            return self._batch(indices, size)

        def advance(batch: stacking.Batch, states: optimize.State, length: jax.Array) -> tuple[optimize.State, Any]:
            return self.compile(size)(batch, parallel.place_cells(states, self._mesh), length)

        return Stage(prepare, lambda result: parallel.place_cells(start(result), self._mesh), steps, carries, advance)

    def stacked(self, states: Sequence[optimize.State], size: int) -> optimize.State:
        """Returns the states of cells as that of a batch, the last one repeated, placed on the devices."""
        whole = jax.tree.map(lambda *leaves: np.stack(leaves), *padded(states, size))
        return parallel.place_cells(whole, self._mesh)

    def _batch(self, indices: Sequence[int], size: int) -> stacking.Batch:
        """Returns the cells with these indices, the last one repeated, placed on the devices."""
        transfers = [self._transfer(self.recipes[index]) for index in indices]
        batch = stacking.stack(padded(transfers, size), style_images=self._most_styles)
        return parallel.place_batch(batch, self._mesh)

    def _transfer(self, recipe: Recipe) -> Transfer:
        settings, backbone = recipe.settings, self._network.backbone
        content = self._read(recipe.content)
        check_canvas(backbone, settings, *content.shape[:2])
        if not recipe.styles:
            check_style(backbone, settings, [])
        # A cell without style images has those of another, with weight 0.
        styles = recipe.styles or next((other.styles for other in self.recipes if other.styles), ())
        targets = make_targets(
            backbone,
            settings,
            self._layers,
            content=self._content_targets(recipe.content),
            styles=[
                self._style_targets(key, recipe.regions, place if recipe.regions else 0, settings.region_guides)
                for place, key in enumerate(styles)
            ],
            canvas=self._canvas_targets(recipe.content),
        )
        return assemble(
            self._params,
            self._config,
            settings,
            self._layers,
            targets,
            content,
            style_images=len(styles),
            grey=paints_grey(settings, map(self._is_grey, (recipe.content, *recipe.styles))),
            regions=recipe.regions,
            seed=recipe.seed,
        )

    @functools.cached_property
    def _least(self) -> stacking.Batch:
        """The shapes of a batch of the first cell alone."""
        batch = stacking.stack([self._transfer(self.recipes[0])], style_images=self._most_styles)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), batch)


def bytes_needed(compiled: jax.stages.Compiled) -> int:
    """Returns the bytes that a program needs on each device, its arguments and results included."""
    memory = compiled.memory_analysis()
    assert memory is not None, "XLA reports it on CPUs and GPUs"
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes  # results in the place of donated arguments
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )


def bytes_available(device: jax.Device, *, mine: int) -> int | None:
    """Returns the bytes that a program may take on a device; None if the device, like a CPU, does not report them.

    Args:
        device: the device.
        mine: bytes in use there that the program counts as its own.
    """
    memory = device.memory_stats() or {}
    if "bytes_limit" not in memory:
        return None
    return int(USABLE * memory["bytes_limit"]) - max(0, memory.get("bytes_in_use", 0) - mine)


def cells_that_fit(needed: int, *, cells: int, shared: int, available: int) -> int:
    """Returns the number of cells that a device has memory for, at least 1.

    Args:
        needed: bytes of a program for `cells` cells.
        cells: number of cells on the device.
        shared: bytes of the arrays that all cells share; the rest grows with the number of cells.
        available: bytes that the program may take.
    """
    each = max(1, needed - shared) / cells
    return max(1, int((available - shared) / each))


def padded(items: Sequence[Item], count: int) -> list[Item]:
    """Returns `count` items, the last one repeated."""
    return [*items, *[*items[-1:]] * (count - len(items))]
