"""Paints a picture from a doodle: a map of regions, each in the style of the region of that colour in a style image.

    python -m experiments.doodle --regions=doodle.png --style=painting.jpg --style_regions=painting_regions.png

Champandard, "Semantic Style Transfer and Turning Two-Bit Doodles into Fine Artworks", 2016; with guided Gram matrices
in place of his patches, as Ulyanov's fast-neural-doodle. There is no content image: white noise is optimised until each
region has the statistics of its own, and all regions count alike. Draw a map over the painting in a few flat colours,
and another one, of any shape, of what you want to see. Each seed gives a different picture. Writes the same files as
`experiments.sweep`; the same command continues a run that was stopped. Without flags: a sample, in two minutes with the
embedded SqueezeNet on 2 cores.
"""

import dataclasses
from pathlib import Path

from nst_jax.backbones import pretrained
from nst_jax.backbones.receptive_field import LEAST_PARTS, seeing_at_most
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError
from nst_jax.io import region_maps
from nst_jax.presets import PRESETS, default_preset
from nst_jax.vocabulary import Parameterization, RegionGuides

from .cli import samples
from .cli.flags import ESCAPE, MOST_SEED, FilePath, FilePaths, flag, option_flag, run_script
from .cli.run_flags import RunFlags
from .cli.transfer_flags import REGIONS, TransferFlags, inputs, style_images, styles
from .running.regions import regions_of
from .sweeping.grid import Grid, product, seed_axis, workdir
from .sweeping.outcome import Outcome, finish_script


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunFlags):
    """The flags."""

    regions: FilePath | None = flag(
        None, "Map of the picture, with a flat colour for each region; by default a sample, as are the next two."
    )
    style: FilePaths | None = flag(None, f"Style image, or several separated by commas{ESCAPE}.")
    style_regions: tuple[FilePath, ...] | None = flag(
        None, f"Maps of the style images, one each{ESCAPE}: equal colours belong together."
    )
    size: int = flag(256, "Long side of the picture in pixels.", least=1)
    style_size: int | None = flag(None, "Long side of the style images in pixels; by default --size.", least=1)
    seeds: tuple[int, ...] = flag((0,), "Seeds of the initial noise, one per picture.", least=0, most=MOST_SEED)
    backbone: str = option_flag("backbone", "auto")
    style_layers: tuple[str, ...] | None = option_flag(
        "style_layers", note="By default those of textures whose units see at most a quarter of the long side."
    )
    parameterization: Parameterization | None = option_flag("parameterization")
    region_weights: tuple[float, ...] | None = option_flag(
        "region_weights", note="By default all count alike, however small: 1 / (number of regions · area)."
    )
    region_guides: RegionGuides | None = option_flag("region_guides")
    tv_weight: float | None = option_flag("tv_weight")
    steps: int | None = option_flag(
        "steps", note="By default that of the network's preset: 500 on VGG networks, 300 on SqueezeNet."
    )


_OPTIONS = ("style_layers", "parameterization", "region_weights", "region_guides", "tv_weight", "steps")


def run(config: Config) -> Outcome:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, or something cannot be written.
    """
    grid = make_grid(config)
    folder = workdir(config.workdir, "doodle", grid)
    from nst_jax.pyramid import scaled

    from .sweeping import (
        blank_canvas,  # with JAX, for which --help should not wait
        runner,
    )

    flags = grid.cells[0].flags
    paths = inputs(flags)
    shape = region_maps.read(paths[REGIONS]).labels.shape
    height, width = scaled(shape, config.size / max(shape))
    shown = style_images(flags, styles(paths))
    regions_of(flags, paths, (height, width), shown, [image.read().shape for image in shown])  # before it is written
    return runner.run_grid(blank_canvas.on_blank(grid, folder, height=height, width=width), config, folder)


def make_grid(config: Config) -> Grid:
    """Returns a cell for each seed; their content image is still to be set.

    Raises:
        UserError: there are no seeds, one is there twice, or of map, style image and its map some are missing.
    """
    from nst_jax.applications.texture import texture_settings  # with JAX

    seeds = seed_axis(config.seeds)
    given = {name: getattr(config, name) for name in ("regions", "style", "style_regions")}
    if missing := [f"--{name}" for name, value in given.items() if not value]:
        if len(missing) < len(given):
            raise UserError(
                f"{missing[0]}: expected it with the other maps and images of a doodle, found none; give it"
            )
        given = samples.doodle()
    backbone = pretrained.resolve(config.backbone)
    settings, preset = texture_settings(backbone), PRESETS[default_preset(backbone)]
    changes = {name: value for name, value in vars(settings).items() if value != getattr(preset, name)}
    changes["style_layers"] = seeing_at_most(BACKBONES[backbone], settings.style_layers, config.size / LEAST_PARTS)
    # There is no content to be in balance with, and a small shape was drawn to be seen.
    areas = region_maps.read(given["regions"]).areas
    changes["region_weights"] = tuple(round(1 / (len(areas) * area), 3) for area in areas) if len(areas) > 1 else ()
    changes |= {name: getattr(config, name) for name in _OPTIONS if getattr(config, name) is not None}
    base = TransferFlags(
        **given, backbone=backbone, size=config.size, style_size=(config.style_size or config.size,), **changes
    )
    title = f"Doodle {Path(given['regions']).stem} in the style of {Path(given['style']).stem}, {backbone}"
    return Grid(title, (seeds,), product(base, [seeds]), (), (seeds.name,))


def main(config: Config) -> None:
    """Runs the script and prints where the results are."""
    finish_script(run(config))


if __name__ == "__main__":
    run_script(Config, main)
