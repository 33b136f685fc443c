"""The worker: a process of its own that has JAX, and a pipe to it.

A pipe and no queues: whoever is killed while he holds the lock of a queue leaves it locked for all others; a pipe whose
end is closed says so at once. Both ends read in a thread and never wait to write.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from . import messages

_SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads, such as JAX's, may hang

_BROKEN = (EOFError, OSError)

_OF_TERMINALS = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
"""Signals that a terminal sends to all of its processes; the worker goes by what the server tells it alone."""


class Worker:
    """A worker process, as the server sees it."""

    def __init__(
        self, heard: Callable[[messages.News], None], ended: Callable[[int | None], None], samples: tuple[Path, Path]
    ) -> None:
        """Starts the process.

        Args:
            heard: called in a thread with every piece of news.
            ended: called in the same thread when the process has ended, with its exit code, negative for a signal.
            samples: see `engine.serve`.
        """
        here, there = _SPAWN.Pipe()
        self._outbox: queue.SimpleQueue[messages.Command | None] = queue.SimpleQueue()
        self._process = _SPAWN.Process(target=_main, args=(there, samples), name="nst-jax studio", daemon=True)
        with _unheard():
            self._process.start()
        there.close()  # so that the pipe ends when the process does
        self._reading = threading.Thread(target=self._read, args=(here, heard, ended), daemon=True)
        self._reading.start()
        threading.Thread(target=self._write, args=(here,), daemon=True).start()

    def send(self, command: messages.Command) -> None:
        """Sends a command; one that does not arrive, as the process has ended, is lost."""
        self._outbox.put(command)

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()

    def join(self, seconds: float) -> bool:
        """Waits for the end of the process, and returns whether it came; then all of its news have been heard."""
        self._reading.join(seconds)
        return not self._reading.is_alive()

    def _read(
        self, connection: Connection, heard: Callable[[messages.News], None], ended: Callable[[int | None], None]
    ) -> None:
        try:
            while True:
                heard(connection.recv())
        except _BROKEN:
            pass
        except Exception:  # bytes of a process that was killed while it wrote
            traceback.print_exc()
        self._outbox.put(None)
        self._process.join()
        ended(self._process.exitcode)

    def _write(self, connection: Connection) -> None:
        while (command := self._outbox.get()) is not None:
            try:
                connection.send(command)
            except _BROKEN:
                return


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Has processes that begin in the block ignore a terminal's signals from their first moment on."""
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _OF_TERMINALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _main(connection: Connection, samples: tuple[Path, Path]) -> None:
    """Is the worker process."""
    for number in _OF_TERMINALS:  # where it could not be begun like that
        signal.signal(number, signal.SIG_IGN)
    from . import engine
    from .compilations import counter

    inbox: queue.Queue[messages.Command] = queue.Queue()
    outbox: queue.Queue[messages.News | None] = queue.Queue()
    wanted = threading.Event()

    def read() -> None:
        try:
            while True:
                command = connection.recv()
                if isinstance(command, messages.WantFrame):
                    wanted.set()
                else:
                    inbox.put(command)
        except _BROKEN:
            os._exit(1)  # the server is gone: what is on the disk can be gone on from

    def write() -> None:
        while (news := outbox.get()) is not None:
            connection.send(news)

    def told_to_end(*_: object) -> None:
        # In a thread, as the queue may be locked by what the signal has interrupted.
        threading.Thread(target=inbox.put, args=(messages.Quit(),), daemon=True).start()

    signal.signal(signal.SIGTERM, told_to_end)  # what is at work is kept first
    threading.Thread(target=read, daemon=True).start()
    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    link: Any = messages.Link(inbox=inbox, tell=outbox.put, wanted=wanted, compilations=counter())
    engine.serve(link, samples)
    outbox.put(None)
    writing.join()
    sys.stdout.flush()
