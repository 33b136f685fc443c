"""Batches from coarse to fine: the transfers of one program per scale, each batch going through all scales."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nst_jax import optimize
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.batches import Group, Recipe, padded
from nst_jax.free_memory import free_bytes
from nst_jax.loop import Progress, Stage, run
from nst_jax.memory import decided, settled
from nst_jax.pyramid import Scale, at_scale, at_step, ends_of, ratio_of, scaled, scales_of, settings_at, starts_of_batch
from nst_jax.regions import Regions
from nst_jax.rendering.colour_matching import matched, moves
from nst_jax.settings import Settings

_KEPT = 32
"""Reduced images that are kept per scale."""

_KEPT_MATCHED = 8
"""Images with matched colours that are kept, in the size of the finest scale."""


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
        recipes, read = _with_matched_colours(recipes, read)
        shape = read(recipes[0].content).shape
        styles = dict.fromkeys(key for recipe in recipes for key in recipe.styles)
        style_shapes = [read(key).shape for key in styles]
        settings = settled(
            recipes[0].settings, network.backbone, [shape, *style_shapes], free_bytes(), fewer_pairs=False
        )
        self.recipes = [
            recipe._replace(settings=dataclasses.replace(recipe.settings, **decided(settings))) for recipe in recipes
        ]
        together = dataclasses.replace(settings, blend_weights=())  # of each cell, for its own style images
        self._shapes = [scale.shape for scale in scales_of(network.backbone, together, shape, style_shapes)]
        contents = {recipe.content for recipe in recipes}

        def read_at(index: int) -> Callable[[Hashable], np.ndarray]:
            ratio = ratio_of(self._shapes, index)

            def reduced(key: Hashable) -> np.ndarray:
                image = read(key)
                return at_scale(image, self._shapes[index] if key in contents else scaled(image.shape, ratio))

            return functools.lru_cache(_KEPT)(reduced) if ratio < 1 else read

        self._read_at = [read_at(index) for index in range(len(self._shapes))]
        finest = Group(network, self._recipes_at(len(self._shapes) - 1), read, mesh=mesh)
        coarser = (
            Group(network, self._recipes_at(index), self._read_at[index], mesh=mesh, alike=finest)
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

    def content(self, index: int) -> np.ndarray:
        """Returns the content image of the transfer with an index, with matched colours, at the coarsest scale."""
        return np.asarray(self._read_at[0](self.recipes[index].content))

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

        recipes = padded([self.recipes[index] for index in indices], size)

        def contents(index: int) -> list[np.ndarray]:
            return [self._read_at[index](recipe.content) for recipe in recipes]

        begin = starts_of_batch([recipe.settings for recipe in recipes], scales, contents)

        def stage(index: int) -> Stage:
            def start(result: jax.Array | None) -> Any:
                if result is None:
                    return np.stack(padded(images, size))
                return begin(index, result)

            return self._groups[index].stage(indices, size, steps=scales[index].end, start=start, carries=True)

        state = self._groups[first].stacked(states, size) if states else None
        stages = [stage(index) for index in range(len(scales))]
        return run(stages, first=first, state=state, pause_every=pause_every)


class _Matched(NamedTuple):
    """The key of an image whose colours are matched to others.

    Attributes:
        settings: the options that say how, all others at their defaults.
        content: the key of the content image.
        styles: those of the style images that it depends on, or the one whose colours change.
    """

    settings: Settings
    content: Hashable
    styles: tuple[Hashable, ...]


def _with_matched_colours(
    recipes: Sequence[Recipe], read: Callable[[Any], np.ndarray]
) -> tuple[list[Recipe], Callable[[Any], np.ndarray]]:
    """Returns recipes with the keys of images whose colours are matched, and the function that reads these too."""

    def with_keys(recipe: Recipe) -> Recipe:
        of, styles = recipe.settings, tuple(recipe.styles)
        options = Settings(colours=of.colours, colour_match=of.colour_match, colour_match_to=of.colour_match_to)
        match moves(of):
            case "content":
                shared = dataclasses.replace(options, blend_weights=of.blend_weights)
                return recipe._replace(content=_Matched(shared, recipe.content, styles))
            case "style":
                return recipe._replace(styles=tuple(_Matched(options, recipe.content, (style,)) for style in styles))
        return recipe

    @functools.lru_cache(_KEPT_MATCHED)
    def read_matched(key: _Matched) -> np.ndarray:
        content, styles = matched(key.settings, read(key.content), [read(style) for style in key.styles])
        return content if moves(key.settings) == "content" else styles[0]

    def read_any(key: Any) -> np.ndarray:
        return read_matched(key) if isinstance(key, _Matched) else read(key)

    return [with_keys(recipe) for recipe in recipes], read_any
