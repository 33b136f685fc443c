"""The outcome of a grid, and how its script ends."""

import functools
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..cli import stopping
from ..engines import tasks

MANIFEST, TABLE, SHEET, TRADEOFF, PAGE = "manifest.json", "cells.csv", "sheet.png", "tradeoff.png", "index.html"
_DRAWN = re.compile(r"(sheet(-(?P<part>[2-9]|[1-9]\d{1,6}))?|tradeoff)\.png")  # of large sweeps several sheets
CELLS, CHECKPOINTS, LOGS = "cells", "checkpoints", tasks.LOGS
PARTS = "sheets"
"""In the manifest, the number of sheets, and of pages."""


def is_output(path: Path) -> bool:
    """Returns whether a picture in a folder is a sheet or plot that a sweep has put there."""
    found = _DRAWN.fullmatch(path.name)
    manifest = path.parent / MANIFEST
    if not found or not manifest.is_file():
        return False
    return int(found["part"] or 1) <= _parts(manifest, manifest.stat().st_mtime_ns)


def parts_of(manifest: Mapping[str, Any]) -> int:
    """Returns the number of sheets, and of pages, that a sweep has written, each of which has a cell at least."""
    count = manifest.get(PARTS)
    return max(1, min(count, len(manifest["cells"]))) if isinstance(count, int) else 1


@functools.lru_cache(maxsize=1)  # as there are many sheets only where the manifest is large
def _parts(path: Path, _: int) -> int:
    try:
        return parts_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):  # damaged, or another's
        return 1


class Outcome(NamedTuple):
    """The outcome of a grid.

    Attributes:
        workdir: the folder of the grid.
        finished: number of cells with a picture.
        failed: name of each failed cell → its error.
        missing: number of cells with neither, as the worker that should run them ended early.
        stopped: whether the run was asked to stop before its end.
        names: name of each cell in the grid → name of its files, another one where the grid has grown.
        partial: whether this process ran a task of the grid only; another one writes what covers all cells.
    """

    workdir: Path
    finished: int
    failed: dict[str, str]
    missing: int
    stopped: bool
    names: Mapping[str, str]
    partial: bool = False

    @property
    def complete(self) -> bool:
        """Whether every cell has its picture, and this process is the one to go on with them."""
        return self.finished == len(self.names) and not self.partial

    def path(self, cell: str, suffix: str = ".png") -> Path:
        """Returns the path of a file of a cell, given its name in the grid; by default of its picture."""
        return cell_path(self.workdir, self.names[cell], suffix)


def cell_path(workdir: Path, name: str, suffix: str) -> Path:
    """Returns the path of a file of a cell, given the name of its files; its picture has the suffix .png."""
    return workdir / CELLS / f"{name}{suffix}"


def finish_script(outcome: Outcome) -> None:
    """Prints the outcome of a grid, and ends the script with the status that belongs to it."""
    for name, problem in outcome.failed.items():
        print(f"failed: {name}: {problem}")
    if outcome.partial:
        sys.exit(stopping.status() or bool(outcome.failed))
    pictures = "1 picture" if outcome.finished == 1 else f"{outcome.finished} pictures"
    print(f"{pictures}, sheet and page: {outcome.workdir / PAGE}")
    if outcome.stopped:
        print("stopped; the same command continues")
        sys.exit(stopping.status() or stopping.INTERRUPTED)
    if outcome.missing:
        sys.exit(
            f"error: expected all cells to be done, found {outcome.missing} left by workers that ended before; "
            "the same command continues"
        )
    if outcome.failed:
        sys.exit(1)
