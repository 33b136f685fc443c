"""Shares of a folder of pictures: tasks given out to an engine's workers, or the pictures of one task in a worker."""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.errors import UserError
from nst_jax.io.files import make_folder, names_in

from ..engines import giving, task_list, tasks
from ..running.run_record import versions, write_json
from .flags import InstantFlags

_RECORDS = "tasks"


class Pictured(NamedTuple):
    """A picture of a folder.

    Attributes:
        path: its file.
        target: the file of what is painted.
        shape: height and width of the program that paints it, zeros if it cannot be read.
    """

    path: Path
    target: Path
    shape: tuple[int, int]


class Share(NamedTuple):
    """What a task is to paint.

    Attributes:
        pictures: the files and their targets.
        room: whether pictures have more shapes than programs.
        record: the file that tells what a worker has done, see `_record`.
    """

    pictures: list[tuple[Path, Path]]
    room: bool
    record: Path | None = None


class Ended(NamedTuple):
    """What tasks have done: number of pictures painted and found, why others are left out, and how many are missing."""

    painted: int
    found: int
    left_out: dict[str, str]
    missing: int


def of_task(flags: InstantFlags, workdir: Path, settings: Mapping[str, Any]) -> Share:
    """Returns what the task that a worker was given is to paint.

    Raises:
        UserError: there is no such task, or whoever gave it out has other versions or settings.
    """
    assert flags.task is not None
    names, about = task_list.read(workdir, flags.task, versions())
    try:
        pictures = [(Path(source), Path(target)) for source, target in names]
        room, wanted = bool(about["room"]), dict(about["settings"])
    except (ValueError, LookupError, TypeError) as error:
        raise task_list.damaged(workdir) from error
    here = json.loads(json.dumps(settings))
    if differing := sorted(name for name in here.keys() | wanted.keys() if here.get(name) != wanted.get(name)):
        raise UserError(
            f"expected the settings with which the folder was begun, found another {', '.join(differing)}; "
            "run the command again"
        )
    return Share(pictures, room, _record(workdir, flags.task, about, names))


def write_record(path: Path, painted: int, found: int, left_out: Mapping[str, str]) -> None:
    """Writes what a task has done, as the last thing that it does.

    Raises:
        UserError: it cannot be written.
    """
    make_folder(path.parent)
    write_json(path, {"painted": painted, "found": found, "left_out": dict(left_out)})


class Given:
    """The tasks of a folder, given out."""

    def __init__(
        self,
        flags: InstantFlags,
        workdir: Path,
        pictures: Sequence[Pictured],
        settings: Mapping[str, Any],
        *,
        room: bool,
        is_done: Callable[[Pictured], bool],
    ) -> None:
        """Writes down the tasks.

        Args:
            flags: those of the script.
            workdir: the folder of the run.
            pictures: all of the folder.
            settings: everything that the result depends on beside the pictures.
            room: whether they have more shapes than have programs of their own.
            is_done: whether a picture has been painted before.

        Raises:
            UserError: they cannot be written.
        """
        self._flags, self._workdir = flags, workdir
        wanted = flags.pictures_per_task
        self.most = tasks.most(len(pictures), flags.workers) if wanted == "auto" else wanted
        self._tasks = tasks.split([by_program(pictures)], self.most)
        self._before = {number for number, share in enumerate(self._tasks) if all(map(is_done, share.parts))}
        make_folder(workdir)
        names = [[[str(picture.path), str(picture.target)] for picture in share.parts] for share in self._tasks]
        about = {"settings": settings, "room": room}
        task_list.write(workdir, versions(), names, **about)
        self._records = {number: _record(workdir, number, about, names[number]) for number in self.left}
        for path in self._records.values():  # of a run before, as of pictures that could not be read then
            path.unlink(missing_ok=True)

    @property
    def left(self) -> dict[int, float]:
        """The numbers of tasks with pictures that had not been painted before, and their places."""
        return {number: share.place for number, share in enumerate(self._tasks) if number not in self._before}

    def follow(self, say: Callable[[str], None], stopping: Callable[[], bool]) -> Iterator[int]:
        """Yields now and then the number of pictures in tasks that are done, until all have ended or are to stop."""
        done = set(self._before)

        def newly_done(numbers: Collection[int]) -> list[int]:
            there = names_in(self._workdir / _RECORDS)
            found = [number for number in numbers if self._records[number].name in there]
            done.update(found)
            return found

        work = giving.work_of(self._flags, self._workdir, self.left, changes={"pictures_per_task": self.most})
        if self.left:
            say(f"{len(self.left)} tasks of up to {self.most} pictures")
        for _ in giving.given_out(
            self._flags.engine,
            work,
            say=say,
            done=newly_done,
            about=lambda number: f"{self._tasks[number].parts[0].path.name} and what follows",
            stopping=stopping,
        ):
            yield sum(len(self._tasks[number].parts) for number in done)

    def ended(self) -> Ended:
        """Returns what the tasks have done."""
        painted, missing, left_out = 0, 0, dict[str, str]()
        found = sum(len(self._tasks[number].parts) for number in self._before)
        for number, path in self._records.items():
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                painted, found = painted + int(record["painted"]), found + int(record["found"])
                left_out |= {str(name): str(problem) for name, problem in record["left_out"].items()}
            except (OSError, ValueError, LookupError, TypeError, AttributeError):  # its worker has ended before
                missing += len(self._tasks[number].parts)
        return Ended(painted, found, left_out, missing)


def by_program(pictures: Iterable[Pictured]) -> list[tuple[Pictured, int]]:
    """Returns pictures with those that a program paints side by side, each with what it costs: its pixels.

    Of many programs a task may have several: to begin a task takes as long as to compile one.
    """
    return [(picture, math.prod(picture.shape)) for picture in sorted(pictures, key=lambda picture: picture.shape)]


def _record(workdir: Path, task: int, about: Mapping[str, Any], names: Sequence[Sequence[str]]) -> Path:
    """Returns the file that tells what a task has done.

    In its name is a digest of all that the task was: a worker of a command that was killed may end when the same task
    is another one, with more pictures or other settings, and must not count as having done that.
    """
    text = json.dumps({"about": about, "versions": versions(), "pictures": names}, sort_keys=True)
    return workdir / _RECORDS / f"{task:06d}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:16]}.json"
