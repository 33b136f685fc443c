"""Which run is at work, and what becomes of it, with a worker that does nothing but what it is told to say."""

import asyncio
import dataclasses
import inspect
import io
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from experiments.studios import desk as desks
from experiments.studios import messages
from experiments.studios.curves import NOTHING
from experiments.studios.desk import Desk, NotNowError
from experiments.studios.folders import DEEP_PICTURE, stage_folder, start_picture
from experiments.studios.protocol import MOST_MARKS, MOST_WAITING, Moved, NewRun, NewSweep
from nst_jax.errors import UserError


class Worker:
    """A worker that only remembers what it was told."""

    all: ClassVar[list["Worker"]] = []

    def __init__(self, heard, ended, samples):
        self.heard, self.ended, self.sent = heard, ended, []
        Worker.all.append(self)

    def send(self, command):
        self.sent.append(command)

    def join(self, seconds):
        return True


class Room:
    """A desk, and its worker to speak for."""

    def __init__(self, workdir):
        self.desk = Desk(workdir)
        self.desk.open()
        self.style = self.desk.uploads.samples()["styles"][0].id
        self.content = self.desk.uploads.samples()["contents"][0].id

    @property
    def worker(self):
        return Worker.all[-1]

    def begin(self, **dials):
        return self.desk.new(NewRun(self.content, [self.style], dials))

    async def say(self, *news):
        for each in news:
            self.worker.heard(each)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def progress(self, run, step, *, steps=100, begin=None, scale=0, sides=(64,)):
        losses = {"step": [step], "loss": [1.0 / (step + 1)], "style": [float("nan")]}
        begin = step if begin is None else begin
        await self.say(
            messages.Progressed(run, step, steps, scale, list(sides), 1.0, 0.1, {"style": 2.0}, begin, losses, 7)
        )

    def last(self, kind):
        return next(command for command in reversed(self.worker.sent) if isinstance(command, kind))

    def picture(self, run):
        path = self.desk.gallery.folder(run) / DEEP_PICTURE
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)


@pytest.fixture(autouse=True)
def no_process(monkeypatch, tmp_path):
    monkeypatch.setattr(desks, "Worker", Worker)
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path / "none"))
    Worker.all = []


def in_a_room(test):
    """Runs a test within a loop, with a room."""

    def run(tmp_path):
        async def inside():
            room = Room(tmp_path)
            await test(room)
            await room.desk.close()

        asyncio.run(inside())

    run.__name__ = test.__name__
    run.__signature__ = inspect.Signature([inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)])
    return run


@in_a_room
async def test_a_run_begins_and_the_others_wait(room):
    first, second, third = room.begin(size=64), room.begin(), room.begin()
    begun = [command for command in room.worker.sent if isinstance(command, messages.Begin)]
    assert [command.run for command in begun] == [first]
    assert begun[0].flags.size == 64
    assert room.desk.state().waiting == [second, third]
    await room.progress(first, 0)
    assert room.desk.entry(first).status == "running"
    await room.say(messages.Ended(first, "finished"))
    assert room.desk.entry(first).status == "finished"
    assert room.desk.state().run.id == second
    room.desk.remove(third)
    await room.say(messages.Ended(second, "failed", "memory does not hold it"))
    state = room.desk.state()
    assert (state.run, state.waiting) == (None, [])
    assert state.messages[-1].text == "memory does not hold it"
    assert room.desk.entry(second).message == "memory does not hold it"
    with pytest.raises(LookupError):
        room.desk.entry(third)


@in_a_room
async def test_too_many_wait(room):
    for _ in range(MOST_WAITING + 1):
        room.begin()
    with pytest.raises(NotNowError):
        room.begin()


@in_a_room
async def test_what_cannot_be_is_refused_before_anything_is_kept(room):
    new = NewRun(room.content, [room.style])
    wrong = [
        (dataclasses.replace(new, styles=[]), UserError),
        (dataclasses.replace(new, styles=[room.style] * 9), UserError),
        (dataclasses.replace(new, dials={"size": "x"}), UserError),
        (dataclasses.replace(new, style_regions=["x", "y"]), UserError),
        (dataclasses.replace(new, content="0" * 24), LookupError),
        (dataclasses.replace(new, first_look="none of them"), UserError),
    ]
    for each, error in wrong:
        with pytest.raises(error):
            room.desk.new(each)
    sweep = NewSweep(room.content, [room.style], axes={"style_weight": [1, 2]})
    for axes in ({}, {"style_weight": [1]}, {"style_weight": list(range(101))}, {"colour_finish": ["none", "oklab"]}):
        with pytest.raises(UserError):
            room.desk.new(dataclasses.replace(sweep, axes=axes))
    assert room.desk.gallery.entries == {}


