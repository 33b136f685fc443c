"""Images as a screen shows them, and a cache of reduced ones."""

import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
from PIL import Image

from nst_jax.io import images


def open_picture(path: Path) -> Image.Image:
    """Reads an image as 8-bit sRGB, upright, transparent areas on white.

    Raises:
        UserError: it cannot be read.
    """
    pixels, alpha, *_ = images.read(path)
    if alpha is not None:
        pixels = 1 - (1 - pixels) * alpha[..., None]
    return Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))


class Thumbnails:
    """A cache of reduced images, least recently used first out: a sheet is drawn again as its cells finish."""

    def __init__(self, most_pixels: int) -> None:
        """Starts empty.

        Args:
            most_pixels: limit of all kept images together.
        """
        self._remembered: OrderedDict[tuple[str | None, int, int], Image.Image] = OrderedDict()
        self._most_pixels = most_pixels
        self._pixels = 0

    def get(self, path: Path, sha256: str | None, room: tuple[int, int]) -> Image.Image:
        """Returns an image reduced to fit into a box, never enlarged.

        Args:
            path: the file.
            sha256: hash of the file; None if unknown, so that it is read each time.
            room: (width, height) of the box in pixels.

        Raises:
            UserError: it cannot be read.
        """
        key = (sha256, *room)
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        picture = open_picture(path)
        # Image.thumbnail rounds differently: some images would be a pixel narrower than a box of their own shape.
        share = min(1, *(limit / side for limit, side in zip(room, picture.size, strict=True)))
        picture = picture.resize([max(1, round(share * side)) for side in picture.size], Image.Resampling.LANCZOS)
        if sha256 is not None:
            self._remembered[key] = picture
            self._pixels += math.prod(picture.size)
            while self._pixels > self._most_pixels:
                _, oldest = self._remembered.popitem(last=False)
                self._pixels -= math.prod(oldest.size)
        return picture
