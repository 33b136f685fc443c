"""Many pictures on one sheet: grids with headings, as in figures of papers, and pictures at free positions.

Tiles are as large as the maximal length of the sheet allows; text, gaps and margins follow from their size. Pictures
are never enlarged and never distorted.
"""

import bisect
import io
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from nst_jax.errors import UserError
from nst_jax.io.colour_profile import SRGB_PROFILE
from nst_jax.io.files import atomic_write, file_error

from .layout import Heading, Plan, Rule, Scale, Tile, framed, plan_freely, plan_grid, typeset_caption
from .text import FAINT, Text, typeset_word
from .thumbnails import Thumbnails

LONGEST = 6000
"""Maximal long side of a sheet in pixels; common programs still show it without delay."""

_PAPER, _BLANK = "white", "#ececec"
_LEGIBLE = 11  # size of text
_UNKNOWN = (256, 256)
_THUMBNAILS = Thumbnails(LONGEST**2)  # as many pixels as a sheet can show


def write_sheet(path: Path, manifest: Mapping[str, Any], *, longest: int = LONGEST) -> None:
    """Draws the pictures of a sweep as a PNG, atomically; cells that are unfinished or cannot be read are grey.

    Columns are the combinations of values of the axes in `cols`, the last axis changing fastest, rows those of `rows`
    and of every axis that is in neither; of these, axes with a single value are only named below the grid. Cells
    that all have a position `at` are laid out there instead, each with its `caption`.

    Args:
        path: the file to write; the pictures of the manifest are relative to its folder.
        manifest: the sweep: `title`, `axes`, `rows`, `cols`, `cells`.
        longest: maximal long side of the sheet in pixels.

    Raises:
        UserError: the sheet cannot be written, or the cells do not fit on it.
    """
    cells, title = manifest["cells"], manifest["title"]
    tiles = [_tile(cell, path.parent) for cell in cells]
    positions = [cell["at"] for cell in cells if cell.get("at") is not None]
    if tiles and len(positions) == len(tiles):
        draw_freely(path, list(zip(positions, tiles, strict=True)), title=title, longest=longest)
        return
    labels = {axis["name"]: axis["values"] for axis in manifest["axes"]}
    others = [name for name in labels if name not in (*manifest["rows"], *manifest["cols"])]
    rows = [*manifest["rows"], *(name for name in others if len(labels[name]) > 1)]

    def index(cell: Mapping[str, Any], names: Sequence[str]) -> int:
        place, number = dict(zip(labels, cell["place"], strict=True)), 0
        for name in names:
            number = number * len(labels[name]) + place[name]
        return number

    draw_grid(
        path,
        {(index(cell, rows), index(cell, manifest["cols"])): tile for cell, tile in zip(cells, tiles, strict=True)},
        rows=[Heading(name, labels[name]) for name in rows],
        columns=[Heading(name, labels[name]) for name in manifest["cols"]],
        title=title,
        caption=", ".join(f"{name} = {labels[name][0]}" for name in others if name not in rows),
        longest=longest,
    )


def draw_grid(
    path: Path,
    tiles: Mapping[tuple[int, int], Tile],
    *,
    rows: Sequence[Heading] = (),
    columns: Sequence[Heading] = (),
    title: str = "",
    caption: str = "",
    longest: int = LONGEST,
) -> None:
    """Draws pictures in rows and columns with headings as a PNG, atomically.

    Args:
        path: the file to write.
        tiles: (row, column) from 0 → tile; other places stay empty.
        rows: levels of headings on the left, the outermost first; their numbers of labels multiply to that of rows.
        columns: levels of headings on top, as for rows.
        title: text above everything.
        caption: text below everything.
        longest: maximal long side of the sheet in pixels.

    Raises:
        UserError: a picture cannot be read, the sheet cannot be written, or the tiles do not fit on it.
    """
    height, width = (math.prod(len(heading.labels) for heading in headings) for headings in (rows, columns))
    for row, column in tiles:
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(f"a tile at {(row, column)}, in a grid of {height} × {width}")
    _write(
        path,
        lambda scale: framed(plan_grid(tiles, rows, columns, scale), title, caption, scale),
        tiles.values(),
        extent=(width, height),
        longest=longest,
    )


