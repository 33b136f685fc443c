"""Visualises what units of a network respond to: classes, channels, whole layers, directions in a layer.

    python -m experiments.visualize --classes=banana,ant
    python -m experiments.visualize --channels=fire8/concat:12,fire3/concat:7,conv10:3
    python -m experiments.visualize --channels=fire4/concat:0,fire8/concat:100 --patches=FOLDER

Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017: starting from noise, Adam maximises the mean
activation over the Fourier spectrum of a picture in decorrelated colours, while the input of the network is shifted,
scaled and rotated at random. Classes are given by number or ImageNet name, channels as layer:channel, directions by
their coordinates (fire8/concat:12-0.5*40). All classes share one compiled program, all channels another.

Writes the same files as `experiments.sweep`, with all pictures on sheet.png. With `--patches` it also finds the patches
of a folder's images that excite each unit most (Zeiler & Fergus, 2014) and writes them as patches_<layer>.png. Without
flags: eight classes of the embedded SqueezeNet, in 70 seconds on 2 cores.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nst_jax.backbones.pretrained import EMBEDDED, resolve
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import with_head
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.vocabulary import ActivationObjective, Parameterization

from .cli.flags import MOST_SEED, FilePath, flag, option_flag, run_script
from .cli.run_flags import RunFlags
from .cli.transfer_flags import TransferFlags
from .sweeping.grid import Axis, Grid, product, seed_axis, workdir
from .sweeping.outcome import Outcome, finish_script

if TYPE_CHECKING:
    from .units.units import Unit

_CLASSES = ("hartebeest", "measuring cup", "ant", "starfish", "anemone fish", "banana", "parachute", "screw")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunFlags):
    """The flags."""

    classes: tuple[str, ...] | None = flag(
        None, "ImageNet classes by name or number; by default eight of them if there are no --channels."
    )
    channels: tuple[str, ...] | None = flag(None, "Units to visualise, as layer, layer:channel or layer:direction.")
    where: Literal["everywhere", "centre"] = flag(
        "everywhere", "Positions of the picture at which a unit is excited: all of them, or the one in the centre."
    )
    backbone: str = option_flag("backbone", EMBEDDED, note="Only networks with their classifier have classes.")
    size: int = flag(224, "Side of the square pictures in pixels.", least=images.MIN_SIDE)
    steps: int = option_flag("steps", 256, note="The optimiser is Adam.")
    learning_rate: float = option_flag("learning_rate", 0.05)
    parameterization: Parameterization = option_flag("parameterization", "fourier")
    tv_weight: float = option_flag("tv_weight", 0.0)
    jitter: int = option_flag("jitter", 24)
    random_scale: float = option_flag("random_scale", 0.3)
    random_rotate: float = option_flag("random_rotate", 20.0)
    seeds: tuple[int, ...] = flag((0,), "Seeds of the initial noise, one per row of pictures.", least=0, most=MOST_SEED)
    patches: FilePath | None = flag(None, "Folder of images in which to find the patches that excite each unit most.")
    patch_count: int = flag(9, "Maximal number of --patches per unit.", least=1, most=100)


def run(config: Config) -> Outcome:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, or something cannot be written.
    """
    units = wanted(config)
    grid = make_grid(config, units)
    folder = workdir(config.workdir, "visualize", grid)
    if config.patches:
        pictures = _pictures(Path(config.patches), keep_going=config.keep_going)
    from .sweeping import blank_canvas, runner
    from .units import patches  # with JAX, for which --help should not wait

    outcome = runner.run_grid(
        blank_canvas.on_blank(grid, folder, height=config.size, width=config.size), config, folder
    )
    if config.patches and not outcome.partial and not outcome.stopped:
        for sheet in patches.write(outcome, grid, units, pictures, count=config.patch_count):
            print(f"patches: {sheet}")
    return outcome


def _pictures(folder: Path, *, keep_going: bool) -> list[Path]:
    """Returns the images in which to find patches, each read once: not after hours of painting."""
    from nst_jax.io.image_folder import check_readable, list_pictures

    try:
        pictures, problems = check_readable(list_pictures(folder), keep_going=keep_going)
    except UserError as error:
        advice = "" if keep_going else "; --keep_going leaves out the images that cannot be read"
        raise UserError(f"--patches: {error}{advice}") from error
    for problem in problems:
        print(f"left out of --patches: {problem}")
    return pictures


def wanted(config: Config) -> list["Unit"]:
    """Returns the units.

    Raises:
        UserError: a class, layer or channel is unknown, or a unit is there twice.
    """
    from .units.units import channel_units, class_units

    backbone = with_head(BACKBONES[resolve(config.backbone)])
    classes = config.classes if config.classes is not None or config.channels else _CLASSES
    units = [*class_units(backbone, classes or ()), *channel_units(backbone, config.channels or ())]
    if not units:
        raise UserError("--classes and --channels: expected one unit or more, found none; leave them out for samples")
    given: dict[object, str] = {}
    for text, unit in zip((*(classes or ()), *(config.channels or ())), units, strict=True):
        before = given.get(unit[1:4])
        if before is not None:
            which = f"{unit.label} twice, as {before} and as {text}" if before != text else f"{text} twice"
            raise UserError(f"--classes and --channels: expected each unit once, found {which}; leave out one")
        given[unit[1:4]] = text
    return units


def make_grid(config: Config, units: list["Unit"]) -> Grid:
    """Returns a picture for every unit and seed.

    Raises:
        UserError: there are no seeds, or one is there twice.
    """
    seeds = seed_axis(config.seeds)
    base = TransferFlags(
        backbone=config.backbone,
        content_layers=(),
        style_layers=(),
        tv_weight=config.tv_weight,
        margin=0,
        scales=(0,),
        antialias=False,
        shifts=1,
        pooling="max",
        padding="zeros",
        optimizer="adam",
        learning_rate=config.learning_rate,
        init="noise",
        size=config.size,
        steps=config.steps,
        parameterization=config.parameterization,
        jitter=config.jitter,
        random_scale=config.random_scale,
        random_rotate=config.random_rotate,
    )
    columns = Axis(
        "unit",
        tuple(unit.label for unit in units),
        tuple(
            {
                "dream_layers": (unit.layer,),
                "dream_channels": unit.channels,
                "dream_channel_weights": unit.weights,
                "dream_objective": _objective(config, unit),
            }
            for unit in units
        ),
    )
    title = f"What excites {resolve(config.backbone)} most"
    return Grid(title, (seeds, columns), product(base, [seeds, columns]), (seeds.name,), (columns.name,))


def _objective(config: Config, unit: "Unit") -> ActivationObjective:
    if config.where == "centre":
        return "neuron"
    return "class_logit" if unit.is_class else "channel"


def main(config: Config) -> None:
    """Runs the script and prints where the results are."""
    finish_script(run(config))


if __name__ == "__main__":
    run_script(Config, main)
