"""Shares of a grid: its cells as tasks, given out to an engine's workers, or the cells of one task in a worker.

A task has its cells and those that stand for the others of their program. A worker makes ready no more than these: if
each made ready the whole grid, that would take the square of its size.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.errors import UserError
from nst_jax.targets import layers_of

from ..cli.run_flags import COARSE, FINE, UNTIL, RunFlags, StrokeFlags
from ..cli.transfer_flags import STYLE, styles
from ..engines import giving, task_list, tasks
from ..running.progress import Bar
from ..running.run_record import versions
from . import folder
from .cells import PreparedCell, groups
from .grid import Grid
from .naming import renamed
from .records import Records, check_identity


class Listed(NamedTuple):
    """What is written down of a cell.

    Attributes:
        file: the name of its files.
        digest: that of everything that its picture depends on.
        flags: those that a worker cannot know: scales that are open depend on the platform, and style images that are
            made first are those of the command.
    """

    file: str
    digest: str
    flags: dict[str, Any]


class Task(NamedTuple):
    """What a worker has to do.

    Attributes:
        own: its cells, by their names in the grid.
        others: those that stand for the others of their program.
    """

    own: Mapping[str, Listed]
    others: Mapping[str, Listed]

    @property
    def listed(self) -> dict[str, Listed]:
        """All cells that are to be made ready, by their names in the grid."""
        return {**self.others, **self.own}

    @property
    def files(self) -> dict[str, str]:
        """Name of each cell in the grid → name of its files."""
        return {name: of.file for name, of in self.listed.items()}

    def part_of(self, grid: Grid) -> Grid:
        """Returns the grid of the cells that are to be made ready.

        Raises:
            UserError: some are not in the grid.
        """
        listed = self.listed
        cells = tuple(
            dataclasses.replace(cell, flags=dataclasses.replace(cell.flags, **listed[cell.name].flags))
            for cell in grid.cells
            if cell.name in listed
        )
        if len(cells) < len(listed):
            raise _others("cells")
        return dataclasses.replace(grid, cells=cells)

    def named(self, workdir: Path, cells: Iterable[PreparedCell]) -> tuple[list[PreparedCell], set[str]]:
        """Returns cells with the names of their files, and which are to be made.

        Args:
            workdir: the folder of the sweep.
            cells: all that the task has made ready.

        Raises:
            UserError: a cell is not the one that was given out, or cannot stand for others.
        """
        listed = self.listed
        found, mine = [], set()
        for cell in cells:
            own = renamed(cell, listed[cell.name].file)
            found.append(own)
            if cell.error is not None:
                if cell.name in self.others:  # the program would be another one
                    raise UserError(cell.error)
            elif listed[cell.name].digest != _digest(cell):
                raise _changed(workdir, own)
            elif cell.name in self.own:
                mine.add(own.name)
        return found, mine


def given_out(
    flags: RunFlags,
    workdir: Path,
    records: Records,
    names: Mapping[str, str],
    bar: Bar,
    stopping: Callable[[], bool],
) -> Iterator[None]:
    """Gives the cells that are not done to an engine, and yields now and then until all tasks have ended.

    Args:
        flags: those of the script.
        workdir: the folder of the sweep.
        records: those of all cells.
        names: the name of each cell in the grid, with that of its files.
        bar: shows the steps.
        stopping: whether to stop.

    Raises:
        UserError: the engine is not installed, cannot be reached, or has gone.
    """
    wanted = flags.cells_per_task
    cells = [cell for cell in records.cells if cell.error is None]
    most = tasks.most(len(cells), flags.workers) if wanted == "auto" else wanted
    every, listed = _divided(cells, {file: name for name, file in names.items()}, most)

    def done(numbers: Collection[int]) -> list[int]:
        return [number for number in numbers if all(map(records.is_done, every[number].parts))]

    def newly_done(numbers: Collection[int]) -> list[int]:
        records.look(patient=True)
        return done(numbers)

    before = set(done(range(len(every))))
    left = {number: share.place for number, share in enumerate(every) if number not in before}
    work = giving.work_of(flags, workdir, left, changes={}, but=("preview", "retry_failed", "cells_per_task"))
    if left:
        task_list.write(workdir, versions(), listed)
        bar.say(f"{len(left)} tasks of up to {most} cells")
    return giving.given_out(
        flags.engine,
        work,
        say=bar.say,
        done=newly_done,
        about=lambda number: f"{every[number].parts[0].name} and what follows",
        stopping=stopping,
    )


def of_task(workdir: Path, number: int) -> Task:
    """Returns the task that a worker was given.

    Raises:
        UserError: there is no such task, or what would run it is of another version than what gave it out.
    """
    listed, _ = task_list.read(workdir, number, versions())
    try:
        own, others = ({name: _listed(*of) for name, of in listed[kind].items()} for kind in ("own", "others"))
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise task_list.damaged(workdir) from error
    return Task(own, others)


def _divided(
    cells: Sequence[PreparedCell], in_grid: Mapping[str, str], most: int
) -> tuple[list[tasks.Share[PreparedCell]], list[dict[str, object]]]:
    """Returns the cells of each task, and what is written down of it.

    Args:
        cells: the cells.
        in_grid: the name of the files of each, with its name in the grid.
        most: number of cells of a task at most.
    """

    def cost(cell: PreparedCell) -> int:
        return cell.settings.steps * math.prod(cell.shape or ())

    def listed(cells: Iterable[PreparedCell]) -> dict[str, Listed]:
        return {in_grid[cell.name]: Listed(cell.name, _digest(cell), _flags(cell)) for cell in cells}

    programs = groups(cells)
    every = tasks.split([[(cell, cost(cell)) for cell in group] for group in programs], most)
    dreaming = _standing(cells, lambda cell: {(cell.pretrained.backbone.name, of) for of in cell.settings.dream_layers})
    standing = {cell.name: stand for group in programs for stand in [_stand_ins(group, dreaming)] for cell in group}
    return every, [{"own": listed(share.parts), "others": listed(standing[share.parts[0].name])} for share in every]


def _stand_ins(group: Sequence[PreparedCell], dreaming: Sequence[PreparedCell]) -> list[PreparedCell]:
    """Returns the cells with which the program of some of a group is that of all.

    They are the first, by whose settings it is made, those with layers that none before them has, and with more style
    images. And as all cells of a network have it with its head if one dreams of that, the first that dream of a layer.
    """
    layers = _standing(group, lambda cell: {(term, one) for term, of in layers_of(cell.settings).items() for one in of})
    images = _standing(group, lambda cell: set(range(len(styles(cell.paths)))))
    own = group[0].pretrained.backbone.name
    heads = [cell for cell in dreaming if cell.pretrained.backbone.name == own]
    return list({cell.name: cell for cell in (group[0], *layers, *images, *heads)}.values())


def _standing(cells: Iterable[PreparedCell], has: Callable[[PreparedCell], set[object]]) -> list[PreparedCell]:
    """Returns the cells that have something that none before them has."""
    known: set[object] = set()
    found = []
    for cell in cells:
        if new := has(cell) - known:
            known |= new
            found.append(cell)
    return found


def _digest(cell: PreparedCell) -> str:
    """Returns what differs where anything differs that a cell's picture depends on."""
    return hashlib.sha256(json.dumps(cell.identity, sort_keys=True).encode(errors="replace")).hexdigest()[:16]


