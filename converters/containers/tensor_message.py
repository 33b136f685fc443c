"""Tensors in the messages of TensorFlow and ONNX: raw bytes, or numbers in a field of their own type."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import source
from ..source import Tensor
from . import messages
from .messages import Run

MOST_REPEATED = 1 << 20
"""Maximal number of numbers in a tensor whose numbers were left out or are of variable size: a few bytes in the file
may stand for all of them."""


class Kind(NamedTuple):
    """A type of numbers.

    Attributes:
        stored: how they are stored as raw bytes.
        field: the field that has them otherwise.
        varints: whether they are of variable size there.
        upper_halves: whether they are the upper halves of single precision, which NumPy lacks.
    """

    stored: str
    field: str
    varints: bool = False
    upper_halves: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The type of the values."""
        return np.dtype("<f4" if self.upper_halves else self.stored)


def tensor(
    path: Path, name: str, shape: tuple[int, ...], kind: Kind, raw: Iterable[int], field: Iterable[int], *, filled: bool
) -> Tensor:
    """Returns a tensor.

    Args:
        path: of the file.
        name: for messages.
        shape: as the message has it.
        kind: of its numbers.
        raw: places of the raw bytes.
        field: places of what is in the field of this kind.
        filled: whether the last number stands for those that are missing behind it, as in TensorFlow.

    Raises:
        UserError: shape and numbers contradict each other.
    """
    source.check_shape(path, name, shape, kind.dtype)
    stored, wanted = np.dtype(kind.stored), math.prod(shape)
    places = messages.runs(raw)
    load_numbers: Callable[[Path, list[Run], np.dtype], np.ndarray] = _from_bytes
    if places:
        length = sum(run.length for run in places)
        _check_count(path, name, shape, length / stored.itemsize)
    else:
        places = messages.runs(field)
        load_numbers = _from_varints if kind.varints else messages.read
        if not kind.varints:
            _check_count(path, name, shape, messages.count(places), filled=filled)
        elif wanted > MOST_REPEATED:
            raise file_error(
                path,
                f"{one_line(name)}: expected its {wanted} numbers as raw bytes, found them one by one; save it again",
            )

    def load() -> np.ndarray:
        values = load_numbers(path, places, stored)
        _check_count(path, name, shape, len(values), filled=filled)
        if kind.upper_halves:
            values = (values.astype("<u4") << 16).view("<f4")
        if len(values) < wanted:
            values = np.concatenate([values, np.full(wanted - len(values), values[-1])])
        return values.reshape(shape)

    return Tensor(shape, kind.dtype, load)


def _from_bytes(path: Path, places: list[Run], stored: np.dtype) -> np.ndarray:
    data = messages.read(path, places, np.dtype(np.uint8))
    return np.frombuffer(data.tobytes() if len(places) > 1 else data, stored)


def _from_varints(path: Path, places: list[Run], stored: np.dtype) -> np.ndarray:
    bits = np.dtype(f"<u{stored.itemsize}")
    return messages.read_varints(path, places, MOST_REPEATED).astype(bits).view(stored)


def _check_count(path: Path, name: str, shape: tuple[int, ...], found: float, *, filled: bool = False) -> None:
    wanted = math.prod(shape)
    if found == wanted or (filled and 0 < found < wanted <= MOST_REPEATED):
        return
    raise file_error(
        path,
        f"{one_line(name)}: expected {wanted} numbers for shape {list(shape)}, found {found:g}; fetch the file again",
    )
