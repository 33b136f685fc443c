"""Regions of a transfer from the maps that its flags name, and what there is to say about them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import ImageColor

from nst_jax.errors import UserError, one_line
from nst_jax.io import region_maps
from nst_jax.io.region_maps import RegionMap, hexadecimal
from nst_jax.regions import Regions, from_maps
from nst_jax.vocabulary import Colour

from ..cli.transfer_flags import CONTENT, REGIONS, StyleImage, TransferFlags, styles

Read = Callable[[Path], RegionMap]


def regions_of(
    flags: TransferFlags,
    paths: Mapping[str, Path],
    content_shape: Sequence[int],
    shown: Sequence[StyleImage],
    style_shapes: Sequence[Sequence[int]],
    read: Read = region_maps.read,
) -> Regions | None:
    """Returns the regions of a transfer; None without a map, and for one that has a single region.

    Args:
        flags: the flags.
        paths: the files of `inputs`.
        content_shape: height and width of the content image in use.
        shown: the style images, with which their maps are mirrored and turned.
        style_shapes: heights and widths of these, turned.
        read: reads a map.

    Raises:
        UserError: a map cannot be read, or does not suit the images.
    """
    if REGIONS not in paths:
        return None
    found = from_maps(
        read(paths[REGIONS]),
        [read(path) for path in style_maps(paths)],
        content_shape,
        [image.shape(shape) for image, shape in zip(shown, style_shapes, strict=True)],  # turned back
        region_styles=flags.region_styles or (),
        keep=tuple(map(colour, flags.keep or ())),
    )
    if found is None:
        return None
    placed = tuple(image.placed(guide) for image, guide in zip(shown, found.styles, strict=True))
    return dataclasses.replace(found, styles=placed)


def style_maps(paths: Mapping[str, Path]) -> list[Path]:
    """Returns the maps of style images among `inputs`."""
    return [path for name, path in paths.items() if name.startswith(REGIONS) and name != REGIONS]


def without_maps(paths: Mapping[str, Path]) -> dict[str, Path]:
    """Returns `inputs` but for the maps, as a transfer without regions has them."""
    return {name: path for name, path in paths.items() if not name.startswith(REGIONS)}


def colour(text: str) -> Colour:
    """Returns the colour that a flag names.

    Raises:
        UserError: it is none.
    """
    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        raise UserError(f"--keep: expected a colour, as #ff8000 or red, found {one_line(text)!r}") from None
    return red, green, blue


def account(
    paths: Mapping[str, Path],
    regions: Regions | None,
    content_shape: Sequence[int],
    blend_weights: Sequence[float] = (),
    read: Read = region_maps.read,
    names: Sequence[str] = (),
) -> list[str]:
    """Returns lines that say what the regions are; for a transfer without, that there is a map beside its content.

    Args:
        paths: the files of `inputs`.
        regions: what `regions_of` returned.
        content_shape: height and width of the content image in use.
        blend_weights: shares of the style images; equal ones by default.
        read: reads a map.
        names: what styles are called; by default as the files of the style images.
    """
    if REGIONS not in paths:
        beside = paths[CONTENT].with_name(f"{paths[CONTENT].stem}_regions.png")
        return [f"{beside} is not used; --regions={beside} takes it as the map of regions"] if beside.exists() else []
    content, lines = read(paths[REGIONS]), []
    for each in map(read, [paths[REGIONS], *style_maps(paths)]):
        if each.specks:
            specks = ", ".join(f"{hexadecimal(colour)} ({area:.2%})" for colour, area in each.specks)
            lines.append(f"{each.path}: too small for a region, now part of what is around: {specks}")
    if regions is None:
        only = hexadecimal(content.colours[0])
        return [*lines, f"{content.path}: {only} is the whole picture, which is painted without regions"]
    if content.labels.shape != tuple(content_shape[:2]):
        high, wide = content.labels.shape
        lines.append(f"{content.path}: resized from {wide}×{high} to {content_shape[1]}×{content_shape[0]} px")
    names = names or [path.name for path in styles(paths)]
    for number, (name, area, shares) in enumerate(
        zip(regions.names, regions.areas, regions.shares(blend_weights or (1.0,) * len(names)), strict=True), start=1
    ):
        own = " and ".join(style for style, share in zip(names, shares, strict=True) if share)
        lines.append(f"region {number}, {name}, {area:.1%} of the picture: as {own}")
    if regions.keep is not None:
        lines.append(f"kept as it is: {regions.keep.mean():.1%} of the picture")
    return lines
