"""The flags of pictures in one pass, and the files that they name; nothing here needs JAX."""

import dataclasses
from pathlib import Path
from typing import Literal

from nst_jax.errors import UserError

from ..cli import samples
from ..cli.flags import ESCAPE, MOST_SEED, FilePath, FilePaths, flag, option_flag
from ..cli.run_flags import EngineFlags
from ..cli.transfer_flags import ANY_STYLE, CONTENT, REGIONS, STYLE, style_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstantFlags(EngineFlags):
    """The flags."""

    content: FilePath | None = flag(None, "Content image, or a folder of them as --contents; by default a sample.")
    contents: FilePath | None = flag(
        None, "Folder of content images or of the frames of a video, which are painted in the order of their names."
    )
    style: FilePaths | None = flag(
        None,
        f"Style image, or several separated by commas{ESCAPE}, for a network that sees them; by default a sample.",
    )
    blend_weights: tuple[float, ...] | None = option_flag("blend_weights")
    network: FilePath = flag(
        ANY_STYLE, "Name of an installed network that paints in one pass, or the path of its weight file."
    )
    styles: tuple[str, ...] | None = flag(
        None, "Styles of a network that has its styles in it, by name or number from 1; by default all."
    )
    style_weights: tuple[float, ...] | None = flag(
        None,
        "Shares of --styles, one for each, which are divided by their sum; by default equal ones.",
        least=0,
    )
    regions: FilePath | None = flag(
        None,
        "Map of the content image with a flat colour for each region, or a soft mask in grey or transparency: regions "
        "follow the style images, or --styles, one after the other, as they appear on the map from the upper left. For "
        "a network that paints from maps what it paints, without a content image.",
    )
    region_styles: tuple[int, ...] | None = flag(
        None, "Number of the style, from 1, that each region of --regions follows.", least=1
    )
    keep: tuple[str, ...] | None = flag(
        None, "Colours on --regions, as red or #ff0000, where the content image stays as it is, bit for bit."
    )
    seed: int | None = flag(
        None, "Seed of the noise of a network that paints from maps; by default 0.", least=0, most=MOST_SEED
    )
    strength: float = flag(
        1.0, "Strength of the style; 0 is the content image as well as the network can give it back.", least=0, most=1
    )
    size: int = flag(1024, "Long side of the picture in pixels; 0 means that of the content image.", least=0)
    style_size: int | None = flag(
        None, "Long side of the style image in pixels, for networks that see it as it is; by default --size.", least=32
    )
    tile: int | Literal["auto", "off"] = flag(
        "auto",
        "Side in pixels of the tiles that the picture is painted in, which change nothing but memory and time; auto "
        "means none, unless memory does not hold the whole picture.",
        least=64,
    )
    workdir: FilePath | None = flag(None, "Folder for everything that the run writes; by default one in results/.")
    output: FilePath | None = flag(
        None, "File of the resulting picture, or folder of the resulting pictures; by default in --workdir."
    )
    bits: Literal[8, 16] = flag(8, "Bits per channel of the resulting picture; 16 in PNG and TIFF only.")
    pictures_per_task: int | Literal["auto"] = flag(
        "auto", "Number of pictures of a folder that a worker gets at once; auto makes four tasks a worker.", least=1
    )
    format: Literal["png", "jpg", "webp", "tif"] | None = flag(
        None, "Format of the pictures that --output does not name; by default png."
    )


def folder_of(flags: InstantFlags) -> Path | None:
    """Returns the folder of content images; None if there is a single one.

    Raises:
        UserError: both are given.
    """
    if flags.contents is None:
        return Path(flags.content) if flags.content and Path(flags.content).is_dir() else None
    if flags.content is not None:
        raise UserError("--contents: expected no --content with it, found both; leave out one")
    return Path(flags.contents)


def suffix_of(flags: InstantFlags, *, several: bool) -> str:
    """Returns the format of pictures that --output does not name.

    Raises:
        UserError: there is a format for a picture whose file has one in its name.
    """
    if flags.format and flags.output and not several:
        raise UserError("--format: expected none with the file of --output, whose suffix says it; leave out one")
    return flags.format or "png"


def style_paths(flags: InstantFlags) -> dict[str, Path]:
    """Returns `style`, `style2`, ... → the files of the style images, for a network that sees them."""
    return {
        STYLE if number == 1 else f"{STYLE}{number}": path for number, path in enumerate(style_files(flags.style), 1)
    }


def map_path(flags: InstantFlags) -> dict[str, Path]:
    """Returns `regions` → the file of the map, if there is one.

    Raises:
        UserError: flags about regions lack a map.
    """
    if flags.regions:
        return {REGIONS: Path(flags.regions)}
    if without := next((name for name in ("region_styles", "keep") if getattr(flags, name)), None):
        raise UserError(f"--{without}: expected --regions with it, a map of the content image, found none")
    return {}


def doodle_path(flags: InstantFlags) -> dict[str, Path]:
    """Returns `regions` → the file of the map from which a network paints.

    Raises:
        UserError: there is none, or a flag that such a network has no use for.
    """
    for name in ("content", "contents", "style", "blend_weights", "styles", "style_weights", "style_size"):
        if getattr(flags, name) is not None:
            raise UserError(f"--{name}: expected none, as {flags.network} paints from a map of regions; leave it out")
    for name in ("region_styles", "keep"):
        if getattr(flags, name) is not None:
            raise UserError(f"--{name}: expected none, as {flags.network} knows the style of each region; leave it out")
    if flags.strength != 1:
        raise UserError(
            f"--strength: expected 1 with {flags.network}, which has its own style, found {flags.strength:g}"
        )
    if not flags.regions:
        raise UserError(f"--regions: expected a map, from which {flags.network} paints, found none; give one")
    return {REGIONS: Path(flags.regions)}


def content_path(flags: InstantFlags) -> dict[str, Path]:
    """Returns `content` → the file of the single content image."""
    return {CONTENT: Path(flags.content) if flags.content else samples.content_image()}
