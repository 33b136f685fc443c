"""Standard output and error that can take any text and may go away at any time, for commands."""

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, TextIO

BROKEN_PIPE = 128 + getattr(signal, "SIGPIPE", 13)
"""Exit status of a command whose reader has gone away, as in shells."""

_GONE = (errno.EPIPE, errno.EIO, errno.EINVAL)
"""Errors of a pipe without a reader, of a terminal that was closed, and of such a pipe on Windows."""

_lost = False


def lost() -> bool:
    """Returns whether the reader of standard output or error has gone away since `any_console` began."""
    return _lost


def accept_any_text() -> None:
    """Escapes the characters that an encoding lacks, such as Japanese names in cp1252, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it may be closed, or a test's
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def any_console() -> Iterator[None]:
    """Runs a block whose output may be closed, lack characters or break off, none of which is an error there.

    Output for a stream that cannot be written any more is dropped. If that is because its reader has gone, `lost` says
    so.
    """
    global _lost
    _lost = False
    accept_any_text()
    before = sys.stdout, sys.stderr
    # A closed descriptor would be that of the next file that is opened, and what is printed would land in it.
    sys.stdout, sys.stderr = (_Lenient(stream, number) for number, stream in enumerate(before, start=1))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


class _Lenient:
    """A text stream whose errors of writing do not end the program."""

    def __init__(self, stream: TextIO | None, number: int) -> None:
        """Takes the stream, None if it was closed, and the number of its descriptor."""
        if stream is None:
            _to_nowhere(number)
        self._stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - until the end

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _drop(self, error: OSError) -> None:
        """Sends what is left in the buffer, and all that follows, to nowhere, where Python flushes it at its end."""
        global _lost
        _lost = _lost or error.errno in _GONE
        with contextlib.suppress(OSError, io.UnsupportedOperation):
            _to_nowhere(self._stream.fileno())


def _to_nowhere(number: int) -> None:
    """Makes a descriptor one of the null device."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
