"""How far a sweep is: cells, rate, time left, workers and what they do. Without JAX, from what the folder tells.

Ages are by the clock of the folder's machine, which stamps all files; that of whoever looks may be another.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nst_jax.errors import UserError
from nst_jax.io.files import file_error, names_in

from ..engines import worker_logs
from ..engines.worker_logs import BEATS
from . import folder
from .folder import FAILED
from .outcome import CHECKPOINTS, LOGS, MANIFEST

_SILENT = 5 * BEATS
"""Seconds after which a worker that has not touched its file counts as gone."""
_RECENT = 20
_ROUNDS = 4
"""Finished cells of which the rate is taken: so many at least, and so many of each worker."""
_SHOWN = 20
"""Failed cells that a page has with their errors."""


class Worker(NamedTuple):
    """A worker that an engine runs, or ran.

    Attributes:
        silent: seconds since it last gave a sign.
        alive: whether it is at work, as far as one can tell.
        task: the number of its task, None if it has said none.
        doing: the last that it has said.
    """

    silent: float
    alive: bool
    task: int | None
    doing: str


class Status(NamedTuple):
    """How far a sweep is.

    Attributes:
        cells: number of its cells.
        finished: those with a picture.
        failed: name of each that has failed → its error.
        begun: names of those that have a checkpoint.
        workers: name → worker.
        cells_per_hour: rate of the last ones; None while there are fewer than two.
        hours_left: at that rate; None likewise.
    """

    cells: int
    finished: int
    failed: dict[str, str]
    begun: list[str]
    workers: dict[str, Worker]
    cells_per_hour: float | None
    hours_left: float | None


def look(workdir: Path) -> Status:
    """Returns how far the sweep in a folder is.

    Raises:
        UserError: there is no sweep in the folder, or it cannot be read.
    """
    manifest = folder.read_manifest(workdir)
    if manifest is None:
        raise file_error(workdir / MANIFEST, "expected the manifest of a sweep, found none; give the folder of one")
    entries = {cell["name"]: cell for cell in manifest["cells"]}
    failed = {name: str(cell["error"]) for name, cell in entries.items() if not cell["settings"] and cell.get("error")}
    ends = []
    for name in folder.with_records(workdir, entries):
        record = folder.read_record(workdir, name)
        if record is not None and record.known["status"] == FAILED:
            failed[name] = record.known["error"]
        elif record is not None:
            ends.append(record.written)
    return status(workdir, entries, failed, ends)


def status(workdir: Path, names: Iterable[str], failed: dict[str, str], ends: list[float]) -> Status:
    """Returns how far a sweep is of which the records are known.

    Args:
        workdir: its folder.
        names: those of all cells.
        failed: name of each cell that has failed → its error.
        ends: for each finished cell, when its record was written, in any order.
    """
    known, found = set(names), workers(workdir)
    rate = _rate(ends, max(_RECENT, _ROUNDS * sum(worker.alive for worker in found.values())))
    left = len(known) - len(ends) - len(failed)
    return Status(
        cells=len(known),
        finished=len(ends),
        failed=failed,
        begun=sorted(known & names_in(workdir / CHECKPOINTS)),
        workers=found,
        cells_per_hour=rate and round(rate, 2),
        hours_left=rate and round(left / rate, 2),
    )


def workers(workdir: Path) -> dict[str, Worker]:
    """Returns all workers that have ever written to the folder, by name."""
    names = sorted(name for name in names_in(workdir / LOGS) if name.endswith(worker_logs.SUFFIX))
    now = _now(workdir) if names else 0.0
    found = {}
    for name in names:
        if (said := worker_logs.last_said(workdir / LOGS / name)) is not None:
            silent = max(0.0, round(now - said.time, 1))
            doing = said.text or said.event
            alive = silent < _SILENT and said.event not in ("done", "failed")
            found[name.removesuffix(worker_logs.SUFFIX)] = Worker(silent, alive, said.task, doing)
    return found


def for_page(found: Status) -> dict[str, object]:
    """Returns what a page shows of it."""
    shown = dict(list(found.failed.items())[:_SHOWN])
    alive = {name: worker._asdict() for name, worker in found.workers.items() if worker.alive}
    return {
        "cells": found.cells,
        "finished": found.finished,
        "failed": len(found.failed),
        "errors": shown,
        "workers": alive,
        "gone": len(found.workers) - len(alive),
        "cells_per_hour": found.cells_per_hour,
        "hours_left": found.hours_left,
    }


def prometheus(found: Status) -> str:
    """Returns it in the text exposition format of Prometheus, version 0.0.4."""
    alive = sum(worker.alive for worker in found.workers.values())
    running = found.cells - found.finished - len(found.failed)
    cells = {"finished": found.finished, "failed": len(found.failed), "left": running}
    lines = ["# HELP nst_jax_cells Cells of the sweep.", "# TYPE nst_jax_cells gauge"]
    lines += [f'nst_jax_cells{{status="{name}"}} {count}' for name, count in cells.items()]
    for name, help_, value in (
        ("cells_begun", "Cells that have a checkpoint.", len(found.begun)),
        ("workers_alive", "Workers that have lately given a sign.", alive),
        ("cells_per_hour", "Rate at which cells end.", found.cells_per_hour),
        ("seconds_left", "Time until all cells are done, at that rate.", _seconds(found.hours_left)),
    ):
        if value is not None:
            lines += [f"# HELP nst_jax_{name} {help_}", f"# TYPE nst_jax_{name} gauge", f"nst_jax_{name} {value}"]
    lines += ["# HELP nst_jax_worker_silent_seconds Time since a worker gave a sign."]
    lines += ["# TYPE nst_jax_worker_silent_seconds gauge"]
    lines += [
        f'nst_jax_worker_silent_seconds{{worker="{_escaped(name)}"}} {worker.silent}'
        for name, worker in found.workers.items()
        if worker.alive
    ]
    return "\n".join(lines) + "\n"


def _seconds(hours: float | None) -> float | None:
    return None if hours is None else round(3600 * hours, 1)


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _rate(ends: list[float], most: int) -> float | None:
    """Returns how many cells end in an hour, by the last ones."""
    recent = sorted(ends)[-most:]
    seconds = recent[-1] - recent[0] if len(recent) > 1 else 0.0
    return (len(recent) - 1) / seconds * 3600 if seconds else None


def _now(workdir: Path) -> float:
    """Returns the time by the clock that stamps the files of a folder: a file without a name tells it.

    Where none can be made, as in a folder that one may only read, it is the clock of this machine.
    """
    with contextlib.suppress(OSError, UserError, TypeError), tempfile.TemporaryFile(dir=workdir) as file:
        file.write(b"?")
        file.flush()
        return os.fstat(file.fileno()).st_mtime
    return time.time()
