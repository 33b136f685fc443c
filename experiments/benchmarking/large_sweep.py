"""What a large sweep costs beside its pictures: a simulation with the real folder, and cells that take no time.

    python -m experiments.benchmarking.large_sweep --cells=100000 --workers=256 --workdir=/dev/shm/sweep

The driver, the tasks, the records and all files are those of `experiments.sweep`. Only the engine and the work of a
cell are simulated: workers in virtual time, whose cells have lengths at random, and of whom some are killed and begin
their task again elsewhere. Pictures are links to one of 64 pixels. Prints CPU seconds of each part, and sizes.
"""

import dataclasses
import functools
import heapq
import json
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nst_jax.errors import UserError, one_line
from nst_jax.io import images
from nst_jax.io.files import make_folder, names_in, sha256

from ..cli.flags import Checked, FilePath, flag, run_script
from ..cli.run_flags import RunFlags
from ..engines import task_list, tasks
from ..running.run_record import versions, write_json
from ..sweeping import folder, shares, watching
from ..sweeping.cells import Pictures, PreparedCell, prepare
from ..sweeping.gallery import Gallery
from ..sweeping.grid import GridFlags, make_grid
from ..sweeping.naming import named
from ..sweeping.outcome import CELLS, MANIFEST, PAGE, SHEET, TABLE, cell_path
from ..sweeping.records import Records

_WEIGHTS = 10
"""Values of the first axis; the second has as many as it takes."""
_LOOKS = 100
"""Looks of the driver at the folder while the cells are made."""
_JOINING = 3
"""Workers of which it is measured what it takes them to begin a task."""

