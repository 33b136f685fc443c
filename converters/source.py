"""What every reader of a format returns: tensors by the names of their file, not yet read, and where they come from.

Tensors are read one by one and only when somebody wants them. A classifier that nobody asked for is never in memory,
and a declared size is compared with the shape that a backbone expects before a byte is reserved for it.
"""

import hashlib
import math
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from nst_jax.errors import UserError, one_line
from nst_jax.files import file_error

LARGEST = 2_500_000_000
"""Bytes that a file, or all tensors in it together, may have: four times the largest published VGG-19."""

MOST_TENSORS = 20_000
"""In a file: a hundred times what the networks here have."""

_MOST_AXES = 32
_BLOCK = 1 << 20

Axes = Literal["HWIO", "OIHW", "IHWO"]
"""An axis a letter: height, width, input, output."""


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

    @property
    def size(self) -> int:
        """Bytes; Python's integers do not overflow, whatever a file declares."""
        return math.prod(self.shape) * self.dtype.itemsize


Tensors = dict[str, Tensor]
"""Tensors in the order of the file. Keys are `layer/kernel`, `layer/bias`, and for others what the file calls them."""


def add(tensors: Tensors, path: Path, name: str, tensor: Tensor) -> None:
    """Adds a tensor to those of the file `path`.

    Raises:
        UserError: there is another one of this name, there are more than any network has, or NumPy has no such shape.
    """
    if len(tensors) == MOST_TENSORS:
        raise file_error(path, f"expected at most {MOST_TENSORS} tensors, found more")
    if name in tensors:
        raise file_error(path, f"expected {one_line(name)} once, found it twice; make the file again")
    if len(tensor.shape) > _MOST_AXES or max(tensor.shape, default=0) > LARGEST:
        shape = one_line(list(tensor.shape))
        raise file_error(path, f"{one_line(name)}: expected the shape of a tensor, found {shape}")
    tensors[name] = tensor


class Layout(NamedTuple):
    """How a file stores kernels.

    Attributes:
        conv: axes of the kernels of convolutions: height, width, input, output.
        dense: axes of the kernels of dense layers before the three of the input were flattened into one.
        rotated: whether the kernels of convolutions are rotated by 180 degrees, as for a convolution in the sense of
            mathematics; None if the file does not tell.
        reversed_colours: whether the first convolution reads red, green, blue in the reverse of the order in which its
            network was trained.
    """

    conv: Axes = "HWIO"
    dense: Axes = "HWIO"
    rotated: bool | None = False
    reversed_colours: bool = False


class Provenance(NamedTuple):
    """Where tensors come from, and what their file says (or leaves open) about their meaning.

    Attributes:
        path: of the file, or of the main one if there are several.
        sha256: of the file, or of all files one after the other, in hexadecimal.
        format: in words, as precisely as it was recognised.
        producer: the program that wrote it, if the file says so.
        layout: of kernels.
        convention: how the network wants its pixels, one of `nst_jax.backbones.spec.CONVENTIONS`, or what else is known
            of it; None if the file does not tell.
        backbone: whose weights these are, if the file says so.
        named: whether the layers have names of their own; if not, only their order means anything.
        ordered: whether the layers are in the order of the model even if they have names.
        notes: what else the file says that people may want to know, a line each.
    """

    path: Path
    sha256: str
    format: str
    producer: str | None = None
    layout: Layout = Layout()
    convention: str | None = "caffe"
    backbone: str | None = None
    named: bool = True
    ordered: bool = False
    notes: tuple[str, ...] = ()

    @property
    def described(self) -> str:
        """Format and producer in one line."""
        return self.format + (f", written by {self.producer}" if self.producer else "")


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
        raise file_error(path, "expected a regular file, found a folder, pipe or device")
    if status.st_size == 0:
        raise file_error(path, "expected weights, found an empty file; fetch it again")
    if status.st_size > LARGEST:
        raise file_error(path, f"expected at most {LARGEST} bytes, found {status.st_size}")
    return status.st_size


def whole(path: Path) -> "Region":
    """Returns the region that is all of a regular file; raises as `file_size` does."""
    return Region(path, 0, file_size(path))


class Region(NamedTuple):
    """A part of a file, in bytes: the whole, or what lies somewhere in an archive."""

    path: Path
    start: int
    length: int

    def part(self, start: int, length: int) -> "Region":
        """Returns `length` bytes of it from `start` on.

        Raises:
            UserError: it ends before.
        """
        if start < 0 or length < 0 or start + length > self.length:
            raise file_error(
                self.path, f"expected {length} bytes from {self.start + start} on, found it cut short; fetch it again"
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
    """Returns the beginning of a regular file, less than `most` bytes if it is shorter; raises as `file_size` does."""
    return Region(path, 0, min(file_size(path), most)).read()


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
    return file_error(path, f"expected a file that can be read, found: {reason}")
