"""What a person sees of a long run, and how it is asked to stop."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from nst_jax.history import History
from nst_jax.objective import TERMS


class Bar:
    """A progress bar over steps, with the loss, its terms, the pace and the time left."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def show(self, history: History) -> None:
        """Shows the newest step of a history."""
        shown = {
            "loss": history.loss,
            **{kind.label: history.terms[term] for term, kind in TERMS.items() if term in history.terms},
        }
        text = " ".join(f"{name} {values[-1]:.3g}" for name, values in shown.items())
        self.update(int(history.step[-1]), text)

    def update(self, steps: int, text: str) -> None:
        """Shows that so many steps are done, and a text."""
        self._progress.update(self._task, completed=steps, losses=text)

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_bar(*, steps: int, done: int) -> Iterator[Bar]:
    """Shows a bar from step `done` to step `steps`."""
    columns = (
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        _Pace(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bar(progress, progress.add_task("", total=steps, completed=done, losses=""))


class Interrupt:
    """Whether somebody asked the run to stop."""

    requested = False


@contextmanager
def graceful_interrupt() -> Iterator[Interrupt]:
    """Turns the first Ctrl-C or SIGTERM into a request, so that no step is lost; the second one stops at once."""
    interrupt = Interrupt()

    def handle(number: int, _: FrameType | None) -> None:
        interrupt.requested = True
        print("stopping as soon as the picture can be saved; again to stop at once", file=sys.stderr)
        signal.signal(number, signal.default_int_handler)

    in_charge = threading.current_thread() is threading.main_thread()  # only there signals arrive
    numbers = (signal.SIGINT, signal.SIGTERM) if in_charge else ()
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Pace(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g}/s" if task.speed else "compiling", style="progress.data.speed")
