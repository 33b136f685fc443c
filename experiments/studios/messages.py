"""What server and worker tell each other: commands go down a pipe, news come up, as pickled dataclasses.

The server never computes and never imports JAX; the worker opens no socket. Each may be killed at any moment.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .protocol import FIRST_LOOK, Status

# Commands: from the server to the worker.


@dataclass(frozen=True)
class Begin:
    """Paint a stage of a run, from its last checkpoint if there is one.

    Attributes:
        run: id of the run.
        folder: the folder of the run, with a folder for the stage in it.
        stage: index of the stage.
        flags: the flags of `stylize` with which it began, of `run_flags.SingleFlags`.
        wanted: the flags that are to act, in the same program.
        moves: flags that acted since it began: `(step, flags)`.
        mark: number of the mark from which to go on instead; None for none.
        frame: number of the last frame of the run.
        first_look: the network that paints the first look, see `preview.paint`.
    """

    run: str
    folder: str
    stage: int
    flags: Any
    wanted: Any
    moves: list[tuple[int, Any]] = field(default_factory=list)
    mark: int | None = None
    frame: int = 0
    first_look: str = FIRST_LOOK


@dataclass(frozen=True)
class BeginSweep:
    """Run a sweep, of `sweeps.SweepFlags`."""

    run: str
    flags: Any


@dataclass(frozen=True)
class Steer:
    """Go on with other flags, which act at once."""

    run: str
    flags: Any


@dataclass(frozen=True)
class Pause:
    """Wait, with all that is needed to go on."""

    run: str


@dataclass(frozen=True)
class GoOn:
    """Wait no longer."""

    run: str


@dataclass(frozen=True)
class Stop:
    """End the turn of a run, with its picture and a checkpoint.

    Attributes:
        run: its id.
        start: a file for the picture so far, from which the next stage starts; None for none.
    """

    run: str
    start: str | None = None


@dataclass(frozen=True)
class KeepMark:
    """Keep the state of now, in the folder `marks` of the stage."""

    run: str
    number: int


@dataclass(frozen=True)
class Undo:
    """Go back to a mark of this stage, with the flags and the moves of then."""

    run: str
    number: int
    flags: Any
    moves: list[tuple[int, Any]]


@dataclass(frozen=True)
class WantFrame:
    """Make a frame when there is something new to see."""


@dataclass(frozen=True)
class Save:
    """Write the pictures of now, and say so."""

    run: str
    ticket: int


@dataclass(frozen=True)
class Quit:
    """End, with a checkpoint."""


Command = Begin | BeginSweep | Steer | Pause | GoOn | Stop | KeepMark | Undo | WantFrame | Save | Quit


# News: from the worker to the server.


@dataclass(frozen=True)
class Ready:
    """The worker waits for commands."""

    device: str


@dataclass(frozen=True)
class Doing:
    """What the worker is at."""

    run: str
    doing: str


@dataclass(frozen=True)
class Progressed:
    """How far a run is.

    Attributes:
        run: its id.
        step: steps done in this stage.
        steps: of the stage.
        scale: index of the scale.
        sides: long side of each scale.
        seconds_left: an estimate.
        seconds_per_step: likewise.
        weights: those at this scale.
        begin: index of the first loss here; with 0 all earlier ones are void.
        losses: `step`, `loss` and the terms by name, as lists.
        compilations: programs that were compiled since the worker began.
    """

    run: str
    step: int
    steps: int
    scale: int
    sides: list[int]
    seconds_left: float | None
    seconds_per_step: float | None
    weights: dict[str, float]
    begin: int
    losses: dict[str, list[float]]
    compilations: int


@dataclass(frozen=True)
class Framed:
    """A frame, which was asked for."""

    run: str
    number: int
    step: int
    jpeg: bytes


@dataclass(frozen=True)
class Acted:
    """Flags that were moved act from a step on."""

    run: str
    step: int
    flags: Any


@dataclass(frozen=True)
class Settled:
    """Flags that were moved change nothing, as those that act mean the same, or cannot be used: they never act."""

    run: str
    flags: Any


@dataclass(frozen=True)
class Marked:
    """A state was kept, which the flags that acted last have made."""

    run: str
    number: int
    step: int


@dataclass(frozen=True)
class GoesOn:
    """A stage goes on from a step, 0 or that of a checkpoint or mark: what was told of later ones is void."""

    run: str
    step: int


@dataclass(frozen=True)
class Saved:
    """Pictures were written, or why not."""

    run: str
    ticket: int
    problem: str = ""


@dataclass(frozen=True)
class Paused:
    """A run waits."""

    run: str


@dataclass(frozen=True)
class Noted:
    """Something to tell."""

    run: str
    level: str
    text: str


@dataclass(frozen=True)
class Ended:
    """The turn of a run is over.

    Attributes:
        run: its id.
        status: `stopped`, `finished` or `failed`.
        message: why it failed.
    """

    run: str
    status: Status
    message: str = ""


News = Ready | Doing | Progressed | Framed | Acted | Settled | Marked | GoesOn | Saved | Paused | Noted | Ended


@dataclass(frozen=True)
class Link:
    """How the worker talks with the server.

    Attributes:
        inbox: commands, in their order.
        tell: sends news.
        wanted: set when a frame is asked for, cleared when it is made.
        compilations: returns how many programs were compiled so far.
    """

    inbox: "queue.Queue[Command]"
    tell: Callable[[News], None]
    wanted: threading.Event
    compilations: Callable[[], int]