@in_a_room
async def test_dials_steer(room):
    run = room.begin()
    await room.progress(run, 0)
    assert room.desk.move(run, Moved({"strength": 0.2})) == "at once"
    assert room.desk.move(run, Moved({"tv_weight": 1, "strength": 0.4})) == "at once"
    steer = room.last(messages.Steer)
    assert (steer.flags.strength, steer.flags.tv_weight) == (0.4, 1)
    assert room.desk.state().run.moved == ["strength", "tv_weight"]
    with pytest.raises(UserError):
        room.desk.move(run, Moved({"strength": 2}))
    await room.say(messages.Acted(run, 3, steer.flags))
    assert room.desk.state().run.moved == []
    assert room.desk.entry(run).stages[0].moves == [(3, {"strength": 0.4, "tv_weight": 1.0})]
    assert room.desk.move(run, Moved({"strength": None})) == "at once"
    assert room.desk.entry(run).dials == {"tv_weight": 1}


@in_a_room
async def test_another_size_begins_a_stage_with_the_picture_so_far(room):
    run = room.begin(size=64)
    await room.progress(run, 30, begin=0)
    assert room.desk.move(run, Moved({"size": 128})) == "stage"
    assert room.desk.move(run, Moved({"seed": 3})) == "stage"
    stops = [command for command in room.worker.sent if isinstance(command, messages.Stop)]
    start = start_picture(room.desk.gallery.folder(run), 1)
    assert [command.start for command in stops] == [str(start)]
    room.picture(run)
    await room.say(messages.Ended(run, "stopped"))
    begin = room.last(messages.Begin)
    assert (begin.stage, begin.mark) == (1, None)
    assert (begin.flags.size, begin.flags.seed, begin.flags.init) == (128, 3, str(start))
    assert begin.flags.coarsest == 65, "not again at the scale that is done"
    assert start.is_file()
    assert room.desk.state().run.stage == 1


@in_a_room
async def test_a_stage_that_is_hardly_begun_begins_anew(room):
    run = room.begin(size=64)
    await room.progress(run, 2, begin=0)
    room.picture(run)
    room.desk.move(run, Moved({"size": 128}))
    await room.say(messages.Ended(run, "stopped"))
    begin = room.last(messages.Begin)
    assert (begin.stage, begin.flags.size, begin.flags.init) == (0, 128, None)


@in_a_room
async def test_a_run_that_stopped_goes_on_and_one_that_is_done_begins_a_stage(room):
    run = room.begin(size=64)
    await room.progress(run, 30, begin=0)
    room.desk.stop(run)
    await room.say(messages.Ended(run, "stopped"))
    room.desk.move(run, Moved({"strength": 0.9}))
    room.desk.go_on(run)
    begin = room.last(messages.Begin)
    assert (begin.stage, begin.flags.strength, begin.wanted.strength) == (0, None, 0.9)
    await room.progress(run, 100, begin=0)
    room.picture(run)
    await room.say(messages.Ended(run, "finished"))
    room.desk.go_on(run)
    begin = room.last(messages.Begin)
    assert (begin.stage, begin.flags.strength) == (1, 0.9)


@in_a_room
async def test_dials_that_moved_in_a_later_stage_go_on_and_are_undone(room):
    run = room.begin(size=64)
    await room.progress(run, 30, begin=0)
    room.picture(run)
    room.desk.move(run, Moved({"size": 128}))
    await room.say(messages.Ended(run, "stopped"))
    await room.progress(run, 5, begin=0)
    number = room.desk.mark(run)
    await room.say(messages.Marked(run, number, 5))
    assert room.desk.move(run, Moved({"strength": 0.9})) == "at once"
    await room.say(messages.Acted(run, 5, room.last(messages.Steer).flags))
    assert room.desk.state().run.moved == []
    assert room.desk.entry(run).stages[1].moves == [(5, {"size": 128, "strength": 0.9})]
    await room.progress(run, 9, begin=6)
    room.desk.stop(run)
    await room.say(messages.Ended(run, "stopped"))
    room.desk.go_on(run)
    begin = room.last(messages.Begin)
    assert room.desk.entry(run).status == "starting"
    assert (begin.stage, begin.wanted.strength, begin.flags.strength) == (1, 0.9, None)
    assert [(step, flags.strength, flags.init) for step, flags in begin.moves] == [(5, 0.9, begin.flags.init)]
    room.desk.undo(run, number)
    assert (room.last(messages.Undo).flags.strength, room.desk.entry(run).dials) == (None, {"size": 128})


