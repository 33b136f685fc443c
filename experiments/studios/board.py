"""The board: what pages see of the run at work, of the worker and of what happened, and when it changed."""

import asyncio
import collections
import itertools
import time
from collections.abc import Sequence

from nst_jax.errors import one_line

from . import messages
from .curves import NOTHING, Curves, Seen
from .protocol import Entry, Live, Losses, Message, State

_MESSAGES = 20


class Board:
    """What pages see. It decides nothing: the desk puts up what there is.

    Attributes:
        live: the run at work; None without one.
        frame: number, step and bytes of the newest frame of the run at work; None without one.
        worker: see `protocol.State`, and so the next one.
        device: see there.
    """

    def __init__(self) -> None:
        self.live: Live | None = None
        self.frame: tuple[int, int, bytes] | None = None
        self.worker, self.device = "starting", ""
        self._curves = Curves()
        self._frames: dict[str, int] = {}  # run → number of its newest frame
        self._messages: collections.deque[Message] = collections.deque(maxlen=_MESSAGES)
        self._numbers = itertools.count(1)
        self._version, self._gallery, self._entry = 1, 1, 1
        self._changed = asyncio.Event()

    # What is seen.

    def state(self, entry: Entry | None, waiting: Sequence[str]) -> State:
        """Returns the state.

        Args:
            entry: that of the run at work.
            waiting: the runs that wait.
        """
        return State(
            version=self._version,
            worker=self.worker,
            device=self.device,
            run=self.live,
            entry=entry,
            waiting=list(waiting),
            gallery=self._gallery,
            messages=list(self._messages),
        )

    @property
    def place(self) -> tuple[int, str]:
        """What changes when the entry of the run at work does: a page that has it needs no other."""
        return self._entry, self.live.id if self.live else ""

    def losses_since(self, seen: Seen) -> tuple[Losses | None, Seen]:
        """Returns the losses of the run at work that are new, see `curves.Curves.since`; nothing without one."""
        return self._curves.since(self.live.id, seen) if self.live else (None, seen)

    def losses(self, identity: str) -> Losses:
        """Returns all losses of the run at work, whose id this is."""
        return self._curves.since(identity, NOTHING)[0] or Losses(identity, 0, [], [], {})

    async def changed(self, version: int, seconds: float) -> None:
        """Waits until the state has another version, or for some seconds."""
        if version != self._version:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    # What is put up.

    def change(self) -> None:
        """Tells pages that something has changed."""
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def change_of(self, identity: str) -> None:
        """Tells pages that a run has changed: the one at work, or one of the gallery, which they then ask for."""
        if self.live is not None and self.live.id == identity:
            self._entry += 1
        else:
            self._gallery += 1
        self.change()

    def say(self, level: str, text: str, run: str = "") -> None:
        """Tells pages something."""
        self._messages.append(Message(next(self._numbers), time.time(), level, one_line(text, longest=1000), run))
        self.change()

    def begin(self, entry: Entry) -> None:
        """Puts up a run whose turn begins."""
        if self.live is None or self.live.id != entry.id:
            self.frame = None
        stage, frame = max(0, len(entry.stages) - 1), self.last_frame(entry.id)
        self.live = Live(entry.id, stage=stage, step=entry.step, steps=entry.steps, frame=frame)
        self._curves.forget()
        self.worker = "busy"

    def last_frame(self, identity: str) -> int:
        """Returns the number of the last frame of a run, 0 before the first one."""
        return self._frames.get(identity, 0)

    def go_back(self, live: Live, step: int) -> None:
        """Takes in that the run at work goes on from a step: losses are told anew."""
        self._curves.forget()
        live.step = step

    def progressed(self, live: Live, news: messages.Progressed) -> None:
        """Takes in how far the run at work is."""
        self._curves.add(news.begin, news.losses)
        live.step, live.steps, live.scale, live.sides = news.step, news.steps, news.scale, news.sides
        live.seconds_left, live.seconds_per_step = news.seconds_left, news.seconds_per_step
        live.weights, live.compilations = news.weights, news.compilations
        live.loss, live.terms = self._curves.newest()

    def framed(self, live: Live, news: messages.Framed) -> None:
        """Takes in a frame of the run at work."""
        self.frame = (news.number, news.step, news.jpeg)
        live.frame, live.frame_step = news.number, news.step
        self._frames[live.id] = news.number
