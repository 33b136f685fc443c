"""Many pictures on one sheet: grids with headings, as in figures of papers, and pictures placed freely.

The largest tiles are chosen with which the sheet is no longer than wanted; all else (text, gaps, margins) follows from
their size. Pictures are never enlarged and never distorted.
"""

import bisect
import functools
import io
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nst_jax import image_io
from nst_jax.errors import UserError, one_line
from nst_jax.files import atomic_write, file_error

LONGEST = 6000
"""Long side of a sheet in pixels that common programs still show without delay."""

_WHITE, _INK, _FAINT, _BLANK = "white", "#222222", "#777777", "#ececec"
_FONT = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")  # has ⁻⁵, × and … on every computer
_LINE = 1.25  # of the size of its text
_TITLE = 1.3
_LEGIBLE = 11
_UNKNOWN = (256, 256)
_REMEMBERED_BYTES = 2**27  # more than the pixels of a square sheet of the greatest length


class Tile(NamedTuple):
    """A picture on a sheet, or what stands in its place.

    Attributes:
        picture: the file; None draws a grey tile.
        size: (width, height) of the picture in pixels; None: as in the file, or unknown.
        sha256: of the file: lets a reduced picture be remembered for the next drawing of the sheet.
        note: a word on the grey tile. With a note, a tile is grey too where the picture cannot be read; without one,
            that is an error.
        caption: text under the tile.
    """

    picture: Path | None = None
    size: tuple[int, int] | None = None
    sha256: str | None = None
    note: str = ""
    caption: str = ""


class Heading(NamedTuple):
    """One level of headings along a side of a grid.

    Attributes:
        name: what the labels are values of; "" for none.
        labels: one a row or column. Of several levels, each label of an outer one spans all labels of the inner ones.
    """

    name: str
    labels: Sequence[str]


