"""Gives tasks out to an engine, and follows them to their end: what every script does whose work has parts."""

import contextlib
import importlib
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import make_folder

from ..cli.flags import arguments_of, serialize
from .tasks import LOGS, Engine, Work

_PATIENCE = 600.0
"""Seconds in which records that cannot be read have to come back."""
_TAKES_ADDRESS = ("dask", "ray")
_OF_THE_ENGINE = ("engine", "engine_address", "engine_options", "workers")


def check(flags: Any) -> None:
    """Checks that no flag is for another engine.

    Raises:
        UserError: one is, or an option has no name.
    """
    engine = flags.engine
    for flag, given, fits in (
        ("engine_address", getattr(flags, "engine_address", None), engine in _TAKES_ADDRESS),
        ("engine_options", flags.engine_options, engine != "none"),
    ):
        if given and not fits:
            engines = "|".join(_TAKES_ADDRESS) if flag == "engine_address" else "..."
            raise UserError(f"--{flag}: expected it with --engine={engines}, found --engine={engine}")
    for text in flags.engine_options:
        _option(text)


def work_of(
    flags: Any,
    workdir: Path,
    tasks: Mapping[int, float],
    *,
    changes: Mapping[str, Any],
    but: Collection[str] = (),
    together: bool = False,
) -> Work:
    """Returns the tasks of a script as its workers get them.

    Args:
        flags: those of the script, in whose module their class is.
        workdir: the folder of the run.
        tasks: their numbers, those first that take longest, and their places, see `Work`.
        changes: flags that have other values in a worker.
        but: flags that a worker does not get, beside those about the engine.
        together: whether workers compute as one, see `Work`.
    """
    make_folder(workdir / LOGS)  # which no worker does, see `worker_logs.logged`
    given = {argument.partition("=")[0]: argument for argument in arguments_of(flags)}
    for name in (*_OF_THE_ENGINE, *but):
        given.pop(f"--{name}", None)
    changes = {"workdir": workdir.absolute(), **changes}
    given |= {f"--{name}": f"--{name}={serialize(value)}" for name, value in changes.items()}
    return Work(
        script=_script(flags),
        arguments=tuple(given.values()),
        tasks=tuple(tasks),
        here=os.fspath(Path.cwd()),
        logs=os.fspath(workdir.absolute() / LOGS),
        workers=flags.workers if together else min(flags.workers, len(tasks)),
        address=getattr(flags, "engine_address", None),
        options=tuple(map(_option, flags.engine_options)),
        places=tuple(tasks.values()),
        together=together,
    )


def given_out(
    engine: str,
    work: Work,
    *,
    say: Callable[[str], None],
    done: Callable[[Collection[int]], Collection[int]],
    about: Callable[[int], str],
    stopping: Callable[[], bool],
) -> Iterator[None]:
    """Gives tasks to an engine, and yields now and then until all have ended, or are to stop.

    Args:
        engine: its name.
        work: the tasks.
        say: prints a line.
        done: returns those of these tasks whose records are there.
        about: what a task is, for a line on one that failed.
        stopping: whether to stop.

    Raises:
        UserError: the engine is not installed, cannot be reached, or has gone; or the records cannot be read, for long.
    """
    if not work.tasks:
        return
    look = _patiently(done, say)
    module: Engine = importlib.import_module(f".{engine}", __package__)
    left = set(work.tasks)
    with module.start(work) as running:
        say(running.say())
        while left and not stopping():
            for task, problem in running.ended():
                if problem and task in left:
                    say(f"task {task}, {about(task)}: {problem}")
                left.discard(task)
            left.difference_update(look(left))
            yield


def _patiently(
    done: Callable[[Collection[int]], Collection[int]], say: Callable[[str], None]
) -> Callable[[Collection[int]], Collection[int]]:
    """Returns `done` for a disk or store that may be away for some minutes: to end would cancel all workers.

    What it finds and must not, as records of another run, is an error at once.
    """
    since: float | None = None

    def look(left: Collection[int]) -> Collection[int]:
        nonlocal since
        try:
            found = done(left)
        except UserError as error:
            away = isinstance(error, OSError) or isinstance(error.__cause__, OSError)
            if not away or (since is not None and time.monotonic() - since > _PATIENCE):
                raise
            if since is None:
                since = time.monotonic()
                say(f"note: {error}; looking again for {_PATIENCE / 60:.0f} minutes")
            return ()
        since = None
        return found

    return look


def _option(text: str) -> tuple[str, int | float | str]:
    """Returns the name and the value of an option, a number where it is one."""
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UserError(f"--engine_options: expected name=value, found {one_line(text)!r}")
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return name, number(value)
    return name, value


def _script(flags: Any) -> str:
    """Returns the name of the module of a script's flags, also where Python calls it `__main__`."""
    module = sys.modules[type(flags).__module__]
    spec = getattr(module, "__spec__", None)
    return spec.name if spec else module.__name__
