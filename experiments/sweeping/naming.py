"""The names of the cells' files in a folder that may have some of them: a sweep may grow.

The numbers in the names of a larger grid are others, but those that the folder has already keep their names.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.io.files import file_error

from . import folder
from .cells import PreparedCell
from .outcome import CELLS, PAGE, SHEET, TABLE, TRADEOFF, parts_of
from .records import ADVICE, check_identity


class Named(NamedTuple):
    """The cells of a sweep in its folder.

    Attributes:
        cells: the cells, in the order of the grid, with the names of their files.
        parts: number of sheets, and of pages, that the folder has.
    """

    cells: list[PreparedCell]
    parts: int


def named(workdir: Path, cells: Sequence[PreparedCell]) -> Named:
    """Returns all cells of a sweep with the names of their files, in a folder that need not exist.

    Raises:
        UserError: the folder belongs to a sweep with cells that this one has not.
    """
    found, count = _found(workdir)
    by_name = {cell.name: cell for cell in cells}
    names = {name: name for name, cell in by_name.items() if name in found and _is_same(cell, found[name])}
    left: dict[str, list[str]] = {}
    for name, settings in found.items():
        if name not in names and settings:  # of a cell whose images could not be read there is nothing to keep
            left.setdefault(_key(settings), []).append(name)
    for cell in cells:
        if cell.name not in names and cell.error is None and (others := left.get(_key(cell.description))):
            names[cell.name] = others.pop(0)
    for name in (name for others in left.values() for name in others):
        if name in by_name:
            check_identity(workdir, by_name[name], found[name])
        raise file_error(workdir, f"belongs to another sweep, which has the cell {name}: {ADVICE}")
    taken = set(names.values())
    for name in (name for name in by_name if name not in names):
        names[name] = next(free for free in _variants(name) if free not in taken)
        taken.add(names[name])
    return Named([renamed(cell, names[cell.name]) for cell in cells], count)


def renamed(cell: PreparedCell, name: str) -> PreparedCell:
    """Returns a cell whose files have another name."""
    return dataclasses.replace(cell, grid=dataclasses.replace(cell.grid, name=name))


def _found(workdir: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Returns the settings of each cell that the folder has, by the name of its files; and the number of its sheets."""
    manifest = folder.read_manifest(workdir, ADVICE)
    if manifest is None:
        other = next((name for name in (TABLE, SHEET, TRADEOFF, PAGE) if (workdir / name).exists()), None)
        if other and not (workdir / CELLS).is_dir():
            raise file_error(
                workdir, f"expected the folder of a sweep, found only a file {other}: choose another --workdir"
            )
        return {}, 1
    return {cell["name"]: cell["settings"] for cell in manifest["cells"]}, parts_of(manifest)


def _is_same(cell: PreparedCell, settings: Mapping[str, Any]) -> bool:
    """Returns whether a cell is that of these settings, as far as the images of both can be read."""
    return not settings or cell.error is not None or _key(cell.description) == _key(settings)


def _key(settings: Mapping[str, Any]) -> str:
    """Returns what cells of the same picture have in common: all settings, and what images hold, not their names."""
    files = {"content", *(name.removesuffix("_sha256") for name in settings if name.endswith("_sha256"))}
    return json.dumps({name: value for name, value in settings.items() if name not in files}, sort_keys=True)


def _variants(name: str) -> Iterator[str]:
    """Yields a name, and others that begin like it."""
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))
