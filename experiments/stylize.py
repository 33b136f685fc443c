"""Paints a photograph in the manner of a painting.

    python -m experiments.stylize --content=photo.jpg --style=painting.jpg

Without any flags: sample pictures, 512 pixels, the best installed network; with the embedded SqueezeNet 80 seconds
on 2 cores. Expect the picture, and in --workdir run.json (all settings, versions, times), losses.csv, losses.png, the
pictures on the way and checkpoints. Ctrl-C saves the picture so far; --resume goes on from the last checkpoint and ends
with the same picture as an unbroken run, bit for bit. Flags without a default take it from --preset.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Literal, NamedTuple

import jax

from experiments._checkpoints import Checkpoints
from experiments._flags import INTERRUPTED, flag, run_script
from experiments._job import Job, TransferFlags, check_own, describe, inputs, prepare
from experiments._progress import Interrupt, graceful_interrupt, progress_bar
from experiments._records import plot_losses, versions, write_json, write_losses
from nst_jax import image_io, optimize, transfer
from nst_jax.errors import UserError
from nst_jax.files import check_folder, make_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TransferFlags):
    """The flags."""

    bits: Literal[8, 16] = flag(8, "per channel of the picture that comes out; 16 in PNG and TIFF only")
    save_every: int = flag(100, "steps between two checkpoints and pictures on the way; 0: none", least=0)
    resume: bool = flag(False, "go on from the last checkpoint in --workdir")


SNAPSHOT = "step{}.png"


class Result(NamedTuple):
    """What a run made: the picture, its losses, and whether it got to the end."""

    output: Path
    history: transfer.History
    finished: bool


def run(config: Config) -> Result:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the run diverged, or the disk is full, and
            then the picture so far is saved if it can be.
    """
    with graceful_interrupt() as interrupt:
        began = time.time()
        workdir, output = places(config)
        job = prepare(config)
        if interrupt.requested:
            raise KeyboardInterrupt
        return optimise(job, config, workdir, output, interrupt, began)


def optimise(job: Job, config: Config, workdir: Path, output: Path, interrupt: Interrupt, began: float) -> Result:
    """Runs a prepared job and writes what comes of it; see `run`."""
    record = {
        "settings": {
            **describe(job.paths, job.identity),
            "preset": config.preset,
            "steps": job.steps,
            "bits": config.bits,
        },
        "versions": versions(),
        "device": jax.devices()[0].device_kind,
    }
    seconds = {"prepare": time.time() - began}

    def save_picture(path: Path, state: optimize.State) -> None:
        picture = job.content._replace(pixels=transfer.picture(job.transfer, state))
        image_io.write(path, picture, bits=config.bits, settings=record["settings"])

    def save_record(state: optimize.State) -> None:
        write_json(workdir / "run.json", {**record, "steps_done": int(state.step), "seconds": seconds})

    make_folder(workdir)
    checkpoints = Checkpoints(workdir / "stylize-checkpoints", job.identity)
    state, history = (resume if config.resume else begin)(job, checkpoints, workdir)
    save_record(state)
    failure = None
    with progress_bar(steps=job.steps, done=int(state.step)) as bar:
        try:
            chunks = transfer.run(job.transfer, state, steps=job.steps, pause_every=config.save_every)
            for state, news in chunks:
                history = transfer.join([history, news])
                if "compile" not in seconds:
                    seconds["compile"] = time.time() - began - seconds["prepare"]
                    bar.say(f"compiled, and the first step done, in {seconds['compile']:.1f} s")
                bar.show(history)
                if config.save_every and int(state.step) % config.save_every == 0:
                    save_picture(workdir / SNAPSHOT.format(f"{int(state.step):05d}"), state)
                    checkpoints.save(state, history)
                if interrupt.requested:
                    break
        except transfer.DivergedError as error:
            failure, state, history = error, error.state, transfer.join([history, error.history])
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
    if not failure and (config.save_every or not finished):
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


def begin(job: Job, checkpoints: Checkpoints, workdir: Path) -> tuple[optimize.State, transfer.History]:
    """Returns the state and the history before the first step, with no earlier run left."""
    discarded = checkpoints.clear()
    if discarded is not None:
        print(f"discarded the run in {workdir}, which was at step {discarded} (--resume would have gone on with it)")
        for snapshot in workdir.glob(SNAPSHOT.format("?" * 5)):
            snapshot.unlink()
    return job.state, transfer.first_history(job.state)


def resume(job: Job, checkpoints: Checkpoints, workdir: Path) -> tuple[optimize.State, transfer.History]:
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
        return begin(job, checkpoints, workdir)
    done = int(restored.state.step)
    if done > job.steps:
        raise UserError(f"--steps: the run is at step {done} already; give {done} or more, or leave --resume out")
    print(f"resuming after step {done}")
    return restored


def places(config: Config) -> tuple[Path, Path]:
    """Returns the folder and the picture to be written, after a look at whether they can be.

    Raises:
        UserError: they cannot, or the picture is one of those that are read.
    """
    paths = inputs(config)
    stems = [path.stem for name, path in paths.items() if name != "init"]
    workdir = Path(config.workdir or Path("results", "stylize", "-".join(stems)))
    output = Path(config.output or workdir / "picture.png")
    check_folder(workdir)
    image_io.check_format(output, bits=config.bits)
    if output.parent.absolute() != workdir.absolute():
        image_io.check_output(output, bits=config.bits)
    check_own(output, paths)
    return workdir, output


def main(config: Config) -> None:
    """Runs the script and says where the picture is."""
    result = run(config)
    if result.finished:
        print(f"picture: {result.output}")
    else:
        step = result.history.step[-1]
        print(f"stopped after step {step}, picture so far: {result.output}; go on with --resume")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    run_script(Config, main)
