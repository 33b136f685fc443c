"""The files of a sweep that cover all its cells: manifest.json, cells.csv, the sheet, the trade-off, the page.

Only the record of each cell is authoritative; these files are made from the records, repeatedly while cells finish.
"""

import csv
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import atomic_write, file_error

from ..cli.flags import command_line
from ..showing.page import write_page
from ..showing.sheet import write_sheet
from .cells import PreparedCell
from .folder import FAILED, UNFINISHED
from .grid import Grid
from .outcome import MANIFEST, PAGE, PARTS, SHEET, TABLE, TRADEOFF
from .pages import numbered, parts
from .records import PAUSE, Records
from .watching import for_page, status

_LEAST_PAUSE = 5.0  # seconds
_AWAY = 60.0
"""Seconds until the files are written again, after records could not be read."""


class Gallery:
    """The files of a sweep that cover all its cells."""

    def __init__(
        self, workdir: Path, grid: Grid, records: Records, about: Mapping[str, Any], *, shown: int = 1
    ) -> None:
        """Writes nothing yet.

        Args:
            workdir: the folder.
            grid: the sweep.
            records: those of all its cells, in its order.
            about: versions and device.
            shown: number of sheets, and of pages, that the folder has.
        """
        self._workdir = workdir
        self._grid = grid
        self._records = records
        self._about = about
        self._next = 0.0
        self._shown: dict[Path, str] = {}
        self._parts = shown

    def refresh(self, *, now: bool = False) -> None:
        """Writes the files that cover all cells, unless they were written too recently for what that costs."""
        from ..showing.tradeoff import plot_tradeoff  # with Matplotlib, for which the first step should not wait

        began = time.monotonic()
        if not now and began < self._next:
            return
        self._next = began + _AWAY  # where the look fails
        self._records.look()
        manifest = self.manifest()
        divided = parts(manifest)
        writings: list[Callable[[], None]] = [
            lambda: self._remove_parts(len(divided)),
            lambda: self._write_manifest(manifest),
            lambda: self._write_table(manifest["cells"]),
            lambda: plot_tradeoff(self._workdir / TRADEOFF, manifest),
            *self._part_writings(divided),
        ]
        failure: UserError | None = None
        for write in writings:
            try:
                write()
            except UserError as error:  # of these files none is worth another, or the cells under way
                failure = failure or error
        ended = time.monotonic()
        self._next = ended + max(_LEAST_PAUSE, PAUSE * (ended - began))
        if failure:
            raise failure

    def _part_writings(self, divided: Sequence[dict[str, Any]]) -> Iterator[Callable[[], None]]:
        """Yields what writes the sheet and the page of each part in which something has changed since the last time."""
        links = [
            {"href": f"./{numbered(Path(PAGE), number).name}", "label": part["label"]}
            for number, part in enumerate(divided)
        ]
        records = self._records
        names = (cell.name for cell in records.cells)
        how_far = for_page(status(self._workdir, names, records.summary()[1], records.ends))
        for number, part in enumerate(divided):
            sheet, page = (numbered(self._workdir / name, number) for name in (SHEET, PAGE))
            if len(divided) > 1:
                part |= {"title": f"{part['title']} ({part['label']})".strip(), "parts": links, "part": number}
            yield functools.partial(self._if_changed, sheet, part, write_sheet)
            # Of the whole sweep the first page tells, so that the others are written when they have something new.
            shown = (
                {**part, "status": how_far} if number == 0 and not all(map(records.is_done, records.cells)) else part
            )
            yield functools.partial(self._if_changed, page, shown, write_page)

    def _remove_parts(self, count: int) -> None:
        """Removes the sheets and pages of a layout with more parts: none but those that the manifest tells of."""
        for number in range(count, self._parts):
            for name in (SHEET, PAGE):
                path = numbered(self._workdir / name, number)
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise file_error(path, f"cannot be removed ({error.strerror})") from error
                self._shown.pop(path, None)
        self._parts = count

    def _if_changed(
        self, path: Path, part: Mapping[str, Any], write: Callable[[Path, Mapping[str, Any]], None]
    ) -> None:
        digest = hashlib.sha256(json.dumps(part, sort_keys=True).encode(errors="replace")).hexdigest()
        if self._shown.get(path) != digest or not path.exists():
            write(path, part)
            self._shown[path] = digest

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Writes the manifest with a cell in each line: indented, those of large sweeps take ten times as long."""
        first = {PARTS: self._parts, **manifest}
        about = json.dumps({name: value for name, value in first.items() if name != "cells"}, indent=2)
        cells = ",\n".join(map(json.dumps, manifest["cells"]))
        with atomic_write(self._workdir / MANIFEST, encoding="utf-8") as file:
            file.write(f'{about.removesuffix("}").rstrip()},\n  "cells": [\n{cells}\n  ]\n}}\n')

    def manifest(self) -> dict[str, Any]:
        """Returns the content of manifest.json; paths in it are relative to its folder."""
        return {
            "title": self._grid.title,
            "axes": [{"name": axis.name, "values": list(axis.labels)} for axis in self._grid.axes],
            "rows": list(self._grid.rows),
            "cols": list(self._grid.cols),
            "cells": [self._entry(cell) for cell in self._records.cells],
            **self._about,
        }

    def _entry(self, cell: PreparedCell) -> dict[str, Any]:
        unknown = dict.fromkeys(("picture", "sha256", "seconds", "cells_in_batch", "losses"))
        height, width = cell.shape or (None, None)
        entry = {
            "name": cell.name,
            "place": list(cell.grid.place),
            "status": UNFINISHED if cell.error is None else FAILED,
            "error": cell.error,
            "steps": cell.identity.get("steps"),
            "settings": cell.description,
            "command": command_line("experiments.stylize", cell.grid.flags),
            "width": width,
            "height": height,
            **unknown,
            **self._records.of(cell),
        }
        if cell.grid.at is not None:
            entry |= {"at": list(cell.grid.at), "caption": cell.grid.caption}
        return entry

    def _write_table(self, entries: Sequence[Mapping[str, Any]]) -> None:
        settings = _names(entry["settings"] for entry in entries)
        losses = _names(entry["losses"] for entry in entries)
        plain = ("name", "status", "error", "picture", "sha256", "width", "height", "seconds", "cells_in_batch")
        with atomic_write(self._workdir / TABLE, encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                [*plain, *(f"axis/{axis.name}" for axis in self._grid.axes), *settings, *map(_loss_column, losses)]
            )
            for entry in entries:
                places = zip(self._grid.axes, entry["place"], strict=True)
                writer.writerow(
                    [
                        *(_plain(entry[name]) for name in plain),
                        *(_plain(axis.labels[value]) for axis, value in places),
                        *(_plain(entry["settings"].get(name)) for name in settings),
                        *((entry["losses"] or {}).get(name) for name in losses),
                    ]
                )


def _names(mappings: Any) -> list[str]:
    """Returns all keys of some mappings, which may be None, in the order in which they come."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping or ()))


def _loss_column(name: str) -> str:
    return name if name == "loss" else f"loss/{name}"  # "content" and "style" are the columns of the images


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return (
        one_line(value, longest=2000) if isinstance(value, str) else value
    )  # file names may have bytes that are not text