def write_sheet(path: Path, manifest: Mapping[str, Any], *, longest: int = LONGEST) -> None:
    """Draws the pictures of a sweep as a PNG, atomically; cells that are not finished, or not to be read, are grey.

    Columns are the combinations of values of the axes in `cols`, the last axis changing fastest, rows those of `rows`
    and of every axis that is in neither; of these, axes of a single value are only told below the grid. Cells that all
    have a position `at` are laid out there instead, each with its `caption`.

    Args:
        path: the file to write; the pictures of the manifest are relative to its folder.
        manifest: of the sweep: `title`, `axes`, `rows`, `cols`, `cells`.
        longest: long side of the sheet in pixels, at most.

    Raises:
        UserError: the sheet cannot be written, or so many cells not fit on it.
    """
    tiles = [_tile(cell, path.parent) for cell in manifest["cells"]]
    positions = [cell["at"] for cell in manifest["cells"] if cell.get("at") is not None]
    if tiles and len(positions) == len(tiles):
        draw_freely(path, list(zip(positions, tiles, strict=True)), title=manifest["title"], longest=longest)
        return
    labels = {axis["name"]: axis["values"] for axis in manifest["axes"]}
    others = [name for name in labels if name not in (*manifest["rows"], *manifest["cols"])]
    columns, rows = list(manifest["cols"]), [*manifest["rows"], *(name for name in others if len(labels[name]) > 1)]

    def index(place: Mapping[str, int], names: Iterable[str]) -> int:
        return functools.reduce(lambda before, name: before * len(labels[name]) + place[name], names, 0)

    places = [dict(zip(labels, cell["place"], strict=True)) for cell in manifest["cells"]]
    draw_grid(
        path,
        {(index(place, rows), index(place, columns)): tile for place, tile in zip(places, tiles, strict=True)},
        rows=[Heading(name, labels[name]) for name in rows],
        columns=[Heading(name, labels[name]) for name in columns],
        title=manifest["title"],
        caption=", ".join(f"{name} = {labels[name][0]}" for name in others if len(labels[name]) == 1),
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

    A figure of a paper, with levels of a single heading each:

        draw_grid(
            path,
            {(row, column): Tile(picture=...), ...},
            rows=[Heading("", ["A  conv1_1", "B  conv2_1"])],
            columns=[Heading("α/β", ["10⁻⁵", "10⁻⁴", "10⁻³"])],
        )

    Args:
        path: the file to write.
        tiles: (row, column) → what is there, counted from 0; other places stay empty.
        rows: levels of headings on the left, the outermost first; their labels, multiplied, are as many as rows.
        columns: levels of headings on top, likewise.
        title: above everything.
        caption: below everything.
        longest: long side of the sheet in pixels, at most.

    Raises:
        UserError: a picture cannot be read, the sheet not be written, or so many tiles not fit on it.
    """
    shape = tuple(math.prod(len(heading.labels) for heading in headings) for headings in (rows, columns))
    for place in tiles:
        if not all(0 <= index < count for index, count in zip(place, shape, strict=True)):
            raise ValueError(f"a tile at {place}, in a grid of {shape[0]} × {shape[1]}")
    _write(
        path,
        lambda scale: _framed(_grid(tiles, rows, columns, scale), title, caption, scale),
        _Extent(_natural_size(tiles.values()), columns=shape[1], rows=shape[0], longest=longest),
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
        tiles: ((x, y), what is there), x to the right and y downwards, from anywhere, in units of a tile with its
            caption and a gap. Rows from half a unit apart are drawn so far apart that no tile covers another; where
            tiles are nearer than that, the later is above.
        title: above everything.
        caption: below everything.
        longest: long side of the sheet in pixels, at most.

    Raises:
        UserError: a picture cannot be read, the sheet not be written, or the tiles not fit on it.
    """
    positions = np.array([position for position, _ in tiles], float).reshape(-1, 2)
    if len(positions):
        positions -= positions.min(axis=0)
        across, down = np.moveaxis(positions[:, None] - positions, -1, 0)
        positions[:, 1] /= down[(abs(across) < 1) & (down >= 0.5)].min(initial=1)
    columns, rows = positions.max(axis=0, initial=0) + 1
    placed = [(*position, tile) for position, (_, tile) in zip(positions.tolist(), tiles, strict=True)]
    _write(
        path,
        lambda scale: _framed(_scattered(placed, scale), title, caption, scale),
        _Extent(_natural_size(tile for _, tile in tiles), columns=columns, rows=rows, longest=longest),
    )


class _Extent(NamedTuple):
    """What the scale of a sheet depends on."""

    tile: tuple[int, int]  # width and height at 1:1
    columns: float
    rows: float
    longest: int


class _Scale(NamedTuple):
    """Lengths in pixels from which all others follow."""

    width: int  # of a tile
    height: int
    gap: int
    text: int
    longest: int


class _Text(NamedTuple):
    """Lines of text in a box, out of which they never get."""

    x: int
    y: int
    width: int
    lines: tuple[str, ...]
    size: int
    align: float = 0.5  # 0 left, 1 right
    colour: str = _INK

    @property
    def height(self) -> int:
        return _height(len(self.lines), self.size)


class _Plan(NamedTuple):
    """Where everything goes, in pixels from the upper left corner."""

    width: int
    height: int
    centre: float  # of the title
    tiles: list[tuple[int, int, Tile]]
    texts: list[_Text]
    rules: list[tuple[int, int, int]]  # x, y, width

    def moved(self, x: int, y: int) -> "_Plan":
        return self._replace(
            centre=self.centre + x,
            tiles=[(left + x, top + y, tile) for left, top, tile in self.tiles],
            texts=[text._replace(x=text.x + x, y=text.y + y) for text in self.texts],
            rules=[(left + x, top + y, width) for left, top, width in self.rules],
        )


def _tile(cell: Mapping[str, Any], folder: Path) -> Tile:
    size = None if cell["width"] is None or cell["height"] is None else (cell["width"], cell["height"])
    caption = cell.get("caption") or ""
    if cell["status"] == "finished":
        # Somebody may have moved a picture: the others are still worth looking at.
        return Tile(folder / cell["picture"], size, cell["sha256"], note="unreadable", caption=caption)
    return Tile(size=size, note="failed" if cell["status"] == "failed" else "", caption=caption)


def _natural_size(tiles: Iterable[Tile]) -> tuple[int, int]:
    """Returns the width and height that hold each picture at 1:1."""
    sizes = []
    for tile in tiles:
        if tile.size is not None:
            sizes.append(tile.size)
        elif (picture := _open(tile)) is not None:
            sizes.append(picture.size)
    return tuple(map(max, zip(*sizes, strict=True))) if sizes else _UNKNOWN


def _scale(width: int, extent: _Extent) -> _Scale:
    height = max(1, round(width * extent.tile[1] / extent.tile[0]))
    short = min(width, height)
    # Text is to be read beside its tile, and on a large sheet also with all of it in view.
    wanted = max(0.07 * short, 0.006 * max(width * extent.columns, height * extent.rows))
    text = max(_LEGIBLE, round(min(wanted, 0.3 * short)))
    return _Scale(width, height, round(0.04 * short), min(text, max(1, extent.longest // 25)), extent.longest)


def _write(path: Path, plan: Callable[[_Scale], _Plan], extent: _Extent) -> None:
    def length(width: int) -> int:
        planned = plan(_scale(width, extent))
        return max(planned.width, planned.height)

    widths = range(1, extent.tile[0] + 1)
    fitting = bisect.bisect_right(widths, extent.longest, key=length)
    while fitting and length(fitting) > extent.longest:  # text is wrapped and rounded: nearly monotonic is not quite
        fitting -= 1
    if not fitting:
        what = f"{extent.rows:g} × {extent.columns:g} pictures with their headings"
        raise file_error(path, f"expected a sheet of at most {extent.longest} px, found {what}: draw fewer on a sheet")
    scale = _scale(fitting, extent)
    data = io.BytesIO()
    _drawn(plan(scale), scale).save(data, "PNG", icc_profile=image_io.SRGB_PROFILE, compress_level=3)
    with atomic_write(path) as file:
        file.write(data.getbuffer())


def _grid(
    tiles: Mapping[tuple[int, int], Tile], rows: Sequence[Heading], columns: Sequence[Heading], scale: _Scale
) -> _Plan:
    caption = _caption_height(tiles.values(), scale)
    lefts, width = _starts(columns, scale.width, scale.gap)
    tops, height = _starts(rows, scale.height + caption, scale.gap)
    above, rules, up = _column_headings(columns, lefts, scale)
    beside, names, left = _row_headings(rows, tops, scale.height, scale)
    up = max([up, *(name.height + scale.gap for name in names if name.lines)])
    texts = [
        *(text._replace(x=text.x + left) for text in above),
        *(text._replace(y=text.y + up) for text in beside),
        *(name._replace(y=up - scale.gap - name.height) for name in names),
    ]
    placed = [(left + lefts[column], up + tops[row], tile) for (row, column), tile in tiles.items()]
    texts += _captions(placed, scale)
    rules = [(x + left, y, length) for x, y, length in rules]
    return _Plan(left + width, up + height, left + width / 2, placed, texts, rules)


def _starts(headings: Sequence[Heading], length: int, gap: int) -> tuple[list[int], int]:
    """Returns where each row or column begins, and where the last one ends; between groups the gaps are wider."""
    spans = _spans(headings)[:-1]
    starts, end = [], 0
    for index in range(math.prod(len(heading.labels) for heading in headings)):
        if index:
            end += gap + 2 * gap * sum(index % span == 0 for span in spans)
        starts.append(end)
        end += length
    return starts, end


def _spans(headings: Sequence[Heading]) -> list[int]:
    """Returns how many rows or columns a label of each level spans."""
    counts = [len(heading.labels) for heading in headings]
    return [math.prod(counts[level + 1 :]) for level in range(len(counts))]


def _column_headings(
    headings: Sequence[Heading], lefts: Sequence[int], scale: _Scale
) -> tuple[list[_Text], list[tuple[int, int, int]], int]:
    """Returns the texts above the columns, the rules between their levels, and the height of all that."""
    texts, rules, y = [], [], 0
    for heading, span in zip(headings, _spans(headings), strict=True):
        if heading.name:
            width = lefts[-1] + scale.width
            name = _text(heading.name, 0, y, width, 2, scale.text, colour=_FAINT)
            texts.append(name)
            y += name.height + scale.text // 5
        widest = max(_length(_clean(label), scale.text) for label in heading.labels)
        own = lefts[span - 1] + scale.width
        step = _step(min(widest, 5 * scale.text), own, len(heading.labels))
        labels = []
        for start, label in _labelled(heading, span, step, len(lefts)):
            width = lefts[start + step * span - 1] + scale.width - lefts[start]
            apart = scale.text // 4  # from the labels of the neighbours
            align = 0.5 if step == 1 else 0
            x, width = lefts[start] + apart // 2, max(1, width - apart)
            labels.append(_text(label, x, y, width, 3, scale.text, align=align))
        bottom = max(label.y + label.height for label in labels)
        texts += [label._replace(y=bottom - label.height) for label in labels]
        y = bottom
        if span > 1 and widest and step == 1:
            y += scale.text // 4
            rules += [(label.x, y, label.width) for label in labels]
            y += scale.text // 4
    return texts, rules, y + scale.gap if y else 0


def _row_headings(
    headings: Sequence[Heading], tops: Sequence[int], height: int, scale: _Scale
) -> tuple[list[_Text], list[_Text], int]:
    """Returns the texts beside the rows, the names of the levels, to be put above, and the width of all that."""
    texts, names, x = [], [], 0
    line = _height(1, scale.text)
    for heading, span in zip(headings, _spans(headings), strict=True):
        own = tops[span - 1] + height
        step = _step(line, own, len(heading.labels))
        most = min(12 * scale.text, scale.longest // (4 * len(headings)))
        labels = []
        for start, label in _labelled(heading, span, step, len(tops)):
            text = _text(label, x, tops[start], most, max(1, min(4, own // line)), scale.text, align=0)
            labels.append(text._replace(y=text.y + max(0, (own - text.height) // 2) * (step == 1)))
        name = _text(heading.name, x, 0, most, 3, scale.text, align=0, colour=_FAINT)
        width = max(math.ceil(_length(row, scale.text)) for text in (*labels, name) for row in text.lines or ("",))
        texts += [text._replace(width=width) for text in labels]
        names += [name._replace(width=width)]
        x += width + max(scale.gap, 3 * scale.text // 4) if width else 0
    return texts, names, x


def _step(wanted: float, own: int, count: int) -> int:
    """Returns how many labels share the room of one where each alone has less than it needs."""
    return min(count, max(1, math.ceil(wanted / own)))


def _labelled(heading: Heading, span: int, step: int, count: int) -> Iterator[tuple[int, str]]:
    """Yields the first row or column of each label that has room, and the label."""
    for group in range(0, count, span * len(heading.labels)):
        for index in range(0, len(heading.labels) - step + 1, step):
            yield group + index * span, heading.labels[index]


def _scattered(tiles: Sequence[tuple[float, float, Tile]], scale: _Scale) -> _Plan:
    across = scale.width + scale.gap
    down = scale.height + scale.gap + _caption_height((tile for *_, tile in tiles), scale)
    placed = [(round(x * across), round(y * down), tile) for x, y, tile in tiles]
    width = max((x for x, _, _ in placed), default=0) + scale.width
    captions = _captions(placed, scale)
    bottoms = [*(y + scale.height for _, y, _ in placed), *(caption.y + caption.height for caption in captions)]
    return _Plan(width, max(bottoms, default=scale.height), width / 2, placed, captions, [])


def _captions(placed: Iterable[tuple[int, int, Tile]], scale: _Scale) -> list[_Text]:
    below, apart = scale.height + scale.gap // 2, scale.text // 4
    width = max(1, scale.width - apart)
    return [
        _text(tile.caption, x + apart // 2, y + below, width, 3, scale.text) for x, y, tile in placed if tile.caption
    ]


def _caption_height(tiles: Iterable[Tile], scale: _Scale) -> int:
    captions = _captions([(0, 0, tile) for tile in tiles], scale)
    return max((caption.y + caption.height + scale.text // 2 - scale.height for caption in captions), default=0)


def _framed(plan: _Plan, title: str, caption: str, scale: _Scale) -> _Plan:
    """Puts a title above, a caption below and a margin around."""
    size, margin = round(_TITLE * scale.text), max(2 * scale.gap, scale.text)
    # Beside a small grid there is room for a title and a caption.
    wanted = max(_length(_clean(title), size), _length(_clean(caption), scale.text)) + 1
    width = max(plan.width, int(min(wanted, 24 * size, scale.longest - 2 * margin)))
    plan = plan.moved((width - plan.width) // 2, 0)
    above = _text(title, 0, 0, width, 3, size)
    # In the middle of the tiles, as far as the headings at their side leave it there.
    room = (width - max((_length(line, size) for line in above.lines), default=0)) / 2
    above = above._replace(x=int(max(-room, min(room, plan.centre - width / 2))))
    up = above.height + size // 2 if above.lines else 0
    below = _text(caption, 0, up + plan.height + scale.gap + scale.text // 2, width, 12, scale.text, align=0)
    height = below.y + below.height if below.lines else up + plan.height
    plan = plan.moved(0, up)
    plan = plan._replace(texts=[*plan.texts, above, below]).moved(margin, margin)
    return plan._replace(width=width + 2 * margin, height=height + 2 * margin)


def _drawn(plan: _Plan, scale: _Scale) -> Image.Image:
    sheet = Image.new("RGB", (plan.width, plan.height), _WHITE)
    draw = ImageDraw.Draw(sheet)
    for x, y, tile in plan.tiles:
        picture = _THUMBNAILS.get(tile, (scale.width, scale.height))
        if picture is None:
            draw.rectangle((x, y, x + scale.width - 1, y + scale.height - 1), _BLANK)
            _draw_text(sheet, _note(tile.note, x, y, scale))
        else:
            left, top = (
                (room - side) // 2 for room, side in zip((scale.width, scale.height), picture.size, strict=True)
            )
            sheet.paste(picture, (x + left, y + top))
    for x, y, width in plan.rules:
        draw.line((x, y, x + width - 1, y), _FAINT, max(1, scale.text // 16))
    for text in plan.texts:
        _draw_text(sheet, text)
    return sheet


def _note(note: str, x: int, y: int, scale: _Scale) -> _Text:
    """Returns a word in the middle of a tile, so small that it fits."""
    size = min(scale.text, int(0.8 * scale.height / _LINE))
    while size > 1 and _length(_clean(note), size) > 0.8 * scale.width:
        size -= 1
    top = y + (scale.height - _height(1, size)) // 2
    return _text(note if size > 3 else "", x, top, scale.width, 1, max(1, size), colour=_FAINT)


def _text(text: str, x: int, y: int, width: int, lines: int, size: int, **options: Any) -> _Text:
    return _Text(x, y, width, _wrapped(text, width, lines, size), size, **options)


@functools.lru_cache(4096)
def _wrapped(text: str, width: int, most: int, size: int) -> tuple[str, ...]:
    """Breaks a text into lines that fit: at spaces or behind signs, else anywhere; the rest loses its middle."""
    lines, rest = [], _clean(text)
    while rest:
        fits = bisect.bisect_right(range(len(rest) + 1), width, key=lambda count: _length(rest[:count], size)) - 1
        if fits >= len(rest):
            lines.append(rest)
            break
        if len(lines) + 1 == most:
            lines.append(_shortened(rest, width, size))
            break
        breaks = [match.end() for match in re.finditer(r"\s|[_/,;:=-](?=.)", rest[: fits + 1])]
        end = next((end for end in reversed(breaks) if len(rest[:end].rstrip()) <= fits), max(1, fits))
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return tuple(lines)


def _shortened(text: str, width: int, size: int) -> str:
    """Leaves out the middle: labels may differ at their begin or at their end."""

    def shortened(count: int) -> str:
        return f"{text[: (count + 1) // 2]}…{text[len(text) - count // 2 :]}"

    fits = bisect.bisect_right(range(len(text)), width, key=lambda count: _length(shortened(count), size)) - 1
    return shortened(max(0, fits))


def _clean(text: str) -> str:
    return one_line(text, longest=1000).strip()


def _length(text: str, size: int) -> float:
    return _font(size).getlength(text)


def _height(lines: int, size: int) -> int:
    return math.ceil(lines * _LINE * size)


@functools.lru_cache(16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FONT, size)


def _draw_text(sheet: Image.Image, text: _Text) -> None:
    if not text.lines:
        return
    # On a canvas of its own: stacked accents and the like stay within the box.
    mask = Image.new("L", (text.width, text.height))
    draw = ImageDraw.Draw(mask)
    for number, line in enumerate(text.lines):
        x = text.align * (text.width - _length(line, text.size))
        draw.text((x, (number * _LINE + 0.97) * text.size), line, 255, _font(text.size), anchor="ls")
    sheet.paste(text.colour, (text.x, text.y), mask)


def open_picture(path: Path) -> Image.Image:
    """Reads a picture as 8-bit sRGB, upright, what is transparent on white.

    Raises:
        UserError: it cannot be read.
    """
    pixels, alpha, _ = image_io.read(path)
    if alpha is not None:
        pixels = 1 - (1 - pixels) * alpha[..., None]
    return Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))


def _open(tile: Tile) -> Image.Image | None:
    """Reads the picture of a tile, if there is one."""
    try:
        return None if tile.picture is None else open_picture(tile.picture)
    except UserError:
        if tile.note:
            return None
        raise


class _Thumbnails:
    """Reduced pictures, the latest used of them remembered: a sheet is drawn again as its cells get finished."""

    def __init__(self) -> None:
        self._remembered: OrderedDict[tuple[str, int, int], Image.Image] = OrderedDict()
        self._bytes = 0

    def get(self, tile: Tile, room: tuple[int, int]) -> Image.Image | None:
        """Returns the picture of a tile, if any, not enlarged, as large as fits into (width, height)."""
        key = (tile.sha256, *room)
        if tile.sha256 is not None and key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        picture = _open(tile)
        if picture is None:
            return None
        share = min(1, *(limit / side for limit, side in zip(room, picture.size, strict=True)))
        size = tuple(max(1, round(share * side)) for side in picture.size)
        if size != picture.size:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        if tile.sha256 is not None:
            self._remembered[key] = picture
            self._bytes += _bytes(picture)
            while self._bytes > _REMEMBERED_BYTES:
                self._bytes -= _bytes(self._remembered.popitem(last=False)[1])
        return picture


def _bytes(picture: Image.Image) -> int:
    return 3 * math.prod(picture.size)


_THUMBNAILS = _Thumbnails()
