"""Pictures one after the other, in an endless loop: an animated GIF or WebP."""

import functools
import io
import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from PIL import Image

from nst_jax.errors import UserError
from nst_jax.io.files import atomic_write, check_target, file_error

from .thumbnails import open_picture

_T = TypeVar("_T")
_FADING = 40  # ms per frame of a cross-fade
_UNIT = 10  # ms, that of GIF
_LONGEST = 2**16 * _UNIT - _UNIT
_FORMATS: dict[str, dict[str, Any]] = {
    ".gif": {"format": "GIF"},
    ".webp": {"format": "WEBP", "quality": 90, "method": 4},
}
_UNFIT = (ArithmeticError, OSError, RuntimeError, ValueError, struct.error)  # raised by the encoders of Pillow
_SAMPLED = 2**16  # pixels of all pictures together that make the palette; more would take long


def there_and_back(pictures: Sequence[_T]) -> list[_T]:
    """Returns the pictures to the last and back to the second: in a loop, none is shown twice in a row."""
    return [*pictures, *pictures[-2:0:-1]]


def check_animation(path: Path) -> None:
    """Checks that the suffix of a path is one that `write_animation` knows: worth a call before hours of computing.

    Raises:
        UserError: it is not.
    """
    if path.suffix.lower() not in _FORMATS:
        raise file_error(path, f"expected one of the suffixes {', '.join(_FORMATS)}, found {path.suffix or 'none'}")


def write_animation(
    path: Path, pictures: Sequence[Path], *, seconds_per_picture: float = 1.0, cross_fade: float = 0.0
) -> None:
    """Writes pictures as an endless loop, atomically.

    A WebP is lossy, with quality 90. A GIF has one palette for all frames: with one per frame, constant areas would
    flicker. Pictures are read when they are needed, some of them twice; memory holds a GIF with one byte per pixel of
    each frame, a WebP in the size of its file.

    Args:
        path: the file to write; its suffix chooses the format, `.gif` or `.webp`.
        pictures: the files, in order, of equal size; for a way back see `there_and_back`.
        seconds_per_picture: seconds for which each is shown alone, from 0.01 to 655.35.
        cross_fade: seconds of the fade from each to the next, and from the last to the first, at most 655.35.

    Raises:
        UserError: unknown suffix, no pictures, seconds out of range, a picture that cannot be read or differs in size
            from the first, a size that the format does not allow, or the file cannot be written.
    """
    check_animation(path)
    options = _FORMATS[path.suffix.lower()]
    check_target(path)
    if not pictures:
        raise file_error(path, "expected pictures to animate, found none")
    shots = _shots(len(pictures), _milliseconds(seconds_per_picture, least=_UNIT), _milliseconds(cross_fade, least=0))
    sample = _sample(pictures)
    read = functools.lru_cache(2)(open_picture)  # both that a cross-fade needs

    def frame(index: int) -> Image.Image:
        shot = shots[index]
        if shot.share == 0:
            return read(pictures[shot.picture])
        following = read(pictures[(shot.picture + 1) % len(pictures)])
        return Image.blend(read(pictures[shot.picture]), following, shot.share)

    data = io.BytesIO()
    try:
        film = _Film(len(shots), _dithered(frame, sample) if options["format"] == "GIF" else frame)
        film.save(data, save_all=True, duration=[shot.milliseconds for shot in shots], loop=0, **options)
    except _UNFIT as error:
        width, height = read(pictures[0]).size
        problem = f"{len(shots)} frames of {width} × {height} px do not fit this format ({error})"
        raise file_error(path, f"{problem}: choose another of {', '.join(_FORMATS)}, or smaller pictures") from error
    with atomic_write(path) as file:
        file.write(data.getbuffer())


class _Shot(NamedTuple):
    """The content of a frame: a picture, mixed with a share of the next one."""

    picture: int
    share: float
    milliseconds: int


class _Film(Image.Image):
    """An image of several frames as Pillow expects it, each made when it is needed.

    Pillow would hold all images of a list in memory.
    """

    def __init__(self, count: int, frame: Callable[[int], Image.Image]) -> None:
        super().__init__()
        self.n_frames, self._frame, self._position = count, frame, -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Makes a frame the current one; EOFError after the last, which ends iterations."""
        if frame >= self.n_frames:
            raise EOFError
        if frame != self._position:
            made = self._frame(frame)
            self._mode, self._size, self.im, self.palette = made.mode, made.size, made.im, made.palette
            self._position = frame

    def tell(self) -> int:
        """Returns the number of the current frame."""
        return self._position


def _milliseconds(seconds: float, *, least: int) -> int:
    rounded = round(seconds * 1000 / _UNIT) * _UNIT if math.isfinite(seconds) else -1
    if not least <= rounded <= _LONGEST:
        raise UserError(f"expected seconds from {least / 1000:g} to {_LONGEST / 1000:g}, found {seconds}")
    return rounded


def _shots(count: int, alone: int, fading: int) -> list[_Shot]:
    """Returns the frames of a loop of `count` pictures."""
    between = fading // _FADING if count > 1 else 0
    fades = [(number / (between + 1), _FADING) for number in range(1, between + 1)]
    return [_Shot(picture, share, time) for picture in range(count) for share, time in [(0.0, alone), *fades]]


def _sample(pictures: Sequence[Path]) -> Image.Image:
    """Returns some pixels of each picture in one column; checks that all are readable and of one size."""
    sample: Image.Image | None = None
    for number, path in enumerate(pictures):
        picture = open_picture(path)
        if sample is None:
            first = picture.size
            share = min(1, math.sqrt(_SAMPLED / len(pictures) / math.prod(first)))
            width, height = (max(1, round(share * side)) for side in first)
            sample = Image.new("RGB", (width, height * len(pictures)))
        if picture.size != first:
            expected, found = (f"{width} × {height} px" for width, height in (first, picture.size))
            raise file_error(path, f"expected {expected} like {pictures[0]}, found {found}: give equal sizes")
        # The nearest pixels, as averages would be other colours.
        sample.paste(picture.resize((width, height), Image.Resampling.NEAREST), (0, number * height))
    assert sample is not None, "there are pictures"
    return sample


def _dithered(frame: Callable[[int], Image.Image], sample: Image.Image) -> Callable[[int], Image.Image]:
    # Without k-means a sky has bands; an octree leaves single white dots in it.
    palette = sample.quantize(256, Image.Quantize.MEDIANCUT, kmeans=1)
    return lambda index: frame(index).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
