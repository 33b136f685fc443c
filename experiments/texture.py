"""Synthesises textures of any size, or seamless tiles, from a style image.

    python -m experiments.texture --style=painting.jpg
    python -m experiments.texture --style=painting.jpg --width=384 --height=256 --tileable --seeds=0,1,2
    python -m experiments.texture --style=painting.jpg --size=512 --scales=128,256,512

Gatys, Ecker & Bethge, "Texture Synthesis Using Convolutional Neural Networks", NIPS 2015: white noise is optimised
until it has the Gram matrices of the style image, but not its layout. Each seed gives a different texture. With
`--tileable` opposite sides of the picture join: its sides must be multiples of 16, and tiled.png shows 2 × 2 tiles.
Writes the same files as `experiments.sweep`, with all textures on sheet.png. The same command continues a run that was
stopped. One texture of 256 pixels takes a minute with the embedded SqueezeNet and five with VGG-19, on 2 cores.
"""

import dataclasses

from nst_jax.backbones import pretrained
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.presets import PRESETS, default_preset
from nst_jax.vocabulary import Parameterization

from .cli.flags import ESCAPE, MOST_SEED, FilePaths, flag, option_flag, run_script
from .cli.run_flags import RunFlags
from .cli.transfer_flags import TransferFlags, inputs, styles
from .sweeping.grid import Grid, product, seed_axis, workdir
from .sweeping.outcome import Outcome, finish_script


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunFlags):
    """The flags."""

    style: FilePaths | None = flag(
        None, f"Style image, or several to blend, separated by commas{ESCAPE}; by default a sample."
    )
    size: int = flag(256, "Long side of the style image, and by default both sides of the picture, in pixels.", least=1)
    width: int | None = flag(None, "Width of the picture in pixels; by default --size.", least=images.MIN_SIDE)
    height: int | None = flag(None, "Height of the picture in pixels; by default --size.", least=images.MIN_SIDE)
    tileable: bool = flag(False, "Make the picture a tile that repeats seamlessly.")
    seeds: tuple[int, ...] = flag((0,), "Seeds of the initial noise, one per picture.", least=0, most=MOST_SEED)
    backbone: str = option_flag("backbone", "auto")
    style_layers: tuple[str, ...] | None = option_flag("style_layers", note="Deeper layers give larger shapes.")
    parameterization: Parameterization | None = option_flag("parameterization")
    tv_weight: float | None = option_flag("tv_weight")
    steps: int | None = option_flag(
        "steps", note="By default that of the network's preset: 500 on VGG networks, 300 on SqueezeNet."
    )
    scales: tuple[int, ...] | None = option_flag("scales", note="By default a single 0.")
    scale_steps: tuple[int, ...] | None = option_flag("scale_steps")


def run(config: Config) -> Outcome:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, or something cannot be written.
    """
    grid = make_grid(config)
    folder = workdir(config.workdir, "texture", grid)
    from nst_jax.applications import texture

    from .sweeping import (
        blank_canvas,  # with JAX, for which --help should not wait
        runner,
    )

    width, height = sides(config)
    outcome = runner.run_grid(blank_canvas.on_blank(grid, folder, height=height, width=width), config, folder)
    if config.tileable and outcome.complete:
        tile = outcome.path(grid.cells[0].name)
        tiled = texture.tiled(images.read(tile).pixels)
        images.write(folder / "tiled.png", images.Picture(tiled), settings=images.read_settings(tile))
        print(f"2 × 2 tiles: {folder / 'tiled.png'}")
    return outcome


def sides(config: Config) -> tuple[int, int]:
    """Returns the width and the height of the pictures."""
    return config.width or config.size, config.height or config.size


def make_grid(config: Config) -> Grid:
    """Returns a cell for each seed; their content image is still to be set.

    Raises:
        UserError: there are no seeds, or one is there twice.
    """
    from nst_jax.applications.texture import texture_settings  # with JAX

    seeds = seed_axis(config.seeds)
    if config.style_layers == ():
        raise UserError("--style_layers: expected one or more, found none; leave the flag out for its default")
    backbone = pretrained.resolve(config.backbone)
    settings, preset = texture_settings(backbone, tileable=config.tileable), PRESETS[default_preset(backbone)]
    options = ("style_layers", "tv_weight", "steps", "parameterization", "scales", "scale_steps")
    given = {name: getattr(config, name) for name in options}
    changes = {name: value for name, value in vars(settings).items() if value != getattr(preset, name)}
    changes |= {name: value for name, value in given.items() if value is not None}
    width, height = sides(config)
    base = TransferFlags(
        style=config.style, backbone=backbone, size=max(width, height), style_size=(config.size,), **changes
    )
    names = " and ".join(path.stem for path in styles(inputs(base)))
    kind = "Tile" if config.tileable else "Texture"
    return Grid(f"{kind} of {names}, {width}×{height}, {backbone}", (seeds,), product(base, [seeds]), (), (seeds.name,))


def main(config: Config) -> None:
    """Runs the script and prints where the results are."""
    finish_script(run(config))


if __name__ == "__main__":
    run_script(Config, main)
