"""The outcome of a grid, and how its script ends."""

import sys
from pathlib import Path
from typing import NamedTuple

from ..cli import stopping

PAGE = "index.html"


class Outcome(NamedTuple):
    """The outcome of a grid.

    Attributes:
        workdir: the folder of the grid.
        finished: number of cells with a picture.
        failed: name of each failed cell → its error.
        missing: number of cells with neither, as the process that should run them ended early.
        stopped: whether the run was asked to stop before its end.
    """

    workdir: Path
    finished: int
    failed: dict[str, str]
    missing: int
    stopped: bool


def finish_script(outcome: Outcome) -> None:
    """Prints the outcome of a grid, and ends the script with the status that belongs to it."""
    for name, problem in outcome.failed.items():
        print(f"failed: {name}: {problem}")
    pictures = "1 picture" if outcome.finished == 1 else f"{outcome.finished} pictures"
    print(f"{pictures}, sheet and page: {outcome.workdir / PAGE}")
    if outcome.stopped:
        print("stopped; the same command continues")
        sys.exit(stopping.status() or stopping.INTERRUPTED)
    if outcome.missing:
        sys.exit(
            f"error: expected all cells to be done, found {outcome.missing} left by processes that ended before; "
            "the same command continues"
        )
    if outcome.failed:
        sys.exit(1)
