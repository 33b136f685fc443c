"""A sweep: any number of transfers, as few compiled programs as they need, as many at once as the devices hold.

`sweep` is the whole method, as `pyramid.stylize` is that of one picture; `scaled_batches.ScaledGroup` is its main part.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from nst_jax import parallel
from nst_jax.backbones.pretrained import Pretrained, loaded
from nst_jax.batches import Recipe
from nst_jax.checks import check_images
from nst_jax.courses import Courses
from nst_jax.errors import UserError
from nst_jax.history import DivergedError, History
from nst_jax.regions import kind_of
from nst_jax.scaled_batches import ScaledGroup
from nst_jax.stacking import compiled_settings
from nst_jax.transfer import Image, as_images, initial_image

KEPT_PROGRAMS = 8
"""The most programs that a sweep leaves compiled, for another one like it; on a CPU each takes 70 MB and more."""


class Cell(NamedTuple):
    """What a sweep made of one recipe.

    Attributes:
        picture: the stylised image, float32 `[H, W, 3]` in [0, 1]; the last good one of a cell that diverged.
        history: its losses, step by step, the first ones before any step.
        error: why it diverged, or None.
    """

    picture: np.ndarray
    history: History
    error: DivergedError | None


def sweep(recipes: Sequence[Recipe], network: Pretrained | str | None = None) -> list[Cell]:
    """Paints one picture per recipe.

    Recipes whose settings differ in traced options (weights, learning rate, layers, steps ...), images or seeds run as
    one program, which is compiled once; each further size of the content image, and each other value of the remaining
    options, needs one more. An array that several recipes share is measured once.

    Args:
        recipes: one or more, with the images themselves: `content` `[H, W, 3]` and `styles`, one such image or several
            to be blended, RGB in [0, 1], of NumPy or JAX.
        network: the backbone, or its name; by default the best installed one.

    Returns:
        The cells, in the order of the recipes. One that diverges leaves the others alone.

    Raises:
        UserError: there are no recipes, or settings do not suit the backbone or the images.
    """
    if not recipes:
        raise UserError("recipes: expected one or more, found none")
    network = loaded(network)
    for recipe in recipes:
        check_images(
            network.backbone, recipe.settings, recipe.content, as_images(recipe.styles), regions=recipe.regions
        )
    images = _Images()
    keyed = [
        recipe._replace(
            content=images.key(recipe.content), styles=tuple(images.key(style) for style in as_images(recipe.styles))
        )
        for recipe in recipes
    ]
    programs: dict[object, list[int]] = {}
    for index, recipe in enumerate(keyed):
        program = (
            compiled_settings(recipe.settings),
            images.read(recipe.content).shape,
            kind_of(recipe.regions),
        )
        programs.setdefault(program, []).append(index)
    cells: dict[int, Cell] = {}
    for number, indices in enumerate(programs.values()):
        if number and number % KEPT_PROGRAMS == 0:
            jax.clear_caches()  # nothing less frees programs that were compiled ahead of time (jax 0.12)
        found = _run_program([keyed[index] for index in indices], network, images)
        cells |= dict(zip(indices, found, strict=True))
    return [cells[index] for index in range(len(recipes))]


class _Images:
    """Images by keys, the same key for the same array."""

    def __init__(self) -> None:
        self._images: dict[int, tuple[Image, np.ndarray]] = {}  # the given one too: its identity is the key

    def key(self, image: Image) -> int:
        self._images.setdefault(id(image), (image, np.asarray(image, np.float32)))
        return id(image)

    def read(self, key: int) -> np.ndarray:
        return self._images[key][1]


def _run_program(recipes: Sequence[Recipe], network: Pretrained, images: _Images) -> list[Cell]:
    """Returns the cells of recipes that one program runs, batch after batch."""
    group = ScaledGroup(network, recipes, images.read, mesh=parallel.make_mesh())
    size = group.finest.fitting(len(recipes))
    cells: dict[int, Cell] = {}
    while left := [index for index in range(len(recipes)) if index not in cells]:
        scales = group.scales(left[0])
        batch = [index for index in left if group.scales(index) == scales][:size]
        starts = [
            jax.device_get(initial_image(recipes[index].settings, group.content(index), seed=recipes[index].seed))
            for index in batch
        ]
        try:
            cells |= dict(zip(batch, _run_batch(group, batch, size, starts), strict=True))
        except RuntimeError as error:
            size = group.finest.smaller(size, error)
    return [cells[index] for index in range(len(recipes))]


def _run_batch(group: ScaledGroup, indices: Sequence[int], size: int, images: Sequence[np.ndarray]) -> list[Cell]:
    courses = Courses(len(indices))
    for progress in group.run(indices, size, images=images):
        courses.add(progress)
    pictures = jax.device_get(progress.result)
    return [
        Cell(pictures[place], courses.histories[place], courses.diverged.get(place)) for place in range(len(indices))
    ]
