"""What a network learns: the style images of its kind, its own row of every batch, and what shows how far it is."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nst_jax.applications.feedforward import doodles, networks, painting, recipes, trained, training
from nst_jax.applications.feedforward.networks import Doodle, Predicted, Transformer
from nst_jax.applications.feedforward.recipes import Recipe
from nst_jax.applications.feedforward.trained import Trained
from nst_jax.applications.feedforward.training import Batch, Training
from nst_jax.errors import UserError
from nst_jax.io import image_folder, images, region_maps
from nst_jax.io.files import sha256
from nst_jax.io.image_folder import list_pictures
from nst_jax.pyramid import scaled
from nst_jax.regions import from_maps

from .crops import Crops, style_of
from .flags import TrainFlags, style_paths

_HELD_OUT, _LEAST_LEFT = 3, 8
"""How many pictures are held out to be shown, and how many must be left to train with, or none is held out."""

_STYLE_SIZE = 1.5
"""Long side of style images, as a multiple of the side of the squares."""

_DOODLE, _SHOWN = 5, 6
"""Streams of random numbers beside those of `crops`."""


class Shown(NamedTuple):
    """What a network paints from to show how far it is, `[H, W, C]`, and the picture of it, `[H, W, 3]`."""

    painted_from: np.ndarray
    picture: np.ndarray


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What a network learns.

    Attributes:
        network: the network.
        painted: the style images that are measured before, or one of their size, `[H, W, 3]` each.
        guides: `[H, W, R]`, the regions of the style image of a doodle; None for other networks.
        row: (the training, the number of a picture, the step) → what the picture is trained with.
        styles: names of the styles whose errors are followed.
        of_network: names of all styles that the network has by number.
        shown: name → what is shown.
        codes: (part → variables) → column of the samples → the style in which it is painted.
        unreadable: name of a file that could not be read → why; it grows.
        identity: what all this depends on.
        files: the flags that name files → their paths.
        old: the trained network to which styles are added.
    """

    network: Transformer | Predicted | Doodle
    painted: Sequence[np.ndarray]
    row: Callable[[Training, int, int], Batch]
    styles: tuple[str, ...]
    of_network: tuple[str, ...]
    shown: Mapping[str, Shown]
    codes: Callable[[Any], Mapping[str, Any]]
    unreadable: Callable[[], Mapping[str, str]]
    identity: Mapping[str, Any]
    files: Mapping[str, str]
    guides: np.ndarray | None = None
    old: Trained | None = None


def lesson_of(flags: TrainFlags, recipe: Recipe) -> Lesson:
    """Returns what flags ask for, with style images read and photographs listed.

    Raises:
        UserError: the input cannot be used.
    """
    if flags.style_regions:
        _refuse(flags, ("contents", "styles", "finetune"), "--style_regions, with which a network paints from maps")
        return _doodle(flags)
    if not flags.contents:
        raise UserError("--contents: expected a folder of photographs, found none; give one, some hundred are enough")
    if flags.styles:
        _refuse(flags, ("style", "finetune"), "--styles, whose images the network learns to see")
        return _any_style(flags)
    return _numbered(flags, recipe)


def _refuse(flags: TrainFlags, names: Sequence[str], beside: str) -> None:
    for name in names:
        if getattr(flags, name) is not None:
            raise UserError(f"--{name}: expected none beside {beside}; leave it out")


def _numbered(flags: TrainFlags, recipe: Recipe) -> Lesson:
    """Returns styles by number, each of which is measured once."""
    paths = style_paths(flags)
    style_size = flags.style_size or round(_STYLE_SIZE * flags.size)
    old = trained.load(flags.finetune) if flags.finetune else None
    if old is None:
        network = recipes.scaled(recipe.network(len(paths)), flags.width or 1.0)
    elif flags.width is not None:
        raise UserError("--width: expected none with --finetune, whose network has its own; leave it out")
    else:
        network = training.with_more_styles(old.network, len(paths))
    photographs = _Photographs(flags)
    before = (old.styles or ("1",)) if old else ()
    names = _distinct([path.stem for path in paths], before)

    def row(made: Training, number: int, step: int) -> Batch:  # noqa: ARG001 - the same at every step
        content = photographs.crops.read(number)
        return Batch(content, np.int32(style_of(number, len(names), flags.seed)), made.canvas_targets(content))

    def codes(params: Any) -> dict[str, np.ndarray]:  # noqa: ARG001 - they are not learnt
        return dict(zip(names, np.eye(network.styles, dtype=np.float32)[-len(names) :], strict=True))

    return Lesson(
        network=network,
        painted=[images.read(path, size=style_size).pixels for path in paths],
        row=row,
        styles=names,
        of_network=(*before, *names),
        shown=photographs.shown,
        codes=codes,
        unreadable=lambda: photographs.crops.unreadable,
        identity={
            **{f"style{number}_sha256": sha256(path) for number, path in enumerate(paths, 1)},
            **photographs.identity,
            "finetune_sha256": old.sha256 if old else None,
            "style_size": style_size,
        },
        files={
            "contents": str(flags.contents),
            "style": ",".join(map(str, paths)),
            **({"finetune": str(flags.finetune)} if flags.finetune else {}),
        },
        old=old,
    )


