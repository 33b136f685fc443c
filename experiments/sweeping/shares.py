"""Shares of a grid: its cells as tasks, given out to an engine's workers, or the cells of one task in a worker."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from nst_jax.errors import UserError

from ..cli.run_flags import RunFlags
from ..engines import giving, tasks
from ..running.progress import Bar
from .cells import PreparedCell, groups
from .gallery import Gallery


def given_out(
    flags: RunFlags,
    workdir: Path,
    cells: Sequence[PreparedCell],
    gallery: Gallery,
    bar: Bar,
    stopping: Callable[[], bool],
) -> Iterator[None]:
    """Gives the cells that are not done to an engine, and yields now and then until all tasks have ended.

    Raises:
        UserError: the engine is not installed, cannot be reached, or has gone.
    """
    wanted = flags.cells_per_task
    most = tasks.most(len(cells), flags.workers) if wanted == "auto" else wanted
    every = _tasks(cells, most)
    by_name = {cell.name: cell for cell in cells}

    def done(numbers: Collection[int]) -> list[int]:
        return [number for number in numbers if all(gallery.is_done(by_name[name]) for name in every[number].parts)]

    def newly_done(numbers: Collection[int]) -> list[int]:
        gallery.look(patient=True)
        return done(numbers)

    before = set(done(range(len(every))))
    left = {number: share.place for number, share in enumerate(every) if number not in before}
    work = giving.work_of(flags, workdir, left, changes={"cells_per_task": most}, but=("preview", "retry_failed"))
    if left:
        bar.say(f"{len(left)} tasks of up to {most} cells")
    return giving.given_out(
        flags.engine,
        work,
        say=bar.say,
        done=newly_done,
        about=lambda number: f"{every[number].parts[0]} and what follows",
        stopping=stopping,
    )


def of_task(
    flags: RunFlags,
    cells: Sequence[PreparedCell],
    versions: tuple[Mapping[str, str] | None, Mapping[str, str]],
) -> list[PreparedCell]:
    """Returns the cells of the task that a worker was given.

    Raises:
        UserError: there is no such task, or what would run it is of another version than what gave it out.
    """
    begun, here = versions
    if begun is None or flags.cells_per_task == "auto":
        raise UserError("--task: expected a folder that the command without it has begun, and its --cells_per_task")
    tasks.check_versions(begun, here)
    every = _tasks(cells, flags.cells_per_task)
    assert flags.task is not None
    if flags.task >= len(every):
        raise UserError(f"--task: expected 0 to {len(every) - 1}, found {flags.task}")
    names = set(every[flags.task].parts)
    return [cell for cell in cells if cell.name in names]


def _tasks(cells: Sequence[PreparedCell], most: int) -> list[tasks.Share[str]]:
    def cost(cell: PreparedCell) -> int:
        return cell.settings.steps * math.prod(cell.shape or ())

    return tasks.split([[(cell.name, cost(cell)) for cell in group] for group in groups(cells)], most)
