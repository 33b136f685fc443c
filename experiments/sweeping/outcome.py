"""What became of a grid, and how its script ends."""

import sys
from pathlib import Path
from typing import NamedTuple

from ..cli.flags import INTERRUPTED

PAGE = "index.html"


class Outcome(NamedTuple):
    """What became of the cells.

    Attributes:
        workdir: where they are.
        finished: how many have a picture.
        failed: name → why, of those that have none.
        missing: how many have neither, as the process whose they are has ended before.
        stopped: whether somebody asked the run to stop before it was at the end.
    """

    workdir: Path
    finished: int
    failed: dict[str, str]
    missing: int
    stopped: bool


def finish_script(outcome: Outcome) -> None:
    """Says what became of a grid, and ends the script with the status that this has."""
    for name, problem in outcome.failed.items():
        print(f"failed: {name}: {problem}")
    print(f"{outcome.finished} pictures, sheet and page: {outcome.workdir / PAGE}")
    if outcome.stopped:
        print("stopped; the same command goes on")
        sys.exit(INTERRUPTED)
    if outcome.missing:
        sys.exit(
            f"error: expected all cells to be done, found {outcome.missing} left by processes that ended before; "
            "the same command goes on"
        )
    if outcome.failed:
        sys.exit(1)