def _flags(cell: PreparedCell) -> dict[str, Any]:
    """Returns the flags that are written down of a cell, see `Listed`."""
    settings, flags = cell.settings, cell.grid.flags
    found = {"scales": settings.scales, "scale_steps": settings.scale_steps, "steps": settings.steps}
    return {**found, STYLE: flags.style} if isinstance(flags, StrokeFlags) else found


def _listed(file: Any, digest: Any, flags: Any) -> Listed:
    """Returns what was written down of a cell.

    Raises:
        ValueError: something else was; the names of a cell's files are no paths. TypeError or LookupError likewise.
    """
    if not isinstance(file, str) or Path(file).name != file or not file.isprintable():
        raise ValueError(file)
    found: dict[str, Any] = {name: tuple(map(int, flags[name])) for name in ("scales", "scale_steps")}
    found["steps"] = int(flags["steps"])
    if STYLE in flags:
        found |= {**dict.fromkeys((FINE, COARSE, UNTIL)), STYLE: str(flags[STYLE])}
    return Listed(file, str(digest), found)


def _changed(workdir: Path, cell: PreparedCell) -> UserError:
    """Returns the error of a cell that is another than was given out, which says why if the manifest can."""
    manifest = folder.read_manifest(workdir) or {"cells": []}
    found = next((entry["settings"] for entry in manifest["cells"] if entry["name"] == cell.name), cell.identity)
    try:
        check_identity(workdir, cell, found)
    except UserError as error:
        return error
    return _others(f"settings and images of {cell.name}")


def _others(what: str) -> UserError:
    return UserError(f"--task: expected the {what} with which the sweep was given out, found others; run it again")
