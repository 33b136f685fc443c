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
from typing import Any, Literal, NamedTuple, get_args

import jax

from experiments import _samples
from experiments._checkpoints import Checkpoints
from experiments._flags import INTERRUPTED, Common, flag, run_script
from experiments._progress import Interrupt, graceful_interrupt, progress_bar
from experiments._records import plot_losses, versions, write_json, write_losses
from nst_jax import image_io, optimize, transfer
from nst_jax.backbones import weights
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import layers
from nst_jax.errors import UserError
from nst_jax.files import check_folder, make_folder, sha256
from nst_jax.settings import LEARNING_RATES, PRESETS, Init, Optimizer, Padding, Pooling, Settings, default_preset


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The flags; those that are None are taken from the preset."""

    content: str | None = flag(None, "photograph; by default a sample")
    style: str | None = flag(None, "painting; by default a sample")
    bits: Literal[8, 16] = flag(8, "per channel of the picture that comes out; 16 in PNG and TIFF only")
    preset: Literal["auto", *PRESETS] = flag("auto", "settings by name; auto: those that suit the backbone")
    content_layers: tuple[str, ...] | None = flag(None, "layers whose features should stay those of the photograph")
    style_layers: tuple[str, ...] | None = flag(None, "layers whose Gram matrices should become those of the painting")
    style_layer_weights: tuple[float, ...] | None = flag(None, "one a style layer, or one for all")
    content_weight: float | None = flag(None, "of the content loss")
    style_weight: float | None = flag(None, "of the style loss")
    tv_weight: float | None = flag(None, "of the total variation: higher is smoother")
    pooling: Pooling | None = flag(None, "of the network")
    padding: Padding | None = flag(None, "of the network's convolutions")
    margin: int | None = flag(None, "pixels around the picture that are painted too and cut off", least=0)
    optimizer: Optimizer | None = flag(None, "that changes the picture")
    learning_rate: float | None = flag(None, "step size of Adam in units of the pixels, of L-BFGS as a share")
    init: str | None = flag(None, "picture to start from: content, noise, blend, or a file")
    init_noise: float | None = flag(None, "share of noise in --init=blend")
    save_every: int = flag(100, "steps between two checkpoints and pictures on the way; 0: none", least=0)
    resume: bool = flag(False, "go on from the last checkpoint in --workdir")


SNAPSHOT = "step{}.png"


class Result(NamedTuple):
    """What a run made: the picture, its losses, and whether it got to the end."""

    output: Path
    history: transfer.History
    finished: bool


class Job(NamedTuple):
    """A run that is ready to start."""

    content: image_io.Picture
    transfer: transfer.Transfer
    state: optimize.State
    steps: int
    paths: dict[str, Path]
    identity: dict[str, Any]
    workdir: Path
    output: Path


def run(config: Config) -> Result:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the run diverged, or the disk is full, and
            then the picture so far is saved if it can be.
    """
    with graceful_interrupt() as interrupt:
        began = time.time()
        job = prepare(config)
        if interrupt.requested:
            raise KeyboardInterrupt
        return optimise(job, config, interrupt, began)


def optimise(job: Job, config: Config, interrupt: Interrupt, began: float) -> Result:
    """Runs a prepared job and writes what comes of it; see `run`."""
    paths = {name: str(path) for name, path in job.paths.items()}
    record = {
        "settings": {**paths, "preset": config.preset, **job.identity, "steps": job.steps, "bits": config.bits},
        "versions": versions(),
        "device": jax.devices()[0].device_kind,
    }
    seconds = {"prepare": time.time() - began}

    def save_picture(path: Path, state: optimize.State) -> None:
        picture = job.content._replace(pixels=transfer.picture(job.transfer, state))
        image_io.write(path, picture, bits=config.bits, settings=record["settings"])

    def save_record(state: optimize.State) -> None:
        write_json(job.workdir / "run.json", {**record, "steps_done": int(state.step), "seconds": seconds})

    make_folder(job.workdir)
    checkpoints = Checkpoints(job.workdir / "stylize-checkpoints", job.identity)
    state, history = resume(job, checkpoints) if config.resume else begin(job, checkpoints)
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
                    save_picture(job.workdir / SNAPSHOT.format(f"{int(state.step):05d}"), state)
                    checkpoints.save(state, history)
                if interrupt.requested:
                    break
        except transfer.DivergedError as error:
            failure, state, history = error, error.state, transfer.join([history, error.history])
        except UserError as error:  # Something could not be written; the picture itself perhaps still can.
            failure = error
    seconds["all"] = time.time() - began
    save_record(state)
    write_losses(job.workdir / "losses.csv", history)
    plot_losses(job.workdir / "losses.png", history, job.transfer.weights)
    save_picture(job.output, state)
    if failure:
        raise UserError(f"{failure}; the picture of step {int(state.step)} is saved as {job.output}") from failure
    finished = int(state.step) >= job.steps
    if config.save_every or not finished:
        checkpoints.save(state, history)
    return Result(job.output, history, finished)


