"""A stage of a run as the worker paints it, steered between chunks of steps."""

import contextlib
import dataclasses
import functools
import io
import queue
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nst_jax import loop, pyramid, stacking
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.checks import check_images
from nst_jax.errors import UserError, one_line
from nst_jax.io import images
from nst_jax.io.files import atomic_write, make_folder
from nst_jax.loop import Progress
from nst_jax.memory import decided
from nst_jax.settings import WEIGHING, Settings
from nst_jax.terms import TERMS

from ..cli.run_flags import SingleFlags
from ..cli.transfer_flags import CONTENT, inputs, resolve, styles
from ..running.checkpoints import Checkpoints, Restored
from ..running.job import prepare
from ..running.loop import Courses
from ..running.records import write_losses
from ..running.results import Results, check_finish
from . import messages, preview
from .folders import CHECKPOINTS, DEEP_PICTURE, LOSSES, MARKS, PICTURE, THUMBNAIL, stage_folder
from .frames import encode
from .pace import Pace
from .protocol import FRAME_SIDE

CHUNK_SECONDS = 0.35
"""Seconds of a chunk: what is moved waits for the end of one, is evaluated, and shows after the next."""

CHECKPOINT_SECONDS = 30.0
"""Seconds between two checkpoints at least; they take a twentieth of the time at most."""

_CHECKPOINT_SHARE = 20

_LOOK_SECONDS = 0.1
"""Between two looks at whether a run that waits is to show a frame."""

_THUMBNAIL_SIDE = 256

_STEERED = (*WEIGHING, "coarse_content")


class _StoppedError(Exception):
    """A run was told to stop."""

    def __init__(self, command: messages.Stop | messages.Quit) -> None:
        super().__init__()
        self.command = command


class _UndoneError(Exception):
    """A run was told to go back to a mark."""

    def __init__(self, command: messages.Undo) -> None:
        super().__init__()
        self.command = command


