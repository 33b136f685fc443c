"""What every reader of a format returns: tensors by the names of their file, not yet read, and where they come from.

Tensors are read one by one and only when somebody wants them. A classifier that nobody asked for is never in memory,
and a declared size is compared with the shape that a backbone expects before a byte is reserved for it.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from . import regions

MOST_TENSORS = 20_000
"""In a file; the networks here have up to 52."""

LARGEST_TENSOR = 1_000_000_000
"""Bytes: twice the largest layer of a VGG network, in single precision; reading takes about twice as much memory."""

_MOST_AXES = 32
_LONGEST_NAME = 1000

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
        UserError: there is another one of this name, or it is larger, its name longer, or there are more than any
            network has.
    """
    if len(tensors) == MOST_TENSORS:
        raise file_error(path, f"expected at most {MOST_TENSORS} tensors, found more")
    if name in tensors:
        raise file_error(path, f"expected {one_line(name)} once, found it twice; make the file again")
    if len(name) > _LONGEST_NAME:
        raise file_error(path, f"{one_line(name)}: expected a name of at most {_LONGEST_NAME} characters, found more")
    check_shape(path, name, tensor.shape, tensor.dtype)
    tensors[name] = tensor


def check_shape(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Checks the shape of a tensor before anybody multiplies or prints its lengths.

    Raises:
        UserError: NumPy has no such shape, or it is one of more numbers than any network here has.
    """
    if len(shape) > _MOST_AXES or not all(0 <= length <= regions.LARGEST for length in shape):
        raise file_error(
            path,
            f"{one_line(name)}: expected the shape of a tensor, found {len(shape)} lengths, or one below 0 or above "
            f"{regions.LARGEST}; fetch or make the file again",
        )
    # Also where a length is 0, NumPy wants to know how large the others would be.
    if math.prod(filter(None, shape)) * dtype.itemsize > LARGEST_TENSOR:
        raise file_error(
            path, f"{one_line(name)}: expected at most {LARGEST_TENSOR} bytes in a tensor, found shape {list(shape)}"
        )


def check_total(path: Path, tensors: Tensors) -> None:
    """Checks that all tensors together are no more than a network may be.

    Raises:
        UserError: they are.
    """
    total = sum(tensor.size for tensor in tensors.values())
    if total > regions.LARGEST:
        raise file_error(path, f"expected at most {regions.LARGEST} bytes in all tensors together, found {total}")


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
        numbers: how the numbers came about, where they are not those that the network was trained to but close.
        notes: what else the file says that people may want to know, a line each.
    """

    path: Path
    sha256: str
    format: str
    producer: str | None = None
    layout: Layout = Layout()
    convention: str | None = None
    backbone: str | None = None
    named: bool = True
    ordered: bool = False
    numbers: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def described(self) -> str:
        """Format, numbers and producer in one line."""
        producer = f"written by {self.producer}" if self.producer else None
        return ", ".join(filter(None, (self.format, self.numbers, producer)))
