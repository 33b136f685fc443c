"""Text in boxes: broken into lines, shortened if it does not fit, and drawn."""

import bisect
import functools
import math
import re
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from nst_jax.errors import one_line

from ..plotting.figures import data_folder

INK, FAINT = "#222222", "#777777"
_FONT = Path(data_folder(), "fonts", "ttf", "DejaVuSans.ttf")  # has ⁻⁵, × and … on every computer
_LINE = 1.25  # height of a line, in units of the size of the text
_BASE = 0.97  # from the top of a line to its baseline, in the same unit
_BREAK = re.compile(r"\s|[_/,;:=-](?=.)")
_SMALLEST = 4  # at which words are still recognisable
_FULL = 0.8  # share of a box that a word fills at most


class Text(NamedTuple):
    """Lines of text in a box, which they never leave.

    Attributes:
        lines: from top to bottom; empty for an empty text.
        size: size of the font in pixels.
        width: width of the box in pixels.
        align: position of shorter lines in the box: 0 left, 0.5 in the middle, 1 right.
        colour: as for Pillow.
    """

    lines: tuple[str, ...]
    size: int
    width: int
    align: float = 0.5
    colour: str = INK

    @property
    def height(self) -> int:
        """Height of the box in pixels."""
        return line_height(self.size, len(self.lines))

    @property
    def extent(self) -> float:
        """Length of the longest line in pixels."""
        return max(map(_font(self.size).getlength, self.lines), default=0)

    def draw(self, sheet: Image.Image, x: int, y: int) -> None:
        """Draws the text; (x, y) is the upper left corner of its box."""
        if not self.lines:
            return
        # On a separate canvas, so that stacked accents and the like stay within the box.
        mask = Image.new("L", (self.width, self.height))
        draw, font = ImageDraw.Draw(mask), _font(self.size)
        for number, line in enumerate(self.lines):
            left = self.align * (self.width - font.getlength(line))
            draw.text((left, (number * _LINE + _BASE) * self.size), line, 255, font, anchor="ls")
        sheet.paste(self.colour, (x, y), mask)


def typeset(text: str, width: int, *, size: int, most_lines: int, align: float = 0.5, colour: str = INK) -> Text:
    """Breaks a text into lines that fit: at spaces or after signs, otherwise anywhere; the last may lose its middle.

    Args:
        text: any text; unprintable characters are escaped.
        width: width of the box in pixels.
        size: size of the font in pixels.
        most_lines: maximal number of lines.
        align: see `Text`.
        colour: see `Text`.
    """
    length = _font(size).getlength
    lines: list[str] = []
    rest = _clean(text)
    while length(rest) > width and len(lines) + 1 < most_lines:
        fits = bisect.bisect_right(range(len(rest)), float(width), key=lambda count: length(rest[:count])) - 1
        breaks = (match.end() for match in _BREAK.finditer(rest[: fits + 1]))
        end = max(breaks, default=max(1, fits))
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    if rest:
        lines.append(rest if length(rest) <= width else _shortened(rest, width, size))
    return Text(tuple(lines), size, width, align, colour)


def typeset_word(text: str, width: int, height: int, *, size: int) -> Text:
    """Sets a text in one faint line, small enough to fit; returns an empty text if it would be illegible.

    Args:
        text: the word.
        width: width of the box in pixels.
        height: height of the box in pixels.
        size: maximal size of the font in pixels.
    """
    for smaller in range(min(size, int(_FULL * height / _LINE)), _SMALLEST - 1, -1):
        if measure(text, smaller) <= _FULL * width:
            return typeset(text, width, size=smaller, most_lines=1, colour=FAINT)
    return Text((), size, width)


def measure(text: str, size: int) -> float:
    """Returns the length of a text in one line, in pixels."""
    return _font(size).getlength(_clean(text))


def line_height(size: int, lines: int = 1) -> int:
    """Returns the height of lines in pixels."""
    return math.ceil(lines * _LINE * size)


def _shortened(text: str, width: int, size: int) -> str:
    """Leaves out the middle: labels may differ at their beginning or at their end."""
    shorter = [f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}" for kept in range(len(text))]
    return shorter[max(0, bisect.bisect_right(shorter, float(width), key=_font(size).getlength) - 1)]


def _clean(text: str) -> str:
    return one_line(text, longest=1000).strip()


@functools.lru_cache(16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FONT, size)
