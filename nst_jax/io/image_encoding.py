"""Encoding: samples, an sRGB profile and EXIF to the bytes of a file; equal arguments make equal bytes."""

import difflib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from nst_jax.io.colour_profile import GREY_PROFILE, SRGB_PROFILE
from nst_jax.io.files import file_error
from nst_jax.io.image_metadata import added_settings, as_block


def encoder(path: Path, bits: int) -> Callable[[np.ndarray, Image.Exif], bytes]:
    """Returns the function that encodes samples `[H, W, 1 to 4]` and EXIF as the suffix of a path says.

    Raises:
        UserError: the suffix is unknown, or its format does not hold so many bits per channel.
    """
    suffix = path.suffix.lower()
    if suffix not in ENCODERS:
        nearest = difflib.get_close_matches(suffix, ENCODERS, n=len(ENCODERS), cutoff=0)
        raise file_error(path, f"expected one of the suffixes {', '.join(nearest)}, found {path.suffix or 'none'}")
    encode, depths = ENCODERS[suffix]
    if bits not in depths:
        fitting = ", ".join(other for other, (_, depths) in ENCODERS.items() if bits in depths) or "no format"
        raise file_error(path, f"expected {' or '.join(map(str, depths))} bits, found {bits}: {fitting} holds these")
    return encode


def _encode_png(samples: np.ndarray, exif: Image.Exif) -> bytes:
    chunks = {b"iCCP": b"sRGB\0\0" + zlib.compress(_profile(samples))}
    if exif:
        chunks[b"eXIf"] = as_block(exif).removeprefix(b"Exif\0\0")
    if (settings := added_settings(exif)) is not None:
        chunks[b"tEXt"] = b"nst_jax\0" + settings.encode()
    png = imagecodecs.png_encode(samples.squeeze(-1) if samples.shape[-1] == 1 else samples)  # Pillow: no 16-bit RGB
    parts = [png[:33]]  # signature and header
    for name, data in chunks.items():
        parts += struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(name + data))
    return b"".join([*parts, png[33:]])


def _encode_tiff(samples: np.ndarray, exif: Image.Exif) -> bytes:
    """Returns a TIFF of any depth with EXIF, which no library makes: an EXIF block is a TIFF without pixels."""
    height, width, channels = samples.shape
    differences = samples.copy()
    differences[:, 1:] -= samples[:, :-1]  # modulo 2^bits
    data = zlib.compress(differences.astype(samples.dtype.newbyteorder(">")).data)
    exif.endian = ">"
    exif.update({256: width, 257: height, 258: (8 * samples.itemsize,) * channels, 277: channels})
    exif.update({273: 0, 278: height, 279: len(data)})  # the one strip; Pillow moves 273 to the end of the tags
    exif.update({259: 8, 317: 2, 34675: _profile(samples)})  # zlib, differences along the row
    exif[262] = 1 if channels < 3 else 2  # black is 0, or RGB
    if channels in (2, 4):
        exif[338] = 2  # alpha that the colours are not multiplied by
    return as_block(exif).removeprefix(b"Exif\0\0") + data


def _encode_jpeg(samples: np.ndarray, exif: Image.Exif) -> bytes:
    if samples.shape[-1] in (2, 4):
        colours, alpha = np.split(samples.astype(int), [-1], axis=-1)
        samples = (255 - ((255 - colours) * alpha + 127) // 255).astype(np.uint8)
    return _encode_with_pillow(samples, exif, "JPEG", quality=95, subsampling="4:4:4")


def _encode_webp(samples: np.ndarray, exif: Image.Exif) -> bytes:
    if samples.shape[-1] < 3:  # WebP has no grey
        samples = np.concatenate([samples[..., :1].repeat(3, axis=-1), samples[..., 1:]], axis=-1)
    # Lossy WebP halves the resolution of colour (4:2:0) at any quality, which blurs saturated strokes.
    return _encode_with_pillow(samples, exif, "WEBP", lossless=True, exact=True)


def _encode_with_pillow(samples: np.ndarray, exif: Image.Exif, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(samples.squeeze(-1) if samples.shape[-1] == 1 else samples)
    image.save(buffer, name, icc_profile=_profile(samples), exif=as_block(exif), **options)
    return buffer.getvalue()


def _profile(samples: np.ndarray) -> bytes:
    return GREY_PROFILE if samples.shape[-1] < 3 else SRGB_PROFILE


ENCODERS = {
    ".png": (_encode_png, (8, 16)),
    ".jpg": (_encode_jpeg, (8,)),
    ".jpeg": (_encode_jpeg, (8,)),
    ".webp": (_encode_webp, (8,)),
    ".tif": (_encode_tiff, (8, 16)),
    ".tiff": (_encode_tiff, (8, 16)),
}
"""By suffix: the encoder, and the bits per channel that it takes."""