def begin(job: Job, checkpoints: Checkpoints) -> tuple[optimize.State, transfer.History]:
    """Returns the state and the history before the first step, with no earlier run left."""
    discarded = checkpoints.clear()
    if discarded is not None:
        print(
            f"discarded the run in {job.workdir}, which was at step {discarded} (--resume would have gone on with it)"
        )
        for snapshot in job.workdir.glob(SNAPSHOT.format("?" * 5)):
            snapshot.unlink()
    return job.state, transfer.first_history(job.state)


def resume(job: Job, checkpoints: Checkpoints) -> tuple[optimize.State, transfer.History]:
    """Returns the state and the history of the last checkpoint, or where there is none those before the first step.

    Raises:
        UserError: the checkpoint is of a run with other settings, or has more steps than are wanted.
    """
    restored = checkpoints.restore(job.state, transfer.first_history(job.state))
    if restored is None:
        print(f"nothing to resume in {job.workdir}: beginning anew")
        return begin(job, checkpoints)
    done = int(restored.state.step)
    if done > job.steps:
        raise UserError(f"--steps: the run is at step {done} already; give {done} or more, or leave --resume out")
    print(f"resuming after step {done}")
    return restored


def prepare(config: Config) -> Job:
    """Reads everything and computes what the picture should resemble; writes nothing.

    Raises:
        UserError: the input cannot be used.
    """
    paths = {
        "content": Path(config.content) if config.content else _samples.photograph(),
        "style": Path(config.style) if config.style else _samples.painting(),
    }
    workdir = Path(config.workdir or Path("results", "stylize", "-".join(path.stem for path in paths.values())))
    output = Path(config.output or workdir / "picture.png")
    check_folder(workdir)
    image_io.check_format(output, bits=config.bits)
    if output.parent.absolute() != workdir.absolute():
        image_io.check_output(output, bits=config.bits)
    pretrained = weights.load(config.backbone)
    backbone = pretrained.backbone.name
    if config.backbone == weights.AUTO:
        print(f"backbone: {backbone}, {weights.origin(backbone)}")
    settings = resolve(config, backbone)
    content, style = (image_io.read(path, size=config.size) for path in paths.values())
    if config.init and config.init not in get_args(Init):
        paths["init"] = Path(config.init)
        initial = image_io.resize(image_io.read(paths["init"]).pixels, content.pixels.shape[:2])
    else:
        initial = transfer.initial_image(settings, content.pixels, seed=config.seed)
    for name, path in paths.items():
        if output.exists() and output.samefile(path):
            raise UserError(f"--output: expected a file of its own, found the {name} picture {path}; choose another")
    job = transfer.prepare(pretrained, settings, content.pixels, style.pixels)
    return Job(
        content=content,
        transfer=job,
        state=transfer.start(job, initial, settings.learning_rate),
        steps=settings.steps,
        paths=paths,
        identity={
            **{f"{name}_sha256": sha256(path) for name, path in paths.items()},
            "backbone": backbone,
            "weights_sha256": pretrained.sha256,
            "size": config.size,
            "seed": config.seed,
            **{name: value for name, value in dataclasses.asdict(settings).items() if name != "steps"},
        },
        workdir=workdir,
        output=output,
    )


def resolve(config: Config, backbone: str) -> Settings:
    """Returns the settings of the preset, with those in their place that the flags give."""
    preset = PRESETS[default_preset(backbone) if config.preset == "auto" else config.preset]
    for layer in preset.content_layers + preset.style_layers:
        if layer not in layers(BACKBONES[backbone]) and not (config.content_layers and config.style_layers):
            fitting = default_preset(backbone)
            raise UserError(
                f"--preset={config.preset}: its layer {layer} is not one of {backbone}; choose --preset={fitting}, "
                "another --backbone, or layers with --content_layers and --style_layers"
            )
    names = {field.name for field in dataclasses.fields(Settings)}
    given = {name: value for name, value in vars(config).items() if name in names and value is not None}
    if given.get("init") not in get_args(Init):
        given.pop("init", None)
    if given.get("optimizer", preset.optimizer) != preset.optimizer:
        given.setdefault("learning_rate", LEARNING_RATES[given["optimizer"]])
    return dataclasses.replace(preset, **given)


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
