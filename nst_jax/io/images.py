"""Pictures from and to files: float32 sRGB in memory, colours managed at the border, no file ever half written.

Whatever is wrong with a file, given or wanted, is raised as a `UserError` of one line.
"""

import difflib
import io
import itertools
import json
import logging
import math
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image, UnidentifiedImageError

from nst_jax.io.files import atomic_write, check_target, file_error

READABLE = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # some other readers of Pillow start programs (EPS)
MAX_PIXELS = 178_956_970  # above, Pillow calls it a decompression bomb; pictures of 150 MP cameras are below
MAX_BYTES = 8 * MAX_PIXELS  # the largest file that such a picture needs: 16-bit RGBA, not compressed
MIN_SIDE = 32  # VGG pools four times before its fifth block, which needs 2 × 2 positions to have statistics
MAX_EXIF = 32_768  # half of what a JPEG holds, the other half is for the settings

_LOG = logging.getLogger(__name__)
_SETTINGS = "nst_jax settings: "  # tells our ImageDescription from anyone else's
_ORIENTATION, _DESCRIPTION = ExifTags.Base.Orientation, ExifTags.Base.ImageDescription
# Carried along are description, make, model, orientation, software, date, artist, copyright and Windows' XP tags; the
# other tags of IFD0 describe how the source was encoded (in a TIFF: where its strips are).
_CARRIED = {_DESCRIPTION, 0x010F, 0x0110, _ORIENTATION, 0x0131, 0x0132, 0x013B, 0x8298, *range(0x9C9B, 0x9CA0)}
# Of the sub-IFDs, MakerNote (its offsets are absolute), colour space, size, interoperability and gamma are outdated.
_OUTDATED = {0x927C, 0xA001, 0xA002, 0xA003, 0xA005, 0xA500}
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_COLOURS = {0: 1, 1: 1, 2: 3, 5: 4}  # channels by photometric interpretation: white is 0, black is 0, RGB, CMYK
_FOREIGN = {
    rb"version https://git-lfs": "a git-lfs pointer (run `git lfs pull`)",
    rb"\s*<": "a web page or other markup",
    rb".{4}ftyp(hei|hev|mif)": "HEIC (convert it to JPEG)",
}
# What the libraries raise for bytes they cannot decode, as found by fuzzing; a Warning under `python -W error`.
_BAD_DATA: tuple[type[Exception], ...]
_BAD_DATA = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError)
_BAD_DATA += (TypeError, ValueError, Warning, Image.DecompressionBombError, struct.error, zlib.error)

_profile = imagecodecs.cms_profile("srgb")
# With a date of creation that is not now: equal pictures make equal files.
SRGB_PROFILE = _profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + _profile[36:]


class Picture(NamedTuple):
    """A picture in memory, upright.

    Attributes:
        pixels: float32 [H, W, 3] in [0, 1], sRGB-encoded, not multiplied by alpha.
        alpha: float32 [H, W] in [0, 1], 0 is transparent; None for an opaque picture.
        exif: EXIF block of the source with orientation 1, without thumbnail, MakerNote and what describes its encoding;
            b"" where there is none.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    exif: bytes = b""


def read(path: str | os.PathLike, *, size: int | None = None) -> Picture:
    """Read the (first) picture of a file, upright, in sRGB and at the full precision of its 8, 16 or float bits.

    An embedded ICC profile is honoured. Where there is none, or none that can be used (logged), grey and RGB are taken
    as sRGB and CMYK as plain ink coverage.

    Args:
        path: a file in one of the formats `READABLE`.
        size: long side of the result in pixels; None leaves it as it is.

    Raises:
        UserError: the file is missing, damaged, incomplete, too large or no picture, has float samples outside [0, 1],
            or the short side of the result is under `MIN_SIDE`.
    """
    path = Path(path)
    with _decoding(path) as file:
        source = _decode(file)
    colours, alpha = source.colours, source.alpha
    height, width, _ = colours.shape
    shape = _resized_shape(path, height, width, size)
    if alpha is not None:
        # Weighted by alpha, what hides under transparent pixels does not bleed into their neighbours.
        colours = colours * (alpha / np.float32(source.white))[..., None]
        alpha = np.clip(resize(alpha, shape) / source.white, 0, 1)
    colours = resize(colours, shape)
    colours /= source.white
    if alpha is not None:
        hidden = alpha < 0.5 / 65_535
        alpha[hidden] = 0
        colours /= np.where(hidden, 1, alpha)[..., None]
    # Resized first, there are mostly fewer pixels for the transform, which is exact but slow in float.
    pixels = _to_srgb(path, np.clip(colours, 0, 1, out=colours), source.profile)
    if alpha is not None:
        # Translucent pixels keep their own colour, nothing is composited away. Transparent ones have none that anyone
        # meant, yet the network sees one: white, the paper under the picture, is the least of an object.
        pixels[hidden] = 1
    return Picture(pixels, alpha, source.exif)


def resize(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize with Lanczos-3, antialiased, in float; at edges the filter overshoots the range of the pixels.

    Args:
        pixels: [H, W] or [H, W, C], any range.
        shape: (height, width) of the result.

    Returns:
        float32 [*shape] or [*shape, C].
    """
    if pixels.ndim == 3:
        return np.stack([resize(channel, shape) for channel in np.moveaxis(pixels, -1, 0)], axis=-1)
    channel = Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    return np.array(channel.resize(shape[::-1], Image.Resampling.LANCZOS))