class Painting:
    """A stage of a run.

    Its flags are those that are wanted (`_wanted`) and those that act (`_acting`), which made the state at hand.
    """

    def __init__(self, link: messages.Link, begin: messages.Begin) -> None:
        self._link, self._begin = link, begin
        self._run, self._folder = begin.run, Path(begin.folder)
        self._stage = stage_folder(self._folder, begin.stage)
        self._wanted: SingleFlags = begin.wanted
        self._acting: SingleFlags = begin.flags
        self._moves = list(begin.moves)
        self._frame, self._framed = begin.frame, (-1, -1)
        self._last: Progress | None = None
        self._told = 0
        self._paused = False
        self._pace = Pace()
        self._began = time.monotonic()
        self._checkpoint_at = 0.0

    def run(self) -> messages.Ended:
        """Runs the stage until it ends, or is told to stop.

        Raises:
            UserError: the input cannot be used, the run diverged, or something cannot be written.
        """
        begin = self._begin
        self._tell(messages.Doing(self._run, "reading"))
        goes_on = (self._stage / CHECKPOINTS).exists() or begin.mark is not None
        if begin.stage == 0 and not goes_on:
            self._look_first()
        make_folder(self._stage)
        with self._notes():
            self._job = prepare(begin.flags, begun=Checkpoints(self._stage / CHECKPOINTS, {}) if goes_on else None)
        check_finish(begin.wanted, self._job)
        self._shapes = [scale.shape for scale in self._job.scales]
        self._checkpoints = Checkpoints(self._stage / CHECKPOINTS, self._job.identity, decided(self._job.settings))
        marked = begin.mark is not None
        restored = self._restored(self._mark(begin.mark) if begin.mark is not None else self._checkpoints)
        while True:
            try:
                self._follow(restored, marked=marked)
                return self._end("finished")
            except _StoppedError as stopped:
                if isinstance(stopped.command, messages.Quit):
                    self._link.inbox.put(stopped.command)
                return self._end("stopped", stopped.command)
            except _UndoneError as undone:
                self._wanted, self._moves = undone.command.flags, list(undone.command.moves)
                marked = True
                restored = self._restored(self._mark(undone.command.number), otherwise="it stays where it is")
                if restored is None:
                    self._save_state()
                    restored = self._restored(self._checkpoints)

    def _restored(self, checkpoints: Checkpoints, otherwise: str = "it begins anew") -> Restored | None:
        """Returns the state in a checkpoint, None if there is none, or none that can be gone on from, which is told."""
        try:
            return checkpoints.restore(self._job.state_shapes)
        except UserError as error:
            self._tell(messages.Noted(self._run, "error", f"{otherwise}: {error}"))
            return None

    def _look_first(self) -> None:
        """Shows what a network paints in one pass."""
        flags = self._wanted
        with contextlib.suppress(UserError, OSError):  # what is wrong is said when the run reads the same
            paths, settings = inputs(flags), resolve(flags, pretrained.resolve(flags.backbone))
            shares, strength = settings.blend_weights, settings.strength
            painted = functools.partial(preview.paint, paths[CONTENT], styles(paths), size=flags.size)
            pixels = painted(shares=shares, strength=strength, network=self._begin.first_look)
            self._show(pixels, -1)

    def _follow(self, restored: Restored | None, *, marked: bool) -> None:
        """Runs the steps that are left, from a state, perhaps that of a mark, or from the start."""
        job = self._job
        self._tell(messages.GoesOn(self._run, _step_of(restored)))
        self._tell(messages.Doing(self._run, "compiling"))
        courses = self._courses = Courses([self._checkpoints], [restored])
        self._told, self._pace = 0, Pace()
        first = restored.scale if restored else 0
        # What acted before the state is in it; what was wanted later acts on its first chunk.
        self._moves = [(step, flags) for step, flags in self._moves if step < _step_of(restored)]
        self._acting = self._moves[-1][1] if self._moves else self._begin.flags
        has: dict[int, tuple[Any, ...]] = {}

        def make(index: int, flags: SingleFlags | None = None) -> stacking.Batch:
            flags = flags or self._wanted
            has[index] = _weighing(flags)
            batch = stacking.stack([job.transfer(index)])
            return batch if has[index] == _weighing(self._begin.flags) else self._weighed(batch, index, flags)

        def steer(index: int, problem: Any) -> Any | None:
            wanted = self._wanted
            if _weighing(wanted) != _weighing(self._acting):
                self._act(wanted)
            if has[index] == _weighing(wanted):
                return None
            has[index] = _weighing(wanted)
            return self._weighed(problem, index, wanted)

        start = jax.device_put(jax.device_get(job.image)[None])
        stages = pyramid.stages(make, start, job.scales, job.begin)
        state = None
        if restored:
            state = jax.device_put(jax.tree.map(lambda leaf: leaf[None], restored.state))
            problem = make(first, self._acting)
            stages[first] = stages[first]._replace(prepare=lambda: problem)
            self._take(Progress(first, problem, state, restored.history, np.ones((0, 1), bool)))
            if marked:  # later checkpoints are of what was undone
                self._checkpoints.clear()
                self._save_state()
            self._obey()
        else:
            self._checkpoints.clear()
        run = loop.run(stages, first=first, state=state, chunk_seconds=CHUNK_SECONDS, steer=steer)
        with contextlib.closing(run):  # type: ignore[type-var]
            for progress in run:
                courses.add(progress)
                self._take(progress)
                if 0 in courses.diverged:
                    self._write()
                    raise courses.diverged[0]
                self._keep()
                self._obey()

    def _act(self, flags: SingleFlags) -> None:
        self._acting = flags
        self._moves.append((self._step, flags))
        self._tell(messages.Acted(self._run, self._step, flags))

    def _weighed(self, batch: stacking.Batch, index: int, flags: SingleFlags) -> stacking.Batch:
        return stacking.reweighted(batch, [self._settings(flags, index)], regions=self._job.regions)

    def _settings(self, flags: SingleFlags, index: int) -> Settings:
        """Returns the settings of a scale, with the weights of these flags."""
        weighing = dict(zip(_STEERED, _weighing(flags), strict=True))
        return pyramid.settings_at(dataclasses.replace(self._job.settings, **weighing), self._shapes, index)

    # Between chunks.

    def _take(self, progress: Progress) -> None:
        """Tells how far the run is, and shows it if somebody looks."""
        another = self._last is None or self._last.stage != progress.stage
        self._last = progress
        if another:  # so that the first frame and the first checkpoint of a scale compile nothing later
            self._pixels()
            stacking.state_of(progress.state, 0)
        history, scales, index = self._courses.histories[0], self._job.scales, progress.stage
        self._pace.at(index, self._step)
        news = {"step": history.step, "loss": history.loss, **history.terms}
        self._tell(
            messages.Progressed(
                run=self._run,
                step=self._step,
                steps=self._job.steps,
                scale=index,
                sides=[max(scale.shape) for scale in scales],
                seconds_left=self._pace.left(scales, index, self._step),
                seconds_per_step=self._pace.per_step,
                weights=self._weights(index),
                begin=self._told,
                losses={name: values[self._told :].tolist() for name, values in news.items()},
                compilations=self._link.compilations(),
            )
        )
        self._told = len(history.step)
        self._offer()

    def _keep(self) -> None:
        """Writes a checkpoint, if it is time."""
        now = time.monotonic()
        self._checkpoint_at = self._checkpoint_at or now + CHECKPOINT_SECONDS
        if now < self._checkpoint_at or self._step >= self._job.steps:
            return
        self._save_state()
        spent = time.monotonic() - now
        self._checkpoint_at = now + max(CHECKPOINT_SECONDS, _CHECKPOINT_SHARE * spent)

    def _save_state(self) -> None:
        """Writes a checkpoint; where it cannot be written, the run goes on all the same."""
        try:
            self._courses.save(self._progress)
        except UserError as error:
            self._tell(messages.Noted(self._run, "error", str(error)))

    def _obey(self) -> None:
        """Does what it was asked meanwhile; waits here while the run is paused."""
        while True:
            with contextlib.suppress(queue.Empty):
                while True:
                    self._do(
                        self._link.inbox.get(timeout=_LOOK_SECONDS) if self._paused else self._link.inbox.get_nowait()
                    )
            if not self._paused:
                return
            self._offer()

    def _do(self, command: messages.Command) -> None:
        if isinstance(command, messages.Quit):
            raise _StoppedError(command)
        if isinstance(command, messages.WantFrame) or command.run != self._run:  # it came late
            return
        match command:
            case messages.Steer():
                try:
                    self._check(command.flags)
                    self._wanted = command.flags
                    acts = _weighing(command.flags) != _weighing(self._acting)
                except UserError as error:
                    self._tell(messages.Noted(self._run, "error", str(error)))
                    acts = False
                if not acts:
                    self._tell(messages.Settled(self._run, command.flags))
            case messages.Pause():
                self._paused = True
                self._save_state()
                self._tell(messages.Paused(self._run))
            case messages.GoOn():
                self._paused = False
                self._pace = Pace()
                self._tell(messages.Doing(self._run, "painting"))
            case messages.Stop():
                raise _StoppedError(command)
            case messages.Undo():
                raise _UndoneError(command)
            case messages.KeepMark():
                state = stacking.state_of(self._progress.state, 0)
                try:
                    self._mark(command.number).save(state, self._courses.histories[0])
                    self._tell(messages.Marked(self._run, command.number, self._step))
                except UserError as error:
                    self._tell(messages.Noted(self._run, "error", str(error)))
            case messages.Save():
                problem = ""
                try:
                    self._write()
                except UserError as error:
                    problem = str(error)
                self._tell(messages.Saved(self._run, command.ticket, problem))

    def _check(self, flags: SingleFlags) -> None:
        """Checks that the run can go on with flags.

        Raises:
            UserError: it cannot.
        """
        job, finest = self._job, len(self._shapes) - 1
        check_finish(flags, job)
        backbone = BACKBONES[pretrained.resolve(flags.backbone)]
        check_images(backbone, self._settings(flags, finest), job.content.pixels, job.styles, regions=job.regions)

    # What is left.

    def _end(self, status: Any, command: messages.Stop | messages.Quit | None = None) -> messages.Ended:
        """Writes everything, and returns how the turn ended."""
        if status == "stopped":
            self._save_state()
        self._write()
        if isinstance(command, messages.Stop) and command.start is not None:
            images.write(command.start, images.Picture(self._pixels()), bits=16)
        if status == "finished":
            self._checkpoints.clear()
        self._offer()
        return messages.Ended(self._run, status)

    def _write(self) -> None:
        """Writes the pictures of now, the record, the losses.

        Raises:
            UserError: one of them cannot be written.
        """
        flags = dataclasses.replace(self._begin.flags, colour_finish=self._wanted.colour_finish)
        more = (
            {"moved": [[step, _moved(self._begin.flags, flags)] for step, flags in self._moves]} if self._moves else {}
        )
        pixels = self._pixels()
        for bits, name in ((8, PICTURE), (16, DEEP_PICTURE)):
            results = Results(self._job, dataclasses.replace(flags, bits=bits), self._stage)
            results.write_picture(self._folder / name, pixels, finish=True, more=more)
        Results(self._job, flags, self._stage).write_record(
            self._step, {"all": time.monotonic() - self._began}, more=more
        )
        write_losses(self._stage / LOSSES, self._courses.histories[0], self._job.scales)
        with atomic_write(self._folder / THUMBNAIL) as file:
            file.write(encode(pixels, _THUMBNAIL_SIDE))

    def _mark(self, number: int) -> Checkpoints:
        return Checkpoints(self._stage / MARKS / str(number), self._job.identity, decided(self._job.settings))

    # What is at hand.

    @property
    def _progress(self) -> Progress:
        assert self._last is not None, "nothing is asked for before the first progress"
        return self._last

    @property
    def _step(self) -> int:
        return int(self._progress.history.step[-1]) if self._last else 0

    def _pixels(self) -> np.ndarray:
        return jax.device_get(self._progress.result)[0]

    def _weights(self, index: int) -> dict[str, float]:
        settings = self._settings(self._acting, index)
        return {term: TERMS[term].weight_in(settings) for term in self._courses.histories[0].terms if term in TERMS}

    def _offer(self) -> None:
        """Shows the picture of now, if somebody asked for a frame and has not seen it."""
        place = (self._progress.stage, self._step)
        if self._link.wanted.is_set() and self._framed != place:
            self._framed = place
            self._show(self._pixels(), self._step)

    def _show(self, pixels: np.ndarray, step: int) -> None:
        self._link.wanted.clear()
        self._frame += 1
        self._tell(messages.Framed(self._run, self._frame, step, encode(pixels, FRAME_SIDE)))

    def _tell(self, news: messages.News) -> None:
        self._link.tell(news)

    @contextlib.contextmanager
    def _notes(self) -> Iterator[None]:
        """Tells what is printed meanwhile."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            yield
        for line in printed.getvalue().splitlines():
            self._tell(messages.Noted(self._run, "note", one_line(line)))


def _weighing(flags: SingleFlags) -> tuple[Any, ...]:
    """Returns the weights that flags mean, in the order of `_STEERED`."""
    settings = resolve(flags, pretrained.resolve(flags.backbone))
    return tuple(getattr(settings, name) for name in _STEERED)


def _moved(begun: SingleFlags, flags: SingleFlags) -> Mapping[str, Any]:
    """Returns the flags that differ from those that a stage began with."""
    return {name: value for name, value in vars(flags).items() if value != getattr(begun, name)}


def _step_of(restored: Restored | None) -> int:
    return int(restored.history.step[-1]) if restored else 0
