"""The flags of pictures in one pass, and the files that they name; nothing here needs JAX."""

import dataclasses
from pathlib import Path
from typing import Literal

from nst_jax.errors import UserError

from ..cli import samples
from ..cli.flags import ESCAPE, Checked, FilePath, FilePaths, flag, option_flag
from ..cli.transfer_flags import ANY_STYLE, CONTENT, STYLE, style_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstantFlags(Checked):
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
    format: Literal["png", "jpg", "webp", "tif"] = flag("png", "Format of the pictures of a folder.")


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


def sees_styles(flags: InstantFlags) -> bool:
    """Returns whether a flag is given that only networks which see style images have."""
    return any(value is not None for value in (flags.style, flags.blend_weights, flags.style_size))


def style_paths(flags: InstantFlags) -> dict[str, Path]:
    """Returns `style`, `style2`, ... → the files of the style images, for a network that sees them."""
    return {
        STYLE if number == 1 else f"{STYLE}{number}": path for number, path in enumerate(style_files(flags.style), 1)
    }


def content_path(flags: InstantFlags) -> dict[str, Path]:
    """Returns `content` → the file of the single content image."""
    return {CONTENT: Path(flags.content) if flags.content else samples.content_image()}
