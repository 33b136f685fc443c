"""The flags of a training, and what they mean as settings."""

import dataclasses
from pathlib import Path
from typing import Literal

from nst_jax.applications.feedforward.recipes import Recipe, RecipeName, default_recipe, for_doodles, named
from nst_jax.backbones.registry import BACKBONES, choose_layer
from nst_jax.backbones.spec import layers
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.settings import ContentLoss, Padding, Pooling, Precision, StyleLoss

from ..cli import samples
from ..cli.flags import ESCAPE, MOST_SEED, FilePath, FilePaths, flag, option_flag
from ..cli.run_flags import ClusterFlags
from ..cli.transfer_flags import style_files

LEAST_WIDTH = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainFlags(ClusterFlags):
    """The flags."""

    contents: FilePath | None = flag(None, "Folder of photographs to train with; a doodle needs none.")
    style: FilePaths | None = flag(None, f"Style images, separated by commas{ESCAPE}; by default two samples.")
    styles: FilePath | None = flag(
        None, "Folder of style images, in place of --style: the network learns to see them, and so paints in any style."
    )
    style_regions: FilePath | None = flag(
        None,
        "Map of the only style image with a flat colour for each region: the network learns to paint from such maps, "
        "a doodle, and not from photographs.",
    )
    workdir: FilePath | None = flag(None, "Folder for everything that the run writes; by default one in results/.")
    output: FilePath | None = flag(None, "File of the trained network, .safetensors; by default in --workdir.")
    preset: Literal["auto", RecipeName] = flag(
        "auto",
        "Recipe: magenta is that of Dumoulin et al. 2017, johnson that of Johnson et al. 2016, for VGG-16 and VGG-19; "
        "ours is for any backbone; auto means magenta where the backbone has its layers, else ours.",
    )
    backbone: str = option_flag("backbone", "auto")
    finetune: FilePath | None = flag(
        None,
        "Trained network to which the styles are added, a file or the name of an installed one: only their own scales "
        "and shifts are trained, all other numbers stay as they are.",
    )
    width: float | None = flag(
        None, "Channels of the network as a share of the recipe's; 0.5 and 0.25 suit phones.", least=LEAST_WIDTH, most=4
    )
    size: int = flag(256, "Side in pixels of the squares to train with.", least=images.MIN_SIDE)
    style_size: int | None = flag(
        None,
        "Long side of the style images in pixels, which sets the scale of strokes; by default 1.5 times --size. With "
        "--styles the side of squares of them, by default --size.",
        least=1,
    )
    batch_size: int | None = flag(None, "Photographs a step, over all devices; by default the recipe's.", least=1)
    steps: int | None = flag(None, "Number of steps; by default the recipe's.", least=1)
    seed: int = flag(0, "Seed of all random numbers.", least=0, most=MOST_SEED)
    learning_rate: float | None = option_flag("learning_rate")
    content_layers: tuple[str, ...] | None = option_flag("content_layers")
    style_layers: tuple[str, ...] | None = option_flag("style_layers")
    style_layer_weights: tuple[float, ...] | None = option_flag("style_layer_weights")
    content_loss: ContentLoss | None = option_flag("content_loss")
    style_loss: StyleLoss | None = option_flag("style_loss")
    content_weight: float | None = option_flag("content_weight")
    style_weight: float | None = option_flag("style_weight")
    tv_weight: float | None = option_flag("tv_weight")
    laplacian_weight: float | None = option_flag("laplacian_weight")
    pooling: Pooling | None = option_flag("pooling")
    padding: Padding | None = option_flag("padding")
    shifts: int | None = option_flag("shifts")
    precision: Precision | None = option_flag("precision", note="Here of the trained network, too.")
    samples: FilePath | None = flag(
        None,
        "Folder of photographs, or of maps, to show as the training goes on; by default some of --contents, which are "
        "held out in any case, or random maps.",
    )
    show_every: int = flag(500, "Number of steps between sample pictures; 0 shows the last ones only.", least=0)
    save_every: int = flag(500, "Number of steps between checkpoints; 0 means none but the last.", least=0)
    licence: str | None = flag(None, "Licence of the trained network, which its file then names.")


def style_paths(flags: TrainFlags) -> list[Path]:
    """Returns the style images."""
    if flags.style is None:
        return list(samples.two_style_images())
    return style_files(flags.style)


def recipe_of(flags: TrainFlags, backbone: str) -> Recipe:
    """Returns the recipe, with what the flags replace in it.

    Raises:
        UserError: it has layers that the backbone has not, or a number is out of its range.
    """
    name = default_recipe(backbone) if flags.preset == "auto" else flags.preset
    recipe = named(name, backbone)
    options = {field.name for field in dataclasses.fields(recipe.settings)}
    given = {
        option: value
        for option, value in vars(flags).items()
        if option in options and option != "steps" and value is not None
    }
    base = for_doodles(recipe.settings, backbone, flags.size) if flags.style_regions else recipe.settings
    settings = dataclasses.replace(base, **given)
    for flag_name in ("content_layers", "style_layers"):
        for layer in given.get(flag_name, ()):
            choose_layer(BACKBONES[backbone], layer, what=flag_name.replace("_layers", " layer"))
    for layer in settings.content_layers + settings.style_layers:
        if layer not in layers(BACKBONES[backbone]):
            suits = default_recipe(backbone)
            other = "" if suits == name else f"--preset={suits}, "
            raise UserError(
                f"--preset={name}: its layer {layer} is not one of {backbone}; choose {other}another --backbone, or "
                "layers with --content_layers and --style_layers"
            )
    if not settings.style_layers or not (settings.content_layers or flags.style_regions):
        raise UserError("--style_layers, --content_layers: expected one or more of each, found none")
    if settings.content_layers and flags.style_regions:
        raise UserError(
            "--content_layers: expected none with --style_regions, as a doodle has no content; leave it out"
        )
    return recipe._replace(
        settings=settings,
        batch_size=flags.batch_size or recipe.batch_size,
        steps=flags.steps or recipe.steps,
    )