@in_a_room
async def test_frames_count_on_from_turn_to_turn(room):
    run = room.begin(size=64)
    await room.progress(run, 30, begin=0)
    await room.say(messages.Framed(run, 4, 30, b""))
    room.desk.stop(run)
    await room.say(messages.Ended(run, "stopped"))
    room.desk.go_on(run)
    assert (room.last(messages.Begin).frame, room.desk.state().run.frame) == (4, 4)
    assert isinstance(room.worker.sent[-1], messages.WantFrame)


@in_a_room
async def test_a_run_whose_image_is_gone_fails_and_the_next_one_has_its_turn(room):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(buffer, "PNG")
    with room.desk.uploads.part() as part:
        part.write(buffer.getvalue())
        image = room.desk.uploads.keep(part, "photo.png", is_map=False, used=())
    first, lost, last = room.begin(), room.desk.new(NewRun(image.id, [room.style])), room.begin()
    room.desk.uploads.path(image.id).unlink()
    await room.progress(first, 9, begin=0)
    await room.say(messages.Ended(first, "finished"))
    assert room.desk.entry(lost).status == "failed"
    assert "no image" in room.desk.entry(lost).message
    assert room.desk.state().run.id == last
    assert room.desk.command(room.desk.entry(lost)) == ""


@in_a_room
async def test_restart_forgets_what_was(room):
    run = room.begin(size=64)
    await room.progress(run, 30, begin=0)
    folder = stage_folder(room.desk.gallery.folder(run), 0)
    folder.mkdir()
    room.desk.restart(run)
    await room.say(messages.Ended(run, "stopped"))
    begin = room.last(messages.Begin)
    assert begin.stage == 0
    assert not folder.exists()


@in_a_room
async def test_marks(room):
    run = room.begin()
    await room.progress(run, 5, begin=0)
    assert [room.desk.mark(run), room.desk.mark(run)] == [1, 2], "neither of which is kept yet"
    await room.say(messages.Marked(run, 1, 5), messages.Marked(run, 2, 5))
    for number in range(3, MOST_MARKS + 3):
        assert room.desk.mark(run) == number
        await room.say(messages.Marked(run, number, 5))
    assert [mark.number for mark in room.desk.entry(run).marks] == list(range(3, MOST_MARKS + 3))
    with pytest.raises(LookupError):
        room.desk.undo(run, 1)
    flags = room.last(messages.Begin).flags
    await room.say(messages.Acted(run, 6, dataclasses.replace(flags, strength=0.1)))
    room.desk.undo(run, 3)
    undo = room.last(messages.Undo)
    assert (undo.number, undo.moves, undo.flags) == (3, [], flags)
    await room.say(messages.GoesOn(run, 5))
    assert room.desk.entry(run).step == 5
    # One of the gallery begins there when its turn comes.
    await room.progress(run, 100, begin=0)
    room.picture(run)
    await room.say(messages.Ended(run, "finished"))
    room.desk.undo(run, 4)
    assert room.last(messages.Begin).mark == 4
    assert room.last(messages.Begin).stage == 0


@in_a_room
async def test_a_worker_that_ends_is_replaced_three_times(room):
    run = room.begin()
    await room.say(messages.Ready("cpu"))
    await room.progress(run, 20, begin=0)
    for number in range(desks._MOST_CRASHES):
        await room.say(messages.Ready("cpu"))
        before = room.worker
        before.ended(-9)
        await asyncio.sleep(0)
        assert room.worker is not before
        if number < desks._MOST_CRASHES - 1:
            assert room.last(messages.Begin).run == run
            await room.progress(run, 10, begin=0)
    assert room.desk.entry(run).status == "failed"
    assert "signal 9" in room.desk.entry(run).message
    assert room.worker.sent == []
    # It may be tried again.
    room.desk.go_on(run)
    assert room.last(messages.Begin).run == run


