"""Pictures from and to files: float32 sRGB in memory, colours managed at the border, no file ever half written.

Whatever is wrong with a file, given or wanted, is raised as a `UserError` of one line.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from nst_jax.errors import UserError
from nst_jax.io.colour_profile import to_srgb
from nst_jax.io.files import atomic_write, check_target, file_error
from nst_jax.io.image_decoding import BAD_DATA, MAX_PIXELS, Source, decode, decoding, read_settings_text, stored_shape
from nst_jax.io.image_encoding import ENCODERS, encoder
from nst_jax.io.image_metadata import add_settings
from nst_jax.io.stores import located

MIN_SIDE = 32  # VGG pools four times before its fifth block, which needs 2 × 2 positions to have statistics

_BAND = 1 << 22  # pixels of a band of rows


class Picture(NamedTuple):
    """A picture in memory, upright.

    Attributes:
        pixels: float32 [H, W, 3] in [0, 1], sRGB-encoded, not multiplied by alpha.
        alpha: float32 [H, W] in [0, 1], 0 is transparent; None for an opaque picture.
        exif: EXIF block of the source with orientation 1, without thumbnail, MakerNote and tags about its encoding; b""
            if there is none.
        grey: whether the file has one channel of colours; pixels have three equal ones none the less.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    exif: bytes = b""
    grey: bool = False


def read(path: str | os.PathLike, *, size: int | None = None) -> Picture:
    """Reads the (first) picture of a file, upright, in sRGB and at the full precision of its 8, 16 or float bits.

    An embedded ICC profile is honoured. Where there is none, or none that can be used (logged), grey and RGB are taken
    as sRGB and CMYK as plain ink coverage.

    Args:
        path: a file in one of the formats `READABLE`.
        size: long side of the result in pixels; None keeps that of the file.

    Raises:
        UserError: the file is missing, damaged, incomplete, too large or no picture, has float samples outside [0, 1],
            or the short side of the result is under `MIN_SIDE`.
    """
    path = located(path)
    with decoding(path) as file:
        source = decode(file)
    alpha = source.alpha
    height, width, _ = source.colours.shape
    shape = _resized_shape(path, height, width, size)
    colours = _resize_weighted(source, shape)
    colours /= source.white
    if alpha is not None:
        alpha = np.clip(resize(alpha, shape) / source.white, 0, 1)
        hidden = alpha < 0.5 / 65_535
        alpha[hidden] = 0
        colours /= np.where(hidden, 1, alpha)[..., None]
    # Resized first, there are mostly fewer pixels for the transform, which is exact but slow in float.
    pixels = to_srgb(path, np.clip(colours, 0, 1, out=colours), source.profile)
    if alpha is not None:
        # Translucent pixels keep their own colour. Transparent ones have no intended colour, yet the network sees one:
        # white, like paper, is the least of an object.
        pixels[hidden] = 1
    return Picture(pixels, alpha, source.exif, grey=source.colours.shape[-1] == 1)


def shape_of(path: str | os.PathLike) -> tuple[int, int]:
    """Returns height and width of the (first) picture of a file, as it says, before EXIF turns it; decodes no pixel.

    Raises:
        UserError: the file is missing or no picture.
    """
    with decoding(located(path)) as file:
        return stored_shape(file)


