"""What the tasks of a run are, written down when they are given out.

So a worker need not find out what all of them are to know its own.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_jax.errors import UserError
from nst_jax.io.files import atomic_write, file_error

TASKS = "tasks.json"

_AGAIN = "run the command again"


def write(workdir: Path, versions: Mapping[str, str], tasks: Sequence[Any], **about: Any) -> None:
    """Writes down the tasks of a run.

    Args:
        workdir: the folder of the run.
        versions: those of everything that affects its numbers.
        tasks: what each has to do, as JSON has it.
        about: what holds for all.

    Raises:
        UserError: they cannot be written.
    """
    with atomic_write(workdir / TASKS, encoding="utf-8") as file:
        file.write(json.dumps({"versions": versions, **about, "tasks": tasks}))


def read(workdir: Path, number: int, versions: Mapping[str, str]) -> tuple[Any, dict[str, Any]]:
    """Returns what a task has to do, and what holds for all.

    Args:
        workdir: the folder of the run.
        number: that of the task.
        versions: those here.

    Raises:
        UserError: there is no such task, or whoever gave it out is of other versions.
    """
    path = workdir / TASKS
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
        tasks, of_begin = list(begun.pop("tasks")), dict(begun.pop("versions"))
    except FileNotFoundError as error:
        raise UserError("--task: expected a folder that the command without it has begun; run that") from error
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(workdir) from error
    if differing := [
        f"{name} {of_begin.get(name)} there, {versions[name]} here"
        for name in versions
        if of_begin.get(name) != versions[name]
    ]:
        raise UserError(f"expected the versions with which the run was begun, found {', '.join(differing)}")
    if number >= len(tasks):
        raise UserError(f"--task: expected the number of one of {len(tasks)} tasks, from 0, found {number}; {_AGAIN}")
    return tasks[number], begun


def damaged(workdir: Path) -> UserError:
    """Returns the error of tasks that are not what was written down."""
    return file_error(workdir / TASKS, f"expected the tasks of a run, found something else; {_AGAIN}")
