"""What a PNG says of its colours: the profile that is meant, by the precedence of its specification.

PNG Specification, Third Edition, 4.3: cICP, else iCCP, else sRGB, else gAMA and cHRM. The first and the last are
numbers, of which a profile is made here.
"""

import struct

import imagecodecs
import numpy as np

from nst_jax.errors import UserError
from nst_jax.io.colour_profile import SRGB_CURVE

_SIGNATURE = 8
_PIXELS = (b"IDAT", b"fdAT")
_SRGB_WHITE = (0.3127, 0.3290)
_SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))

# By the code points of ITU-T H.273, tables 2 and 3. Other primaries and curves are of film and of high dynamic range.
_PRIMARIES = {
    1: _SRGB,
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
_SRGB_TRANSFER = 13
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0}

_SRGB_GAMMA = 1 / 2.2
_NEAR = 0.05  # libpng's threshold; files that mean sRGB have 45455
_EXPONENTS_OF_PICTURES = (0.2, 5.0)  # other exponents leave a few levels of eight bits; no program means them


def profile(png: bytes, embedded: bytes | None) -> bytes | None:
    """Returns the ICC profile of the colours of a PNG; None for sRGB, or where it says nothing.

    Args:
        png: the file.
        embedded: the profile of its iCCP.

    Raises:
        UserError: its numbers cannot be used.
    """
    found = chunks(png)
    if b"cICP" in found:
        return _by_code_points(found[b"cICP"])
    if embedded is not None or b"sRGB" in found:
        return embedded
    if b"gAMA" in found or b"cHRM" in found:
        return _by_numbers(found.get(b"gAMA"), found.get(b"cHRM"))
    return None


def chunks(png: bytes) -> dict[bytes, bytes]:
    """Returns name → content of the chunks of a PNG except its pixels; of two of one name the first."""
    found: dict[bytes, bytes] = {}
    position = _SIGNATURE
    while position + 8 <= len(png):
        length, name = struct.unpack_from(">I4s", png, position)
        if name not in _PIXELS:
            found.setdefault(name, png[position + 8 : position + 8 + length])
        position += 12 + length
    return found


def _by_code_points(content: bytes) -> bytes | None:
    primaries, curve, *_ = content
    if primaries not in _PRIMARIES or curve not in (_SRGB_TRANSFER, *_EXPONENTS) or content[2:] != b"\0\1":
        found = ".".join(map(str, content))
        raise UserError(f"expected the code points of a picture of standard range in cICP, found {found}")
    if (primaries, curve) == (1, _SRGB_TRANSFER):
        return None
    return _profile(_EXPONENTS.get(curve), _SRGB_WHITE, _PRIMARIES[primaries])


def _by_numbers(gamma: bytes | None, chromaticities: bytes | None) -> bytes | None:
    exponent = None
    if gamma is not None:
        (number,) = struct.unpack(">I", gamma)
        encoding = number / 100_000
        if abs(encoding / _SRGB_GAMMA - 1) > _NEAR:
            least, most = _EXPONENTS_OF_PICTURES
            if not least <= encoding <= most:
                raise UserError(f"expected a gAMA from {least} to {most}, found {encoding:g}")
            exponent = 1 / encoding
    white, primaries = _SRGB_WHITE, _SRGB
    if chromaticities is not None:
        x, y, *rest = (number / 100_000 for number in struct.unpack(">8I", chromaticities))
        white, primaries = (x, y), (tuple(rest[:2]), tuple(rest[2:4]), tuple(rest[4:]))
    if exponent is None and np.allclose([white, *primaries], [_SRGB_WHITE, *_SRGB], atol=1e-3):
        return None
    return _profile(exponent, white, primaries)


def _profile(exponent: float | None, white: tuple[float, float], primaries: tuple[tuple[float, float], ...]) -> bytes:
    """Returns the profile of a power of the samples, or of sRGB's curve, and of chromaticities."""
    shape = {"gamma": exponent} if exponent is not None else {"transferfunction": SRGB_CURVE}
    return imagecodecs.cms_profile(
        "rgb", whitepoint=[*white, 1.0], primaries=[number for pair in primaries for number in (*pair, 1.0)], **shape
    )
