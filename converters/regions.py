"""Files and parts of files: checked before they are opened, and never read beyond their end.

Every reader of a format gets its bytes from here.
"""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nst_jax.errors import UserError
from nst_jax.io.files import file_error

LARGEST = 2_500_000_000
"""Maximal size in bytes of a file, or of all tensors in it: four times the largest published VGG-19."""

_BLOCK = 1 << 20


def is_folder(path: Path) -> bool:
    """Returns whether the path is a folder.

    Raises:
        UserError: it does not exist.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise unreadable(path, error) from error


def file_size(path: Path) -> int:
    """Returns the size in bytes of a regular file.

    Call it before a file is opened, since opening a pipe waits for its writer.

    Raises:
        UserError: there is no such file, or it is a folder, pipe or device, empty, or larger than any weight file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise file_error(path, "expected a regular file, found a folder, pipe or device")
    if status.st_size == 0:
        raise file_error(path, "expected weights, found an empty file; fetch it again")
    if status.st_size > LARGEST:
        raise file_error(path, f"expected at most {LARGEST} bytes, found {status.st_size}")
    return status.st_size


def whole(path: Path) -> "Region":
    """Returns a whole regular file as a region; raises as `file_size` does."""
    return Region(path, 0, file_size(path))


class Region(NamedTuple):
    """A part of a file, in bytes: all of it, or a member of an archive."""

    path: Path
    start: int
    length: int

    def part(self, start: int, length: int) -> "Region":
        """Returns the part of `length` bytes from `start` on.

        Raises:
            UserError: the region ends before.
        """
        if start < 0 or length < 0 or start + length > self.length:
            raise file_error(
                self.path,
                f"expected {length} bytes from {self.start + start} on, found it cut short; fetch it again",
            )
        return Region(self.path, self.start + start, length)

    def read(self) -> bytes:
        """Returns its bytes.

        Raises:
            UserError: they cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                data = file.read(self.length)
        except OSError as error:
            raise unreadable(self.path, error) from error
        if len(data) < self.length:
            raise file_error(
                self.path, f"expected {self.length} bytes from {self.start} on, found {len(data)}; fetch it again"
            )
        return data


def first_bytes(path: Path, most: int) -> bytes:
    """Returns the beginning of a regular file, fewer than `most` bytes if it is shorter; raises as `file_size` does."""
    return Region(path, 0, min(file_size(path), most)).read()


def sha256(paths: Iterable[Path]) -> str:
    """Returns the SHA-256 of the concatenated files, in hexadecimal.

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
    """Returns the error to raise when the system cannot read a file."""
    reason = os.strerror(error.errno) if error.errno else error
    return file_error(path, f"expected a file that can be read, found: {reason}")
