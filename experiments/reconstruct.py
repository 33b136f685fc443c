"""Reproduces figure 1 of Gatys et al., "A Neural Algorithm of Artistic Style" (arXiv:1508.06576): what layers encode.

    python -m experiments.reconstruct --content=photo.jpg --style=painting.jpg

Starting from white noise, the first row reconstructs the content image from the features of a single layer, the second
row the style image from the Gram matrices of growing sets of layers. Early layers reconstruct the content image almost
perfectly; late layers keep what it shows, not its exact pixels. Style goes from specks of paint to whole shapes. Unlike
in the paper, content reconstructions have a small total variation loss (`--tv_weight`), as late layers would otherwise
leave glaring noise.

Writes the same files as `experiments.sweep`, where sheet.png is the figure, and errors.png and errors.csv with the
error of each reconstruction over depth. All pictures share one compiled program: ten of 192 pixels and 150 steps take 3
minutes with the embedded SqueezeNet on 2 cores.
"""

import dataclasses

from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError
from nst_jax.vocabulary import Parameterization

from .cli.flags import FilePath, flag, option_flag, run_script
from .cli.run_flags import RunFlags
from .cli.transfer_flags import CONTENT, STYLE, TransferFlags, inputs
from .sweeping.grid import Axis, Grid, product, workdir
from .sweeping.outcome import Outcome, finish_script


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunFlags):
    """The flags."""

    content: FilePath | None = flag(None, "Content image; by default a sample.")
    style: FilePath | None = flag(None, "Style image; by default a sample.")
    layers: tuple[str, ...] | None = flag(
        None, "Layers from fine to coarse, one per column; by default five, on VGG networks those of the paper."
    )
    backbone: str = option_flag("backbone", "auto")
    size: int = option_flag("size", 256)
    parameterization: Parameterization | None = option_flag("parameterization")
    steps: int | None = option_flag(
        "steps", note="By default that of the network's preset: 500 on VGG networks, 300 on SqueezeNet."
    )
    tv_weight: float = option_flag("tv_weight", 0.2, note="Used for content reconstructions only.")
    seed: int = option_flag("seed", 0)


def run(config: Config) -> Outcome:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, or something cannot be written.
    """
    grid = make_grid(config)
    folder = workdir(config.workdir, "reconstruct", grid)
    from .figures import depth_errors  # with JAX, for which --help should not wait
    from .sweeping import runner

    outcome = runner.run_grid(grid, config, folder)
    if outcome.complete:
        depth_errors.write_errors(folder, inputs(grid.cells[0].flags)[CONTENT], size=config.size)
    return outcome


def make_grid(config: Config) -> Grid:
    """Returns a row of content reconstructions and a row of style reconstructions, with a column for each layer.

    Raises:
        UserError: there are no layers.
    """
    backbone = pretrained.resolve(config.backbone)
    family = BACKBONES[backbone].family
    layers = family.depth_layers if config.layers is None else config.layers
    if not layers:
        raise UserError("--layers: expected one or more, found none; leave the flag out for its default")
    base = TransferFlags(
        content=config.content,
        style=config.style,
        backbone=backbone,
        preset=family.figure_preset,
        content_loss="relative_squared_error",
        style_loss="relative_squared_error",
        size=config.size,
        steps=config.steps,
        margin=0,
        scales=(0,),
        antialias=False,
        shifts=1,
        parameterization=config.parameterization,
        seed=config.seed,
        init="noise",
    )
    paths = inputs(base)
    # Cells of both rows have content and style layers, one kind with weight 0: so each record has both errors.
    rows = Axis(
        "reconstruction",
        (f"{paths[CONTENT].stem}: content at the layer", f"{paths[STYLE].stem}: style up to the layer"),
        (
            {"content_weight": 1.0, "style_weight": 0.0, "tv_weight": config.tv_weight},
            {"content_weight": 0.0, "style_weight": 1.0, "tv_weight": 0.0},
        ),
    )
    columns = Axis(
        "layer",
        layers,
        tuple(
            {"content_layers": (layer,), "style_layers": layers[:count], "style_layer_weights": (1 / count,)}
            for count, layer in enumerate(layers, start=1)
        ),
    )
    title = f"Reconstructions of {paths[CONTENT].stem} and {paths[STYLE].stem} from layers of {backbone}"
    return Grid(title, (rows, columns), product(base, [rows, columns]), (rows.name,), (columns.name,))


def main(config: Config) -> None:
    """Runs the script and prints where the figure is."""
    finish_script(run(config))


if __name__ == "__main__":
    run_script(Config, main)