def resize(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resizes with Lanczos-3, antialiased, in float; at edges the filter overshoots the range of the pixels.

    Args:
        pixels: [H, W] or [H, W, C], any range.
        shape: (height, width) of the result.

    Returns:
        float32 [*shape] or [*shape, C].
    """
    if pixels.ndim == 3:
        return np.stack([resize(channel, shape) for channel in np.moveaxis(pixels, -1, 0)], axis=-1)
    return _resize_bands(lambda rows: pixels[rows], pixels.shape, shape)


def _resize_weighted(source: Source, shape: tuple[int, int]) -> np.ndarray:
    """Returns the colours of a file `[*shape, C]`, resized, times its alpha: what is transparent bleeds nowhere."""
    height, width, count = source.colours.shape
    white = np.float32(source.white)

    def rows_of(channel: int, rows: slice) -> np.ndarray:
        colours = source.colours[rows, :, channel]
        return colours if source.alpha is None else colours * (source.alpha[rows] / white)

    resized = [_resize_bands(functools.partial(rows_of, channel), (height, width), shape) for channel in range(count)]
    return np.stack(resized, axis=-1)


def _resize_bands(read: Callable[[slice], np.ndarray], found: tuple[int, ...], shape: tuple[int, int]) -> np.ndarray:
    """Resizes a channel that is read in bands of rows: in float, all of a large picture would take gigabytes.

    Pillow resizes along the rows first and along the columns then, so that bands change no bit.
    """
    height, width = found
    step = max(1, _BAND // width)
    bands = []
    for start in range(0, height, step):
        band = Image.fromarray(np.ascontiguousarray(read(slice(start, start + step)), np.float32))
        bands.append(np.array(band.resize((shape[1], band.height), Image.Resampling.LANCZOS)))
    return np.array(Image.fromarray(np.concatenate(bands)).resize(shape[::-1], Image.Resampling.LANCZOS))


class UnwritableError(UserError):
    """A picture that no disk would hold: the reason lies in itself and its format."""


def write(
    path: str | os.PathLike, picture: Picture, *, bits: int = 8, settings: Mapping[str, object] | None = None
) -> None:
    """Writes a picture with an sRGB profile, its EXIF and the settings; equal arguments make equal bytes.

    A picture from a grey file becomes a grey file again, if it has stayed grey and the format has one.

    Args:
        path: path of the file; the suffix chooses the format (`.png`, `.jpg`, `.jpeg`, `.webp`, `.tif`, `.tiff`). JPEG
            has no alpha: the picture is put on white.
        picture: the picture; values are clipped to [0, 1].
        bits: bits per channel, 8 or (PNG and TIFF) 16.
        settings: the settings that made the picture, anything JSON can hold. It becomes the ImageDescription, in place
            of the source's, and in a PNG the text chunk `nst_jax` as well.

    Raises:
        UnwritableError: there is NaN in the picture, or the format cannot hold its size.
        UserError: as `check_output`; or the disk is full.
    """
    path = located(path)
    encode = encoder(path, bits)
    pixels = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    if np.isnan(pixels).any():
        raise UnwritableError(file_error(path, "not written, some pixels are NaN: use smaller steps or weights"))
    levels = 2**bits - 1
    samples = np.floor(np.clip(pixels, 0, 1) * levels + 0.5).astype(np.min_scalar_type(levels), order="C")
    if picture.grey and (samples[..., :3] == samples[..., :1]).all():
        samples = np.ascontiguousarray(samples[..., 2:])
    exif = Image.Exif()
    exif.load(picture.exif)
    if settings is not None:
        add_settings(exif, settings)
    try:
        data = encode(samples, exif)
    except BAD_DATA as error:
        problem = f"{samples.shape[1]} × {samples.shape[0]} px and the metadata do not fit this format ({error})"
        raise UnwritableError(file_error(path, f"{problem}: choose another of {', '.join(ENCODERS)}")) from error
    with atomic_write(path) as file:
        file.write(data)


def read_settings(path: str | os.PathLike) -> dict | None:
    """Returns the settings that `write` put into a file; None if there are none.

    Raises:
        UserError: the file is missing or no picture.
    """
    with decoding(located(path)) as file:
        text = read_settings_text(file)
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None


def check_format(path: str | os.PathLike, *, bits: int = 8) -> None:
    """Checks that `write` knows the suffix of a path, with this number of bits per channel.

    Raises:
        UserError: it does not.
    """
    encoder(located(path), bits)


def check_output(path: str | os.PathLike, *, bits: int = 8) -> None:
    """Checks the output of `write` as far as possible in advance: worth a call before hours of computing.

    Raises:
        UserError: unknown suffix, number of bits that the format does not hold, a folder that is missing or not
            writable, or something at `path` that is no regular file.
    """
    check_format(path, bits=bits)
    check_target(located(path))


def _resized_shape(path: Path, height: int, width: int, size: int | None) -> tuple[int, int]:
    long, short = max(height, width), min(height, width)
    if size is not None:
        height, width = (max(1, round(side * size / long)) for side in (height, width))
    if short < MIN_SIDE:  # enlarging it would show nothing more
        raise file_error(path, f"expected a short side of {MIN_SIDE} px or more, found {short} px: choose another")
    if min(height, width) < MIN_SIDE:
        found = f"expected a short side of {MIN_SIDE} px or more, found {width} × {height} px"
        raise file_error(path, f"{found}: crop it or give it a long side of {-(-MIN_SIDE * long // short)} px or more")
    if height * width > MAX_PIXELS:
        raise file_error(path, f"expected {MAX_PIXELS:,} pixels at most, found {width} × {height}: give a smaller size")
    return height, width