def write(
    path: str | os.PathLike, picture: Picture, *, bits: int = 8, settings: Mapping[str, object] | None = None
) -> None:
    """Write a picture with an sRGB profile, its EXIF and the settings; equal arguments make equal bytes.

    Args:
        path: where to; the suffix chooses the format (`.png`, `.jpg`, `.jpeg`, `.webp`, `.tif`, `.tiff`). JPEG has no
            alpha: the picture is put on white.
        picture: what to write; values are clipped to [0, 1].
        bits: bits a channel, 8 or (PNG and TIFF) 16.
        settings: what made the picture, anything JSON can hold. It becomes the ImageDescription, in place of the
            source's, and in a PNG the text chunk `nst_jax` as well.

    Raises:
        UserError: as `check_output`; also NaN in the picture, a size the format cannot hold, or a full disk.
    """
    path = Path(path)
    encode = _encoder(path, bits)
    pixels = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    if np.isnan(pixels).any():
        raise file_error(path, "not written, some pixels are NaN: use smaller steps or weights")
    levels = 2**bits - 1
    samples = np.floor(np.clip(pixels, 0, 1) * levels + 0.5).astype(np.min_scalar_type(levels), order="C")
    exif = Image.Exif()
    exif.load(picture.exif)
    if settings is not None:
        exif[_DESCRIPTION] = _SETTINGS + json.dumps(settings)
    try:
        data = encode(samples, exif)
    except _BAD_DATA as error:
        problem = f"{samples.shape[1]} × {samples.shape[0]} px and the metadata do not fit this format ({error})"
        raise file_error(path, f"{problem}: choose another of {', '.join(_ENCODERS)}") from error
    with atomic_write(path) as file:
        file.write(data)