@in_a_room
async def test_a_worker_that_cannot_begin_is_given_up(room):
    run, other = room.begin(), room.begin()
    for _ in range(desks._MOST_CRASHES):
        room.worker.ended(1)
        await asyncio.sleep(0)
    assert len(Worker.all) == desks._MOST_CRASHES
    assert room.desk.state().worker == "failed"
    assert room.desk.entry(run).status == "failed"
    assert "cannot be started" in room.desk.entry(run).message
    room.desk.go_on(other)
    assert len(Worker.all) == desks._MOST_CRASHES + 1
    await room.say(messages.Ready("cpu"))
    assert room.desk.state().worker == "busy"


@in_a_room
async def test_a_worker_that_ends_while_steps_are_done_is_always_replaced(room):
    run = room.begin()
    for number in range(1, 6):
        await room.say(messages.Ready("cpu"))
        await room.progress(run, 20 * number, steps=1000, begin=0)
        room.worker.ended(1)
        await asyncio.sleep(0)
    assert room.desk.state().run.id == run


@in_a_room
async def test_late_news_of_another_worker_or_run_are_nobodys(room):
    run = room.begin()
    old = room.worker
    old.ended(-9)
    await asyncio.sleep(0)
    old.heard(messages.Ended(run, "finished"))
    await room.say(messages.Ended("another", "finished"), messages.Framed("another", 9, 9, b""))
    assert room.desk.state().run.id == run
    assert room.desk.board.frame is None


@in_a_room
async def test_frames_are_asked_for_once(room):
    run = room.begin()
    for _ in range(100):
        room.desk.want_frame()
    assert sum(isinstance(command, messages.WantFrame) for command in room.worker.sent) == 1
    await room.say(messages.Framed(run, 1, 0, b"jpeg"))
    room.desk.want_frame()
    assert sum(isinstance(command, messages.WantFrame) for command in room.worker.sent) == 2
    assert room.desk.board.frame == (1, 0, b"jpeg")


@in_a_room
async def test_losses_are_told_from_where_one_has_them(room):
    run = room.begin()
    for step in range(3):
        await room.progress(run, step)
    found, seen = room.desk.board.losses_since(NOTHING)
    assert (found.begin, found.step, found.terms["style"]) == (0, [0, 1, 2], [None] * 3)
    assert room.desk.board.losses_since(seen)[0] is None
    await room.progress(run, 3)
    found, seen = room.desk.board.losses_since(seen)
    assert (found.begin, found.step) == (3, [3])
    await room.say(messages.GoesOn(run, 1))
    await room.progress(run, 1, begin=0)
    assert room.desk.board.losses_since(seen)[0].begin == 0


@in_a_room
async def test_pictures_are_waited_for(room):
    run = room.begin()
    await room.progress(run, 3, begin=0)
    waiting = asyncio.create_task(room.desk.saved(run))
    await asyncio.sleep(0)
    await room.say(messages.Saved(run, room.last(messages.Save).ticket, "the disk is full"))
    with pytest.raises(UserError, match="disk is full"):
        await waiting
    waiting = asyncio.create_task(room.desk.saved(run))
    await asyncio.sleep(0)
    room.worker.ended(-9)
    with pytest.raises(UserError, match="ended"):
        await waiting


@in_a_room
async def test_removing_the_run_at_work(room):
    run, other = room.begin(), room.begin()
    await room.progress(run, 3, begin=0)
    room.desk.remove(run)
    room.desk.restart(run)  # too late
    await room.say(messages.Ended(run, "stopped"))
    assert list(room.desk.gallery.entries) == [other]
    assert not room.desk.gallery.folder(run).exists()
    assert room.desk.state().run.id == other


@in_a_room
async def test_a_dial_that_changes_nothing_waits_for_nothing(room):
    run = room.begin(size=64)
    await room.progress(run, 5, begin=0)
    room.desk.move(run, Moved({"strength": 0.9}))
    first = room.last(messages.Steer).flags
    room.desk.move(run, Moved({"strength": None}))
    await room.say(messages.Settled(run, first))
    assert room.desk.state().run.moved == ["strength"], "of an older move"
    await room.say(messages.Settled(run, room.last(messages.Steer).flags))
    assert room.desk.state().run.moved == []
    assert room.desk.entry(run).stages[0].moves == []


