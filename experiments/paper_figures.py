"""Reproduces figure 3 of Gatys et al., "A Neural Algorithm of Artistic Style" (arXiv:1508.06576), for any two images.

    python -m experiments.paper_figures --content=photo.jpg --style=painting.jpg

Each row matches the style in a larger set of layers than the row above, so that texture grows from specks to whole
shapes. The columns are four ratios α/β of content to style weight, so that the content image appears from left to
right. As in the paper: VGG-19 with average pooling, content from conv4_2, w_l = 1 / number of layers, and white noise
as initial image. The content loss is a sum over the picture, so that the same ratio means more content in a larger
picture (see `--ratios`). The embedded SqueezeNet, used where VGG-19 is not installed, has its own layers and ratios.

Writes the same files as `experiments.sweep`; sheet.png is the figure. The twenty cells share one compiled program.
With 150 steps on 2 cores, SqueezeNet takes 7 minutes at 384 pixels, VGG-19 half an hour at 256 pixels.
"""

import dataclasses

from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError

from .cli.flags import FilePath, flag, option_flag, run_script
from .cli.run_flags import RunFlags
from .cli.transfer_flags import CONTENT, STYLE, TransferFlags, inputs
from .sweeping.grid import Axis, Grid, product, workdir
from .sweeping.outcome import Outcome, finish_script

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunFlags):
    """The flags."""

    content: FilePath | None = flag(None, "Content image; by default a sample.")
    style: FilePath | None = flag(None, "Style image; by default a sample.")
    backbone: str = option_flag("backbone", "auto")
    size: int = option_flag("size", 256)
    steps: int | None = option_flag(
        "steps", note="By default that of the network's preset: 500 on VGG networks, 300 on SqueezeNet."
    )
    scales: tuple[int, ...] = option_flag("scales", (0,), note="The paper has a single one.")
    ratios: tuple[float, ...] | None = flag(
        None,
        "Ratios α/β of content to style weight, one per column; by default four decades.",
        least=1e-30,
    )
    seed: int = option_flag("seed", 0)


def run(config: Config) -> Outcome:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, or something cannot be written.
    """
    grid = make_grid(config)
    from .sweeping import (
        runner,  # with JAX, for which --help should not wait
    )

    return runner.run_grid(grid, config, workdir(config.workdir, "figure3", grid))


def make_grid(config: Config) -> Grid:
    """Returns the cells of the figure.

    Raises:
        UserError: there are no ratios.
    """
    backbone = pretrained.resolve(config.backbone)
    family = BACKBONES[backbone].family
    layers = family.depth_layers
    rows = Axis(
        "style layers up to",
        tuple(f"{letter}  {layer}" for letter, layer in zip("ABCDE", layers, strict=True)),
        tuple({"style_layers": layers[:count], "style_layer_weights": (1 / count,)} for count in range(1, 6)),
    )
    ratios = family.figure_ratios if config.ratios is None else config.ratios
    if not ratios:
        raise UserError("--ratios: expected one or more, found none; leave the flag out for its default")
    columns = Axis(
        "α/β",
        tuple(map(_label, ratios)),
        # 100000 for 1e-5, whose reciprocal is 99999.99999999999.
        tuple({"content_weight": 1.0, "style_weight": float(f"{1 / ratio:.12g}")} for ratio in ratios),
    )
    base = TransferFlags(
        content=config.content,
        style=config.style,
        backbone=backbone,
        preset=family.figure_preset,
        size=config.size,
        steps=config.steps,
        scales=config.scales,
        antialias=False,
        shifts=1,
        seed=config.seed,
        init="noise",
    )
    paths = inputs(base)
    title = f"{paths[CONTENT].stem} in the style of {paths[STYLE].stem}, {backbone}"
    return Grid(title, (rows, columns), product(base, [rows, columns]), (rows.name,), (columns.name,))


def _label(ratio: float) -> str:
    """Returns 10⁻³ for 0.001, and other numbers as they are."""
    mantissa, exponent = f"{ratio:e}".split("e")
    return f"{ratio:g}" if float(mantissa) != 1 else "10" + str(int(exponent)).translate(_SUPERSCRIPTS)


def main(config: Config) -> None:
    """Runs the script and prints where the figure is."""
    finish_script(run(config))


if __name__ == "__main__":
    run_script(Config, main)