def read_settings(path: str | os.PathLike) -> dict | None:
    """Return the settings that `write` put into a file, None if there are none.

    Raises:
        UserError: the file is missing or no picture.
    """
    with _decoding(Path(path)) as file:
        if file.peek(4)[:4] in _TIFF_HEADS:
            with tifffile.TiffFile(file) as tiff:
                text = str(tiff.pages.first.description)
        else:
            with Image.open(file, formats=READABLE) as image:
                if image.format == "PNG":  # its EXIF may be behind the pixels, which Pillow would decode to look there
                    text = _SETTINGS + image.info.get("nst_jax", "")
                else:
                    text = str(image.getexif().get(_DESCRIPTION))
    try:
        settings = json.loads(text.partition(_SETTINGS)[2])
    except (ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None


def check_format(path: str | os.PathLike, *, bits: int = 8) -> None:
    """Check that the suffix of a path is one that `write` knows, for these bits a channel.

    Raises:
        UserError: it is not.
    """
    _encoder(Path(path), bits)


def check_output(path: str | os.PathLike, *, bits: int = 8) -> None:
    """Check beforehand what can be checked of `write`: worth a call before hours of computing.

    Raises:
        UserError: unknown suffix, bits that the format does not hold, a folder that is missing or not writable, or
            something at `path` that is no regular file.
    """
    check_format(path, bits=bits)
    check_target(Path(path))


class _Source(NamedTuple):
    """What a file holds, upright; samples of any dtype, `white` is the highest value."""

    colours: np.ndarray  # [H, W, C], C = 1 grey, 3 RGB, 4 CMYK
    alpha: np.ndarray | None  # [H, W], None also where all is opaque
    white: int
    profile: bytes | None
    exif: bytes


@contextmanager
def _decoding(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for the libraries; what they raise over its content becomes one line."""
    head = b""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would be to wait for a writer, maybe for ever
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
        similar = " or ".join(difflib.get_close_matches(path.name, names))
        raise file_error(path, f"no such file{similar and f', did you mean {similar}?'}") from error
    except _BAD_DATA as error:
        foreign = (name for pattern, name in _FOREIGN.items() if re.match(pattern, head, re.DOTALL))
        found = "unknown or damaged data" if isinstance(error, UnidentifiedImageError) else str(error)
        problem = f"expected a whole picture ({', '.join(READABLE)}) of at most {MAX_PIXELS:,} pixels"
        raise file_error(path, f"{problem}, found: {next(foreign, found)}; replace or convert it") from error


def _decode(file: io.BufferedReader) -> _Source:
    if file.peek(4)[:4] in _TIFF_HEADS:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            # The libraries would take missing strips or tiles for black.
            if math.prod(page.chunked) != len(page.databytecounts) or not all(page.databytecounts):
                raise ValueError("strips or tiles are missing")
            if page.dtype is not None and page.dtype.itemsize > 1:
                return _decode_deep_tiff(file, tiff)
    with Image.open(file, formats=READABLE) as image:
        image.load()
        if image.format == "PNG":
            file.seek(0)
            samples = imagecodecs.png_decode(file.read())  # Pillow truncates 16 bits, and takes missing rows for black
        elif image.mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK") and "transparency" not in image.info:
            samples = np.asarray(image)
        else:
            samples = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
        samples = np.atleast_3d(samples)
        count = 4 if image.mode == "CMYK" else 1 if samples.shape[-1] < 3 else 3
        white = 1 if samples.dtype == bool else np.iinfo(samples.dtype).max
        return _source(samples, count, white, image.info.get("icc_profile"), image.getexif, Path(file.name))


def _decode_deep_tiff(file: io.BufferedReader, tiff: tifffile.TiffFile) -> _Source:
    """Decode the first page of a TIFF of more than 8 bits a channel, which Pillow would refuse or truncate."""
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
) -> _Source:
    """Split samples [H, W, count or, with alpha, more], upright; an EXIF block that is broken costs only itself."""
    if not samples.size:
        raise ValueError("no pixels")
    orientation, block = 1, b""
    try:
        exif = getexif()
        orientation = exif.get(_ORIENTATION, 1)
        block = _carried(exif)
    except _BAD_DATA as error:
        _LOG.warning("%s", file_error(path, f"its EXIF is left out ({error})"))
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    opaque = samples.shape[-1] == count or (samples[..., count] == white).all()
    return _Source(samples[..., :count], None if opaque else samples[..., count], white, profile, block)


def _carried(exif: Image.Exif) -> bytes:
    kept = Image.Exif()
    for tag in _CARRIED & exif.keys():
        kept[tag] = 1 if tag == _ORIENTATION else exif[tag]
    if str(kept.get(_DESCRIPTION)).startswith(_SETTINGS):
        del kept[_DESCRIPTION]  # they made the source, not what will be made of it
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if tags := {tag: value for tag, value in exif.get_ifd(ifd).items() if tag not in _OUTDATED}:
            kept[ifd] = tags
    block = kept.tobytes() if kept else b""
    if len(block) > MAX_EXIF:
        raise ValueError(f"{len(block):,} bytes, more than {MAX_EXIF:,}")
    return block


def _resized_shape(path: Path, height: int, width: int, size: int | None) -> tuple[int, int]:
    long, short = max(height, width), min(height, width)
    if size is not None:
        height, width = (max(1, round(side * size / long)) for side in (height, width))
    if short < MIN_SIDE:  # nor is there anything in it to be seen larger
        raise file_error(path, f"expected a short side of {MIN_SIDE} px or more, found {short} px: choose another")
    if min(height, width) < MIN_SIDE:
        found = f"expected a short side of {MIN_SIDE} px or more, found {width} × {height} px"
        raise file_error(path, f"{found}: crop it or give a size of {-(-MIN_SIDE * long // short)} or more")
    if height * width > MAX_PIXELS:
        raise file_error(path, f"expected {MAX_PIXELS:,} pixels at most, found {width} × {height}: give a smaller size")
    return height, width


def _to_srgb(path: Path, colours: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Convert float32 [H, W, 1, 3 or 4] in [0, 1] (grey, RGB or CMYK) to sRGB [H, W, 3] in [0, 1]."""
    channels = colours.shape[-1]
    if not isinstance(profile, bytes):  # None, or a tag of the wrong type
        profile = SRGB_PROFILE
    if channels == 1 and profile[16:20] != b"GRAY":
        colours, channels = np.repeat(colours, 3, axis=-1), 3
    if profile != SRGB_PROFILE:
        values = colours * 100 if channels == 4 else colours  # ink is in per cent
        space = {1: "gray", 3: "rgb", 4: "cmyk"}[channels]
        try:
            srgb = imagecodecs.cms_transform(
                values, profile, SRGB_PROFILE, colorspace=space, outcolorspace="rgb", outdtype="float32"
            )
            return np.clip(srgb.reshape(*colours.shape[:2], 3), 0, 1)
        except imagecodecs.CmsError as error:
            _LOG.warning("%s", file_error(path, f"its ICC profile cannot be used ({error}), colours are taken as sRGB"))
    if channels == 4:
        return (1 - colours[..., :3]) * (1 - colours[..., 3:])
    return colours if channels == 3 else np.repeat(colours, 3, axis=-1)


def _encoder(path: Path, bits: int) -> Callable[[np.ndarray, Image.Exif], bytes]:
    suffix = path.suffix.lower()
    if suffix not in _ENCODERS:
        nearest = difflib.get_close_matches(suffix, _ENCODERS, n=len(_ENCODERS), cutoff=0)
        raise file_error(path, f"expected one of the suffixes {', '.join(nearest)}, found {path.suffix or 'none'}")
    encode, depths = _ENCODERS[suffix]
    if bits not in depths:
        fitting = ", ".join(other for other, (_, depths) in _ENCODERS.items() if bits in depths) or "no format"
        raise file_error(path, f"expected {' or '.join(map(str, depths))} bits, found {bits}: {fitting} holds these")
    return encode


def _encode_png(samples: np.ndarray, exif: Image.Exif) -> bytes:
    chunks = {b"iCCP": b"sRGB\0\0" + zlib.compress(SRGB_PROFILE)}
    if exif:
        chunks[b"eXIf"] = exif.tobytes().removeprefix(b"Exif\0\0")
    if (description := str(exif.get(_DESCRIPTION))).startswith(_SETTINGS):
        chunks[b"tEXt"] = b"nst_jax\0" + description.removeprefix(_SETTINGS).encode()
    png = imagecodecs.png_encode(samples)  # Pillow has no 16-bit RGB
    parts = [png[:33]]  # signature and header
    for name, data in chunks.items():
        parts += struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(name + data))
    return b"".join([*parts, png[33:]])


def _encode_tiff(samples: np.ndarray, exif: Image.Exif) -> bytes:
    """Do what no library does, 16-bit RGB with EXIF: an EXIF block is a TIFF that lacks its pixels and their tags."""
    height, width, channels = samples.shape
    differences = samples.copy()
    differences[:, 1:] -= samples[:, :-1]  # modulo 2^bits
    data = zlib.compress(differences.astype(samples.dtype.newbyteorder(">")).data)
    exif.endian = ">"
    exif.update({256: width, 257: height, 258: (8 * samples.itemsize,) * channels, 277: channels})
    exif.update({273: 0, 278: height, 279: len(data)})  # the one strip; Pillow moves 273 to the end of the tags
    exif.update({259: 8, 262: 2, 317: 2, 34675: SRGB_PROFILE})  # zlib, RGB, differences along the row
    if channels == 4:
        exif[338] = 2  # alpha that the colours are not multiplied by
    return exif.tobytes().removeprefix(b"Exif\0\0") + data


def _encode_jpeg(samples: np.ndarray, exif: Image.Exif) -> bytes:
    if samples.shape[-1] == 4:
        colours, alpha = np.split(samples.astype(int), [3], axis=-1)
        samples = (255 - ((255 - colours) * alpha + 127) // 255).astype(np.uint8)
    return _encode_with_pillow(samples, exif, "JPEG", quality=95, subsampling="4:4:4")


def _encode_webp(samples: np.ndarray, exif: Image.Exif) -> bytes:
    # Lossy WebP halves the resolution of colour (4:2:0) at any quality, which blurs saturated strokes.
    return _encode_with_pillow(samples, exif, "WEBP", lossless=True, exact=True)


def _encode_with_pillow(samples: np.ndarray, exif: Image.Exif, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, name, icc_profile=SRGB_PROFILE, exif=exif, **options)
    return buffer.getvalue()


_ENCODERS = {  # and the bits a channel that they take
    ".png": (_encode_png, (8, 16)),
    ".jpg": (_encode_jpeg, (8,)),
    ".jpeg": (_encode_jpeg, (8,)),
    ".webp": (_encode_webp, (8,)),
    ".tif": (_encode_tiff, (8, 16)),
    ".tiff": (_encode_tiff, (8, 16)),
}
