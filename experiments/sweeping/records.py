"""The records of a sweep's cells, which tell what is done: by this process, by others, before."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_jax.io.files import file_error, sha256

from ..running.run_record import write_json
from . import folder
from .cells import PreparedCell
from .folder import FAILED, FINISHED
from .outcome import cell_path

ADVICE = "choose another --workdir, or remove this one"
PAUSE = 10.0
"""Time until the folder is looked at again, as a multiple of the time that this takes."""


class Records:
    """The records of some cells of a sweep: a worker has to know its own alone.

    Attributes:
        cells: the cells.
        steps_done: steps of those that are done.
        ends: when each that has a picture was finished, by the clock of the folder's machine.
    """

    def __init__(self, workdir: Path, cells: Sequence[PreparedCell], *, retry_failed: bool = False) -> None:
        """Reads what is there.

        Args:
            workdir: the folder of the sweep.
            cells: the cells, with the names of their files.
            retry_failed: whether to run cells again that have failed before.

        Raises:
            UserError: a record is of a cell with other settings, or cannot be read.
        """
        self.cells = cells
        self.steps_done = 0
        self.ends: list[float] = []
        self._workdir = workdir
        self._known: dict[str, dict[str, Any]] = {}
        self._missing = {cell.name: cell for cell in cells if cell.error is None}
        self._next_look = 0.0
        self.look()
        for cell in cells if retry_failed else ():
            if self.of(cell).get("status") == FAILED:
                del self._known[cell.name]
                self.path(cell, ".json").unlink(missing_ok=True)
                self._missing[cell.name] = cell
                self.steps_done -= cell.settings.steps

    def path(self, cell: PreparedCell, suffix: str) -> Path:
        """Returns the path of a file of a cell."""
        return cell_path(self._workdir, cell.name, suffix)

    def of(self, cell: PreparedCell) -> Mapping[str, Any]:
        """Returns what is known of a cell that is done; nothing of others."""
        return self._known.get(cell.name, {})

    def is_done(self, cell: PreparedCell) -> bool:
        """Returns whether the cell is finished, or has failed and would fail again."""
        return cell.name in self._known or cell.error is not None

    def add(self, cell: PreparedCell, record: Mapping[str, Any]) -> None:
        """Writes the record of a cell whose picture is written."""
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
            self._next_look = ended + PAUSE * (ended - began)
        return not self._missing

    def summary(self) -> tuple[int, dict[str, str]]:
        """Returns the number of cells with a picture, and for failed cells, by name, the error."""
        failed = {cell.name: cell.error for cell in self.cells if cell.error is not None}
        failed |= {name: known["error"] for name, known in self._known.items() if known["status"] == FAILED}
        return sum(known["status"] == FINISHED for known in self._known.values()), failed

    def _take(self, cell: PreparedCell) -> None:
        """Takes the record of a cell that is missing, if it is there."""
        if (found := self._read(cell)) is not None:
            self._known[cell.name], written = found
            if self.of(cell)["status"] == FINISHED:
                self.ends.append(written)
            if self._missing.pop(cell.name, None) is not None:
                self.steps_done += cell.settings.steps

    def _read(self, cell: PreparedCell) -> tuple[dict[str, Any], float] | None:
        """Returns the record of a cell and when it was written; None if there is none, or the picture is another.

        Raises:
            UserError: the record is of a cell with other settings, or cannot be read.
        """
        record = folder.read_record(self._workdir, cell.name, ADVICE)
        if record is None:
            return None
        check_identity(self._workdir, cell, record.identity)
        known = record.known
        if known["status"] == FINISHED:
            picture = self.path(cell, ".png")
            try:
                if sha256(picture) != known["sha256"]:
                    return None
            except FileNotFoundError:
                return None
            except OSError as error:
                raise file_error(picture, f"cannot be read ({error.strerror}): {ADVICE}") from error
            known["picture"] = picture.relative_to(self._workdir).as_posix()
        return known, record.written


def check_identity(workdir: Path, cell: PreparedCell, found: Mapping[str, Any]) -> None:
    """Checks that a cell found in a folder is this one, as far as its images can be read now.

    Raises:
        UserError: it is another one.
    """
    for key, value in json.loads(json.dumps(cell.identity)).items():
        if value != found.get(key) and key not in cell.paths:
            raise file_error(
                workdir,
                f"belongs to another sweep, whose cell {cell.name} has {key} = {found.get(key)}, in this one it is "
                f"{value}: {ADVICE}",
            )
