"""What an engine is given: tasks, each a command with a number, for workers anywhere.

A task makes some cells of a grid, or pictures of a folder, with one program. It writes the record of each last, and
does nothing where there is one; so it may be run again, by another worker, or by two at once, and whoever gives out
tasks may die and come back.
"""

import contextlib
import functools
import glob
import hashlib
import importlib
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from nst_jax.allocator import keep_freed
from nst_jax.errors import UserError, one_line
from nst_jax.io.files import make_folder
from nst_jax.io.stores import is_address, located

from ..cli import compilation_cache, flags, stopping
from .worker_logs import logged

ATTEMPTS = 3
"""How often a task is begun again whose worker dies, before it counts as failed."""

LOGS = "logs"
"""Folder, in that of a run, for what each worker has to say."""

_TASKS_A_WORKER = 4

Part = TypeVar("Part")

_GPUS = "/dev/nvidia[0-9]*"


class Work(NamedTuple):
    """Tasks of a script.

    Attributes:
        script: the module of the script, such as `experiments.sweep`.
        arguments: its flags.
        tasks: the numbers of the tasks, those first that take longest.
        here: the folder from which relative names of files count.
        logs: the folder for what each worker has to say.
        workers: number of workers wanted.
        address: address of a cluster that runs already; None for workers on this machine.
        options: of the engine, name and value.
        places: of the tasks, see `Share`; neighbours have the same program.
        together: whether the workers are processes that compute a single task as one (`jax.distributed`).
    """

    script: str
    arguments: tuple[str, ...]
    tasks: tuple[int, ...]
    here: str
    logs: str
    workers: int
    address: str | None
    options: tuple[tuple[str, int | float | str], ...]
    places: tuple[float, ...] = ()
    together: bool = False

    @property
    def of_worker(self) -> "Work":
        """The same without the list of tasks, of which a worker needs to know its own alone."""
        return self._replace(tasks=(), places=())

    @property
    def digest(self) -> str:
        """A few characters that are this run's alone, for names where other runs have theirs."""
        return hashlib.sha256(str(located(self.logs).parent).encode()).hexdigest()[:8]

    @property
    def folder(self) -> Path:
        """The folder of the run, or one on disk for a run at a store: what engines themselves read is a file."""
        run = located(self.logs).parent
        return Path(self.here, "results", "engines", f"{run.name}-{self.digest}") if is_address(run) else run

    def chosen(self, known: Iterable[str], needed: Iterable[str] = ()) -> dict[str, Any]:
        """Returns the options by name.

        Args:
            known: names that the engine has.
            needed: those of them that have to be there.

        Raises:
            UserError: an option is missing, or unknown.
        """
        options = dict(self.options)
        if not set(needed) <= options.keys() <= set(known):
            wanted = ", ".join(f"{name}=..." for name in needed)
            others = ", ".join(sorted(set(known) - set(needed)))
            expected = f"{wanted}, perhaps {others}" if wanted else others
            raise UserError(f"--engine_options: expected {expected}, found {', '.join(sorted(options)) or 'none'}")
        return options

    def absent(self, engine: str, cluster: str, error: object) -> UserError:
        """Returns the error of a cluster that is not where it was looked for."""
        where = (
            f"_address: expected {cluster} at {one_line(self.address)}"
            if self.address
            else f"={engine}: expected {cluster} here"
        )
        return UserError(f"--engine{where}, found none ({one_line(error)})")


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


def most(count: int, workers: int) -> int:
    """Returns the number of parts of a task at most that makes four tasks a worker of `count` parts in all."""
    return max(math.ceil(count / (workers * _TASKS_A_WORKER)), 1)


class Share(NamedTuple, Generic[Part]):
    """What a task makes.

    Attributes:
        parts: cells or pictures.
        place: where its middle lies, from 0 to 1, if all are side by side in their order, each as long as it takes.
    """

    parts: tuple[Part, ...]
    place: float


def split(groups: Iterable[Sequence[tuple[Part, int]]], most: int) -> list[Share[Part]]:
    """Returns what each task makes: equal shares of a group, those first that take longest.

    Args:
        groups: the parts that each program makes, each with what it costs, such as its pixels times its steps.
        most: number of parts of a task at most.
    """
    cut = []
    for parts in groups:
        count = -(-len(parts) // most)
        cut += [parts[len(parts) * share // count : len(parts) * (share + 1) // count] for share in range(count)]
    cut.sort(key=lambda parts: -sum(cost for _, cost in parts))  # stable: those of a program stay together
    costs = [max(sum(cost for _, cost in parts), 1) for parts in cut]  # also of files that cannot be read
    ends, total = itertools.accumulate(costs), sum(costs)
    return [
        Share(tuple(part for part, _ in parts), (end - cost / 2) / total)
        for parts, cost, end in zip(cut, costs, ends, strict=True)
    ]


def run(work: Work, task: int) -> None:
    """Runs a task in this process, which may run others of the same work before and after.

    Raises:
        UserError: as the script; a cell that fails is recorded, and no error.
        InterruptedError: this process was asked to stop; the engine may begin the task again.
    """
    _settle()
    module = importlib.import_module(work.script)
    if work.together:
        make_folder(located(work.logs))  # of a training, for which whoever starts it need not have the folder
    own = "--distributed" if work.together else f"--task={task}"
    with stopping.by_scheduler(), contextlib.chdir(work.here), logged(located(work.logs), task):
        if module.run(flags.parsed(module.Config, [*work.arguments, own])).stopped:
            raise InterruptedError(f"task {task} was asked to stop")


@functools.cache
def _settle() -> None:
    """Has a worker keep what it compiles for others on its machine, before it imports JAX, and what memory it has."""
    compilation_cache.keep_programs()
    keep_freed()


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
