"""The grid of a sweep: axes, whose values are changes of the flags of a transfer, and one transfer a cell.

Any flag of a transfer can be an axis: it takes a list where the single transfer takes a value.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import os
import re
import typing
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.errors import UserError, choose, one_line
from nst_jax.io.image_folder import list_pictures
from nst_jax.settings import Settings

from ..cli import samples
from ..cli.flags import Checked, flag, serialize, without_none
from ..cli.transfer_flags import CONTENT, STYLE, TransferFlags

_LONGEST_NAME = 120  # bytes, of the 255 that file systems have room for
_MAY_BE_EMPTY = frozenset(row.name for row in dataclasses.fields(Settings) if isinstance(row.default, tuple))
_NOT_SWEPT = ("workdir", "output", CONTENT, STYLE)


class Axis(NamedTuple):
    """What is varied.

    Attributes:
        name: of the flag, or of what several flags mean together.
        labels: of its values, as a person reads them.
        changes: for each value the flags that it sets.
    """

    name: str
    labels: tuple[str, ...]
    changes: tuple[dict[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class GridCell:
    """One transfer of a grid.

    Attributes:
        name: of its files.
        place: the index of its value on each axis.
        flags: of the transfer.
        at: where it lies on a sheet without rows and columns, in units of tiles.
        caption: what is written under it there.
    """

    name: str
    place: tuple[int, ...]
    flags: TransferFlags
    at: tuple[float, float] | None = None
    caption: str | None = None


@dataclasses.dataclass(frozen=True)
class Grid:
    """All transfers, and how they are laid out.

    Attributes:
        title: of the sheet and the page.
        axes: that are varied.
        cells: in the order in which they are run.
        rows: names of the axes that go down.
        cols: names of the axes that go to the right.
    """

    title: str
    axes: tuple[Axis, ...]
    cells: tuple[GridCell, ...]
    rows: tuple[str, ...]
    cols: tuple[str, ...]


def _swept_fields() -> list[tuple[str, Any, Any]]:
    """Returns the fields of a transfer's flags, each as a list of what it is there."""
    hints = typing.get_type_hints(TransferFlags)
    fields = []
    for field in dataclasses.fields(TransferFlags):
        if field.name not in _NOT_SWEPT:
            kind: Any = without_none(hints[field.name])
            metadata = field.metadata | {"help": f"{field.metadata['help']} A list is swept."}
            fields.append((field.name, tuple[kind, ...] | None, dataclasses.field(default=None, metadata=metadata)))
    return fields


