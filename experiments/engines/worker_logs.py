"""What a worker says: a file of JSON lines for each, which other programs read, and which tells that it is alive.

Each line has `time`, `task`, `event` (begun, said, done, failed) and `text`.
"""

import contextlib
import datetime as dt
import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from nst_jax.errors import one_line
from nst_jax.io.files import file_error, is_folder
from nst_jax.io.stores import is_address

BEATS = 20.0
"""Seconds after which a worker touches its file at least, however long a cell takes."""

SUFFIX = ".jsonl"
_TAIL = 4096
"""Bytes at the end of a file in which its last line is looked for."""


class Said(NamedTuple):
    """The last that a worker has said.

    Attributes:
        time: when its file was touched last, in seconds, by the clock of the folder's machine.
        task: the number of its task.
        event: the kind of the line.
        text: the line.
    """

    time: float
    task: int | None
    event: str
    text: str


@contextlib.contextmanager
def logged(folder: Path, task: int) -> Iterator[None]:
    """Writes what this process prints to a file of its own, and when the task begins and how it ends.

    Raises:
        UserError: there is no such folder: it is not made, as a host that has lost the disk of the run would begin
            another one at that place.
    """
    if not is_folder(folder) and not is_address(folder):
        raise file_error(folder, "expected the folder of a run that was begun, found none: mount its disk on this host")
    path = folder / f"{socket.gethostname()}-{os.getpid()}{SUFFIX}"
    ended = threading.Event()
    with path.open("a", encoding="utf-8", buffering=1) as file:
        lines = _Lines(file, task)
        beating = threading.Thread(target=_beat, args=(path, file, ended), daemon=True)
        beating.start()
        lines.add("begun", "")
        try:
            log = cast(TextIO, lines)
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
        except BaseException as error:
            lines.add("failed", one_line(f"{type(error).__name__}: {error}"))
            raise
        else:
            lines.add("done", "")
        finally:
            ended.set()
            beating.join()  # which may be about to write to the file


def last_said(path: Path) -> Said | None:
    """Returns the last that a worker has said, given its file; None if it is gone or has said nothing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
        touched = path.stat().st_mtime
    except OSError:
        return None
    for line in reversed(lines):  # the last may be half written, and the first half read
        with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
            found = json.loads(line)
            task = found.get("task")
            known = task if isinstance(task, int) else None
            return Said(touched, known, str(found.get("event", "")), one_line(str(found.get("text", ""))))
    return Said(touched, None, "", "")


def _beat(path: Path, file: TextIO, ended: threading.Event) -> None:
    while not ended.wait(BEATS):
        try:
            os.utime(path)
        except (OSError, TypeError):  # at a store, which stamps what is put, be it the same as before
            with contextlib.suppress(OSError):
                file.flush()


class _Lines(io.TextIOBase):
    """A stream that writes each line as JSON."""

    def __init__(self, file: TextIO, task: int) -> None:
        self._file = file
        self._task = task
        self._begun = ""

    def add(self, event: str, text: str) -> None:
        line: dict[str, Any] = {
            "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "task": self._task,
            "event": event,
            "text": text,
        }
        # A full disk must not end a cell that may find room for its picture.
        with contextlib.suppress(OSError):
            self._file.write(json.dumps(line) + "\n")

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            self.add("said", line)
        return len(text)
