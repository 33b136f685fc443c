"""The layout of a sheet in pixels: pictures in rows and columns or at free positions, their headings, a title."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .text import FAINT, Text, line_height, measure, typeset

_TITLE = 1.3  # of the size of other text


class Tile(NamedTuple):
    """A picture on a sheet, or a grey tile in its place.

    Attributes:
        picture: the file; None draws a grey tile.
        size: (width, height) of the picture in pixels; None if it is as in the file, or unknown.
        sha256: hash of the file, by which reduced pictures are kept for the next drawing of the sheet.
        note: a word on the grey tile. With a note, a picture that cannot be read is a grey tile; without one, it is an
            error.
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
        name: what the labels have in common; may be empty.
        labels: one per row or column. Each label of an outer level spans all labels of the inner levels.
    """

    name: str
    labels: Sequence[str]


class Scale(NamedTuple):
    """The lengths in pixels from which all others follow."""

    width: int  # of a tile
    height: int
    below: int  # room below a tile for its caption
    gap: int  # between tiles
    text: int
    longest: int  # of the sheet


class Rule(NamedTuple):
    """A horizontal line."""

    width: int


_Item = tuple[int, int, Tile | Text | Rule]  # x and y of the upper left corner, and the item


class Plan(NamedTuple):
    """Positions of all items in pixels from the upper left corner; later items cover earlier ones."""

    width: int
    height: int
    items: list[_Item]
    left: int = 0  # x of the leftmost tile


def plan_grid(
    tiles: Mapping[tuple[int, int], Tile], rows: Sequence[Heading], columns: Sequence[Heading], scale: Scale
) -> Plan:
    """Lays out tiles in rows and columns, with their headings; see `draw_grid`."""
    lefts, width = _starts(columns, scale.width, scale.gap)
    tops, height = _starts(rows, scale.height + scale.below, scale.gap)
    above, up = _column_headings(columns, lefts, scale)
    beside, left = _row_headings(rows, tops, scale)
    up = max([up, *(-y for _, y, _ in beside)])
    items = [(left + lefts[column], up + tops[row], tile) for (row, column), tile in tiles.items()]
    return Plan(left + width, up + height, [*items, *_moved(above, left, 0), *_moved(beside, 0, up)], left)


def _starts(headings: Sequence[Heading], length: int, gap: int) -> tuple[list[int], int]:
    """Returns the start of each row or column, and the end of the last one; gaps between groups are wider."""
    starts, apart = [0], gap
    for heading in reversed(headings):
        starts = [group * (length + apart) + start for group in range(len(heading.labels)) for start in starts]
        length += (len(heading.labels) - 1) * (length + apart)
        apart += 2 * gap
    return starts, length


def _levels(headings: Sequence[Heading], starts: list[int], length: int) -> Iterator[tuple[Heading, list[int], int]]:
    """Yields each level of headings, the starts of its labels, and the length that each of them spans."""
    span = len(starts)
    for heading in headings:
        span //= len(heading.labels)
        yield heading, starts[::span], starts[span - 1] + length


def _labels(labels: Sequence[str], starts: list[int], length: int, wanted: float) -> list[tuple[int, int, str]]:
    """Returns start, room and text of the labels; if room is scarce, only every nth is shown, with the room of n."""
    step = min(len(labels), max(1, math.ceil(wanted / length)))
    shown = range(0, len(labels) - step + 1, step)
    return [
        (start, starts[index + step - 1] + length - start, labels[index % len(labels)])
        for index, start in enumerate(starts)
        if index % len(labels) in shown
    ]


def _column_headings(headings: Sequence[Heading], lefts: list[int], scale: Scale) -> tuple[list[_Item], int]:
    """Returns the headings above the columns, and their height."""
    items: list[_Item] = []
    y, apart = 0, scale.text // 4  # between the labels of neighbours
    for heading, starts, length in _levels(headings, lefts, scale.width):
        if heading.name:
            name = typeset(heading.name, lefts[-1] + scale.width, size=scale.text, most_lines=2, colour=FAINT)
            items.append((0, y, name))
            y += name.height + scale.text // 5
        widest = max(measure(label, scale.text) for label in heading.labels)
        labels = _labels(heading.labels, starts, length, min(widest, 5 * scale.text))
        all_shown = len(labels) == len(starts)
        align = 0.5 if all_shown else 0
        texts = [
            (x + apart // 2, typeset(label, max(1, room - apart), size=scale.text, most_lines=3, align=align))
            for x, room, label in labels
        ]
        y += max(text.height for _, text in texts)
        items += [(x, y - text.height, text) for x, text in texts]
        if len(starts) < len(lefts) and widest and all_shown:
            items += [(x, y + apart, Rule(text.width)) for x, text in texts]
            y += 2 * apart
    return items, y + scale.gap if y else 0


def _row_headings(headings: Sequence[Heading], tops: list[int], scale: Scale) -> tuple[list[_Item], int]:
    """Returns the headings beside the rows (with y < 0, above them), and their width."""
    items: list[_Item] = []
    x, line = 0, line_height(scale.text)
    for heading, starts, length in _levels(headings, tops, scale.height):
        room = min(12 * scale.text, scale.longest // (4 * len(headings)))
        name = typeset(heading.name, room, size=scale.text, most_lines=3, align=0, colour=FAINT)
        texts = [(-scale.gap - name.height, name)] if name.lines else []
        for y, _, label in _labels(heading.labels, starts, length, line):
            text = typeset(label, room, size=scale.text, most_lines=max(1, min(4, length // line)), align=0)
            texts.append((y + max(0, (length - text.height) // 2), text))
        width = math.ceil(max(text.extent for _, text in texts))
        items += [(x, y, text._replace(width=width)) for y, text in texts]
        x += width + max(scale.gap, 3 * scale.text // 4) if width else 0
    return items, x


def plan_freely(positions: np.ndarray, tiles: Sequence[Tile], scale: Scale) -> Plan:
    """Lays out tiles at positions [N, 2], from (0, 0), in units of a tile with its caption and a gap."""
    size = np.array([scale.width, scale.height + scale.below])
    corners = np.round(positions * (size + scale.gap)).astype(int)
    width, height = (corners.max(axis=0, initial=0) + size).tolist()
    return Plan(width, height, [(x, y, tile) for (x, y), tile in zip(corners.tolist(), tiles, strict=True)])


def framed(plan: Plan, title: str, caption: str, scale: Scale) -> Plan:
    """Adds a title above, a caption below and a margin around."""
    size, margin = round(_TITLE * scale.text), max(2 * scale.gap, scale.text)
    # A small grid is widened for its title and caption.
    wanted = max(measure(title, size), measure(caption, scale.text)) + 1
    width = max(plan.width, int(min(wanted, 24 * size, scale.longest - 2 * margin)))
    above = typeset(title, width, size=size, most_lines=3)
    below = typeset(caption, width, size=scale.text, most_lines=12, align=0)
    left, top = (width - plan.width) // 2, above.height + size // 2 if above.lines else 0
    bottom = top + plan.height
    # Centred over the tiles, as far as the headings beside them allow.
    room = (width - above.extent) / 2
    aside = left + (plan.left + plan.width - width) / 2
    items = [*_moved(plan.items, left, top), (int(max(-room, min(room, aside))), 0, above)]
    if below.lines:
        items.append((0, bottom + scale.gap + scale.text // 2, below))
        bottom += scale.gap + scale.text // 2 + below.height
    return Plan(width + 2 * margin, bottom + 2 * margin, _moved(items, margin, margin))


def _moved(items: Iterable[_Item], x: int, y: int) -> list[_Item]:
    return [(left + x, top + y, item) for left, top, item in items]


def typeset_caption(tile: Tile, width: int, size: int) -> Text:
    """Returns the caption of a tile for its width and the size of text, in pixels."""
    return typeset(tile.caption, max(1, width - size // 4), size=size, most_lines=3)
