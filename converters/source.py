"""What every reader of a format returns: tensors by the names of their file, not yet read, and where they come from.

Tensors are read one by one and only when somebody wants them. A classifier that nobody asked for is never in memory,
and a declared size is compared with the shape that a backbone expects before a byte is reserved for it.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from nst_jax.errors import UserError, one_line

LARGEST = 2_500_000_000
"""Bytes that a file, or all tensors in it together, may have: four times the largest published VGG-19."""

_BLOCK = 1 << 20


class Tensor(NamedTuple):
    """A tensor in a file.

    Attributes:
        shape: as in the file.
        dtype: of what `load` returns.
        load: reads the values; raises `UserError` if the file turns out to be damaged.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]


Tensors = dict[str, Tensor]
"""Tensors in the order of the model. Keys are `layer/kernel`, `layer/bias`, and for others what the file calls them."""


class Provenance(NamedTuple):
    """Where tensors come from.

    Attributes:
        path: of the file, or of the main one if there are several.
        sha256: of the file, or of all files one after the other, in hexadecimal.
        format: in words, as precisely as it was recognised.
        producer: the program that wrote it, if the file says so.
        layout: of the axes of kernels.
        named: whether the layers have names of their own; if not, only their order means anything.
    """

    path: Path
    sha256: str
    format: str
    producer: str | None = None
    layout: Literal["HWIO", "OIHW"] = "HWIO"
    named: bool = True


def is_folder(path: Path) -> bool:
    """Returns whether the path is that of a folder.

    Raises:
        UserError: there is nothing there.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise unreadable(path, error) from error


def file_size(path: Path) -> int:
    """Returns the size in bytes of a regular file.

    Asked before a file is opened, since opening a pipe waits for whoever writes to it.

    Raises:
        UserError: there is no such file, or it is a folder, pipe or device, empty, or larger than any weight file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{one_line(path)}: expected a regular file, found a folder, pipe or device")
    if status.st_size == 0:
        raise UserError(f"{one_line(path)}: expected weights, found an empty file; fetch it again")
    if status.st_size > LARGEST:
        raise UserError(f"{one_line(path)}: expected at most {LARGEST} bytes, found {status.st_size}")
    return status.st_size


def read_range(path: Path, start: int, length: int) -> bytes:
    """Returns `length` bytes of the file from `start` on.

    Raises:
        UserError: they cannot be read, or the file ends before.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(length)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) < length:
        raise UserError(f"{one_line(path)}: expected {length} bytes from {start} on, found {len(data)}")
    return data


def sha256(paths: Iterable[Path]) -> str:
    """Returns the hash of the contents of the files, one after the other, in hexadecimal.

    Raises:
        UserError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise unreadable(path, error) from error
    return digest.hexdigest()


def unreadable(path: Path, error: OSError) -> UserError:
    """Returns what to raise when the system refuses to read a file."""
    reason = os.strerror(error.errno) if error.errno else error
    return UserError(f"{one_line(path)}: expected a file that can be read, found: {one_line(reason)}")
