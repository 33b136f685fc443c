"""Decoding: the first picture of a file, upright, in the colours and at the precision in which it is stored."""

import difflib
import functools
import io
import itertools
import logging
import math
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from nst_jax.errors import UserError
from nst_jax.io import png_colour
from nst_jax.io.files import file_error
from nst_jax.io.image_metadata import DESCRIPTION, ORIENTATION, carried, settings_text, with_known_types

READABLE = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # some other readers of Pillow start programs (EPS)
MAX_PIXELS = 178_956_970  # above, Pillow calls it a decompression bomb; pictures of 150 MP cameras are below
MAX_BYTES = 8 * MAX_PIXELS  # the largest file that such a picture needs: 16-bit RGBA, not compressed

_LOG = logging.getLogger(__name__)
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_COLOURS = {0: 1, 1: 1, 2: 3, 5: 4}  # channels by photometric interpretation: white is 0, black is 0, RGB, CMYK
_FOREIGN = {
    rb"version https://git-lfs": "a git-lfs pointer (run `git lfs pull`)",
    rb"\s*<": "a web page or other markup",
    rb".{4}ftyp(hei|hev|mif)": "HEIC (convert it to JPEG)",
}
# What the libraries raise for bytes they cannot decode, as found by fuzzing; a Warning under `python -W error`.
BAD_DATA: tuple[type[Exception], ...]
BAD_DATA = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError)
BAD_DATA += (TypeError, ValueError, Warning, Image.DecompressionBombError, struct.error, zlib.error)


class Source(NamedTuple):
    """The content of a file, upright.

    Attributes:
        colours: samples of any type `[H, W, C]`: C = 1 is grey, 3 RGB, 4 CMYK.
        alpha: samples `[H, W]`; None for an opaque picture.
        white: the highest value of a sample.
        profile: the embedded ICC profile.
        exif: the EXIF block to carry along, see `image_metadata.carried`.
    """

    colours: np.ndarray
    alpha: np.ndarray | None
    white: int
    profile: bytes | None
    exif: bytes


@contextmanager
def decoding(path: Path) -> Iterator[io.BufferedReader]:
    """Opens a file for the libraries that decode it; what they raise over its content becomes one line.

    Raises:
        UserError: the file is missing, damaged, too large or no picture.
    """
    head = b""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer, perhaps for ever
            raise ValueError("a folder, pipe or device")
        if not 0 < status.st_size <= MAX_BYTES:
            raise ValueError(f"{status.st_size:,} bytes")
        with path.open("rb") as file:
            head = file.peek(64)
            yield file
    except FileNotFoundError as error:
        names: list[str] = []
        with suppress(OSError):  # the folder may be missing too, or hold millions of names, slow to compare
            names += (other.name for other in itertools.islice(path.parent.iterdir(), 1000))
        raise file_error(path, f"no such file{_meant(path.name, names)}") from error
    except UserError:  # of a store
        raise
    except BAD_DATA as error:
        foreign = (name for pattern, name in _FOREIGN.items() if re.match(pattern, head, re.DOTALL))
        found = "unknown or damaged data" if isinstance(error, UnidentifiedImageError) else str(error)
        if isinstance(error, Image.DecompressionBombError) and (count := re.search(r"\d+", found)):
            found = f"{int(count[0]):,}"  # Pillow's own words are of an attack
        problem = f"expected a whole picture ({', '.join(READABLE)}) of at most {MAX_PIXELS:,} pixels"
        raise file_error(path, f"{problem}, found: {next(foreign, found)}; replace or convert it") from error


def _meant(name: str, names: list[str]) -> str:
    """Returns what a name that is not there may stand for: a similar one, or one that a list of files has divided."""
    divided = [other for other in names if other.startswith(f"{name},")]
    similar = " or ".join(divided[:3] or difflib.get_close_matches(name, names))
    escape = " (in a list of files, \\, is a comma in a name)" if divided else ""
    return similar and f", did you mean {similar}?{escape}"


def decode(file: io.BufferedReader) -> Source:
    """Returns the first picture of a file that `decoding` has opened."""
    if file.peek(4)[:4] in _TIFF_HEADS:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            # The libraries would take missing strips or tiles for black.
            if math.prod(page.chunked) != len(page.databytecounts) or not all(page.databytecounts):
                raise ValueError("strips or tiles are missing")
            if page.dtype is not None and page.dtype.itemsize > 1:
                return _deep_tiff(file, tiff)
    with _opened(file) as image:
        profile, getexif = image.info.get("icc_profile"), image.getexif
        if image.format == "PNG":
            file.seek(0)
            data = file.read()
            profile = _png_profile(data, profile, Path(file.name))
            samples = imagecodecs.png_decode(data)  # Pillow truncates 16 bits, and takes missing rows for black
            if (exif := png_colour.chunks(data).get(b"eXIf")) is not None:
                image.info["exif"] = exif
            getexif = functools.partial(Image.Image.getexif, image)  # that of PNG decodes the pixels to look behind
        elif image.mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK") and "transparency" not in image.info:
            samples = np.asarray(image)
        else:
            samples = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
        block = image.info.get("exif")
        if isinstance(block, bytes) and (known := with_known_types(block)) != block:
            getexif = functools.partial(_loaded, known)
        samples = np.atleast_3d(samples)
        count = 4 if image.mode == "CMYK" else 1 if samples.shape[-1] < 3 else 3
        white = 1 if samples.dtype == bool else np.iinfo(samples.dtype).max
        return _source(samples, count, white, profile, getexif, Path(file.name))


