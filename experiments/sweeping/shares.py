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
from typing import NamedTuple

from nst_jax.errors import UserError
from nst_jax.targets import layers_of

from ..cli.run_flags import RunFlags
from ..cli.transfer_flags import styles
from ..engines import giving, task_list, tasks
from ..running.progress import Bar
from ..running.run_record import versions
from .cells import PreparedCell, groups
from .grid import Grid
from .naming import renamed
from .records import Records


class Task(NamedTuple):
    """What a worker has to do.

    Attributes:
        own: the names of its cells, in the grid, each with a digest of its identity.
        files: the names of all cells that it makes ready, in the grid, each with the name of its files.
    """

    own: Mapping[str, str]
    files: Mapping[str, str]

    def part_of(self, grid: Grid) -> Grid:
        """Returns the grid of the cells that are to be made ready.

        Raises:
            UserError: some are not in the grid.
        """
        cells = tuple(cell for cell in grid.cells if cell.name in self.files)
        if len(cells) < len(self.files):
            raise _others("cells")
        return dataclasses.replace(grid, cells=cells)

    def named(self, cells: Iterable[PreparedCell]) -> tuple[list[PreparedCell], set[str]]:
        """Returns cells with the names of their files, and which are to be made.

        Raises:
            UserError: a cell is not the one that was given out.
        """
        found, mine = [], set()
        for cell in cells:
            if (digest := self.own.get(cell.name)) is not None and cell.error is None:
                if digest != _digest(cell):
                    raise _others(f"settings or images of {cell.name}")
                mine.add(self.files[cell.name])
            found.append(renamed(cell, self.files[cell.name]))
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
        own = {str(name): (str(file), str(digest)) for name, (file, digest) in listed["own"].items()}
        others = {str(name): str(file) for name, file in listed["program"].items()}
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise task_list.damaged(workdir) from error
    files = {name: file for name, (file, _) in own.items()}
    return Task({name: digest for name, (_, digest) in own.items()}, {**others, **files})


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

    programs = groups(cells)
    every = tasks.split([[(cell, cost(cell)) for cell in group] for group in programs], most)
    dreaming = _standing(cells, lambda cell: {(cell.pretrained.backbone.name, of) for of in cell.settings.dream_layers})
    standing = {cell.name: stand for group in programs for stand in [_stand_ins(group, dreaming)] for cell in group}
    return every, [
        {
            "own": {in_grid[cell.name]: [cell.name, _digest(cell)] for cell in share.parts},
            "program": {in_grid[cell.name]: cell.name for cell in standing[share.parts[0].name]},
        }
        for share in every
    ]


def _stand_ins(group: Sequence[PreparedCell], dreaming: Sequence[PreparedCell]) -> list[PreparedCell]:
    """Returns the cells with which the program of some of a group is that of all.

    They are the first, by whose settings it is made, those with layers that none before them has, and with more style
    images. And as all cells of a network have it with its head if one of them dreams of that, those of it which do.
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


def _others(what: str) -> UserError:
    return UserError(f"--task: expected the {what} with which the sweep was given out, found others; run it again")