def _any_style(flags: TrainFlags) -> Lesson:
    """Returns styles that a predictor sees: random squares of the style images of a folder."""
    assert flags.styles is not None
    side = flags.style_size or flags.size
    network = recipes.scaled(networks.predicted(side=side), flags.width or 1.0)
    files = list_pictures(Path(flags.styles))
    shown_files, files = _held_out(files, flags.seed)
    shown = dict(image_folder.read_squares(shown_files, side))
    styles = Crops(files, size=side, seed=flags.seed, of="styles")
    photographs = _Photographs(flags)

    def row(made: Training, number: int, step: int) -> Batch:  # noqa: ARG001 - the same at every step
        content = photographs.crops.read(number)
        return Batch(content, np.int32(0), made.canvas_targets(content), shown=styles.read(number))

    def codes(params: Any) -> dict[str, Any]:
        return {Path(name).stem: painting.encode(network, params, jnp.asarray(image)) for name, image in shown.items()}

    return Lesson(
        network=network,
        painted=[styles.read(0)],
        row=row,
        styles=("any",),
        of_network=(),
        shown=photographs.shown,
        codes=codes,
        unreadable=lambda: {**photographs.crops.unreadable, **styles.unreadable},
        identity={"styles_sha256": image_folder.listing(files), **photographs.identity, "style_size": side},
        files={"contents": str(flags.contents), "styles": str(flags.styles)},
    )


def _doodle(flags: TrainFlags) -> Lesson:
    """Returns the style of each region of a style image, and random maps in which they are painted."""
    path, *more = style_paths(flags)
    if more:
        raise UserError(f"--style: expected one style image with --style_regions, its map, found {1 + len(more)}")
    assert flags.style_regions is not None
    style_map = region_maps.read(flags.style_regions)
    style_size = flags.style_size or round(_STYLE_SIZE * flags.size)
    image = images.read(path, size=style_size).pixels
    regions = from_maps(style_map, [style_map], image.shape, [image.shape])
    if regions is None:
        raise UserError(
            f"{style_map.path}: expected two regions or more, found one; draw more, or train with photographs"
        )
    network = recipes.scaled(networks.doodle(style_map.colours), flags.width or 1.0)
    count = len(network.regions)

    def row(made: Training, number: int, step: int) -> Batch:
        random = np.random.default_rng([flags.seed, _DOODLE, number])
        guides = doodles.random_guides(count, flags.size, random)
        maps = doodles.painted_from(network, guides, random)
        return Batch(maps, np.int32(0), {}, regions=made.regions_of(guides, step))

    return Lesson(
        network=network,
        painted=[image],
        guides=regions.styles[0],
        row=row,
        styles=(path.stem,),
        of_network=(),
        shown=_maps(flags, network),
        codes=lambda params: {path.stem: None},  # noqa: ARG005 - the network has one style
        unreadable=dict,
        identity={
            "style1_sha256": sha256(path),
            "style_regions_sha256": sha256(style_map.path),
            "style_size": style_size,
        },
        files={"style": str(path), "style_regions": str(style_map.path)},
    )


def _maps(flags: TrainFlags, network: Doodle) -> dict[str, Shown]:
    """Returns what a doodle shows: the maps of a folder, or random ones."""
    if flags.samples:
        read = [region_maps.read(path) for path in list_pictures(Path(flags.samples))]
        guides = {
            each.path.name: doodles.guides_of(
                network, each, scaled(each.labels.shape, flags.size / max(each.labels.shape))
            )
            for each in read
        }
    else:
        random = [np.random.default_rng([flags.seed, _SHOWN, number]) for number in range(_HELD_OUT)]
        guides = {
            f"map {number}": doodles.random_guides(len(network.regions), flags.size, each)
            for number, each in enumerate(random, 1)
        }
    colours, noise = np.array(network.regions, np.float32) / 255, np.random.default_rng([flags.seed, _SHOWN])
    return {
        name: Shown(doodles.painted_from(network, each, noise), np.clip(each @ colours, 0, 1))
        for name, each in guides.items()
    }


class _Photographs:
    """The photographs of a folder: to train with, and to show.

    Some of the folder are held out even where others are shown, so that what is shown changes nothing of a training.
    """

    def __init__(self, flags: TrainFlags) -> None:
        held_out, files = _held_out(list_pictures(Path(str(flags.contents))), flags.seed)
        if flags.samples:
            held_out, _ = image_folder.check_readable(list_pictures(Path(flags.samples)), keep_going=True)
        self.crops = Crops(files, size=flags.size, seed=flags.seed)
        self.shown = {name: Shown(square, square) for name, square in image_folder.read_squares(held_out, flags.size)}
        self.identity = {"contents_sha256": image_folder.listing(files)}


def _held_out(files: list[Path], seed: int) -> tuple[list[Path], list[Path]]:
    """Returns the pictures to show, all of which can be read, and those to train with."""
    shown = []
    for index in np.random.default_rng(seed).permutation(len(files)):
        try:
            images.read(files[index])
        except UserError:
            continue
        shown.append(files[index])
        if len(shown) == _HELD_OUT:
            break
    if len(files) - len(shown) < _LEAST_LEFT:
        return shown, files
    return shown, [file for file in files if file not in shown]


def _distinct(names: list[str], taken: tuple[str, ...]) -> tuple[str, ...]:
    """Returns names that differ from each other and from those that are taken, by numbers behind them."""
    found: list[str] = []
    for name in names:
        number, free = 1, name
        while free in (*taken, *found):
            number += 1
            free = f"{name}-{number}"
        found.append(free)
    return tuple(found)