def frames(file: io.BufferedReader) -> int:
    """Returns the number of pictures in a file that `decoding` has opened, of which `decode` returns the first."""
    if file.peek(4)[:4] in _TIFF_HEADS:
        with tifffile.TiffFile(file) as tiff:
            count = len(tiff.pages)
    else:
        with _opened(file) as image:
            count = getattr(image, "n_frames", 1)
    file.seek(0)
    return count


def stored_shape(file: io.BufferedReader) -> tuple[int, int]:
    """Returns height and width of the first picture of a file that `decoding` has opened, as they are stored."""
    if file.peek(4)[:4] in _TIFF_HEADS:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            return page.imagelength, page.imagewidth
    with _opened(file) as image:
        return image.height, image.width


def _loaded(block: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(block)
    return exif


@contextmanager
def _opened(file: io.BufferedReader) -> Iterator[Image.Image]:
    """Opens a picture with Pillow, which warns of an attack from half of `MAX_PIXELS` on and refuses beyond."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(file, formats=READABLE)
    with image:
        yield image


def _png_profile(data: bytes, embedded: bytes | None, path: Path) -> bytes | None:
    problem: Exception
    try:
        return png_colour.profile(data, embedded)
    except UserError as error:
        problem = error
    except BAD_DATA as error:
        problem = error
    _LOG.warning("%s", file_error(path, f"what it says of its colours is left out ({problem})"))
    return embedded


def _deep_tiff(file: io.BufferedReader, tiff: tifffile.TiffFile) -> Source:
    """Decodes the first page of a TIFF of more than 8 bits per channel, which Pillow would refuse or truncate."""
    page = tiff.pages.first
    count = _TIFF_COLOURS.get(page.photometric)
    if count is None or page.axes not in ("YX", "YXS", "SYX") or page.dtype is None or page.dtype.kind not in "uf":
        raise ValueError(f"{page.dtype} samples, {page.photometric!r}, axes {page.axes}")
    if page.imagewidth * page.imagelength > MAX_PIXELS or page.nbytes > MAX_BYTES:
        raise ValueError(f"{page.imagewidth} × {page.imagelength} pixels")
    samples = page.asarray()
    samples = np.atleast_3d(np.moveaxis(samples, 0, -1) if page.axes == "SYX" else samples)
    white = 1 if page.dtype.kind == "f" else 2**page.bitspersample - 1
    if page.dtype.kind == "f" and not (samples.min() >= 0 and samples.max() <= 1):  # NaN is not either
        raise ValueError(f"float samples from {samples.min()} to {samples.max()}, not in [0, 1]")
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        samples[..., 0] = white - samples[..., 0]
    extra = page.extrasamples[0] if page.extrasamples else tifffile.EXTRASAMPLE.UNSPECIFIED
    if extra == tifffile.EXTRASAMPLE.UNSPECIFIED:
        samples = samples[..., :count]
    elif extra == tifffile.EXTRASAMPLE.ASSOCALPHA:  # the colours are multiplied by it
        samples = samples.astype(np.float32)
        alpha = samples[..., count : count + 1]
        samples[..., :count] *= white / np.where(alpha > 0, alpha, np.inf)

    def getexif() -> Image.Exif:
        exif = Image.Exif()
        exif.endian, exif.bigtiff = tiff.byteorder, tiff.is_bigtiff
        exif.load_from_fp(file, page.offset)
        return exif

    return _source(samples, count, white, page.tags.valueof(34675), getexif, Path(file.name))


def _source(
    samples: np.ndarray, count: int, white: int, profile: bytes | None, getexif: Callable[[], Image.Exif], path: Path
) -> Source:
    """Splits samples `[H, W, count or, with alpha, more]`, upright; an EXIF block that is broken costs only itself."""
    if not samples.size:
        raise ValueError("no pixels")
    orientation, block = 1, b""
    try:
        exif = getexif()
        orientation = exif.get(ORIENTATION, 1)
        block = carried(exif)
    except BAD_DATA as error:
        _LOG.warning("%s", file_error(path, f"its EXIF is left out ({error})"))
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    opaque = samples.shape[-1] == count or (samples[..., count] == white).all()
    return Source(samples[..., :count], None if opaque else samples[..., count], white, profile, block)


def read_settings_text(file: io.BufferedReader) -> str:
    """Returns the settings in a file that `decoding` has opened, as JSON; an empty text where there are none."""
    if file.peek(4)[:4] in _TIFF_HEADS:
        with tifffile.TiffFile(file) as tiff:
            return settings_text(tiff.pages.first.description)
    with _opened(file) as image:
        if image.format == "PNG":  # its EXIF may be behind the pixels, which Pillow would decode to look there
            return str(image.info.get("nst_jax", ""))
        return settings_text(image.getexif().get(DESCRIPTION))
