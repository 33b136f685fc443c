"""What the worker says of its work; that it does it is in `test_studio`."""

import queue
import threading
import types

import jax
import pytest

from experiments.studios import compilations, engine, messages, pace
from nst_jax.errors import UserError
from nst_jax.pyramid import Scale

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("photo.jpg: no picture"), "photo.jpg: no picture"),
        (MemoryError(), "choose a smaller size"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"), "choose a smaller size"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out"), "choose a smaller size"),
        (RuntimeError("other"), "an error of the program: RuntimeError('other')"),
        (ZeroDivisionError("a\nb"), "an error of the program"),
    ],
)
def test_whatever_happens_is_told_in_a_line(error, said, capsys):
    told = []
    link = messages.Link(queue.Queue(), told.append, threading.Event(), lambda: 0)

    def work():
        raise error

    engine._ending(link, "run", work)
    [ended] = told
    assert (ended.run, ended.status) == ("run", "failed")
    assert said in ended.message
    assert "\n" not in ended.message


def test_the_worker_lives_on_and_ends_when_it_is_told_to(monkeypatch):
    monkeypatch.setattr(engine.preview, "paint", None)  # raises
    told, inbox = [], queue.Queue()
    link = messages.Link(inbox, told.append, threading.Event(), lambda: 0)

    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(engine.Painting, "run", broken)
    begin = messages.Begin("run", "folder", 0, None, None)
    for command in (begin, messages.Steer("run", None), messages.Save("run", 3), begin, messages.Quit()):
        inbox.put(command)
    engine.serve(link, (None, None))
    kinds = [type(news) for news in told]
    assert kinds == [messages.Ready, messages.Ended, messages.Saved, messages.Ended]
    assert told[2].problem


def test_seconds_that_are_left(monkeypatch):
    """A step of a scale takes as long as it has pixels: 8 steps of 2 s, and 5 of four times as long."""
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    found, scales = pace.Pace(), (Scale((10, 10), 12), Scale((20, 20), 17))
    found.at(0, 0)
    assert found.left(scales, 0, 0) is None
    now[0] = 8.0
    found.at(0, 4)
    assert found.left(scales, 0, 4) == 8 * 2 + 5 * 8
    found.at(1, 12)
    assert found.left(scales, 1, 12) is None, "a step of this one is still to come"


def test_compilations_are_counted():
    count = compilations.counter()
    jax.jit(lambda x: x * 3.25 + 1)(2.0)
    assert count() >= 1


@pytest.mark.parametrize("command", [messages.Stop("sweep"), messages.Quit()])
def test_a_sweep_is_stopped_however_early(command, monkeypatch):
    """One that is told to stop before it has begun to read; by `Quit`, the worker ends then as well."""
    told, inbox, asked = [], queue.Queue(), []

    def run_grid(grid, flags, workdir, *, interrupt):
        asked.extend([interrupt.requested, interrupt.requested])
        return types.SimpleNamespace(failed={}, stopped=interrupt.requested)

    monkeypatch.setattr(engine, "run_grid", run_grid)
    monkeypatch.setattr(engine, "make_grid", lambda flags: None)
    link = messages.Link(inbox, told.append, threading.Event(), lambda: 0)
    flags = types.SimpleNamespace(workdir="")
    for each in (messages.BeginSweep("sweep", flags), messages.Stop("another"), command, messages.Quit()):
        inbox.put(each)
    engine.serve(link, (None, None))
    assert asked == [True, True]
    assert told[-1] == messages.Ended("sweep", "stopped")
    assert inbox.qsize() == isinstance(command, messages.Quit)