# Any, as no type checker knows the fields of a class that is made at run time.
SweptFlags: Any = dataclasses.make_dataclass(
    "SweptFlags",
    _swept_fields(),
    bases=(Checked,),
    namespace={"__doc__": "A flag for a list of values of each flag of a transfer."},
    frozen=True,
    kw_only=True,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridFlags(SweptFlags):
    """The flags of a grid."""

    contents: tuple[str, ...] | None = flag(None, "Content images, or folders of them; by default a sample.")
    styles: tuple[str, ...] | None = flag(None, "Style images, or folders of them; by default a sample.")
    style: str | None = flag(None, "Style images, separated by commas, that are blended in every cell.")
    rows: tuple[str, ...] | None = flag(None, "Flags whose values go down the sheet.")
    cols: tuple[str, ...] | None = flag(
        None, "Flags whose values go across the sheet; by default the one with the longest list."
    )


def make_grid(flags: GridFlags) -> Grid:
    """Returns the grid of all combinations of the values that the flags list.

    Raises:
        UserError: a list is empty or has a value twice, a folder has no pictures, or rows and columns are no axes.
    """
    if flags.style and flags.styles:
        raise UserError("--style: expected either it (paintings blended in every cell) or --styles, found both")
    given = {name: getattr(flags, name) for name, *_ in _swept_fields() if getattr(flags, name) is not None}
    axes = [picture_axis(CONTENT, flags.contents, [samples.photograph()])]
    if not flags.style:
        axes.append(picture_axis(STYLE, flags.styles, [samples.painting()]))
    axes += [_value_axis(name, values) for name, values in given.items()]
    fixed = {name: value for axis in axes if len(axis.labels) == 1 for name, value in axis.changes[0].items()}
    title = " in the style of ".join(
        axis.labels[0] for axis in axes[: 1 if flags.style else 2] if len(axis.labels) == 1
    )
    varied = tuple(axis for axis in axes if len(axis.labels) > 1)
    base = TransferFlags(**{STYLE: flags.style, **fixed})
    rows, cols = _layout(varied, flags.rows, flags.cols)
    return Grid(title, varied, product(base, varied), rows, cols)


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
    """Returns the same grid with no picture larger and no run longer; strokes keep their scale within the picture."""

    def smaller(flags: TransferFlags) -> TransferFlags:
        share = min(1, size / flags.size)
        return dataclasses.replace(
            flags,
            size=min(size, flags.size),
            style_size=flags.style_size and max(1, round(share * flags.style_size)),
            steps=steps if flags.steps is None else min(steps, flags.steps),
        )

    cells = tuple(dataclasses.replace(cell, flags=smaller(cell.flags)) for cell in grid.cells)
    return dataclasses.replace(grid, title=f"{grid.title} (preview)", cells=cells)


def workdir(given: str | None, kind: str, grid: Grid) -> Path:
    """Returns the folder of a grid: the given one, else one of its own that the same command finds again."""
    if given:
        return Path(given)
    flags = json.dumps([dataclasses.asdict(cell.flags) for cell in grid.cells])
    return Path("results", kind, f"{_plain(grid.title)}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}")


def file_name(index: int, count: int, labels: Iterable[str]) -> str:
    """Returns the name of the files of a cell, of `count`: no two are equal, and they sort in order."""
    text = _plain("_".join(labels))
    return "_".join(filter(None, [f"{index:0{max(3, len(str(count - 1)))}d}", text]))


def _plain(text: str) -> str:
    """Returns a text as part of a file name: no spaces, slashes or control characters, and not too long."""
    normal = unicodedata.normalize("NFKC", text)  # 10⁻⁵ as 10−5
    plain = re.sub(r"[^\w.=+,-]+", "-", normal).encode()[:_LONGEST_NAME].decode(errors="ignore")
    return plain.strip("-_.,")


def picture_axis(name: str, given: Sequence[str] | None, default: Sequence[Path]) -> Axis:
    """Returns the axis of some pictures, files or folders of them.

    Raises:
        UserError: there is none, or one is there twice.
    """
    paths = [path for text in given for path in _pictures(Path(text))] if given is not None else list(default)
    if not paths:
        raise UserError(f"--{name}s: expected one picture or more, found none; leave the flag out for a sample")
    return Axis(name, unique_labels(f"--{name}s", paths), tuple({name: str(path)} for path in paths))


def _pictures(path: Path) -> list[Path]:
    """Returns the picture, or those in the folder."""
    return list_pictures(path) if os.path.isdir(path) else [path]  # noqa: PTH112 - what is no file name is said later


def unique_labels(flag_name: str, paths: Sequence[Path]) -> tuple[str, ...]:
    """Returns as little of each path as tells them apart."""
    real = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 - links are other pictures, .. is none
    twice = next((path for path in real if real.count(path) > 1), None)
    if twice is not None:
        raise UserError(f"{flag_name}: expected each picture once, found twice: {twice}")
    labels = [path.stem for path in real]
    for depth in range(1, max(len(path.parts) for path in real)):
        if len(set(labels)) == len(labels):
            break
        longer = ["/".join(path.parts[-depth:]) for path in real]
        labels = [long if labels.count(label) > 1 else label for label, long in zip(labels, longer, strict=True)]
    return tuple(one_line(label) for label in labels)  # file names may have bytes that are no text


def _value_axis(name: str, values: tuple[Any, ...]) -> Axis:
    if not values:
        raise UserError(f"--{name}: expected one value or more, found none; leave the flag out for its default")
    for value in values:
        if values.count(value) > 1:
            raise UserError(f"--{name}: expected each value once, found {serialize(value)} twice")
        if value == () and not (name in _MAY_BE_EMPTY and len(values) == 1):
            raise UserError(f"--{name}: expected no empty list, found one; leave the flag out for its default")
    return Axis(name, tuple(_label(value) for value in values), tuple({name: value} for value in values))


def _label(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else serialize(value)


def _file_label(axis: Axis, value: int) -> str:
    label = axis.labels[value]
    return label if axis.name in (CONTENT, STYLE) else f"{axis.name}={label}"


def _layout(
    axes: Sequence[Axis], rows: tuple[str, ...] | None, cols: tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the axes that go down and across: all of them, the longest one across if nothing is said."""
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