@in_a_room
async def test_pages_are_told_of_the_entry_when_it_has_changed(room):
    run, other = room.begin(size=64), room.begin()
    await room.progress(run, 1, begin=0)
    place, version, gallery = room.desk.board.place, room.desk.state().version, room.desk.state().gallery
    await room.progress(run, 2)
    assert room.desk.board.place == place
    assert room.desk.state().version > version
    room.desk.move(run, Moved({"strength": 0.9}))
    assert room.desk.board.place != place
    assert room.desk.state().gallery == gallery, "of the others"
    room.desk.remove(other)
    assert room.desk.state().gallery > gallery


def reopened(tmp_path, before, after):
    """Runs one function with a room, and another one, with what it returned, in that which is opened there later."""

    async def first():
        room = Room(tmp_path)
        found = await before(room)
        await room.desk.close()
        return found

    async def second(found):
        room = Room(tmp_path)
        await after(room, found)
        await room.desk.close()

    asyncio.run(second(asyncio.run(first())))


def test_a_mark_that_was_gone_back_to_outlives_the_studio(tmp_path):
    async def before(room):
        run, other = room.begin(size=64), room.begin(size=64)
        await room.progress(run, 5, begin=0)
        number = room.desk.mark(run)
        await room.say(messages.Marked(run, number, 5))
        await room.progress(run, 9)
        room.desk.stop(run)
        await room.say(messages.Ended(run, "stopped"))
        assert room.desk.state().run.id == other
        room.desk.undo(run, number)  # while the other one is at work
        return run, number

    async def after(room, found):
        run, number = found
        await room.say(messages.Ended(room.desk.state().run.id, "finished"))
        begin = room.last(messages.Begin)
        assert (begin.run, begin.mark) == (run, number)
        # What ends at once begins there again; what has done a step does not.
        room.worker.ended(-9)
        await asyncio.sleep(0)
        assert room.last(messages.Begin).mark == number
        await room.progress(run, 6, begin=0)
        room.worker.ended(-9)
        await asyncio.sleep(0)
        assert room.last(messages.Begin).mark is None

    reopened(tmp_path, before, after)


@in_a_room
async def test_a_worker_that_dies_before_it_has_gone_back_to_a_mark_begins_there(room):
    run = room.begin(size=64)
    await room.progress(run, 5, begin=0)
    number = room.desk.mark(run)
    await room.say(messages.Marked(run, number, 5))
    room.desk.move(run, Moved({"strength": 0.7}))
    room.desk.undo(run, number)
    assert room.desk.state().run.moved == []
    await room.progress(run, 9)  # of the chunk that was computed meanwhile
    room.worker.ended(-9)
    await asyncio.sleep(0)
    assert room.last(messages.Begin).mark == number
    # Once it has gone back, what comes later is newer than the mark.
    await room.say(messages.GoesOn(run, 5))
    await room.progress(run, 9)
    room.worker.ended(-9)
    await asyncio.sleep(0)
    assert room.last(messages.Begin).mark is None


@in_a_room
async def test_a_run_that_ends_before_it_hears_of_the_mark_goes_back_all_the_same(room):
    run = room.begin(size=64)
    await room.progress(run, 5, begin=0)
    number = room.desk.mark(run)
    await room.say(messages.Marked(run, number, 5))
    room.desk.undo(run, number)
    await room.progress(run, 100)
    room.picture(run)
    await room.say(messages.Ended(run, "finished"))
    assert (room.last(messages.Begin).mark, room.desk.entry(run).step) == (number, 5)


@in_a_room
async def test_a_mark_that_is_gone_back_to_is_not_dropped(room):
    run = room.begin()
    await room.progress(run, 5, begin=0)
    for number in range(1, MOST_MARKS + 1):
        room.desk.mark(run)
        await room.say(messages.Marked(run, number, 5))
    room.desk.undo(run, 1)
    room.desk.mark(run)
    assert [mark.number for mark in room.desk.entry(run).marks][:2] == [1, 3]