_Found = TypeVar("_Found")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    cells: int = flag(1000, "Number of cells, a multiple of 10.", least=10)
    workers: int = flag(256, "Number of workers.", least=1)
    kills: float = flag(0.1, "Share of the tasks whose worker is killed.", least=0, most=0.9)
    workdir: FilePath | None = flag(None, "Folder to write to, kept; by default one that is removed.")
    pages: bool = flag(True, "Also draw sheets and pages.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SweepFlags(RunFlags, GridFlags):
    """The flags of a sweep."""


class Measured:
    """CPU seconds of the parts, and numbers."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Takes what tells the CPU seconds so far, or another measure of work."""
        self._clock = clock
        self.seconds: dict[str, float] = {}
        self.numbers: dict[str, float] = {}

    def time(self, part: str, work: Callable[[], _Found]) -> _Found:
        """Does a part of the work, and adds what it takes."""
        began = self._clock()
        found = work()
        self.seconds[part] = self.seconds.get(part, 0.0) + self._clock() - began
        return found


def run(config: Config, clock: Callable[[], float] = time.process_time) -> dict[str, Any]:
    """Runs the simulation, and returns what it has measured, by a clock of CPU seconds or of anything else.

    Raises:
        UserError: the folder has something in it, or there is no such number of cells.
    """
    if config.cells % _WEIGHTS:
        raise UserError(f"--cells: expected a multiple of {_WEIGHTS}, found {config.cells}")
    if config.workdir is not None and names_in(Path(config.workdir)):
        raise UserError(f"--workdir: expected a folder that is empty or not there, found {one_line(config.workdir)}")
    kept = config.workdir is not None
    workdir = Path(config.workdir) if config.workdir is not None else Path(tempfile.mkdtemp())
    try:
        return _simulated(config, workdir, clock)
    finally:
        if not kept:
            shutil.rmtree(workdir, ignore_errors=True)


def _simulated(config: Config, workdir: Path, clock: Callable[[], float]) -> dict[str, Any]:
    measured = Measured(clock)
    flags = _SweepFlags(
        workdir=str(workdir),
        size=(64,),
        steps=(10,),
        style_weight=tuple(float(10 + number) for number in range(_WEIGHTS)),
        seed=tuple(range(config.cells // _WEIGHTS)),
        workers=config.workers,
    )
    grid = measured.time("grid", lambda: make_grid(flags))
    prepared = measured.time("prepare", lambda: prepare(grid, Pictures(), keep_going=False))
    cells, _ = measured.time("driver_begins", lambda: named(workdir, prepared))
    make_folder(workdir / CELLS)
    records = measured.time("driver_begins", lambda: Records(workdir, cells))
    gallery = Gallery(workdir, grid, records, {"versions": versions(), "device": "none"})
    measured.time("files", lambda: _write(gallery, pages=False))
    most = tasks.most(len(cells), config.workers)
    in_grid = {cell.name: cell.name for cell in cells}
    divided, listed = measured.time("tasks", lambda: shares._divided(cells, in_grid, most))
    measured.time("tasks", lambda: task_list.write(workdir, versions(), listed))
    write = _writer(workdir)
    looks, every = 0, max(1, config.cells // _LOOKS)
    for number, cell in enumerate(_order(config, [share.parts for share in divided], measured), start=1):
        measured.time("records", functools.partial(write, cell))
        if number % every == 0:
            measured.time("looks", records.look)
            looks += 1
    assert records.look()
    for task in range(min(_JOINING, len(divided))):
        measured.time("worker_begins", functools.partial(_begins, flags, workdir, task))
    measured.time("files", lambda: _write(gallery, pages=config.pages))
    measured.time("status", lambda: watching.look(workdir))
    measured.time("driver_begins_again", lambda: named(workdir, prepared))
    again = measured.time("driver_begins_again", lambda: Records(workdir, cells))
    assert again.summary()[0] == len(cells)
    measured.seconds["looks"] /= max(1, looks)
    measured.seconds["worker_begins"] /= min(_JOINING, len(divided))
    sizes = {name: (workdir / name).stat().st_size for name in (MANIFEST, TABLE)}
    for name in (PAGE, SHEET):
        found = [path.stat().st_size for path in workdir.glob(f"{Path(name).stem}*{Path(name).suffix}")]
        sizes |= {f"{name}, largest": max(found, default=0), f"{name}, number": len(found)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "cells": config.cells,
        "tasks": len(divided),
        "cpu_seconds": {part: round(seconds, 3) for part, seconds in measured.seconds.items()},
        **measured.numbers,
        "bytes": sizes,
        "peak_mib": peak,
    }


def _write(gallery: Gallery, *, pages: bool) -> None:
    """Writes what covers all cells, or the manifest and the table alone."""
    if pages:
        gallery.refresh(now=True)
        return
    manifest = gallery.manifest()
    gallery._write_manifest(manifest)
    gallery._write_table(manifest["cells"])


def _begins(flags: Any, workdir: Path, number: int) -> None:
    """Does what a worker does before its first cell."""
    grid = make_grid(flags)
    task = shares.of_task(workdir, number)
    cells, mine = task.named(workdir, prepare(task.part_of(grid), Pictures(), keep_going=False))
    Records(workdir, [cell for cell in cells if cell.name in mine])


def _writer(workdir: Path) -> Callable[[PreparedCell], None]:
    """Returns what writes the picture and the record of a cell."""
    picture = workdir / "picture.png"
    images.write(picture, images.Picture(np.full((32, 64, 3), 0.5, np.float32)))
    digest = sha256(picture)
    losses = {"loss": 3.0, "content": 1.0, "style": 2.0}

    def write(cell: PreparedCell) -> None:
        os.link(picture, cell_path(workdir, cell.name, ".png"))
        record = {"status": folder.FINISHED, "sha256": digest, "seconds": 1.0, "cells_in_batch": 1, "losses": losses}
        write_json(cell_path(workdir, cell.name, ".json"), {folder.IDENTITY: cell.identity, **record})

    return write


def _order(config: Config, divided: Sequence[Sequence[PreparedCell]], measured: Measured) -> Iterator[PreparedCell]:
    """Yields the cells in the order in which workers finish them, each of which takes the next task when it is free."""
    chance = random.Random(0)
    waiting = list(reversed(divided))
    events: list[tuple[float, int, PreparedCell | None]] = []  # time, number, the cell that ends; None: a free worker
    number, now, busy, lost, kills = 0, 0.0, 0.0, 0.0, 0
    for _ in range(config.workers):
        heapq.heappush(events, (0.0, number, None))
        number += 1
    while events:
        now, _, cell = heapq.heappop(events)
        if cell is not None:
            yield cell
            continue
        if not waiting:
            continue
        task, at = waiting.pop(), now
        killed = chance.randrange(len(task)) if chance.random() < config.kills else None
        for index, each in enumerate(task):
            length = chance.lognormvariate(4, 0.5)  # seconds, about a minute
            if index == killed:
                waiting.append(task[index:])  # the engine gives it to another worker, which finds what is done
                lost, at, kills = lost + length / 2, at + length / 2, kills + 1
                break
            at, busy = at + length, busy + length
            heapq.heappush(events, (at, number, each))
            number += 1
        heapq.heappush(events, (at, number, None))
        number += 1
    measured.numbers |= {
        "kills": kills,
        "hours": round(now / 3600, 2),
        "busy": round(busy / (config.workers * now), 3),
        "lost": round(lost / busy, 4),
    }


def main(config: Config) -> None:
    """Prints what was measured."""
    print(json.dumps(run(config), indent=2))


if __name__ == "__main__":
    run_script(Config, main)
