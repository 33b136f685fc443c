"""The files of a sweep that cover all its cells: manifest.json, cells.csv, the sheet, the trade-off, the page.

Only the record of each cell is authoritative; these files are made from the records, repeatedly while cells finish.
"""

import csv
import dataclasses
import functools
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import atomic_write, file_error, sha256

from ..cli.flags import command_line
from ..running.run_record import write_json
from ..showing.page import write_page
from ..showing.sheet import write_sheet
from . import folder
from .cells import PreparedCell
from .folder import FAILED, FINISHED, UNFINISHED
from .grid import Grid
from .outcome import CELLS, MANIFEST, PAGE, PARTS, SHEET, TABLE, TRADEOFF, cell_path, parts_of
from .pages import numbered, parts
from .watching import for_page, status

_ADVICE = "choose another --workdir, or remove this one"
_LEAST_PAUSE = 5.0  # seconds
_AWAY = 60.0
"""Seconds until the files are written again, after records could not be read."""
_PAUSE = 10.0
"""Time until the files are written again, or the folder is looked at, as a multiple of the time that this takes."""


class Gallery:
    """The folder of a sweep: the record of every cell, and the files that cover all of them.

    Attributes:
        cells: the cells, in the order of the grid. Those that the folder has already keep the names of their files:
            a sweep may grow, and the numbers in the names of a larger grid are others.
        steps_done: steps of the cells that are followed and done.
    """

    def __init__(
        self,
        workdir: Path,
        grid: Grid,
        cells: Sequence[PreparedCell],
        about: Mapping[str, Any],
    ) -> None:
        """Finds the names of the cells' files; of no cell anything is known before `follow`.

        Args:
            workdir: the folder, which need not exist.
            grid: the sweep.
            cells: the cells of the grid, in its order.
            about: versions and device.

        Raises:
            UserError: the folder belongs to a sweep with cells that this one has not.
        """
        self._workdir = workdir
        self._grid = grid
        self._about = about
        self._records: dict[str, dict[str, Any]] = {}
        self._begun: dict[str, str] | None = None
        self._next = self._next_look = 0.0
        self._missing: dict[str, PreparedCell] = {}
        self._ends: list[float] = []
        self._shown: dict[Path, str] = {}
        self._parts = 1
        self.steps_done = 0
        self.cells = self._named(cells)

    def follow(self, cells: Sequence[PreparedCell], *, retry_failed: bool = False) -> None:
        """Reads the records of some of the cells, now and at each later look: a worker has to know its own alone.

        Args:
            cells: which of them.
            retry_failed: whether to run cells again that have failed before.

        Raises:
            UserError: a record is of a cell with other settings, or cannot be read.
        """
        self._missing = {cell.name: cell for cell in cells if cell.error is None}
        self.look()
        if retry_failed:
            for cell in cells:
                if self._records.get(cell.name, {}).get("status") == FAILED:
                    del self._records[cell.name]
                    self.path(cell, ".json").unlink(missing_ok=True)
                    self._missing[cell.name] = cell
                    self.steps_done -= cell.settings.steps

    @property
    def versions(self) -> tuple[Mapping[str, str] | None, Mapping[str, str]]:
        """The versions with which the folder was begun, None if it was not; and those here."""
        return self._begun, self._about["versions"]

    def path(self, cell: PreparedCell, suffix: str) -> Path:
        """Returns the path of a file of a cell."""
        return cell_path(self._workdir, cell.name, suffix)

    def is_done(self, cell: PreparedCell) -> bool:
        """Returns whether the cell is finished, or has failed and would fail again."""
        return cell.name in self._records or cell.error is not None

    def add(self, cell: PreparedCell, record: dict[str, Any]) -> None:
        """Writes the record of a cell whose picture is written; the next `refresh` shows it."""
        write_json(self.path(cell, ".json"), {folder.IDENTITY: cell.identity, **record})
        self._take(cell)  # unless the picture was removed meanwhile, and is made again

    def look(self, *, patient: bool = False) -> bool:
        """Looks for cells that an earlier run or other processes finished; returns whether all are done.

        Args:
            patient: whether to leave it where the last look was too recent for what it cost.
        """
        began = time.monotonic()
        if not patient or began >= self._next_look:
            for name in folder.with_records(self._workdir, self._missing):
                self._take(self._missing[name])
            ended = time.monotonic()
            self._next_look = ended + _PAUSE * (ended - began)
        return not self._missing

    def _take(self, cell: PreparedCell) -> None:
        """Takes the record of a cell that is missing, if it is there."""
        if (found := self._read(cell)) is not None:
            record, written = found
            self._records[cell.name] = record
            if record["status"] == FINISHED:
                self._ends.append(written)
            if self._missing.pop(cell.name, None) is not None:
                self.steps_done += cell.settings.steps

    def summary(self) -> tuple[int, dict[str, str]]:
        """Returns the number of cells with a picture, and for failed cells, by name, the error."""
        failed = {cell.name: cell.error for cell in self.cells if cell.error is not None}
        found = self._records.items()
        failed |= {name: record["error"] for name, record in found if record["status"] == FAILED}
        return sum(record["status"] == FINISHED for _, record in found), failed

    def refresh(self, *, now: bool = False) -> None:
        """Writes the files that cover all cells, unless they were written too recently for what that costs."""
        from ..showing.tradeoff import plot_tradeoff  # with Matplotlib, for which the first step should not wait

        began = time.monotonic()
        if not now and began < self._next:
            return
        self._next = began + _AWAY  # where the look fails
        self.look()
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
        self._next = ended + max(_LEAST_PAUSE, _PAUSE * (ended - began))
        if failure:
            raise failure

    def _part_writings(self, divided: Sequence[dict[str, Any]]) -> Iterator[Callable[[], None]]:
        """Yields what writes the sheet and the page of each part in which something has changed since the last time."""
        links = [
            {"href": f"./{numbered(Path(PAGE), number).name}", "label": part["label"]}
            for number, part in enumerate(divided)
        ]
        how_far = for_page(status(self._workdir, (cell.name for cell in self.cells), self.summary()[1], self._ends))
        for number, part in enumerate(divided):
            sheet, page = (numbered(self._workdir / name, number) for name in (SHEET, PAGE))
            if len(divided) > 1:
                part |= {"title": f"{part['title']} ({part['label']})".strip(), "parts": links, "part": number}
            yield functools.partial(self._if_changed, sheet, part, write_sheet)
            # Of the whole sweep the first page tells, so that the others are written when they have something new.
            shown = {**part, "status": how_far} if number == 0 and not all(map(self.is_done, self.cells)) else part
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
            "cells": [self._entry(cell) for cell in self.cells],
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
            **self._records.get(cell.name, {}),
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

    def _read(self, cell: PreparedCell) -> tuple[dict[str, Any], float] | None:
        """Returns the record of a cell and when it was written; None if there is none, or the picture is another.

        Raises:
            UserError: the record is of a cell with other settings, or cannot be read.
        """
        record = folder.read_record(self._workdir, cell.name, _ADVICE)
        if record is None:
            return None
        self._check_identity(cell, record.identity)
        known = record.known
        if known["status"] == FINISHED:
            picture = self.path(cell, ".png")
            try:
                if sha256(picture) != known["sha256"]:
                    return None
            except FileNotFoundError:
                return None
            except OSError as error:
                raise file_error(picture, f"cannot be read ({error.strerror}): {_ADVICE}") from error
            known["picture"] = picture.relative_to(self._workdir).as_posix()
        return known, record.written

    def _named(self, cells: Sequence[PreparedCell]) -> list[PreparedCell]:
        """Returns the cells with the names of their files; raises UserError if the folder belongs to another sweep."""
        found = self._found()
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
                self._check_identity(by_name[name], found[name])
            raise file_error(self._workdir, f"belongs to another sweep, which has the cell {name}: {_ADVICE}")
        taken = set(names.values())
        for name in (name for name in by_name if name not in names):
            names[name] = next(free for free in _variants(name) if free not in taken)
            taken.add(names[name])
        return [dataclasses.replace(cell, grid=dataclasses.replace(cell.grid, name=names[cell.name])) for cell in cells]

    def _found(self) -> dict[str, dict[str, Any]]:
        """Returns the settings of each cell that the folder has, by the name of its files."""
        manifest = folder.read_manifest(self._workdir, _ADVICE)
        if manifest is None:
            other = next((name for name in (TABLE, SHEET, TRADEOFF, PAGE) if (self._workdir / name).exists()), None)
            if other and not (self._workdir / CELLS).is_dir():
                raise file_error(
                    self._workdir,
                    f"expected the folder of a sweep, found only a file {other}: choose another --workdir",
                )
            return {}
        self._begun = {str(name): str(version) for name, version in manifest["versions"].items()}
        self._parts = parts_of(manifest)
        return {cell["name"]: cell["settings"] for cell in manifest["cells"]}

    def _check_identity(self, cell: PreparedCell, found: Mapping[str, Any]) -> None:
        """Checks that a cell found in the folder is this one, as far as its images can be read now."""
        for key, value in json.loads(json.dumps(cell.identity)).items():
            if value != found.get(key) and key not in cell.paths:
                raise file_error(
                    self._workdir,
                    f"belongs to another sweep, whose cell {cell.name} has {key} = {found.get(key)}, "
                    f"in this one it is {value}: {_ADVICE}",
                )


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
