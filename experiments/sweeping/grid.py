"""The grid of a sweep: its axes, whose values set flags of a transfer, and its cells, one transfer each.

Any flag of a transfer can be an axis: it takes a list of values instead of one.
"""

import collections
import dataclasses
import itertools
import math
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.errors import UserError, choose, one_line
from nst_jax.io.files import is_folder, normal
from nst_jax.io.image_folder import list_pictures
from nst_jax.io.stores import located
from nst_jax.settings import Settings

from ..cli import samples
from ..cli.flags import AUTO, ESCAPE, Checked, FileOrAddress, FilePaths, flag, serialize, without_none
from ..cli.folders import default_folder, plain
from ..cli.run_flags import COARSE, FINE, UNTIL, StrokeFlags, parts
from ..cli.transfer_flags import CONTENT, REGIONS, STYLE, STYLE_REGIONS, TransferFlags
from .outcome import is_output

_MAY_BE_EMPTY = frozenset(row.name for row in dataclasses.fields(Settings) if isinstance(row.default, tuple))
_AUTO_LISTS = frozenset(
    name for name, hint in typing.get_type_hints(Settings).items() if hint in (tuple[int, ...], tuple[float, ...])
)
"""Lists of numbers, of which an empty one is called auto; one of names in a list of some would be a slip of the pen."""
_MAPS = {
    name: f"Several values are swept, or with several {images} are those of one each, in their order."
    for name, images in ((REGIONS, "--contents"), (STYLE_REGIONS, "--styles"))
}
"""Flags for maps of the first two axes → what their help says of several values."""
_NOT_SWEPT = ("workdir", "output", CONTENT, STYLE)


