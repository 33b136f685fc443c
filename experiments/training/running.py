"""Runs a training, with checkpoints, losses and sample pictures, and writes the network."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from nst_jax import parallel
from nst_jax.applications.feedforward import trained, training
from nst_jax.errors import UserError
from nst_jax.io.files import make_folder
from nst_jax.problem import seed_key

from ..running.checkpoint_files import CheckpointFiles
from ..running.progress import Bar, graceful_interrupt, progress_bar
from ..running.rescue import write_or_rescue
from ..running.run_record import versions, write_json
from . import hosts
from .flags import TrainFlags
from .job import Job, prepare
from .losses import Losses
from .samples import PAGE, Gallery

CHECKPOINTS = "training-checkpoints"
RECORD, STEPS_DONE = "run.json", "steps_done"
_LOSSES, _CURVES = "losses.csv", "losses.png"
_LOOK_EVERY = 0.5
"""Seconds between two looks at losses, which wait for the device."""
_AGREE_EVERY = 10
"""Steps after which several processes ask each other whether to stop."""
_MOST_NAMED = 5


class Result(NamedTuple):
    """Result of a training.

    Attributes:
        output: the file of the network.
        page: the page with its sample pictures.
        steps: number of steps done.
        finished: whether these are all.
    """

    output: Path
    page: Path
    steps: int
    finished: bool

    @property
    def stopped(self) -> bool:
        """Whether the run was asked to stop before its end."""
        return not self.finished


def run(flags: TrainFlags, workdir: Path, output: Path) -> Result:
    """Trains a network, going on from the last checkpoint in `workdir`, if there is one.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the training diverged, or something could
            not be written, and then the last checkpoint is kept.
    """
    with graceful_interrupt() as interrupt:
        job = prepare(flags)
        return _Run(job, flags, workdir, output).follow(lambda: interrupt.requested)


class _Run:
    """A training under way."""

    def __init__(self, job: Job, flags: TrainFlags, workdir: Path, output: Path) -> None:
        self.job = job
        self.flags = flags
        self.workdir = workdir
        self.output = output
        self.began = time.monotonic()
        self.checkpoints = CheckpointFiles(workdir / CHECKPOINTS, job.identity)
        about = {"versions": versions(), "device": jax.devices()[0].device_kind}
        title = f"{' and '.join(job.lesson.styles)}, {job.identity['backbone']}"
        self.gallery = Gallery(workdir, title, job.lesson, about)
        self.about = about
        self.first = jax.process_index() == 0
        self.failure: UserError | None = None

    def follow(self, stopping: Callable[[], bool]) -> Result:
        """Runs to the end, or until it is asked to stop."""
        job = self.job
        state, losses = self._start()
        done = before = len(losses)
        make_folder(self.workdir)
        stop = done >= job.steps
        with progress_bar(steps=job.steps, done=done) as bar:
            if done:
                bar.say(f"going on after step {done}")
            batches, spread = job.batches(done), job.spread
            waiting: list[Any] = []
            looked = time.monotonic()
            first = None if stop else next(batches)
            if jax.process_count() > 1 and first is not None:
                training.step.lower(spread, state, first).compile()
                hosts.meet("compiled")
            while not stop:
                batch, first = first or next(batches), None
                state, found = training.step(spread, state, batch)
                waiting.append(found)
                done += 1
                show, save = (every and done % every == 0 for every in (self.flags.show_every, self.flags.save_every))
                stop = done == job.steps or self._stops(done, stopping)
                if show or save or stop or done == before + 1 or time.monotonic() - looked > _LOOK_EVERY:
                    losses.add(jax.device_get(waiting))
                    waiting, looked = [], time.monotonic()
                    bar.update(done, " ".join(f"{name} {value:.3g}" for name, value in losses.last().items()))
                if done == before + 1:
                    bar.say(f"compiled, and ran the first step, in {time.monotonic() - self.began:.1f} s")
                if self.first and save and not stop:
                    self._try(bar, self._save, state, losses)
                if self.first and show and not stop:
                    self._try(bar, self._show, state, losses)
                if save or show:
                    hosts.meet(f"step {done}")
            batches.close()
            if self.first:
                self._finish(state, losses)
                for line in unreadable(job):
                    bar.say(line)
        if self.failure:
            raise self.failure
        return Result(self.output, self.workdir / PAGE, done, done >= job.steps)

    def _start(self) -> tuple[training.State, Losses]:
        """Returns the state and the losses of the last checkpoint, or those of a beginning."""
        job = self.job
        state = jax.tree.map(np.asarray, jax.device_get(job.training.init(seed_key(job.seed))))
        shapes = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)]
        terms = job.training.config.layers

        def content(step: int, leaves: list[np.ndarray]) -> tuple[training.State, Losses]:
            own, columns = leaves[: len(shapes)], leaves[len(shapes) :]
            if [(leaf.shape, leaf.dtype) for leaf in own] != shapes or {leaf.shape for leaf in columns} != {(step,)}:
                raise ValueError("its state is not that of this program")
            found = jax.tree.unflatten(jax.tree.structure(state), own)
            return found, Losses(terms, job.lesson.styles, columns)

        state, losses = self.checkpoints.restore(content) or (state, Losses(terms, job.lesson.styles))
        return parallel.replicate(state, job.mesh), losses

    def _stops(self, done: int, stopping: Callable[[], bool]) -> bool:
        """Returns whether the training was asked to stop; several processes do so after the same step."""
        if jax.process_count() == 1:
            return stopping()
        if done % _AGREE_EVERY:
            return False
        return bool(multihost_utils.process_allgather(np.array(stopping())).any())

    def _try(self, bar: Bar, write: Callable[..., None], *arguments: Any) -> None:
        """Writes something; what cannot be written does not end a training of hours, which tries again later."""
        try:
            write(*arguments)
        except UserError as error:
            bar.say(f"note: {error}; the training goes on")

    def _finish(self, state: training.State, losses: Losses) -> None:
        """Writes everything, each whether or not the others can be."""
        for write in (
            lambda: write_or_rescue(
                self.output, self.workdir, lambda path: self._write_network(path, state), what="network"
            ),
            lambda: self._save(state, losses),
            lambda: self._show(state, losses),
        ):
            try:
                write()
            except UserError as error:
                self.failure = self.failure or error

    def _save(self, state: training.State, losses: Losses) -> None:
        leaves = [*jax.tree.leaves(state), *losses.columns.values()]
        self.checkpoints.save(len(losses), lambda: [np.asarray(leaf) for leaf in jax.device_get(leaves)])
        self._record(len(losses))
        losses.write(self.workdir / _LOSSES)

    def _show(self, state: training.State, losses: Losses) -> None:
        losses.write(self.workdir / _LOSSES)
        losses.draw(self.workdir / _CURVES, jax.device_get(self.job.training.weights))
        self.gallery.paint(self._variables(state), len(losses))
        self.gallery.show(losses.last(), self.job.steps, (_CURVES,))

    def _write_network(self, path: Path, state: training.State) -> None:
        job = self.job
        record = {
            **({"licence": self.flags.licence} if self.flags.licence else {}),
            "source": "trained by nst_jax",
            "steps": int(jax.device_get(state.step)),
            "training": job.identity,
        }
        network, styles = job.lesson.network, job.lesson.of_network
        trained.write(path, self._variables(state), network, styles=styles, record=record)

    def _variables(self, state: training.State) -> Mapping[str, np.ndarray]:
        found = jax.device_get(self.job.training.whole(jax.device_get(state.variables)))
        return {name: np.ascontiguousarray(values) for name, values in found.items()}

    def _record(self, done: int) -> None:
        write_json(
            self.workdir / RECORD,
            {
                "settings": {**self.job.lesson.files, **self.job.identity, "steps": self.job.steps},
                **self.about,
                "devices": len(jax.devices()),
                STEPS_DONE: done,
                "seconds": time.monotonic() - self.began,
                "skipped": dict(sorted(self.job.lesson.unreadable().items())),
            },
        )


def unreadable(job: Job) -> Iterator[str]:
    """Yields lines about pictures that could not be read."""
    skipped = sorted(job.lesson.unreadable().items())
    for name, problem in skipped[:_MOST_NAMED]:
        yield f"skipped: {name}: {problem}"
    if len(skipped) > _MOST_NAMED:
        yield f"skipped: {len(skipped) - _MOST_NAMED} more, all in {RECORD}"
