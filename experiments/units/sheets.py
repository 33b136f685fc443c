"""Sheets of what excites units: one row per unit, with its optimised picture and its best patches."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nst_jax.applications.top_patches import Patch, Unit
from nst_jax.io import images
from nst_jax.io.files import make_folder
from nst_jax.io.images import Picture

from ..showing.layout import Heading, Tile
from ..showing.sheet import draw_grid
from ..showing.thumbnails import open_picture

_SIDE = 192
_CAPTION = "Below each patch: its activation and the image that it is from. Grey lies outside the image."


def draw_patch_sheets(
    folder: Path,
    found: Mapping[Unit, Sequence[Patch]],
    *,
    optimised: Mapping[Unit, Path] | None = None,
    labels: Mapping[Unit, str] | None = None,
    side: int | None = None,
    title: str = "",
) -> dict[str, Path]:
    """Draws one sheet per layer, `patches_<layer>.png`, and writes each patch to `patches/`.

    Args:
        folder: folder for the files.
        found: unit → its patches, the strongest first.
        optimised: unit → the picture optimised for it, which comes first in its row; units may lack one.
        labels: unit → its label; by default its number.
        side: minimal side of a patch on the sheet in pixels, to which the specks of early layers are enlarged; by
            default that of the largest optimised picture, or 192.
        title: title of each sheet, followed by the layer.

    Returns:
        Layer → its sheet.

    Raises:
        UserError: something cannot be read or written.
    """
    make_folder(folder / "patches")
    if side is None:
        side = max((max(open_picture(path).size) for path in (optimised or {}).values()), default=_SIDE)
    sheets = {}
    for layer in dict.fromkeys(unit.layer for unit in found):
        units = [unit for unit in found if unit.layer == layer]
        tiles = [_tiles(folder / "patches", unit, found[unit], side) for unit in units]
        columns = [str(rank) for rank in range(1, max(map(len, tiles)) + 1)]
        if optimised is not None:
            columns.insert(0, "optimised")
            best = [Tile(optimised[unit]) if unit in optimised else Tile(note="none") for unit in units]
            tiles = [[tile, *row] for tile, row in zip(best, tiles, strict=True)]
        sheets[layer] = folder / f"patches_{_file_name(layer)}.png"
        draw_grid(
            sheets[layer],
            {(row, column): tile for row, of_unit in enumerate(tiles) for column, tile in enumerate(of_unit)},
            rows=[Heading("unit", [(labels or {}).get(unit, str(unit.channel)) for unit in units])],
            columns=[Heading("", columns)],
            title=": ".join(filter(None, (title, layer))),
            caption=_CAPTION,
        )
    return sheets


def _tiles(folder: Path, unit: Unit, patches: Sequence[Patch], side: int) -> list[Tile]:
    """Writes the patches of a unit and returns their tiles."""
    tiles = []
    for rank, patch in enumerate(patches, start=1):
        path = folder / f"{_file_name(unit.layer)}_{unit.channel:04d}_{rank}.png"
        images.write(path, Picture(_enlarged(patch.pixels, side)))
        tiles.append(Tile(path, caption=f"{_number(patch.activation)}  {patch.name}"))
    return tiles or [Tile(note="never active")]


def _file_name(layer: str) -> str:
    return layer.replace("/", "-")


def _number(value: float) -> str:
    """Returns a number with three digits, or all digits before the point if there are more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _enlarged(pixels: np.ndarray, side: int) -> np.ndarray:
    """Returns an image [H, W, 3], enlarged to a long side of at least `side` pixels."""
    height, width, _ = pixels.shape
    factor = side / max(height, width)
    if factor <= 1:
        return pixels
    shape = max(1, round(height * factor)), max(1, round(width * factor))
    return np.clip(images.resize(pixels, shape), 0, 1)