def draw_freely(
    path: Path,
    tiles: Sequence[tuple[tuple[float, float], Tile]],
    *,
    title: str = "",
    caption: str = "",
    longest: int = LONGEST,
) -> None:
    """Draws pictures at any positions, each with its caption, as a PNG, atomically.

    Args:
        path: the file to write.
        tiles: ((x, y), tile), x to the right and y downwards from any origin, in units of a tile with its caption and
            a gap. Rows that are half a unit or more apart are spread until no tile covers another; of tiles that are
            nearer, the later one is on top.
        title: text above everything.
        caption: text below everything.
        longest: maximal long side of the sheet in pixels.

    Raises:
        UserError: a picture cannot be read, the sheet cannot be written, or the tiles do not fit on it.
    """
    positions = np.array([position for position, _ in tiles], float).reshape(-1, 2)
    if len(positions):
        positions -= positions.min(axis=0)
        across, down = np.moveaxis(positions[:, None] - positions, -1, 0)
        positions[:, 1] /= down[(abs(across) < 1) & (down >= 0.5)].min(initial=1)
    shown = [tile for _, tile in tiles]
    _write(
        path,
        lambda scale: framed(plan_freely(positions, shown, scale), title, caption, scale),
        shown,
        extent=positions.max(axis=0, initial=0) + 1,
        longest=longest,
    )


def _tile(cell: Mapping[str, Any], folder: Path) -> Tile:
    size = None if cell["width"] is None or cell["height"] is None else (cell["width"], cell["height"])
    caption = cell.get("caption") or ""
    if cell["status"] == "finished":
        # A picture may have been moved; the others are still worth looking at.
        return Tile(folder / cell["picture"], size, cell["sha256"], note="unreadable", caption=caption)
    return Tile(size=size, note="failed" if cell["status"] == "failed" else "", caption=caption)


def _write(
    path: Path,
    plan: Callable[[Scale], Plan],
    tiles: Collection[Tile],
    *,
    extent: Sequence[float] | np.ndarray,  # columns and rows
    longest: int,
) -> None:
    sizes = [tile.size for tile in tiles if tile.size]
    sizes += [picture.size for tile in tiles if not tile.size and (picture := _picture(tile, (longest, longest)))]
    natural = tuple(map(max, zip(*sizes, strict=True))) if sizes else _UNKNOWN  # with room for each picture at 1:1

    def scale(width: int) -> Scale:
        height = max(1, round(width * natural[1] / natural[0]))
        short = min(width, height)
        gap = round(0.04 * short)
        # Text must be legible beside its tile, and on a large sheet also with the whole sheet in view.
        wanted = max(0.07 * short, 0.006 * max(width * extent[0], height * extent[1]))
        text = min(max(_LEGIBLE, round(min(wanted, 0.3 * short))), max(1, longest // 25))
        caption = max((typeset_caption(tile, width, text).height for tile in tiles), default=0)
        below = gap // 2 + caption + text // 2 if caption else 0
        return Scale(width, height, below, gap, text, longest)

    def length(width: int) -> int:
        planned = plan(scale(width))
        return max(planned.width, planned.height)

    # Text is wrapped and rounded, so the length is only nearly monotonic; the width that is found has been tried.
    width = bisect.bisect_right(range(1, natural[0] + 1), longest, key=length)
    if not width:
        what = f"{extent[1]:g} × {extent[0]:g} pictures with their headings"
        raise file_error(path, f"expected a sheet of at most {longest} px, found {what}: draw fewer on one sheet")
    sheet, data = _drawn(plan(scale(width)), scale(width)), io.BytesIO()
    sheet.save(data, "PNG", icc_profile=SRGB_PROFILE, compress_level=3)
    with atomic_write(path) as file:
        file.write(data.getbuffer())


def _drawn(plan: Plan, scale: Scale) -> Image.Image:
    sheet = Image.new("RGB", (plan.width, plan.height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, y, item in plan.items:
        match item:
            case Tile():
                _draw_tile(sheet, x, y, item, scale)
            case Text():
                item.draw(sheet, x, y)
            case Rule(width):
                draw.line((x, y, x + width - 1, y), FAINT, max(1, scale.text // 16))
    return sheet


def _draw_tile(sheet: Image.Image, x: int, y: int, tile: Tile, scale: Scale) -> None:
    picture = _picture(tile, (scale.width, scale.height))
    if picture is None:
        sheet.paste(_BLANK, (x, y, x + scale.width, y + scale.height))
        word = typeset_word(tile.note, scale.width, scale.height, size=scale.text)
        word.draw(sheet, x, y + (scale.height - word.height) // 2)
    else:
        sheet.paste(picture, (x + (scale.width - picture.width) // 2, y + (scale.height - picture.height) // 2))
    caption = typeset_caption(tile, scale.width, scale.text)
    caption.draw(sheet, x + scale.text // 8, y + scale.height + scale.gap // 2)


def _picture(tile: Tile, room: tuple[int, int]) -> Image.Image | None:
    """Returns the picture of a tile, None if the tile is grey."""
    try:
        return None if tile.picture is None else _THUMBNAILS.get(tile.picture, tile.sha256, room)
    except UserError:
        if tile.note:
            return None
        raise
