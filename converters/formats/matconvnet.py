"""MatConvNet networks in MATLAB's .mat files, of its kind simplenn: a cell array of layers.

Another process reads the file (`sandbox.py` says why) and writes the weights, uncompressed, to a temporary file.
"""

import functools
import json
import math
import os
import tempfile
import weakref
from pathlib import Path
from typing import IO, Any

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import sandbox
from ..source import Layout, Provenance, Tensor, Tensors

_PROGRAM = Path(__file__).with_name("matlab_description.py")  # not imported, as that would import SciPy
_HEADER = 128
_HEADER_TEXT = 116
_MAT5, _MAT73 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"
_VERSIONS = (b"\x00\x01IM", b"\x01\x00MI")  # little-endian and big-endian
_BYTES_A_SECOND = 10_000_000  # of a compressed file, on a slow machine
_LENGTH = 8


def recognises(path: Path) -> bool:
    """Returns whether the file is a MAT-file of MATLAB 5 or later."""
    header = regions.first_bytes(path, _HEADER)
    return header.startswith(_MAT73) or (header.startswith(_MAT5) and header[-4:] in _VERSIONS)


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads a network, old (before beta 17) or new, as its variables or as a struct `net`.

    Kernels are `layer/kernel` `[height, width, in, out]`, biases `layer/bias` `[out]`; normalisations have mean,
    variance, scale and shift; the weights of other layers are `layer/0`, `layer/1` and so on.

    Raises:
        UserError: this is not such a network, it is damaged, or there is no room for a temporary file.
    """
    header = regions.first_bytes(path, _HEADER)
    if header.startswith(_MAT73):
        raise file_error(
            path,
            "expected a MAT-file of version 7, found one of 7.3; load it in MATLAB and save it with: save(…, '-v7')",
        )
    if not recognises(path):
        raise file_error(path, f"expected a MAT-file, found a file that starts with {header[:16].hex(' ')}")
    weights, described = _extract(path)
    tensors: Tensors = {}
    for name, place in described["tensors"]:
        tensor = Tensor(tuple(place["shape"]), np.dtype(place["dtype"]), functools.partial(weights.load, place))
        source.add(tensors, path, name, tensor)
    text = header[:_HEADER_TEXT].decode("latin1").strip("\0 ")
    provenance = Provenance(
        path=path,
        sha256=regions.sha256([path]),
        format="MatConvNet simplenn .mat",
        producer=f"MatConvNet ({one_line(text)})",
        # MatConvNet's importer reversed the colours, which Caffe reads as blue, green, red.
        layout=Layout(conv="HWIO", reversed_colours=True),
        convention="caffe",
        ordered=True,
        notes=tuple(_notes(described)),
    )
    return tensors, provenance


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


def _extract(path: Path) -> tuple[_Weights, dict[str, Any]]:
    """Returns the weights in the file and their description."""
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - `_Weights` closes it
    except OSError as error:
        raise file_error(
            path, f"expected a folder for temporary files, found: {error}; set TMPDIR to another folder"
        ) from error
    weights = _Weights(path, file)
    result = sandbox.run(
        _PROGRAM,
        [os.fspath(path.absolute()), str(regions.LARGEST)],
        output=file,
        # A small file that expands to a large one is given up early.
        cpu_seconds=sandbox.CPU_SECONDS + regions.file_size(path) // _BYTES_A_SECOND,
    )
    if result.failure:
        raise file_error(
            path, f"expected an intact MAT-file, found: {one_line(result.failure)}; fetch or make the file again"
        )
    described = weights.description()
    if "error" in described:
        where, what = described["error"]
        raise file_error(path, f"{one_line(where)}: {what}" if where else what)
    return weights, described


def _notes(described: dict[str, Any]) -> list[str]:
    notes = ["as MatConvNet wrote it " + ("since beta 17 (meta)" if described["new"] else "before beta 17 (no meta)")]
    if described["mean"]:
        notes.append("mean colour (RGB) " + " ".join(f"{value:.2f}" for value in described["mean"]))
    return notes
