"""Image files made in memory, for tests."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from nst_jax.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


LOSSLESS = (".png", ".webp", ".tif", ".tiff")


DEEP = (".png", ".tif", ".tiff")


ADOBE_RGB = imagecodecs.cms_profile("adobergb")


RED = np.full((40, 40, 3), (1, 0, 0), np.float32)


def smooth(height, width, channels=3):
    """A picture without noise, [H, W, C] in [0, 1]."""
    y, x = np.mgrid[:height, :width]
    waves = [0.5 + 0.5 * np.sin(0.11 * x * (c + 1) + 0.07 * y + c) for c in range(channels)]
    return np.stack(waves, axis=-1).astype(np.float32)


def png_chunks(png):
    chunks, position = [], 8
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        chunks.append((png[position + 4 : position + 8], png[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def png_with(png, *new):
    """Insert chunks behind the header of a PNG, or replace the header itself."""
    header, *others = png_chunks(png)
    return png_of([*new, *others] if new[0][0] == b"IHDR" else [header, *new, *others])


def png_of(chunks):
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def saved(image, format_, **options):
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def tiff(samples, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def error_of(function, *args, **kwargs):
    """Call, and return the message of the UserError it must raise: one printable line."""
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert message.isprintable()
    return message


def exif_block():
    exif = Image.Exif()
    exif.update({ExifTags.Base.Make: "Maker", ExifTags.Base.Orientation: 6, ExifTags.Base.ImageDescription: "A view"})
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ExposureTime: 0.01, ExifTags.Base.DateTimeOriginal: "2020:01:01 00:00:00"}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (48.0, 31.0, 12.0)}
    return exif.tobytes()
