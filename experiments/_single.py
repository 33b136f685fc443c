"""Running a single transfer: steps, with checkpoints and pictures on the way, and what is left of them."""

import time
from pathlib import Path
from typing import NamedTuple

import jax

from experiments._checkpoints import Checkpoints
from experiments._job import Job, prepare
from experiments._progress import Interrupt, graceful_interrupt, progress_bar
from experiments._records import plot_losses, versions, write_json, write_losses
from experiments._run_flags import SingleFlags
from experiments._transfer_flags import describe
from nst_jax import image_io, optimize, transfer
from nst_jax.errors import UserError
from nst_jax.files import make_folder
from nst_jax.history import DivergedError, History, first_history, join

_SNAPSHOT = "step{}.png"


class Result(NamedTuple):
    """What a run made: the picture, its losses, and whether it got to the end."""

    output: Path
    history: History
    finished: bool


def run(flags: SingleFlags, workdir: Path, output: Path) -> Result:
    """Runs a transfer and writes what comes of it: the picture as `output`, all else in `workdir`.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the run diverged, or the disk is full, and
            then the picture so far is saved if it can be.
    """
    with graceful_interrupt() as interrupt:
        began = time.time()
        job = prepare(flags)
        if interrupt.requested:
            raise KeyboardInterrupt
        return _optimise(job, flags, workdir, output, interrupt, began)


def _optimise(job: Job, flags: SingleFlags, workdir: Path, output: Path, interrupt: Interrupt, began: float) -> Result:
    """Runs a prepared job and writes what comes of it; see `run`."""
    record = {
        "settings": {
            **describe(job.paths, job.identity),
            "preset": flags.preset,
            "steps": job.steps,
            "bits": flags.bits,
        },
        "versions": versions(),
        "device": jax.devices()[0].device_kind,
    }
    seconds = {"prepare": time.time() - began}

    def save_picture(path: Path, state: optimize.State) -> None:
        picture = job.content._replace(pixels=transfer.picture(job.transfer, state))
        image_io.write(path, picture, bits=flags.bits, settings=record["settings"])

    def save_record(state: optimize.State) -> None:
        write_json(workdir / "run.json", {**record, "steps_done": int(state.step), "seconds": seconds})

    make_folder(workdir)
    checkpoints = Checkpoints(workdir / "stylize-checkpoints", job.identity)
    state, history = (_resume if flags.resume else _begin)(job, checkpoints, workdir)
    save_record(state)
    failure = None
    with progress_bar(steps=job.steps, done=int(state.step)) as bar:
        try:
            chunks = transfer.run(job.transfer, state, steps=job.steps, pause_every=flags.save_every)
            for state, news in chunks:
                history = join([history, news])
                if "compile" not in seconds:
                    seconds["compile"] = time.time() - began - seconds["prepare"]
                    bar.say(f"compiled, and the first step done, in {seconds['compile']:.1f} s")
                bar.show(history)
                if flags.save_every and int(state.step) % flags.save_every == 0:
                    save_picture(workdir / _SNAPSHOT.format(f"{int(state.step):05d}"), state)
                    checkpoints.save(state, history)
                if interrupt.requested:
                    break
        except DivergedError as error:
            failure, state, history = error, error.state, join([history, error.history])
        except UserError as error:  # Something could not be written; the picture itself perhaps still can.
            failure = error
    seconds["all"] = time.time() - began
    finished = int(state.step) >= job.steps
    writings = {
        "picture": lambda: save_picture(output, state),
        "record": lambda: save_record(state),
        "losses": lambda: write_losses(workdir / "losses.csv", history),
        "plot": lambda: plot_losses(workdir / "losses.png", history, job.transfer.weights),
    }
    if not failure and (flags.save_every or not finished):
        writings["checkpoint"] = lambda: checkpoints.save(state, history)
    lost = []
    for name, write in writings.items():
        try:
            write()
        except UserError as error:  # One full disk must not cost what goes elsewhere.
            failure = failure or error
            lost.append(name)
    if failure:
        kept = "lost" if "picture" in lost else f"saved as {output}"
        raise UserError(f"{failure}; the picture of step {int(state.step)} is {kept}") from failure
    return Result(output, history, finished)


def _begin(job: Job, checkpoints: Checkpoints, workdir: Path) -> tuple[optimize.State, History]:
    """Returns the state and the history before the first step, with no earlier run left."""
    discarded = checkpoints.clear()
    if discarded is not None:
        print(f"discarded the run in {workdir}, which was at step {discarded} (--resume would have gone on with it)")
        for snapshot in workdir.glob(_SNAPSHOT.format("?" * 5)):
            snapshot.unlink()
    return job.state, first_history(job.state)


def _resume(job: Job, checkpoints: Checkpoints, workdir: Path) -> tuple[optimize.State, History]:
    """Returns the state and the history of the last checkpoint, or where there is none those before the first step.

    Raises:
        UserError: the checkpoint is of a run with other settings, cannot be read, or has more steps than are wanted.
    """
    try:
        restored = checkpoints.restore(job.state)
    except UserError as error:
        raise UserError(f"--resume: {error}, or leave --resume out to begin anew") from error
    if restored is None:
        print(f"nothing to resume in {workdir}: beginning anew")
        return _begin(job, checkpoints, workdir)
    done = int(restored.state.step)
    if done > job.steps:
        raise UserError(f"--steps: the run is at step {done} already; give {done} or more, or leave --resume out")
    print(f"resuming after step {done}")
    return restored
