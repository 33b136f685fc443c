"""What a sweep leaves of all its cells: manifest.json, cells.csv, the sheet, the trade-off, the page.

Each cell's own record is the truth; these are made of the records, again and again while cells finish.
"""

import csv
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments._flags import command_line
from experiments._grid import Grid
from experiments._page import write_page
from experiments._prepare import PreparedCell
from experiments._records import write_json
from experiments._sheet import write_sheet
from experiments._tradeoff import plot_tradeoff
from nst_jax.files import atomic_write, file_error, sha256

MANIFEST, TABLE, SHEET, TRADEOFF, PAGE = "manifest.json", "cells.csv", "sheet.png", "tradeoff.png", "index.html"
CELLS = "cells"
FINISHED, UNFINISHED, FAILED = "finished", "unfinished", "failed"
_IDENTITY = "identity"
_ADVICE = "choose another --workdir, or remove this one"
_LEAST_PAUSE = 5.0  # seconds
_PAUSE = 10.0
"""How long it is until everything is drawn anew, in units of what that takes."""


class Gallery:
    """The folder of a sweep: the record of every cell, and what shows them together."""

    def __init__(self, workdir: Path, grid: Grid, cells: Sequence[PreparedCell], about: Mapping[str, Any]) -> None:
        """Reads what is there.

        Args:
            workdir: the folder, there already or not.
            grid: the sweep.
            cells: of the grid, in its order.
            about: versions and device.

        Raises:
            UserError: the folder is that of another sweep.
        """
        self._workdir = workdir
        self._grid = grid
        self._cells = cells
        self._about = about
        self._records: dict[str, dict[str, Any]] = {}
        self._next = 0.0
        self._check_owner()
        for cell in cells:
            record = self._read(cell)
            if record is not None and _is_whole(workdir, record):
                self._records[cell.name] = record
            else:  # or it would seem to be news of another process
                self.path(cell, ".json").unlink(missing_ok=True)

    def path(self, cell: PreparedCell, suffix: str) -> Path:
        """Returns where a file of a cell is."""
        return cell_path(self._workdir, cell.name, suffix)

    def is_done(self, cell: PreparedCell) -> bool:
        """Returns whether the cell is finished, or has failed and would again."""
        return cell.name in self._records or cell.error is not None

    def add(self, cell: PreparedCell, record: dict[str, Any]) -> None:
        """Writes the record of a cell, whose picture is there, and shows it soon."""
        write_json(self.path(cell, ".json"), {_IDENTITY: cell.identity, **record})
        self._records[cell.name] = record

    def look(self) -> bool:
        """Looks for cells that other processes have done; returns whether all are."""
        for cell in self._cells:
            if not self.is_done(cell):
                record = self._read(cell)
                if record is not None:
                    self._records[cell.name] = record
        return all(map(self.is_done, self._cells))

    def summary(self) -> tuple[int, dict[str, str]]:
        """Returns how many cells have a picture, and by name why others have none."""
        entries = [self._entry(cell) for cell in self._cells]
        failed = {entry["name"]: entry["error"] for entry in entries if entry["status"] == FAILED}
        return sum(entry["status"] == FINISHED for entry in entries), failed

    def refresh(self, *, now: bool = False) -> None:
        """Writes everything about all cells, where the last time is long enough ago for what it costs."""
        began = time.monotonic()
        if not now and began < self._next:
            return
        self.look()
        manifest = self.manifest()
        write_json(self._workdir / MANIFEST, manifest)
        self._write_table(manifest["cells"])
        write_sheet(self._workdir / SHEET, manifest)
        plot_tradeoff(self._workdir / TRADEOFF, manifest)
        write_page(self._workdir / PAGE, manifest)
        ended = time.monotonic()
        self._next = ended + max(_LEAST_PAUSE, _PAUSE * (ended - began))

    def manifest(self) -> dict[str, Any]:
        """Returns what manifest.json says; the paths in it are relative to its folder."""
        return {
            "title": self._grid.title,
            "axes": [{"name": axis.name, "values": list(axis.labels)} for axis in self._grid.axes],
            "rows": list(self._grid.rows),
            "cols": list(self._grid.cols),
            "cells": [self._entry(cell) for cell in self._cells],
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
            "settings": cell.settings,
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
        axes = [axis.name for axis in self._grid.axes]
        settings = _names(entry["settings"] for entry in entries)
        losses = _names(entry["losses"] for entry in entries)
        plain = ("name", "status", "error", "picture", "sha256", "width", "height", "seconds", "cells_in_batch")
        with atomic_write(self._workdir / TABLE, encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*plain, *(f"axis/{name}" for name in axes), *settings, *map(_loss_column, losses)])
            for entry in entries:
                places = zip(self._grid.axes, entry["place"], strict=True)
                writer.writerow(
                    [
                        *(entry[name] for name in plain),
                        *(axis.labels[value] for axis, value in places),
                        *(_plain((entry["settings"] or {}).get(name)) for name in settings),
                        *((entry["losses"] or {}).get(name) for name in losses),
                    ]
                )

    def _read(self, cell: PreparedCell) -> dict[str, Any] | None:
        """Returns the record that a cell has, None for none or a damaged one.

        Raises:
            UserError: it is that of a cell with other settings.
        """
        try:
            record = json.loads(self.path(cell, ".json").read_text(encoding="utf-8"))
            found, status = dict(record.pop(_IDENTITY)), record["status"]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        self._check_identity(cell, found)
        return record if status in (FINISHED, FAILED) else None

    def _check_owner(self) -> None:
        path = self._workdir / MANIFEST
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except OSError as error:
            raise file_error(path, f"cannot be read ({error.strerror}): {_ADVICE}") from error
        try:
            found = {entry["name"]: dict(entry["settings"]) for entry in json.loads(text)["cells"]}
        except (ValueError, LookupError, TypeError) as error:
            raise file_error(path, f"expected the manifest of a sweep, found something else: {_ADVICE}") from error
        names = {cell.name for cell in self._cells}
        if found.keys() != names:
            name = sorted(found.keys() ^ names)[0]
            which = "has" if name in found else "has not"
            raise file_error(self._workdir, f"belongs to another sweep, which {which} the cell {name}: {_ADVICE}")
        for cell in self._cells:
            self._check_identity(cell, found[cell.name])

    def _check_identity(self, cell: PreparedCell, found: Mapping[str, Any]) -> None:
        """Checks that a cell found in the folder is this one, as far as either could be looked at."""
        for key, value in json.loads(json.dumps(cell.identity)).items() if found else ():
            if value != found.get(key) and key not in cell.paths:
                raise file_error(
                    self._workdir,
                    f"belongs to another sweep, whose cell {cell.name} has {key} = {found.get(key)}, "
                    f"in this one it is {value}: {_ADVICE}",
                )


def cell_path(workdir: Path, name: str, suffix: str) -> Path:
    """Returns where a file of a cell is: its picture with the suffix .png."""
    return workdir / CELLS / f"{name}{suffix}"


def _is_whole(workdir: Path, record: Mapping[str, Any]) -> bool:
    """Returns whether the picture of a cell is the one that was written; one that is gone is made again."""
    if record["status"] == FAILED:
        return True
    try:
        return sha256(workdir / record["picture"]) == record["sha256"]
    except (OSError, TypeError, KeyError):
        return False


def _names(mappings: Any) -> list[str]:
    """Returns all keys of some mappings, or Nones, in the order in which they come."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping or ()))


def _loss_column(name: str) -> str:
    return name if name == "loss" else f"loss/{name}"  # "content" and "style" are pictures already


def _plain(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value
