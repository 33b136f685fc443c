"""Shares of a grid: its cells as tasks, given out to an engine's workers, or the cells of one task in a worker."""

import contextlib
import importlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_jax.errors import UserError, one_line

from ..cli.flags import arguments_of
from ..cli.run_flags import RunFlags
from ..engines import tasks
from ..engines.tasks import Engine, Work
from ..running.progress import Bar
from .cells import PreparedCell, groups
from .gallery import Gallery
from .outcome import LOGS

_TASKS_A_WORKER = 4
_TAKES_ADDRESS, _TAKES_OPTIONS = ("dask", "ray"), ("ray", "slurm", "kubernetes")


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
    most = math.ceil(len(cells) / (flags.workers * _TASKS_A_WORKER)) if wanted == "auto" else wanted
    every = _tasks(cells, most)
    by_name = {cell.name: cell for cell in cells}

    def done(names: Sequence[str]) -> bool:
        return all(gallery.is_done(by_name[name]) for name in names)

    left = {task: names for task, names in enumerate(every) if not done(names)}
    config: Any = flags
    given = {argument.partition("=")[0]: argument for argument in arguments_of(config)}
    for flag in ("--engine", "--engine_address", "--engine_options", "--workers", "--preview", "--retry_failed"):
        given.pop(flag, None)
    given |= {"--workdir": f"--workdir={workdir.absolute()}", "--cells_per_task": f"--cells_per_task={most}"}
    work = Work(
        script=_script(config),
        arguments=tuple(given.values()),
        tasks=tuple(left),
        here=os.fspath(Path.cwd()),
        logs=os.fspath(workdir.absolute() / LOGS),
        workers=min(flags.workers, len(left)),
        address=flags.engine_address,
        options=tuple(map(_option, flags.engine_options)),
    )
    if not left:
        return
    engine: Engine = importlib.import_module(f"..engines.{flags.engine}", __package__)
    with engine.start(work) as running:
        bar.say(f"{len(left)} tasks of up to {most} cells; {running.say()}")
        while left and not stopping():
            for task, problem in running.ended():
                names = left.pop(task, ())
                if problem and names:
                    bar.say(f"task {task}, {names[0]} and what follows: {problem}")
            gallery.look()
            left = {task: names for task, names in left.items() if not done(names)}
            yield


def check(flags: RunFlags) -> None:
    """Checks that no flag is for another engine.

    Raises:
        UserError: one is.
    """
    for flag, given, engines in (
        ("engine_address", flags.engine_address, _TAKES_ADDRESS),
        ("engine_options", flags.engine_options, _TAKES_OPTIONS),
    ):
        if given and flags.engine not in engines:
            raise UserError(f"--{flag}: expected it with --engine={'|'.join(engines)}, found --engine={flags.engine}")


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
    if differing := [
        f"{name} {begun.get(name)} there, {here[name]} here" for name in here if begun.get(name) != here[name]
    ]:
        raise UserError(f"expected the versions with which the grid was begun, found {', '.join(differing)}")
    every = _tasks(cells, flags.cells_per_task)
    assert flags.task is not None
    if flags.task >= len(every):
        raise UserError(f"--task: expected 0 to {len(every) - 1}, found {flags.task}")
    names = set(every[flags.task])
    return [cell for cell in cells if cell.name in names]


def _tasks(cells: Sequence[PreparedCell], most: int) -> list[tuple[str, ...]]:
    def cost(cell: PreparedCell) -> int:
        return cell.settings.steps * math.prod(cell.shape or ())

    return tasks.split([[(cell.name, cost(cell)) for cell in group] for group in groups(cells)], most)


def _option(text: str) -> tuple[str, int | float | str]:
    """Returns the name and the value of an option, a number where it is one."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UserError(f"--engine_options: expected name=value, found {one_line(text)!r}")
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return name, number(value)
    return name, value


def _script(config: Any) -> str:
    """Returns the name of the module of a script's flags, also where Python calls it `__main__`."""
    module = sys.modules[type(config).__module__]
    spec = getattr(module, "__spec__", None)
    return spec.name if spec else module.__name__
