"""Batches from coarse to fine: the transfers of one program per scale, each batch going through all scales."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from nst_jax import optimize
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.batches import Group, Recipe, padded
from nst_jax.loop import Progress, Stage, run
from nst_jax.memory import decided, free_bytes, settled
from nst_jax.pyramid import Scale, at_scale, at_step, ends_of, enlarge, ratio_of, scaled, scales_of, settings_at
from nst_jax.regions import Regions

_KEPT = 32
"""Reduced images that are kept per scale."""


class ScaledGroup:
    """Transfers of the same programs and one size, which go through the same scales.

    Attributes:
        recipes: what the transfers are prepared from.
        finest: the group of the finest scale, whose batches need the most memory.
    """

    def __init__(
        self, network: Pretrained, recipes: Sequence[Recipe], read: Callable[[Any], np.ndarray], *, mesh: Mesh
    ) -> None:
        """Takes what `Group` takes.

        Raises:
            UserError: the recipes need several programs, or scales do not fit the images.
        """
        shape = read(recipes[0].content).shape
        styles = dict.fromkeys(key for recipe in recipes for key in recipe.styles)
        style_shapes = [read(key).shape for key in styles]
        settings = settled(
            recipes[0].settings, network.backbone, [shape, *style_shapes], free_bytes(), fewer_pairs=False
        )
        self.recipes = [
            recipe._replace(settings=dataclasses.replace(recipe.settings, **decided(settings))) for recipe in recipes
        ]
        self._shapes = [scale.shape for scale in scales_of(network.backbone, settings, shape, style_shapes)]
        contents = {recipe.content for recipe in recipes}

        def read_at(index: int) -> Callable[[Hashable], np.ndarray]:
            ratio = ratio_of(self._shapes, index)

            def reduced(key: Hashable) -> np.ndarray:
                image = read(key)
                return at_scale(image, self._shapes[index] if key in contents else scaled(image.shape, ratio))

            return functools.lru_cache(_KEPT)(reduced) if ratio < 1 else read

        finest = Group(network, self._recipes_at(len(self._shapes) - 1), read, mesh=mesh)
        coarser = (
            Group(network, self._recipes_at(index), read_at(index), mesh=mesh, alike=finest)
            for index in range(len(self._shapes) - 1)
        )
        self._groups = (*coarser, finest)
        self.finest = finest

    def _recipes_at(self, index: int) -> list[Recipe]:
        ratio = ratio_of(self._shapes, index)

        @functools.cache  # cells with the same regions have the same targets
        def reduced(regions: Regions | None) -> Regions | None:
            if regions is None:
                return None
            styles = [scaled(guide.shape, ratio) for guide in regions.styles]
            return regions.at_scale(self._shapes[index], styles) if ratio < 1 else regions

        return [
            recipe._replace(settings=settings_at(recipe.settings, self._shapes, index), regions=reduced(recipe.regions))
            for recipe in self.recipes
        ]

    def compile(self, size: int) -> None:
        """Compiles the program for batches of a size, if it is the only one; else each is compiled when it is next."""
        if len(self._groups) == 1:
            self.finest.compile(size)

    def scales(self, index: int) -> tuple[Scale, ...]:
        """Returns the scales of the transfer with an index, from coarse to fine; those of a batch are the same."""
        settings = self.recipes[index].settings
        return tuple(map(Scale, self._shapes, ends_of(settings, len(self._shapes) - bool(settings.finish_steps))))

    def state_shapes(self, index: int, step: int) -> list[tuple[int, optimize.State]]:
        """Returns the scales in which a transfer may be after a step, with the shapes of its state there."""
        return [(scale, self._groups[scale].state_shapes) for scale in at_step(self.scales(index), step)]

    def run(
        self,
        indices: Sequence[int],
        size: int,
        *,
        images: Sequence[np.ndarray] = (),
        states: Sequence[optimize.State] = (),
        first: int = 0,
        pause_every: int = 0,
    ) -> Iterator[Progress]:
        """Runs a batch through all scales, as `Group.run` does at one size.

        Args:
            indices: indices of the recipes, whose `scales` are equal.
            size: number of cells, a multiple of the finest group's `spread`.
            images: initial images of the cells at the coarsest scale, `[H, W, 3]` each.
            states: states to resume from instead, all after the same number of steps.
            first: index of the scale that these are of.
            pause_every: see `loop.run`.

        Raises:
            RuntimeError: the devices are out of memory (`errors.is_out_of_memory`); fewer cells may fit.
        """
        scales = self.scales(indices[0])

        def stage(index: int) -> Stage:
            def start(result: jax.Array | None) -> Any:
                if result is None:
                    return np.stack(padded(images, size))
                return enlarge(result, scales[index].shape)

            return self._groups[index].stage(indices, size, steps=scales[index].end, start=start, carries=True)

        state = self._groups[first].stacked(states, size) if states else None
        stages = [stage(index) for index in range(len(scales))]
        return run(stages, first=first, state=state, pause_every=pause_every)
