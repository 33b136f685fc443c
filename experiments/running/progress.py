"""The progress of a long run, as a bar on a terminal and as lines elsewhere, and the request to stop it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from nst_jax.console import lost
from nst_jax.history import History
from nst_jax.terms import TERMS

from ..cli import stopping

_LINE_SHARE, _LINE_SECONDS = 0.1, 30.0
"""Share of the steps, and time, that lie between two lines at least where there is no terminal."""


class Bar:
    """Progress over steps, with the loss and its terms."""

    def __init__(self, update: Callable[[int, str], None], console: Console) -> None:
        """Takes what shows how many steps are done, with a text, and the console that it shows them on."""
        self._update = update
        self._console = console

    def show(self, history: History) -> None:
        """Shows the newest step of a history."""
        shown = {
            "loss": history.loss,
            **{kind.label: history.terms[term] for term, kind in TERMS.items() if term in history.terms},
        }
        text = " ".join(f"{name} {values[-1]:.3g}" for name, values in shown.items())
        self.update(int(history.step[-1]), text)

    def update(self, steps: int, text: str) -> None:
        """Shows how many steps are done, and a text."""
        self._update(steps, text)

    def say(self, text: str) -> None:
        """Prints a line, on a terminal above the bar."""
        _print(self._console, text)


@contextmanager
def progress_bar(*, steps: int, done: int) -> Iterator[Bar]:
    """Shows the progress from step `done` to step `steps` on standard error.

    That is a bar with the pace and the time left; in a pipe or a file, a plain line now and then, and one at the end.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        lines = _Lines(console, steps=steps, done=done)
        try:
            yield Bar(lines.update, console)
        finally:
            lines.end()
        return
    columns = (
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        _Pace(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=steps, completed=done, losses="")
        yield Bar(lambda steps, text: progress.update(task, completed=steps, losses=text), progress.console)


class _Lines:
    """Progress for logs: a line when both enough steps and enough time have passed since the last."""

    def __init__(self, console: Console, *, steps: int, done: int) -> None:
        self._console = console
        self._steps = steps
        self._printed = self._done = done
        self._text = ""
        self._since = time.monotonic()

    def update(self, steps: int, text: str) -> None:
        self._done, self._text = steps, text
        enough = steps - self._printed >= _LINE_SHARE * self._steps
        if enough and time.monotonic() - self._since >= _LINE_SECONDS:
            self._print()

    def end(self) -> None:
        if self._done != self._printed:
            self._print()

    def _print(self) -> None:
        _print(self._console, f"{self._done}/{self._steps} {self._text}".rstrip())
        self._printed, self._since = self._done, time.monotonic()


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


class Interrupt:
    """Whether the run was asked to stop: by a signal, or as whoever read its output has gone."""

    def __init__(self) -> None:
        self._requested = False

    @property
    def requested(self) -> bool:
        """Whether it was."""
        return self._requested or lost()

    def request(self) -> None:
        """Asks the run to stop."""
        self._requested = True


@contextmanager
def graceful_interrupt() -> Iterator[Interrupt]:
    """Turns the first signal into a request to stop, so that no step is lost; the second stops at once."""
    interrupt = Interrupt()

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            stopping.stop_at_once(number, frame)
            return
        stopping.note(number)
        interrupt.request()
        stopping.say("stopping as soon as the picture can be saved; a second signal stops at once")

    with stopping.handling(handle):
        yield interrupt


class _Pace(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g}/s" if task.speed else "compiling", style="progress.data.speed")
