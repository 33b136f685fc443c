"""Colour profiles: from the colours of a file to sRGB."""

import logging
import struct
from pathlib import Path

import imagecodecs
import numpy as np

from nst_jax.io.files import file_error

_LOG = logging.getLogger(__name__)


def light(samples: np.ndarray) -> np.ndarray:
    """Returns the light of samples of sRGB, both in [0, 1] (IEC 61966-2-1)."""
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


SRGB_CURVE = np.uint16(light(np.linspace(0, 1, 1024)) * 65_535 + 0.5)
"""From samples of sRGB to light (IEC 61966-2-1), in 1024 steps of 16 bits."""


def _dated(profile: bytes) -> bytes:
    """Returns a profile with a fixed date of creation: equal pictures make equal files."""
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]


SRGB_PROFILE = _dated(imagecodecs.cms_profile("srgb"))
GREY_PROFILE = _dated(imagecodecs.cms_profile("gray", transferfunction=SRGB_CURVE))
"""The greys of sRGB."""


def to_srgb(path: Path, colours: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Converts grey, RGB or CMYK to sRGB.

    Args:
        path: path of the file, for the log: an unusable profile is logged and ignored.
        colours: float32 `[H, W, 1, 3 or 4]` in [0, 1].
        profile: the ICC profile. Without one, grey and RGB are taken as sRGB and CMYK as plain ink coverage.

    Returns:
        float32 `[H, W, 3]` in [0, 1].
    """
    channels = colours.shape[-1]
    if not isinstance(profile, bytes):  # None, or a tag of the wrong type
        profile = SRGB_PROFILE
    if channels == 1 and profile[16:20] != b"GRAY":
        colours, channels = np.repeat(colours, 3, axis=-1), 3
    if profile not in (SRGB_PROFILE, GREY_PROFILE) or (profile == GREY_PROFILE and channels != 1):
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
