"""Requests to stop: Ctrl-C, SIGTERM, and SIGHUP, which the end of an SSH session sends."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from nst_jax import console

INTERRUPTED = 130
"""Exit status after Ctrl-C, as in shells: 128 + SIGINT."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # Windows has no SIGHUP, and alone SIGBREAK

_number: int | None = None
_scheduled = False


def status() -> int | None:
    """Returns the exit status of a script that was asked to stop, 128 + the signal's number; None if it was not."""
    if _number is not None:
        return 128 + _number
    return console.BROKEN_PIPE if console.lost() else None


@contextlib.contextmanager
def handling(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Has a function handle all signals that ask to stop, but SIGHUP where it is ignored, as under `nohup`."""
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():  # only there do signals arrive
        numbers = []
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not None and not (handler == signal.SIG_IGN and _is_hangup(number)):
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # set by other than Python: it cannot be set again
                signal.signal(number, handler)


def note(number: int) -> bool:
    """Notes a signal for `status`, and returns whether it says anything new.

    SIGHUP a second time does not: shell and system may both send it as a terminal goes away.
    """
    global _number
    again = _number is not None and (_is_hangup(number) or (_scheduled and number == signal.SIGTERM))
    _number = _number or number
    return not again


@contextlib.contextmanager
def by_scheduler() -> Iterator[None]:
    """Runs a block in which SIGTERM a second time asks for nothing new.

    Schedulers repeat it while they wait, as Slurm does for a step and its job; one that waits no longer sends SIGKILL.
    """
    global _scheduled
    before, _scheduled = _scheduled, True
    try:
        yield
    finally:
        _scheduled = before


def forget() -> None:
    """Forgets the signals that were noted: a new script begins."""
    global _number
    _number = None


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """Handles a signal: raises KeyboardInterrupt, or ends the process while a module is being imported.

    An extension that is being imported may swallow an exception or make another of it, and nothing is half written.
    """
    if not note(number):
        return
    if _is_importing(frame):
        with contextlib.suppress(OSError):
            os.write(2, b"stopped before the run began; nothing was written\n")
        os._exit(128 + number)
    raise KeyboardInterrupt


def _is_hangup(number: int) -> bool:
    return number == getattr(signal, "SIGHUP", None)


def _is_importing(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def say(text: str) -> None:
    """Prints a line on standard error from the handler of a signal, which may have come in the middle of a print."""
    with contextlib.suppress(RuntimeError):
        print(text, file=sys.stderr)
