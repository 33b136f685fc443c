"""Folders of pictures: lists of them, and squares of one size read one by one."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import file_error
from nst_jax.io.image_decoding import READABLE


def list_pictures(folder: Path) -> list[Path]:
    """Returns the pictures in a folder, chosen by suffix and sorted by name, without hidden ones.

    Raises:
        UserError: the folder is missing, cannot be listed or has no pictures.
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


def listing(files: Iterable[Path]) -> str:
    """Returns a SHA-256, in hexadecimal, of the names and sizes of files: that of their contents takes reading them."""
    lines = [f"{file.name} {_size(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _size(path: Path) -> int:
    """Returns the size of a file in bytes; -1 for one that cannot be had, which is skipped when it is to be read."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def check_readable(paths: Iterable[Path], *, keep_going: bool) -> tuple[list[Path], list[UserError]]:
    """Reads every picture once, and returns those that can be read, and what is wrong with the others.

    Args:
        paths: paths of the pictures.
        keep_going: whether to go on without some of them.

    Raises:
        UserError: a picture cannot be read and none may be left out, or none can be read.
    """
    readable: list[Path] = []
    problems: list[UserError] = []
    for path in paths:
        try:
            images.read(path)
        except UserError as error:
            if not keep_going:
                raise
            problems.append(error)
        else:
            readable.append(path)
    if not readable:
        raise problems[0]
    return readable, problems


def read_squares(paths: Iterable[Path], side: int) -> Iterator[tuple[str, np.ndarray]]:
    """Reads the middle square of each picture, resized, with one picture in memory at a time.

    Args:
        paths: paths of the pictures.
        side: side of the squares in pixels.

    Yields:
        The name of the file, and float32 `[side, side, 3]` in [0, 1]; transparent pixels are put on white.

    Raises:
        UserError: a picture cannot be read.
    """
    for path in paths:
        pixels, alpha, *_ = images.read(path)
        if alpha is not None:
            pixels = 1 - (1 - pixels) * alpha[..., None]
        height, width, _ = pixels.shape
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        square = images.resize(pixels[top : top + short, left : left + short], (side, side))
        yield path.name, np.clip(square, 0, 1)