@in_a_room
async def test_what_finds_no_room_removes_nothing(room):
    run, *_ = [room.begin(size=64)]
    await room.progress(run, 5, begin=0)
    number = room.desk.mark(run)
    await room.say(messages.Marked(run, number, 5), messages.Ended(run, "finished"))
    for _ in range(MOST_WAITING + 1):
        room.begin(size=64)
    for ask in (lambda: room.desk.restart(run), lambda: room.desk.undo(run, number)):
        with pytest.raises(NotNowError):
            ask()
    assert room.desk.entry(run).marks
    assert room.desk.entry(run).stages


@in_a_room
async def test_another_size_while_a_run_waits_to_go_back_begins_a_stage(room):
    run = room.begin(size=64)
    await room.progress(run, 9, begin=0)
    number = room.desk.mark(run)
    await room.say(messages.Marked(run, number, 9))
    room.desk.stop(run)
    await room.say(messages.Ended(run, "stopped"))
    other = room.begin(size=64)
    room.desk.undo(run, number)
    assert room.desk.move(run, Moved({"size": 128})) == "stage"
    await room.say(messages.Ended(other, "finished"))
    assert room.last(messages.Begin).flags.size == 64
    await room.say(messages.GoesOn(run, 9))
    assert room.last(messages.Stop).start is not None
    room.picture(run)
    await room.say(messages.Ended(run, "stopped"))
    assert room.last(messages.Begin).flags.size == 128


@in_a_room
async def test_a_worker_that_somebody_else_ends_leaves_its_run_under_way(room):
    run = room.begin(size=64)
    await room.progress(run, 9, begin=0)
    await room.say(messages.Ended(run, "stopped"))
    room.worker.ended(0)
    await asyncio.sleep(0)
    assert room.last(messages.Begin).run == run
    assert room.desk.entry(run).status == "starting"


class LastWords(Worker):
    """A worker that tells its end while it is waited for."""

    news: ClassVar[list] = []

    def join(self, seconds):
        for each in self.news:
            self.heard(each)
        return True


def test_what_was_to_be_done_at_the_end_of_a_run_is_done_when_the_studio_closes(tmp_path, monkeypatch):
    monkeypatch.setattr(desks, "Worker", LastWords)

    async def before(room):
        run = room.begin(size=64)
        await room.progress(run, 9, begin=0)
        room.desk.remove(run)
        return run

    async def after(room, run):
        assert run not in room.desk.gallery.entries
        assert room.desk.state().run is None

    reopened(tmp_path, before, after)


def test_a_run_that_finishes_while_the_studio_closes_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(desks, "Worker", LastWords)

    async def before(room):
        run = room.begin(size=64)
        await room.progress(run, 100, begin=0)
        room.worker.news.append(messages.Ended(run, "finished"))
        return run

    async def after(room, run):
        room.worker.news.clear()
        assert room.desk.entry(run).status == "finished"
        assert room.desk.state().run is None

    reopened(tmp_path, before, after)


def test_a_run_that_was_killed_at_its_end_comes_to_it_again(tmp_path):
    async def before(room):
        run = room.begin(size=64)
        await room.progress(run, 1, begin=0)
        await room.progress(run, 100)
        room.picture(run)
        return run

    async def after(room, run):
        assert room.last(messages.Begin).stage == 0

    reopened(tmp_path, before, after)


def test_how_far_a_run_was_outlives_the_studio(tmp_path):
    async def before(room):
        run = room.begin(size=64)
        await room.progress(run, 1, begin=0)
        await room.progress(run, 70)
        return run

    async def after(room, run):
        assert (room.desk.entry(run).step, room.desk.state().run.step) == (70, 70)

    reopened(tmp_path, before, after)


def test_what_was_under_way_is_given_its_turn_again(tmp_path):
    async def before():
        room = Room(tmp_path)
        first, second, third = room.begin(), room.begin(), room.begin()
        await room.progress(first, 7, begin=0)
        room.desk.stop(third)
        (tmp_path / "runs" / second / "studio.json").write_text("{damaged")
        (tmp_path / "runs" / "20200101-000000-abcdef").mkdir()
        (tmp_path / "runs" / "something else").write_text("")
        await room.desk.close()
        return first, third

    async def after(first, third):
        room = Room(tmp_path)
        assert list(room.desk.gallery.entries) == sorted([first, third])
        begin = room.last(messages.Begin)
        assert (begin.run, begin.stage) == (first, 0)
        assert room.desk.entry(third).status == "stopped"
        await room.desk.close()

    asyncio.run(after(*asyncio.run(before())))
