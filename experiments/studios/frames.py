"""Frames: pictures as they are shown while they are painted."""

import io

import numpy as np
from PIL import Image

_QUALITY = 88


def encode(pixels: np.ndarray, side: int) -> bytes:
    """Returns a picture `[H, W, 3]` in [0, 1] as JPEG, reduced where its long side is above `side`."""
    image = Image.fromarray(np.floor(np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, subsampling="4:4:4")
    return buffer.getvalue()
