"""Folders of pictures: what is in them, and one after the other at one size."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from nst_jax.io import images
from nst_jax.io.files import file_error
from nst_jax.io.image_decoding import READABLE


def list_pictures(folder: Path) -> list[Path]:
    """Returns the pictures in a folder in the order of their names, by their suffixes; not the hidden ones.

    Raises:
        UserError: the folder is missing or cannot be listed, or has no pictures.
    """
    suffixes = {suffix for suffix, form in Image.registered_extensions().items() if form in READABLE}
    try:
        found = sorted(file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.name[0] != ".")
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise file_error(folder, f"expected a folder of pictures, found: {problem}; choose another") from error
    if not found:
        raise file_error(
            folder, f"expected pictures in the folder, found none: put some there ({', '.join(sorted(suffixes))})"
        )
    return found


def read_squares(paths: Iterable[Path], side: int) -> Iterator[tuple[str, np.ndarray]]:
    """Reads pictures one by one, so that there is never more than one in memory: the middle square of each, resized.

    Args:
        paths: of the pictures.
        side: of the squares in pixels.

    Yields:
        The name of the file, and float32 `[side, side, 3]` in [0, 1]; what is transparent is on white.

    Raises:
        UserError: a picture cannot be read.
    """
    for path in paths:
        pixels, alpha, _ = images.read(path)
        if alpha is not None:
            pixels = 1 - (1 - pixels) * alpha[..., None]
        height, width, _ = pixels.shape
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        square = images.resize(pixels[top : top + short, left : left + short], (side, side))
        yield path.name, np.clip(square, 0, 1)
