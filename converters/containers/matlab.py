"""MATLAB's files (`.mat`), of version 5 to 7: the tensors in them, read by another process (`sandbox.py` says why).

It writes them, uncompressed, to a temporary file.
"""

import functools
import json
import math
import os
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..source import Tensor, Tensors
from . import sandbox

_PROGRAM = Path(__file__).with_name("matlab_description.py")  # not imported, as that would import SciPy
_HEADER = 128
_HEADER_TEXT = 116
_MAT5, _MAT73 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"
_VERSIONS = (b"\x00\x01IM", b"\x01\x00MI")  # little-endian and big-endian
_BYTES_A_SECOND = 10_000_000  # of a compressed file, on a slow machine
_LENGTH = 8


def is_mat_file(path: Path) -> bool:
    """Returns whether the file is a MAT-file of MATLAB 5 or later."""
    header = regions.first_bytes(path, _HEADER)
    return header.startswith(_MAT73) or (header.startswith(_MAT5) and header[-4:] in _VERSIONS)


def producer(path: Path) -> str:
    """Returns what the header of a MAT-file says about its making."""
    text = regions.first_bytes(path, _HEADER)[:_HEADER_TEXT].decode("latin1")
    return one_line(text.strip("\0 "))


def read(path: Path, files: Sequence[Path], what: Literal["network", "arrays"]) -> tuple[Tensors, dict[str, Any]]:
    """Reads the weights in MAT-files.

    Args:
        path: the source, for messages.
        files: its files.
        what: what is in them, see `matlab_description.py`.

    Returns:
        The tensors, and what else is known of the network.

    Raises:
        UserError: a file is of another kind or damaged, or there is no room for a temporary file.
    """
    for file in files:
        _check_version(file)
    weights, described = _extract(path, files, what)
    tensors: Tensors = {}
    for name, place in described["tensors"]:
        tensor = Tensor(tuple(place["shape"]), np.dtype(place["dtype"]), functools.partial(weights.load, place))
        source.add(tensors, path, name, tensor)
    return tensors, described


def _check_version(path: Path) -> None:
    header = regions.first_bytes(path, _HEADER)
    if header.startswith(_MAT73):
        raise file_error(
            path,
            "expected a MAT-file of version 7, found one of 7.3; load it in MATLAB and save it with: save(…, '-v7')",
        )
    if not is_mat_file(path):
        raise file_error(path, f"expected a MAT-file, found a file that starts with {header[:16].hex(' ')}")


class _Weights:
    """The temporary file with the values; it is closed and removed when no tensor needs it any more."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        weakref.finalize(self, file.close)

    def description(self) -> dict[str, Any]:
        """Returns the description of the values from the other process."""
        end = self._file.seek(-_LENGTH, os.SEEK_END)
        length = int.from_bytes(self._file.read(_LENGTH), "little")
        return json.loads(self._read(end - length, length))

    def load(self, place: dict[str, Any]) -> np.ndarray:
        """Returns the values of a tensor.

        Raises:
            UserError: the temporary file cannot be read.
        """
        dtype = np.dtype(place["dtype"])
        data = self._read(place["offset"], math.prod(place["shape"]) * dtype.itemsize)
        return np.frombuffer(data, dtype).reshape(place["shape"])

    def _read(self, start: int, length: int) -> bytes:
        try:
            self._file.seek(start)
            return self._file.read(length)
        except OSError as error:
            raise regions.unreadable(self._path, error) from error


def _extract(path: Path, files: Sequence[Path], what: str) -> tuple[_Weights, dict[str, Any]]:
    """Returns the weights in the files and their description."""
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - `_Weights` closes it
    except OSError as error:
        raise file_error(
            path, f"expected a folder for temporary files, found: {error}; set TMPDIR to another folder"
        ) from error
    weights = _Weights(path, file)
    result = sandbox.run(
        _PROGRAM,
        [what, str(regions.LARGEST), *(os.fspath(file.absolute()) for file in files)],
        output=file,
        # A small file that expands to a large one is given up early.
        cpu_seconds=sandbox.CPU_SECONDS + sum(map(regions.file_size, files)) // _BYTES_A_SECOND,
    )
    if result.failure:
        raise file_error(
            path, f"expected an intact MAT-file, found: {one_line(result.failure)}; fetch or make the file again"
        )
    described = weights.description()
    if "error" in described:
        where, problem = described["error"]
        raise file_error(path, f"{one_line(where)}: {problem}" if where else problem)
    return weights, described
