"""Sheets that show what excites units: a row a unit, the picture optimised for it beside its best patches."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments._layout import Heading, Tile
from experiments._sheet import draw_grid
from nst_jax import image_io
from nst_jax.files import make_folder
from nst_jax.image_io import Picture
from nst_jax.top_patches import Patch, Unit


def draw_patch_sheets(
    folder: Path,
    found: Mapping[Unit, Sequence[Patch]],
    *,
    optimised: Mapping[Unit, Path] | None = None,
    labels: Mapping[Unit, str] | None = None,
    side: int = 192,
    title: str = "",
) -> dict[str, Path]:
    """Draws a sheet for each layer, `patches_<layer>.png`, and writes each patch beside it, in `patches/`.

    Args:
        folder: for the files.
        found: unit → its patches, the strongest first.
        optimised: unit → a picture optimised for it, which its row begins with; a unit may have none.
        labels: unit → what it is called; by default its number.
        side: of a patch on the sheet in pixels. Patches are enlarged to it: those of the first layers are specks.
        title: above each sheet, with the layer behind it.

    Returns:
        Layer → its sheet.

    Raises:
        UserError: something cannot be read or written.
    """
    make_folder(folder / "patches")
    caption = "Below each patch: the activation, and the picture that it is from. Grey is outside of the picture."
    sheets = {}
    for layer in dict.fromkeys(unit.layer for unit in found):
        name, units = layer.replace("/", "-"), [unit for unit in found if unit.layer == layer]
        first = int(optimised is not None)  # column of patches
        tiles = {}
        for row, unit in enumerate(units):
            if optimised is not None and unit in optimised:
                tiles[row, 0] = Tile(optimised[unit])
            if not found[unit]:
                tiles[row, first] = Tile(note="nothing excites it")
            for rank, patch in enumerate(found[unit], start=1):
                path = folder / "patches" / f"{name}_{unit.channel:04d}_{rank}.png"
                image_io.write(path, Picture(_enlarged(patch.pixels, side)))
                tiles[row, rank - (optimised is None)] = Tile(
                    path, caption=f"{_number(patch.activation)}  {patch.name}"
                )
        count = max(1, *(len(found[unit]) for unit in units))
        numbers = [str(rank) for rank in range(1, count + 1)]
        sheets[layer] = folder / f"patches_{name}.png"
        draw_grid(
            sheets[layer],
            tiles,
            rows=[Heading("unit", [(labels or {}).get(unit, str(unit.channel)) for unit in units])],
            columns=[Heading("", ["optimised"] * first + numbers)],
            title=": ".join(filter(None, (title, layer))),
            caption=caption,
        )
    return sheets


def _number(value: float) -> str:
    """Returns three digits, or as many as it has before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _enlarged(pixels: np.ndarray, side: int) -> np.ndarray:
    """Returns a picture [H, W, 3] with a long side of `side` pixels at least."""
    height, width, _ = pixels.shape
    factor = side / max(height, width)
    if factor <= 1:
        return pixels
    return np.clip(image_io.resize(pixels, (round(height * factor), round(width * factor))), 0, 1)
