"""The result of every reader of a format: tensors by their names in the file, not yet read, and their provenance.

Tensors are read one by one and only on demand. An unwanted classifier is never in memory, and a declared size is
compared with the shape that a backbone expects before any memory is reserved for it.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from . import regions

MOST_TENSORS = 20_000
"""Maximal number of tensors in a file; the networks here have up to 500."""

LARGEST_TENSOR = 1_000_000_000
"""Bytes: twice the largest layer of a VGG network in single precision; reading takes about twice as much memory."""

_MOST_AXES = 32
_MOST_EXPANDED = 16  # a byte becomes four in single precision, and weights may be shared
_SMALL_TOTAL = 16 << 20
_LONGEST_NAME = 1000

OF_KERAS = "keras-applications"
"""The convention of files in formats of Keras: that in which keras-applications has the network."""

Axes = Literal["HWIO", "OIHW", "OHWI", "IHWO", "HWOI", "WHIO"]
"""One letter per axis: height, width, input, output."""


class Tensor(NamedTuple):
    """A tensor in a file.

    Attributes:
        shape: shape in the file.
        dtype: type of the values that `load` returns.
        load: reads the values; raises `UserError` if the file turns out to be damaged.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]

    @property
    def size(self) -> int:
        """Size in bytes; Python's integers do not overflow, whatever a file declares."""
        return math.prod(self.shape) * self.dtype.itemsize


Tensors = dict[str, Tensor]
"""Tensors in the order of the file. Keys are `layer/kernel`, `layer/bias`, and for others their names in the file.

Those of batch normalisations are `layer/mean`, `layer/variance`, `layer/scale` and `layer/shift`, or what Keras or
PyTorch call them: `layer/moving_mean`, `layer/running_mean`.
"""


def add(tensors: Tensors, path: Path, name: str, tensor: Tensor) -> None:
    """Adds a tensor of the file `path`.

    Raises:
        UserError: the name is taken or too long, the tensor is too large, or there are too many.
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
    """Checks the shape of a tensor before its lengths are multiplied or printed.

    Raises:
        UserError: NumPy has no such shape, or it has more elements than any network here.
    """
    if len(shape) > _MOST_AXES or not all(0 <= length <= regions.LARGEST for length in shape):
        raise file_error(
            path,
            f"{one_line(name)}: expected the shape of a tensor, found {len(shape)} lengths, or one below 0 or above "
            f"{regions.LARGEST}; fetch or make the file again",
        )
    # NumPy limits the product of the other lengths even if a length is 0.
    if math.prod(filter(None, shape)) * dtype.itemsize > LARGEST_TENSOR:
        raise file_error(
            path, f"{one_line(name)}: expected at most {LARGEST_TENSOR} bytes in a tensor, found shape {list(shape)}"
        )


def check_total(path: Path, tensors: Tensors) -> None:
    """Checks the size of all tensors together.

    Raises:
        UserError: it is larger than that of any network.
    """
    total = sum(tensor.size for tensor in tensors.values())
    if total > regions.LARGEST:
        raise file_error(path, f"expected at most {regions.LARGEST} bytes in all tensors together, found {total}")


def check_expansion(path: Path, tensors: Tensors) -> None:
    """Checks the size of all tensors of a file in which one number may stand for many, or for parts of many tensors.

    Raises:
        UserError: it is larger than that of any network, or of any that such a file has in it.
    """
    check_total(path, tensors)
    total, size = sum(tensor.size for tensor in tensors.values()), regions.file_size(path)
    if total > max(_SMALL_TOTAL, _MOST_EXPANDED * size):
        raise file_error(
            path,
            f"expected at most {_MOST_EXPANDED} times as many bytes in tensors as in the file, {size}, found {total}",
        )


class Layout(NamedTuple):
    """The layout of the kernels in a file.

    Attributes:
        conv: order of the axes of convolution kernels.
        dense: order of the axes of dense kernels, before the three of the input were flattened.
        rotated: whether convolution kernels are rotated by 180 degrees, as for a convolution in the mathematical sense;
            None if the file does not say.
        reversed_colours: whether the first convolution has its colours in the reverse of the order of training.
    """

    conv: Axes = "HWIO"
    dense: Axes = "HWIO"
    rotated: bool | None = False
    reversed_colours: bool = False


class Provenance(NamedTuple):
    """Where tensors come from, and what their file says about their meaning.

    Attributes:
        path: path of the file, or of the main one if there are several.
        sha256: SHA-256 of the file, or of all files concatenated, in hexadecimal.
        format: the format in words, as precisely as it was recognised.
        producer: the program that wrote it, if the file says so.
        network: what the network calls itself, if the file says so.
        layout: layout of the kernels.
        convention: the convention of the pixels, one of `nst_jax.backbones.spec.CONVENTIONS`, `OF_KERAS`, or what else
            is known of them; None if the file does not say.
        backbone: the backbone of these weights, if the file says so.
        named: whether the layers have names of their own; if not, only their order has meaning.
        ordered: whether the layers are in the order of the model, even if they have names.
        numbers: how the numbers came about, if they are not quite those of the training.
        notes: other facts from the file that users may want to know, one line each.
    """

    path: Path
    sha256: str
    format: str
    producer: str | None = None
    network: str | None = None
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


def check_target(target: Path, provenance: Provenance) -> None:
    """Checks that a file that is to be written is not the one that is converted.

    Raises:
        UserError: it is.
    """
    if os.path.exists(target) and os.path.samefile(target, provenance.path):  # noqa: PTH110, PTH121 - never an error
        raise file_error(target, "expected a file of its own, found the one that is converted; choose another --output")