class Axis(NamedTuple):
    """An axis of a grid.

    Attributes:
        name: the flag, or a word for several flags that vary together.
        labels: its values, as shown to users.
        changes: for each value, the flags that it sets.
    """

    name: str
    labels: tuple[str, ...]
    changes: tuple[dict[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class GridCell:
    """One transfer of a grid.

    Attributes:
        name: the name of its files.
        place: the index of its value on each axis.
        flags: the flags of the transfer.
        at: (x, y) on a sheet without rows and columns, in units of tiles.
        caption: the text under it there.
    """

    name: str
    place: tuple[int, ...]
    flags: TransferFlags
    at: tuple[float, float] | None = None
    caption: str | None = None


@dataclasses.dataclass(frozen=True)
class Grid:
    """All transfers of a sweep, and their layout.

    Attributes:
        title: the title of the sheet and the page.
        axes: the axes, each with several values.
        cells: the cells, in the order in which they are run.
        rows: names of the axes laid out from top to bottom.
        cols: names of the axes laid out from left to right.
    """

    title: str
    axes: tuple[Axis, ...]
    cells: tuple[GridCell, ...]
    rows: tuple[str, ...]
    cols: tuple[str, ...]


def _swept_fields() -> list[tuple[str, Any, Any]]:
    """Returns the flags of a transfer, each as a list of values."""
    hints = typing.get_type_hints(StrokeFlags, include_extras=True)
    fields = []
    for field in dataclasses.fields(StrokeFlags):
        if field.name not in _NOT_SWEPT:
            kind: Any = without_none(hints[field.name])
            swept = _MAPS.get(field.name, "Several values are swept.")
            metadata = field.metadata | {"help": f"{field.metadata['help']} {swept}"}
            fields.append((field.name, tuple[kind, ...] | None, dataclasses.field(default=None, metadata=metadata)))
    return fields


# Any, as no type checker knows the fields of a class that is made at run time.
SweptFlags: Any = dataclasses.make_dataclass(
    "SweptFlags",
    _swept_fields(),
    bases=(Checked,),
    namespace={"__doc__": "The flags of a transfer, each with a list of values."},
    frozen=True,
    kw_only=True,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridFlags(SweptFlags):
    """The flags of a grid."""

    contents: tuple[FileOrAddress, ...] | None = flag(
        None, f"Content images, or folders of them{ESCAPE}; by default a sample."
    )
    styles: tuple[FileOrAddress, ...] | None = flag(
        None, f"Style images, or folders of them{ESCAPE}; by default a sample."
    )
    style: FilePaths | None = flag(None, f"Style images to blend in every cell, separated by commas{ESCAPE}.")
    rows: tuple[str, ...] | None = flag(
        None, "Flags whose values are laid out from top to bottom; by default all but --cols."
    )
    cols: tuple[str, ...] | None = flag(
        None, "Flags whose values are laid out from left to right; by default the one with the most values."
    )


def make_grid(flags: GridFlags) -> Grid:
    """Returns the grid of all combinations of the values that the flags list.

    Raises:
        UserError: a list is empty or has a value twice, a folder has no images, images and their maps are not as many,
            or rows or columns are not axes.
    """
    if flags.style and flags.styles:
        raise UserError(
            "--style: expected it (blended in every cell) or --styles (one per cell), found both; leave out one"
        )
    given = {name: getattr(flags, name) for name, *_ in _swept_fields() if getattr(flags, name) is not None}
    made = any(name in given for name in (FINE, COARSE, UNTIL))
    if made and flags.styles:
        raise UserError(
            f"--styles: expected none with --{FINE}, --{COARSE} and --{UNTIL}, found some; leave out either"
        )
    axes = [picture_axis(CONTENT, flags.contents, [samples.content_image()])]
    if not (flags.style or made):
        axes.append(picture_axis(STYLE, flags.styles, [samples.style_image()]))
    pictures = len(axes)
    for index, name in zip(range(pictures), _MAPS, strict=False):
        if len(axes[index].labels) > 1 and len(maps := _each(given.get(name, ()))) > 1:
            axes[index] = _with_maps(axes[index], name, maps)
            del given[name]
    axes += [_value_axis(name, values) for name, values in given.items()]
    fixed = {name: value for axis in axes if len(axis.labels) == 1 for name, value in axis.changes[0].items()}
    title = " in the style of ".join(axis.labels[0] for axis in axes[:pictures] if len(axis.labels) == 1)
    varied = tuple(axis for axis in axes if len(axis.labels) > 1)
    base = (StrokeFlags if made else TransferFlags)(**{STYLE: flags.style, **fixed})
    cells = product(base, varied)
    for cell in cells if made else ():
        parts(cell.flags)  # both of them, and no style image beside
    rows, cols = _layout(varied, flags.rows, flags.cols)
    return Grid(title, varied, cells, rows, cols)


def product(base: TransferFlags, axes: Sequence[Axis]) -> tuple[GridCell, ...]:
    """Returns a cell for every combination of the axes' values, the last axis fastest."""
    count = math.prod(len(axis.labels) for axis in axes)
    cells = []
    for index, place in enumerate(itertools.product(*(range(len(axis.labels)) for axis in axes))):
        changes: dict[str, Any] = {}
        for axis, value in zip(axes, place, strict=True):
            changes |= axis.changes[value]
        labels = [_file_label(axis, value) for axis, value in zip(axes, place, strict=True)]
        cells.append(GridCell(file_name(index, count, labels), place, dataclasses.replace(base, **changes)))
    return tuple(cells)


def preview(grid: Grid, *, size: int, steps: int) -> Grid:
    """Returns the grid with size and steps limited; strokes keep their scale relative to the picture."""

    def smaller(flags: TransferFlags) -> TransferFlags:
        share = min(1, size / flags.size)
        return dataclasses.replace(
            flags,
            size=min(size, flags.size),
            style_size=flags.style_size and tuple(max(1, round(share * size)) for size in flags.style_size),
            steps=steps if flags.steps is None else min(steps, flags.steps),
        )

    cells = tuple(dataclasses.replace(cell, flags=smaller(cell.flags)) for cell in grid.cells)
    return dataclasses.replace(grid, title=f"{grid.title} (preview)", cells=cells)


def workdir(given: str | None, kind: str, grid: Grid) -> Path:
    """Returns the folder of a grid: the given one, or one that the same command finds again."""
    if given:
        return located(given)
    return default_folder(kind, grid.title, [dataclasses.asdict(cell.flags) for cell in grid.cells])


def file_name(index: int, count: int, labels: Iterable[str]) -> str:
    """Returns the name for the files of one of `count` cells: all are different, and sort in the order of the cells."""
    text = plain("_".join(labels))
    return "_".join(filter(None, [f"{index:0{max(3, len(str(count - 1)))}d}", text]))


def seed_axis(seeds: Sequence[int]) -> Axis:
    """Returns the axis of the flag `--seeds`.

    Raises:
        UserError: there are no seeds, or one is there twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds: expected one or more, each once, found {','.join(map(str, seeds)) or 'none'}")
    return Axis("seed", tuple(map(str, seeds)), tuple({"seed": seed} for seed in seeds))


def picture_axis(name: str, given: Sequence[str] | None, default: Sequence[Path]) -> Axis:
    """Returns the axis of some images, given as files or folders.

    Raises:
        UserError: there are none, or one is there twice.
    """
    paths = [path for text in given for path in _pictures(located(text))] if given is not None else list(default)
    if not paths:
        raise UserError(f"--{name}s: expected one image or more, found none; leave the flag out for a sample")
    return Axis(name, unique_labels(f"--{name}s", paths), tuple({name: str(path)} for path in paths))


def _each(values: Iterable[Any]) -> list[str]:
    """Returns the files in the values of a flag, each of which is a file or a list of some."""
    return [path for value in values for path in (value if isinstance(value, tuple) else (value,))]


def _with_maps(axis: Axis, name: str, maps: Sequence[str]) -> Axis:
    """Returns an axis of images that has a map for each: one belongs to the image that it was drawn on.

    Raises:
        UserError: there are not as many.
    """
    if len(maps) != len(axis.labels):
        raise UserError(
            f"--{name}: expected a map for each of {len(axis.labels)} images in their order, {', '.join(axis.labels)}, "
            f"or one for all, found {len(maps)}"
        )
    own = [path if name == REGIONS else (path,) for path in maps]
    return axis._replace(changes=tuple({**of, name: path} for of, path in zip(axis.changes, own, strict=True)))


def _pictures(path: Path) -> list[Path]:
    """Returns the image, or those in the folder without what a sweep there has drawn of its own."""
    if not is_folder(path):  # invalid names are reported later
        return [path]
    return [picture for picture in list_pictures(path) if not is_output(picture)]


def unique_labels(flag_name: str, paths: Sequence[Path]) -> tuple[str, ...]:
    """Returns the shortest ends of the paths that differ from each other."""
    real = [normal(path) for path in paths]
    twice, times = collections.Counter(real).most_common(1)[0]
    if times > 1:
        raise UserError(f"{flag_name}: expected each image once, found twice: {twice}")
    labels = [path.stem for path in real]
    for depth in range(1, max(len(path.parts) for path in real)):
        if len(set(labels)) == len(labels):
            break
        longer = ["/".join(path.parts[-depth:]) for path in real]
        found = collections.Counter(labels)
        labels = [long if found[label] > 1 else label for label, long in zip(labels, longer, strict=True)]
    return tuple(one_line(label) for label in labels)  # file names may have bytes that are not text


def _value_axis(name: str, values: tuple[Any, ...]) -> Axis:
    if not values:
        raise UserError(f"--{name}: expected one value or more, found none; leave the flag out for its default")
    found = collections.Counter(values)
    for value in values:
        if found[value] > 1:
            raise UserError(f"--{name}: expected each value once, found {serialize(value)} twice")
        if value == () and not (name in _AUTO_LISTS or (name in _MAY_BE_EMPTY and len(values) == 1)):
            raise UserError(f"--{name}: expected no empty list, found one; leave the flag out for its default")
    return Axis(name, tuple(_label(value) for value in values), tuple({name: value} for value in values))


def _label(value: Any) -> str:
    if value == ():
        return AUTO
    return repr(value).removesuffix(".0") if isinstance(value, float) else serialize(value)


def _file_label(axis: Axis, value: int) -> str:
    label = axis.labels[value]
    return label if axis.name in (CONTENT, STYLE) else f"{axis.name}={label}"


def _layout(
    axes: Sequence[Axis], rows: tuple[str, ...] | None, cols: tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the axes for rows and columns: by default the longest in columns, all others in rows."""
    names = [axis.name for axis in axes]
    for flag_name, chosen in (("rows", rows or ()), ("cols", cols or ())):
        for name in chosen:
            choose(name, names, what=f"axis in --{flag_name} (flags with several values are axes)")
        if len(set(chosen)) < len(chosen):
            raise UserError(f"--{flag_name}: expected each axis once, found {', '.join(chosen)}")
    both = set(rows or ()) & set(cols or ())
    if both:
        raise UserError(f"--rows: expected other axes than in --cols, found in both: {', '.join(sorted(both))}")
    if cols is None:
        rest = [axis for axis in axes if axis.name not in (rows or ())]
        longest = max(rest, key=lambda axis: len(axis.labels), default=None)
        cols = (longest.name,) if longest else ()
    if rows is None:
        rows = tuple(name for name in names if name not in cols)
    return rows, cols
