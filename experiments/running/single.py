"""Runs a single transfer, with checkpoints and intermediate pictures, and writes its results."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nst_jax import parallel, pyramid, stacking
from nst_jax.errors import UserError
from nst_jax.history import History
from nst_jax.io.files import make_folder, remove
from nst_jax.loop import Progress
from nst_jax.loop import run as run_stages
from nst_jax.memory import decided
from nst_jax.settings import Settings

from ..cli.run_flags import SingleFlags
from .checkpoints import Checkpoints, Restored
from .job import Job, prepare
from .loop import Courses, follow
from .progress import Interrupt, graceful_interrupt, progress_bar
from .records import plot_losses, write_losses
from .rescue import SavedElsewhereError, write_or_rescue
from .results import Results, check_finish
from .standstill import standstill

_SNAPSHOT = "step{}.png"
_CHECKPOINTS = "stylize-checkpoints"


class Result(NamedTuple):
    """Result of a run: the picture, its losses, and whether the run is finished."""

    output: Path
    history: History
    finished: bool


def run(flags: SingleFlags, workdir: Path, output: Path) -> Result:
    """Runs a transfer and writes the picture to `output` and everything else to `workdir`.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the run diverged, or the disk is full, and
            then the picture so far is saved if it can be.
    """
    with graceful_interrupt() as interrupt:
        began = time.monotonic()
        job = prepare(flags, begun=Checkpoints(workdir / _CHECKPOINTS, {}) if flags.resume else None)
        check_finish(flags, job)
        if interrupt.requested:
            raise KeyboardInterrupt("before the first step, nothing was written")
        try:
            return _optimise(job, flags, workdir, output, interrupt, began)
        except KeyboardInterrupt:
            step = Checkpoints(workdir / _CHECKPOINTS, job.identity).newest()
            kept = "no checkpoint was written yet" if step is None else f"--resume continues after step {step}"
            raise KeyboardInterrupt(f"at once, {kept}") from None


def _optimise(job: Job, flags: SingleFlags, workdir: Path, output: Path, interrupt: Interrupt, began: float) -> Result:
    """Runs a prepared job and writes its results; see `run`."""
    left = Results(job, flags, workdir)
    seconds = {"prepare": time.monotonic() - began}

    def save_picture(path: Path, progress: Progress, *, finish: bool = False) -> None:
        left.write_picture(path, jax.device_get(progress.result)[0], finish=finish)

    def save_record(done: int) -> None:
        left.write_record(done, seconds)

    mesh = _mesh(job.settings)

    def make(index: int) -> stacking.Batch:
        batch = stacking.stack([job.transfer(index)])
        if index == len(job.scales) - 1 and flags.colour_finish == "none":
            job.release_styles()
        return batch.replace(cells=parallel.spread_tiles(batch.cells, mesh)) if mesh else batch

    def placed(tree: Any) -> Any:
        return parallel.replicate(tree, mesh) if mesh else jax.device_put(tree)

    checkpoints = Checkpoints(workdir / _CHECKPOINTS, job.identity, decided(job.settings))
    restored = _restore(job, checkpoints, workdir) if flags.resume else None
    courses = Courses([checkpoints], [restored])
    state = placed(jax.tree.map(lambda leaf: leaf[None], restored.state)) if restored else None
    start = jax.device_get(job.image)
    stages = pyramid.stages(make, placed(start[None]), job.scales, job.begin)  # on a CPU no copy
    first = restored.scale if restored else 0
    run = follow(
        run_stages(stages, first=first, state=state, pause_every=flags.save_every),
        courses,
        steps=job.steps,
        save_every=flags.save_every,
        stopping=lambda: interrupt.requested,
    )
    if restored and state is not None:
        last = Progress(first, make(first), state, restored.history, np.ones((0, 1), bool))
    else:
        last = next(run)
        rendered = np.asarray(last.result[0])
        start = start if np.array_equal(start, rendered) else rendered  # mostly one array, not two
        del rendered
        if 0 in courses.diverged:
            raise courses.diverged[0]
        _discard(job, checkpoints, workdir)
    make_folder(workdir)
    done = int(last.history.step[-1])
    save_record(done)
    failure: UserError | None = None
    with progress_bar(steps=job.steps, done=done) as bar:
        try:
            for last in run:
                if "compile" not in seconds:
                    seconds["compile"] = time.monotonic() - began - seconds["prepare"]
                    bar.say(f"compiled, and ran the first step, in {seconds['compile']:.1f} s")
                failure = courses.diverged.get(0)
                if failure:
                    break
                bar.show(courses.histories[0])
                done = int(jax.device_get(last.state.step)[0])
                if flags.save_every and done % flags.save_every == 0:
                    save_picture(workdir / _SNAPSHOT.format(f"{done:05d}"), last)
        except UserError as error:  # Something could not be written; perhaps the picture still can be.
            failure = error
    history = courses.histories[0]
    seconds["all"] = time.monotonic() - began
    done = int(jax.device_get(last.state.step)[0])
    finished = done >= job.steps
    writings: dict[str, Callable[[], None]] = {
        "picture": lambda: write_or_rescue(output, workdir, lambda path: save_picture(path, last, finish=True)),
        "record": lambda: save_record(done),
        "losses": lambda: write_losses(workdir / "losses.csv", history, job.scales),
    }
    if not failure and (flags.save_every or not finished):
        writings["checkpoint"] = lambda: courses.save(last)
    writings["plot"] = lambda: plot_losses(workdir / "losses.png", history, job.settings_at_scales)
    bug: Exception | None = None
    saved = f"saved as {output}"
    for name, write in writings.items():
        try:
            write()
        except SavedElsewhereError as error:
            saved = f"saved as {error.path}"
            failure = failure or UserError(str(error.__cause__))
        except UserError as error:  # A full disk must not keep files on other disks from being written.
            failure = failure or error
            if name == "picture":
                saved = "lost"
        except Exception as error:  # Nor must anything else.
            bug = bug or error
    if bug:
        raise bug
    if failure:
        raise UserError(f"{failure}; the picture of step {done} is {saved}") from failure
    if finished and done and job.settings.strength:  # with 0 it is the content image, as was asked for
        reason = standstill(start, jax.device_get(last.result)[0], last.state)
        if reason:
            print(f"note: {reason}", file=sys.stderr)
    return Result(output, history, finished)


def _mesh(settings: Settings) -> Mesh | None:
    """Returns the devices among which the tiles of a picture are divided; None without tiles, or for one device."""
    devices = jax.local_devices()
    tiled = settings.tile != "off" and len(devices) > 1
    return parallel.make_mesh(rows=len(devices), devices=devices) if tiled else None


def _discard(job: Job, checkpoints: Checkpoints, workdir: Path) -> None:
    """Removes what an earlier run left, and says so, and whether `--resume` would have continued that run."""
    try:
        restored = checkpoints.restore(job.state_shapes)
    except UserError:  # it had other settings, or is damaged
        restored = None
    discarded = checkpoints.clear()
    if discarded is not None:
        resumable = restored is not None and int(jax.device_get(restored.state.step)) < job.steps
        advice = " (--resume would have continued it)" if resumable else ""
        print(f"discarded the run in {workdir}, which was at step {discarded}{advice}")
        for snapshot in workdir.glob(_SNAPSHOT.format("?" * 5)):
            remove(snapshot)


def _restore(job: Job, checkpoints: Checkpoints, workdir: Path) -> Restored | None:
    """Returns the content of the last checkpoint, None if there is no checkpoint.

    Raises:
        UserError: the checkpoint is from a run with other settings, cannot be read, or has more steps than are wanted.
    """
    try:
        restored = checkpoints.restore(job.state_shapes)
    except UserError as error:
        raise UserError(f"--resume: {error}, or leave --resume out to start again") from error
    if restored is None:
        print(f"nothing to resume in {workdir}: starting from step 0")
        return None
    done = int(jax.device_get(restored.state.step))
    if done > job.steps:
        raise UserError(f"--steps: the run is at step {done} already; give {done} or more, or leave --resume out")
    print(f"resuming after step {done}")
    return restored
