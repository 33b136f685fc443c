"""NumPy arrays in untrusted pickles: read by `pickles`, which calls nothing, with their numbers left where they lie.

Source: numpy/_core/src/multiarray/methods.c (`array_reduce`, `array_setstate`) and descriptor.c. An array is
`_reconstruct(ndarray, (0,), b"b")` with the state (version, shape, dtype, whether its axes are reversed, numbers).
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from ..regions import Region
from ..source import Tensor
from . import pickles
from .pickles import Far, Vocabulary

_NUMBERS = re.compile(r"[fiu][1248]")
_MOST_AXES = 8
_STATE = 5
_LATIN = ("latin1", "latin-1", "iso-8859-1")


class _Dtype:
    """Stands for `numpy.dtype`: a code such as `f4`, and the order of the bytes."""

    def __init__(self, code: Any, _align: Any = False, _copy: Any = True) -> None:
        self.code = code
        self.order: Any = "|"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class Array:
    """Stands for `numpy.ndarray`: its state as a pickle has it, unchecked."""

    def __init__(self, _type: Any, _shape: Any, _code: Any) -> None:
        self.shape: Any = None
        self.dtype: Any = None
        self.reversed: Any = False
        self.numbers: Any = None

    def __setstate__(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != _STATE:  # else a long one could be taken apart many times
            raise TypeError
        _, self.shape, self.dtype, self.reversed, self.numbers = state

    @property
    def items(self) -> Any:
        """The objects of an array of objects, None of one of numbers."""
        return self.numbers if isinstance(self.numbers, list) else None


def _encoded(text: Any, encoding: Any) -> Any:
    """Stands for `_codecs.encode`, by which Python 3 writes bytes that Python 2 can read."""
    if encoding not in _LATIN:
        raise TypeError
    return text


def _scalar(_dtype: Any, _numbers: Any) -> None:
    """Stands for `numpy.core.multiarray.scalar`: no weight is one."""


def _of_numpy(module: str, name: str, stand_in: Any) -> dict[tuple[str, str], Any]:
    return {(f"numpy.{core}.{module}", name): stand_in for core in ("core", "_core")}


_VOCABULARY = Vocabulary(
    globals={
        **_of_numpy("multiarray", "_reconstruct", Array),
        **_of_numpy("multiarray", "scalar", _scalar),
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _encoded,
    },
    what="arrays of NumPy by name or in a list",
    advice="save the weights alone, as a dictionary of arrays",
)


def load(region: Region) -> Any:
    """Reads the pickle that a region is: dictionaries, lists and `Array`.

    Raises:
        UserError: it is damaged, or there is anything else in it.
    """
    value, length = pickles.load_far(region, _VOCABULARY)
    if length != region.length:
        raise file_error(region.path, f"expected a pickle of {region.length} bytes, found {length}; fetch it again")
    return value


def tensor(path: Path, name: str, array: Array) -> Tensor:
    """Returns the tensor of an array.

    Raises:
        UserError: it has no such shape, no numbers, or not as many as its shape says.
    """
    shape, dtype, numbers = array.shape, array.dtype, array.numbers
    if type(shape) is not tuple or len(shape) > _MOST_AXES or not all(type(n) is int and n >= 0 for n in shape):
        raise file_error(path, f"{one_line(name)}: expected the shape of an array, found something else: damaged")
    if not isinstance(dtype, _Dtype) or type(dtype.code) is not str or not _NUMBERS.fullmatch(dtype.code):
        raise file_error(path, f"{one_line(name)}: expected an array of numbers, found one of something else")
    if dtype.order not in ("<", ">", "|", "="):
        raise file_error(path, f"{one_line(name)}: expected an order of bytes, found something else: damaged")
    stored = np.dtype(("<" if dtype.order == "=" else dtype.order) + dtype.code)
    size = math.prod(shape) * stored.itemsize
    damaged = f"expected {size} bytes, found {{}}: damaged; fetch it again"
    found: int | str
    match numbers:
        case Far():
            # A character of Latin-1, as which Python 3 writes a byte for Python 2, has one or two bytes in UTF-8.
            fits = size <= numbers.region.length <= (2 * size if numbers.is_text else size)
            found = numbers.region.length
        case bytes() | str():
            fits, found = len(numbers) == size, len(numbers)
        case _:
            fits, found = False, "none"
    if not fits:
        raise file_error(path, f"{one_line(name)}: {damaged.format(found)}")

    def read() -> np.ndarray:
        data = numbers.region.read() if isinstance(numbers, Far) else numbers
        try:
            if isinstance(numbers, Far) and numbers.is_text:
                data = data.decode()
            if isinstance(data, str):
                data = data.encode("latin-1")
        except UnicodeError as error:
            raise file_error(path, f"{one_line(name)}: expected bytes, found text; fetch it again") from error
        if len(data) != size:
            raise file_error(path, f"{one_line(name)}: {damaged.format(len(data))}")
        return np.frombuffer(data, stored).reshape(shape, order="F" if array.reversed else "C")

    return Tensor(shape, stored, read)
