"""What an engine is given: the tasks of a grid, each a command with a number, for workers anywhere.

A task runs some cells of one program. It writes the record of a cell last, and does nothing where there is one; so it
may be run again, by another worker, or by two at once, and whoever gives out tasks may die and come back.
"""

import contextlib
import datetime as dt
import glob
import importlib
import io
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TextIO, cast

from nst_jax.errors import UserError
from nst_jax.io.files import make_folder
from nst_jax.io.stores import located

from ..cli import flags

ATTEMPTS = 3
"""How often a task is begun again whose worker dies, before it counts as failed."""

_GPUS = "/dev/nvidia[0-9]*"


class Work(NamedTuple):
    """The tasks of a grid.

    Attributes:
        script: the module of the script, such as `experiments.sweep`.
        arguments: its flags.
        tasks: the numbers of the tasks, those first that take longest.
        here: the folder from which relative names of files count.
        logs: the folder for what each worker has to say.
        workers: number of workers wanted.
        address: address of a cluster that runs already; None for workers on this machine.
        options: of the engine, name and value.
    """

    script: str
    arguments: tuple[str, ...]
    tasks: tuple[int, ...]
    here: str
    logs: str
    workers: int
    address: str | None
    options: tuple[tuple[str, int | float | str], ...]

    @property
    def of_worker(self) -> "Work":
        """The same without the list of tasks, of which a worker needs to know its own alone."""
        return self._replace(tasks=())


class Ended(NamedTuple):
    """A task that has ended.

    Attributes:
        task: its number.
        problem: why it will not be done, None if it is.
    """

    task: int
    problem: str | None


class Running(Protocol):
    """The tasks that an engine is at."""

    def ended(self) -> Iterable[Ended]:
        """Returns the tasks that have ended since the last call, in any order; waits for a moment at most.

        Raises:
            UserError: the engine has gone.
        """

    def say(self) -> str:
        """Returns a line for the user: where the tasks are to be watched."""


class Engine(Protocol):
    """An adapter's module."""

    def start(self, work: Work) -> contextlib.AbstractContextManager[Running]:
        """Gives out the tasks; leaving the context cancels those that have not begun.

        Raises:
            UserError: the engine's package is missing, or it cannot be reached.
        """


def split(groups: Sequence[Sequence[tuple[str, int]]], most: int) -> list[tuple[str, ...]]:
    """Returns the names of the cells of each task: equal parts of a group, those first that take longest.

    Args:
        groups: the cells of each program, each with what it costs, such as its pixels times its steps.
        most: number of cells of a task at most.
    """
    parts = []
    for cells in groups:
        count = -(-len(cells) // most)
        parts += [cells[len(cells) * part // count : len(cells) * (part + 1) // count] for part in range(count)]
    parts.sort(key=lambda part: -sum(cost for _, cost in part))  # stable, so that parts of a program stay together
    return [tuple(name for name, _ in part) for part in parts]


def run(work: Work, task: int) -> None:
    """Runs a task in this process, which may run others of the same work before and after.

    Raises:
        UserError: as the script; a cell that fails is recorded, and no error.
        InterruptedError: this process was asked to stop; the engine may begin the task again.
    """
    module = importlib.import_module(work.script)
    with contextlib.chdir(work.here), _logged(located(work.logs)):
        if module.run(flags.parsed(module.Config, [*work.arguments, f"--task={task}"])).stopped:
            raise InterruptedError(f"task {task} was asked to stop")


@contextlib.contextmanager
def _logged(folder: Path) -> Iterator[None]:
    """Writes what this process prints to a file of its own, a line for each, with the time before it."""
    make_folder(folder)
    with (folder / f"{socket.gethostname()}-{os.getpid()}.log").open("a", encoding="utf-8", buffering=1) as file:
        log = cast(TextIO, _Dated(file))
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield


class _Dated(io.TextIOBase):
    """A stream that writes the time before each line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._begins = True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds") if self._begins else ""
            self._file.write(f"{now} {line}" if now else line)
            self._begins = line.endswith("\n")
        return len(text)


def place(worker: int, workers: int) -> None:
    """Gives this process its share of the machine, before JAX looks for devices.

    One GPU each, in turn, where there are some; else a share of the processor's cores. XLA goes on to divide its work
    as for all of them: sums are in another order for another number of threads, and a picture must not depend on who
    painted it.

    Args:
        worker: number of this worker among those of the machine, from 0.
        workers: their number.
    """
    if gpus := glob.glob(_GPUS):  # noqa: PTH207 - a pattern of devices
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", str(worker % len(gpus)))
    elif hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.environ.setdefault("NPROC", str(len(cores)))
        os.sched_setaffinity(0, cores[worker % len(cores) :: workers])


@contextlib.contextmanager
def package(engine: str) -> Iterator[None]:
    """Makes of a package that is missing a line that says how to install it; extras are called as engines are."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"--engine={engine}: expected the package {error.name}, found none; install it with: pip install "
            f"'nst_jax[{engine}]'"
        ) from error
