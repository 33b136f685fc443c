"""What the worker does: one run after the other, whatever becomes of each."""

import contextlib
import functools
import queue
import traceback
from collections.abc import Callable
from pathlib import Path

import jax

from nst_jax.errors import UserError, is_out_of_memory, one_line

from ..running.progress import Interrupt
from ..sweeping.grid import make_grid
from ..sweeping.runner import run_grid
from . import messages, preview
from .messages import Link
from .painting import Painting

MOST_PROGRAMS = 300
"""Compiled programs beyond which all are freed between two runs: some 50 of a size take 70 MB on a CPU."""


def serve(link: Link, samples: tuple[Path, Path]) -> None:
    """Does what it is asked to until it is told to quit.

    Args:
        link: to the server.
        samples: a content and a style image, of which the program of the first look is compiled in advance.
    """
    link.tell(messages.Ready(jax.devices()[0].device_kind))
    if link.inbox.empty():
        with contextlib.suppress(Exception):  # it is only to be quick later
            preview.paint(samples[0], samples[1:], size=preview.SIDE)
    kept_since = link.compilations()
    while True:
        if link.compilations() - kept_since > MOST_PROGRAMS:
            jax.clear_caches()
            kept_since = link.compilations()
        match link.inbox.get():
            case messages.Quit():
                return
            case messages.Begin() as begin:
                _ending(link, begin.run, Painting(link, begin).run)
            case messages.BeginSweep() as begin:
                _ending(link, begin.run, functools.partial(_sweep, link, begin))
            case messages.Save() as save:
                link.tell(messages.Saved(save.run, save.ticket, "its turn is over"))
            case _:  # for a run whose turn has just ended
                continue


def _ending(link: Link, run: str, work: Callable[[], messages.Ended]) -> None:
    """Does a piece of work and tells how it ended, whatever happens: the worker goes on."""
    try:
        ended = work()
    except UserError as error:
        ended = messages.Ended(run, "failed", str(error))
    except Exception as error:
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and is_out_of_memory(error)):
            problem = "memory does not hold this picture: choose a smaller size"
        else:
            traceback.print_exc()
            problem = f"an error of the program: {one_line(repr(error))}"
        ended = messages.Ended(run, "failed", problem)
    link.tell(ended)


def _sweep(link: Link, begin: messages.BeginSweep) -> messages.Ended:
    """Runs a sweep, until it is told to stop."""
    interrupt = _Asked(link.inbox, begin.run)
    outcome = run_grid(make_grid(begin.flags), begin.flags, Path(begin.flags.workdir), interrupt=interrupt)
    problems = one_line("; ".join(f"{name}: {problem}" for name, problem in outcome.failed.items()), longest=500)
    return messages.Ended(begin.run, "stopped" if outcome.stopped else "finished", problems)


class _Asked(Interrupt):
    """Whether a sweep was told to stop, however early: no signal gets lost, and none comes twice."""

    def __init__(self, inbox: "queue.Queue[messages.Command]", run: str) -> None:
        super().__init__()
        self._inbox, self._run = inbox, run

    @property
    def requested(self) -> bool:
        """Whether it was."""
        with contextlib.suppress(queue.Empty):
            while not self._requested:
                command = self._inbox.get_nowait()
                if isinstance(command, messages.Quit):
                    self._inbox.put(command)  # it is meant for the worker as a whole
                    self._requested = True
                elif isinstance(command, messages.Stop) and command.run == self._run:
                    self._requested = True
        return self._requested
