"""The desk: which run is painted and which wait, what is asked of them, and what becomes of them.

All of it runs in the thread of the server, one call after the other; news of the worker come here too.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nst_jax.errors import UserError, one_line

from ..cli import samples
from ..cli.run_flags import SingleFlags
from . import dials as of_dials
from . import messages
from .board import Board
from .folders import IMAGES, PICTURE, start_picture
from .gallery import Gallery
from .protocol import MOST_MARKS, MOST_WAITING, Entry, Live, Losses, Mark, Moved, NewRun, NewSweep, Stage, State
from .stages import Stages, changed
from .sweeps import cells_done
from .uploads import Uploads
from .worker import Worker

_MOST_CRASHES = 3
"""Ends of the worker without a further step, after which a run is given up."""

_SAVE_SECONDS = 120.0
_COUNT_SECONDS = 2.0

_CLOSE_SECONDS = 60.0
"""For the worker to end a chunk of steps, or a compilation, and to write a checkpoint, as the studio ends."""


class NotNowError(Exception):
    """What was asked for cannot be done now; the message says why."""


class Desk:
    """Runs, and what is asked of them.

    Attributes:
        gallery: all runs.
        uploads: all images.
        board: what pages see.
    """

    def __init__(self, workdir: Path) -> None:
        """Takes the folder of the studio."""
        self.gallery = Gallery(workdir)
        self.uploads = Uploads(workdir / IMAGES)
        self._stages = Stages(self.gallery, self.uploads)
        self.board = Board()
        self._waiting: list[str] = []
        self._last_mark: dict[str, int] = {}
        self._then: tuple[str, Mark | None] | None = None
        self._goes_back = False  # the run at work, to a mark, as soon as the worker hears of it
        self._asked_frame = False
        self._failed_starts = 0
        self._worker: Worker | None = None
        self._numbers = itertools.count(1)
        self._tickets: dict[int, asyncio.Future[str]] = {}
        self._crashes: dict[str, tuple[int, tuple[int, int]]] = {}
        self._closing = False

    # The worker.

    def open(self) -> None:
        """Starts the worker, and gives the runs that the end of the server interrupted their turns again."""
        self._loop = asyncio.get_running_loop()
        for entry in self.gallery.interrupted():
            if entry.status != "waiting" and entry.step >= entry.steps:
                entry.steps = 0  # it was killed at its end, to which it is to come again
            entry.status = "waiting"
            self._waiting.append(entry.id)
        self._start_worker()
        self._next()
        self._counting = asyncio.create_task(self._count_cells())

    async def close(self) -> None:
        """Ends the worker, which writes a checkpoint first; the run at work goes on when the studio is opened again."""
        self._closing = True
        self._counting.cancel()
        worker = self._worker
        if worker is None:
            return
        worker.send(messages.Quit())
        if not await asyncio.to_thread(worker.join, _CLOSE_SECONDS):
            worker.kill()
        await asyncio.sleep(0)  # its last news are still to be heard
        if entry := self._entry():
            self._leave(entry)

    def _leave(self, entry: Entry) -> None:
        """Does with the run at work, whose worker has ended with the studio, what was to be done at its end."""
        then, mark = self._then or ("", None)
        if then == "remove":
            self.gallery.remove(entry.id)
            return
        if then == "stop" and entry.status not in ("finished", "failed"):
            entry.status = "stopped"
        elif then == "restart":
            self._stages.forget(entry)
            entry.status = "running"
        elif then == "undo" and mark is not None:
            self._stages.back_to(entry, mark)
            entry.status = "running"
        self._write(entry)

    def _start_worker(self) -> None:
        loop = self._loop

        def later(function: Callable[[Any], None]) -> Callable[[Any], None]:
            """Returns what a thread calls to have a function called here, unless there is another worker by then."""

            def call(value: Any) -> None:
                with contextlib.suppress(RuntimeError):  # the loop is closed, as the server ends
                    loop.call_soon_threadsafe(lambda: function(value) if worker is self._worker else None)

            return call

        chosen = samples.content_image(), samples.style_image()
        worker = self._worker = Worker(later(self._hear), later(self._ended_worker), chosen)
        self._asked_frame = False

    def _ended_worker(self, code: int | None) -> None:
        """Starts another worker, and the run at work from its checkpoint."""
        if self._closing:
            return
        self._failed_starts += not self.board.device
        for ticket in list(self._tickets):
            self._tickets.pop(ticket).set_result("the program that paints ended; try again")
        how = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
        entry = self._entry()
        if self._failed_starts >= _MOST_CRASHES:
            self._give_up(entry, f"what paints cannot be started ({how}); why, the studio has printed")
            return
        self.board.worker, self.board.device = "restarting", ""
        self._start_worker()
        if entry is None:
            self.board.change()
            return
        place = (len(entry.stages), entry.step)
        count, furthest = self._crashes.get(entry.id, (0, (0, 0)))
        count = 1 if place > furthest else count + 1
        self._crashes[entry.id] = (count, max(place, furthest))
        if self._then is not None:
            self._end(entry, "stopped", "")
        elif count >= _MOST_CRASHES:
            self._end(
                entry,
                "failed",
                f"what paints ended {count} times ({how}): perhaps memory is short; choose a smaller size",
            )
        else:
            self.board.say(
                "note",
                f"what paints ended ({how}); it was started again and goes on from the last checkpoint",
                entry.id,
            )
            with self._failing(entry):
                self._begin(entry)
            self._next()
        self.board.change()

    def _give_up(self, entry: Entry | None, problem: str) -> None:
        """Has no worker, until a run is to go on."""
        while self._waiting:
            self.stop(self._waiting[0])
        if entry is None:
            self.board.say("error", problem)
        else:
            self._end(entry, "failed", problem)
        self._worker, self.board.worker = None, "failed"
        self.board.change()

    # What is seen.

    def state(self) -> State:
        """Returns the state."""
        return self.board.state(self._entry(), self._waiting)

    def want_frame(self) -> None:
        """Asks for a frame."""
        if self._worker and self._live and not self._asked_frame:
            self._asked_frame = True
            self._worker.send(messages.WantFrame())

    def losses(self, identity: str) -> Losses:
        """Returns all losses of the last stage of a run.

        Raises:
            LookupError: there is no such run.
        """
        entry = self.entry(identity)
        return self.board.losses(identity) if self._is_live(identity) else self.gallery.losses(entry)

    # What is asked.

    def command(self, entry: Entry) -> str:
        """Returns the command that makes the picture of a run, see `stages.Stages.command`."""
        return self._stages.command(entry)

    def entry(self, identity: str) -> Entry:
        """Returns a run.

        Raises:
            LookupError: there is none.
        """
        if identity not in self.gallery.entries:
            raise LookupError("there is no such run")
        return self.gallery.entries[identity]

    def new(self, new: NewRun | NewSweep) -> str:
        """Adds a run, which is painted when its turn comes, and returns its id.

        Raises:
            UserError: its images or dials cannot be used.
            LookupError: an image is not there.
            NotNowError: too many wait.
        """
        self._check_room()
        self._stages.check(new)
        return self._queue(self.gallery.add(new, self._stages.name(new)))

    def move(self, identity: str, news: Moved) -> str:
        """Moves dials of a run, or gives it other images; returns whether that acts at once or begins a new stage.

        Raises:
            UserError: they cannot be used.
            LookupError: there is no such run, or image.
        """
        entry = self.entry(identity)
        if entry.kind != "picture":
            raise UserError("a sweep has no dials that can be moved: start another one")
        dials, images = of_dials.moved(entry.dials, news.dials), changed(entry.images, news)
        flags = self._stages.flags(entry, dials, images)
        acts = self._stages.acts(entry, flags)
        entry.dials, entry.images = dials, images
        live = self._live
        if live and self._is_live(identity) and self._then is None:
            if acts == of_dials.AT_ONCE:
                live.moved = sorted({*live.moved, *news.dials})
                self._send(messages.Steer(identity, flags))
            else:
                self._stop_for(("stage", None), start=self._stages.begin_next(entry))
        self._note(entry)
        return acts

    def pause(self, identity: str) -> None:
        """Has the run at work wait."""
        self._send(messages.Pause(self._at_work(identity).id))

    def go_on(self, identity: str) -> None:
        """Has a paused run go on, or gives one of the gallery its turn."""
        entry = self.entry(identity)
        if self._is_live(identity):
            self._send(messages.GoOn(identity))
            entry.status = "running"
            self._note(entry)
        elif identity not in self._waiting:
            self._queue(entry)

    def stop(self, identity: str) -> None:
        """Ends the turn of a run."""
        entry = self.entry(identity)
        if identity in self._waiting:
            self._waiting.remove(identity)
            entry.status = "stopped"
            self._note(entry)
        elif self._is_live(identity):
            self._stop_for(("stop", None))
        else:
            raise NotNowError("it is not its turn")

    def restart(self, identity: str) -> None:
        """Begins a run anew, with its dials as they are."""
        entry = self.entry(identity)
        if self._is_live(identity):
            self._stop_for(("restart", None))
            return
        if identity in self._waiting:
            self._stages.forget(entry)
            self._note(entry)
            return
        self._check_room()
        self._stages.forget(entry)
        self._queue(entry)

    def mark(self, identity: str) -> int:
        """Keeps the state of the run at work, and returns the number of the mark."""
        entry = self._at_work(identity)
        number = max([self._last_mark.get(identity, 0), *(mark.number for mark in entry.marks)]) + 1
        self._last_mark[identity] = number
        while len(entry.marks) >= MOST_MARKS:  # the run may be about to go back to one
            self._stages.forget_mark(entry, next(mark for mark in entry.marks if mark.number != entry.from_mark))
        self._send(messages.KeepMark(identity, number))
        return number

    def undo(self, identity: str, number: int) -> None:
        """Has a run go back to a mark.

        Raises:
            LookupError: there is no such run, or mark.
        """
        entry = self.entry(identity)
        mark = next((mark for mark in entry.marks if mark.number == number), None)
        if mark is None:
            raise LookupError(f"there is no mark {number}")
        live = self._live
        if live and self._is_live(identity):
            if mark.stage == len(entry.stages) - 1 and self._then is None:
                flags, moves = self._stages.flags(entry, mark.dials), self._stages.moves(entry, mark.moves)
                entry.dials, entry.stages[-1].moves = dict(mark.dials), list(mark.moves)
                entry.from_mark, self._goes_back = number, True
                live.moved = []
                self._send(messages.Undo(identity, number, flags, moves))
            else:
                self._stop_for(("undo", mark))
            self._note(entry)
            return
        if identity in self._waiting:
            raise NotNowError("it waits for its turn: stop it first")
        self._check_room()
        self._stages.back_to(entry, mark)
        self._queue(entry)

    def first(self, identity: str) -> None:
        """Gives a run that waits its turn next."""
        if identity not in self._waiting:
            raise NotNowError("it does not wait")
        self._waiting.remove(identity)
        self._waiting.insert(0, identity)
        self.board.change()

    def remove(self, identity: str) -> None:
        """Removes a run and its files."""
        self.entry(identity)
        if self._is_live(identity):
            self._stop_for(("remove", None))
            return
        if identity in self._waiting:
            self._waiting.remove(identity)
        self.gallery.remove(identity)
        self.board.change_of(identity)

    async def saved(self, identity: str) -> None:
        """Has the pictures of a run written as it is now, if it is at work.

        Raises:
            LookupError: there is no such run.
            UserError: they cannot be written.
        """
        entry = self.entry(identity)
        if not self._is_live(identity) or entry.kind != "picture":
            return
        ticket = next(self._numbers)
        self._tickets[ticket] = asyncio.get_running_loop().create_future()
        self._send(messages.Save(identity, ticket))
        try:
            async with asyncio.timeout(_SAVE_SECONDS):
                problem = await self._tickets[ticket]
        except TimeoutError:
            raise UserError("the picture could not be written in time; try again") from None
        finally:
            self._tickets.pop(ticket, None)
        if problem and not (self.gallery.folder(identity) / PICTURE).is_file():
            raise UserError(problem)

    # Turns.

    def _check_room(self) -> None:
        if len(self._waiting) >= MOST_WAITING:
            raise NotNowError(f"{MOST_WAITING} runs wait already: remove some")

    def _queue(self, entry: Entry) -> str:
        self._check_room()
        entry.status, entry.message = "waiting", ""
        self._waiting.append(entry.id)
        self._note(entry)
        self._next()
        return entry.id

    def _next(self) -> None:
        """Begins the run whose turn it is, if none is at work."""
        while self._live is None and self._waiting:
            entry = self.gallery.entries[self._waiting.pop(0)]
            with self._failing(entry):
                if entry.from_mark is None and entry.kind == "picture" and self._stages.needs_another(entry):
                    self._stages.add(entry, self._stages.begin_next(entry))
                self._begin(entry)
        self.board.change()

    def _begin(self, entry: Entry) -> None:
        """Has the worker paint the last stage of a run: from a mark, or else from its checkpoint if there is one."""
        if entry.kind == "sweep":
            self._stages.link_images(entry)
            command: messages.Command = messages.BeginSweep(entry.id, self._stages.sweep_flags(entry))
        else:
            if not entry.stages:
                entry.stages.append(Stage(dict(entry.dials), entry.images))
            stage = entry.stages[-1]
            command = messages.Begin(
                run=entry.id,
                folder=str(self.gallery.folder(entry.id)),
                stage=len(entry.stages) - 1,
                flags=self._stages.begun(entry),
                wanted=self._stages.flags(entry, entry.dials),
                moves=self._stages.moves(entry, stage.moves),
                mark=entry.from_mark,
                frame=self.board.last_frame(entry.id),
                first_look=entry.first_look,
            )
        self.board.begin(entry)
        self._then, self._goes_back = None, False
        self._asked_frame = False
        entry.status, entry.message = "starting", ""
        if self._worker is None:  # it could not be started; perhaps it can now
            self._start_worker()
        self._note(entry)
        self._send(command)
        self.want_frame()  # who looks on had asked in the turn before

    def _end(self, entry: Entry, status: Any, message: str) -> None:
        """Ends the turn of the run at work, and does what was to be done then."""
        then, mark = self._then or ("stop", None)
        self._then = None
        side = max(self._live.sides[self._live.scale : self._live.scale + 1], default=0) if self._live else 0
        entry.status, entry.message = status, one_line(message, longest=1000)
        if message:
            self.board.say("error" if status == "failed" else "note", message, entry.id)
        with self._failing(entry):
            if then == "undo" and mark is not None:
                self._stages.back_to(entry, mark)
                self._begin(entry)
                return
            if then == "restart" and status != "failed":
                self._stages.forget(entry)
                self._begin(entry)
                return
            if then == "stage" and status != "failed":
                start = start_picture(self.gallery.folder(entry.id), len(entry.stages))
                self._stages.add(entry, start, side)
                self._begin(entry)
                return
        self.board.live = None
        if then == "remove":
            self.gallery.remove(entry.id)
            self.board.change_of(entry.id)
        else:
            self._note(entry)
        self.board.worker = "ready"
        self._next()

    @contextlib.contextmanager
    def _failing(self, entry: Entry) -> Iterator[None]:
        """Has a run fail whose stage cannot be begun, as an image or a network that was there is gone."""
        try:
            yield
        except (UserError, LookupError) as error:
            self.board.live = None
            entry.status, entry.message = "failed", one_line(error, longest=1000)
            self._note(entry)

    def _stop_for(self, then: tuple[str, Mark | None], start: Path | None = None) -> None:
        """Has the run at work stop, and notes what is to be done then; the last wish counts, but for a removal."""
        assert self._live is not None
        again = self._then is not None
        if self._then is None or self._then[0] != "remove":
            self._then = then
        if again:
            return
        self._send(messages.Stop(self._live.id, None if start is None else str(start)))
        self._live.doing = "stopping"
        self.board.change()

    # News.

    def _hear(self, news: messages.News) -> None:
        """Takes in a piece of news of the worker."""
        if isinstance(news, messages.Ready):
            self.board.device, self._failed_starts = news.device, 0
            self.board.worker = "busy" if self._live else "ready"
        elif self._live is not None and news.run == self._live.id:
            self._hear_of(self._live, self.gallery.entries[news.run], news)
        elif isinstance(news, messages.Saved):
            self._answer(news)
        self.board.change()

    def _hear_of(self, live: Live, entry: Entry, news: messages.News) -> None:
        match news:
            case messages.Doing():
                live.doing = news.doing if self._then is None else live.doing
                if news.doing == "painting" and entry.status != "running":
                    entry.status = "running"
                    self._note(entry)
            case messages.GoesOn():
                self._goes_back = False
                self.board.go_back(live, news.step)
                stage = entry.stages[-1]
                stage.moves = [(step, dials) for step, dials in stage.moves if step < news.step]
                entry.step = news.step
                self._note(entry)
                wanted = self._stages.flags(entry, entry.dials)
                if self._then is None and self._stages.acts(entry, wanted) == of_dials.STAGE:  # moved while it waited
                    self._stop_for(("stage", None), start=self._stages.begin_next(entry))
            case messages.Progressed():
                self._progressed(live, entry, news)
            case messages.Framed():
                self.board.framed(live, news)
                self._asked_frame = False
            case messages.Acted():
                acted = self._stages.dials_of(entry, news.flags)
                entry.stages[-1].moves.append((news.step, acted))
                self._settled(live, entry, news.flags)
                self._note(entry)
            case messages.Settled():
                self._settled(live, entry, news.flags)
            case messages.Marked():
                moves = list(entry.stages[-1].moves)
                dials = moves[-1][1] if moves else entry.stages[-1].begun
                entry.marks.append(Mark(news.number, len(entry.stages) - 1, news.step, dict(dials), moves))
                self._note(entry)
            case messages.Paused():
                entry.status, live.doing = "paused", "waiting"
                self._note(entry)
            case messages.Saved():
                self._note(entry)
                self._answer(news)
            case messages.Noted():
                self.board.say(news.level, news.text, entry.id)
            case messages.Ended():
                self._ended(entry, news)

    def _ended(self, entry: Entry, news: messages.Ended) -> None:
        if self._goes_back:  # it came to its end before it heard of the mark
            self._then = self._then or ("undo", self._target(entry))
        elif news.status != "failed":
            entry.from_mark = None  # the worker has kept a newer state
        if self._closing:
            if news.status != "stopped":
                entry.status, entry.message = news.status, one_line(news.message, longest=1000)
        elif news.status != "stopped" or self._then is not None:
            self._end(entry, news.status, news.message)
        # Else the worker was told by somebody else to end, and the run goes on with the next.

    def _progressed(self, live: Live, entry: Entry, news: messages.Progressed) -> None:
        self.board.progressed(live, news)
        mark = self._target(entry)
        if mark is not None and news.step > mark.step and not self._goes_back:
            entry.from_mark = None  # what the worker kept since then is newer
        entry.step, entry.steps = news.step, news.steps
        if entry.status == "starting":
            entry.status = "running"
            self._note(entry)
        if entry.status == "running" and self._then is None:
            live.doing = "painting"

    def _target(self, entry: Entry) -> Mark | None:
        """Returns the mark from which a run goes on, None if it is none."""
        return next((mark for mark in entry.marks if mark.number == entry.from_mark), None)

    def _settled(self, live: Live, entry: Entry, flags: SingleFlags) -> None:
        """Takes in that flags act, or never will: no dial waits any more, if these are what the dials say now."""
        if self._stages.dials_of(entry, flags) == self._stages.dials_of(entry, self._stages.flags(entry, entry.dials)):
            live.moved = []

    def _answer(self, news: messages.Saved) -> None:
        waits = self._tickets.pop(news.ticket, None)
        if waits is not None and not waits.done():
            waits.set_result(news.problem)

    async def _count_cells(self) -> None:
        """Looks now and then how many cells of the sweep at work are done."""
        while True:
            await asyncio.sleep(_COUNT_SECONDS)
            entry, live = self._entry(), self._live
            if entry is None or live is None or entry.kind != "sweep":
                continue
            done, count = await asyncio.to_thread(cells_done, self.gallery.folder(entry.id))
            if self._live is live and (done, count) != (entry.step, entry.steps):
                live.step, live.steps = entry.step, entry.steps = done, count
                live.doing, entry.status = "painting", "running"
                self._note(entry)

    # Small things.

    @property
    def _live(self) -> Live | None:
        return self.board.live

    def _is_live(self, identity: str) -> bool:
        return self._live is not None and self._live.id == identity

    def _entry(self) -> Entry | None:
        return self.gallery.entries[self._live.id] if self._live else None

    def _at_work(self, identity: str) -> Entry:
        entry = self.entry(identity)
        if self._live is None or self._live.id != identity or entry.kind != "picture" or self._then is not None:
            raise NotNowError("it is not its turn")
        return entry

    def _send(self, command: messages.Command) -> None:
        if self._worker:
            self._worker.send(command)

    def _note(self, entry: Entry) -> None:
        """Keeps what is known of a run, and tells pages that it has changed."""
        self._write(entry)
        self.board.change_of(entry.id)

    def _write(self, entry: Entry) -> None:
        try:
            self.gallery.write(entry)
        except UserError as error:
            self.board.say("error", str(error), entry.id)
