"""Writes the weights in a MatConvNet file to standard output, which must be a file, with a description as JSON.

    python matlab_description.py FILE MOST_BYTES

The output is the bytes of all weights in sequence (C order, little-endian, at most MOST_BYTES), the JSON, and the
length of the JSON in 8 bytes, little-endian. Runs in the sandbox.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat, whosmat

_LARGEST_DESCRIPTION = 16 << 20
_LISTED = 8
_BLOCK = 16 << 20
_STDOUT = 1
_AGAIN = "fetch or make the file again"
_ONLY = "only simplenn networks of MatConvNet can be converted"
_KINDS = {"O": "a cell array", "U": "text", "V": "a struct"}
_NUMBERS = tuple("biuf")
_EPSILON = 1e-4  # that of vl_nnbnorm, where a layer has none
_FIELDS = ["layers", "meta", "normalization"]


class UnusableError(Exception):
    """A file that cannot be used: where in the file, and why."""


class Output:
    """Standard output: bytes of weights, then the answer."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._written = 0

    def add(self, where: str, array: np.ndarray) -> dict[str, Any]:
        """Writes an array; returns its place."""
        dtype = array.dtype.newbyteorder("<")
        if self._written + array.nbytes > self._most:
            raise UnusableError(where, f"expected at most {self._most} bytes in all tensors together, found more")
        described = {"shape": array.shape, "dtype": dtype.str, "offset": self._written}
        # A copy of a large kernel in C order would not fit into memory beside the others.
        rows = max(1, _BLOCK // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            self._write(array[start : start + rows].astype(dtype, copy=False).tobytes())
        return described

    def finish(self, answer: dict[str, Any]) -> None:
        """Writes the JSON and its length."""
        data = json.dumps(answer).encode()
        if len(data) > _LARGEST_DESCRIPTION:
            raise UnusableError("", "expected the weights of a network, found far more layers or text")
        self._write(data + len(data).to_bytes(8, "little"))

    def restart(self) -> None:
        """Removes everything, which also makes room on a full disk."""
        os.ftruncate(_STDOUT, 0)
        os.lseek(_STDOUT, 0, os.SEEK_SET)
        self._written = 0

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                count = os.write(_STDOUT, view)
                self._written += count
                view = view[count:]
        except OSError as error:
            problem = f"expected room for its weights in the folder of temporary files, found: {error.strerror}"
            raise UnusableError("", f"{problem}; make room or set TMPDIR to another folder") from error


def write(path: Path, output: Output) -> dict[str, Any]:
    """Writes the weights of a network; returns their description."""
    network, name = _network(path)
    if "params" in network:
        raise UnusableError(name, f"expected layers with weights, found params as in the layout DagNN; {_ONLY}")
    if "layers" not in network:
        raise UnusableError(name, f"expected layers, found {', '.join(list(network)[:_LISTED]) or 'nothing'}; {_ONLY}")
    cell, name = network["layers"], f"{name}.layers" if name else "layers"
    if _kind(cell) != "O":
        raise UnusableError(name, f"expected a cell array of layers, found {_described(cell)}; {_ONLY}")
    tensors = []
    for number, layer in enumerate(cell.ravel(order="F"), start=1):
        for tensor, array in _weights(f"{name}{{{number}}}", layer):
            tensors.append((tensor, output.add(tensor, array)))
    return {"tensors": tensors, "new": "meta" in network, "mean": _mean_colour(network)}


def _network(path: Path) -> tuple[dict[str, Any], str]:
    """Returns the variables, or the fields of the variable `net`, and its name."""
    with path.open("rb") as file:
        names = [name for name, *_ in whosmat(file, appendmat=False)]
        wanted = [name for name in ("net",) if name in names and "layers" not in names] or _FIELDS
        twice = [name for name in wanted if names.count(name) > 1]
        if twice:
            raise UnusableError(twice[0], f"expected this variable once, found it twice; {_AGAIN}")
        warnings.filterwarnings("error", category=np.exceptions.ComplexWarning)
        try:
            # With `mat_dtype`, since MATLAB stores numbers as bytes if they fit. Other variables are not read.
            values = loadmat(file, appendmat=False, mat_dtype=True, variable_names=wanted)
        except np.exceptions.ComplexWarning as error:
            raise UnusableError("", f"expected real numbers as weights, found complex numbers; {_AGAIN}") from error
    if "net" in wanted:
        return _fields("net", values["net"]), "net"
    return {name: values.get(name) for name in names}, ""


def _weights(where: str, layer: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the weights of a layer, each with its name."""
    fields = _fields(where, layer)
    arrays = [fields[name] for name in ("filters", "biases") if name in fields]
    if "weights" in fields:
        cell = fields["weights"]
        if _kind(cell) != "O" and getattr(cell, "size", True):
            raise UnusableError(where, f"expected a cell array as weights, found {_described(cell)}; {_AGAIN}")
        arrays = list(cell.ravel(order="F"))
    if not arrays:
        return
    name = _text(where, fields, "name")
    kind = _text(where, fields, "type")
    if kind == "bnorm":
        yield from _normalisation(where, name, fields, arrays)
        return
    convolution = kind == "conv" and len(arrays) <= 2
    roles: Iterable[str | int] = ("kernel", "bias") if convolution else range(len(arrays))
    for role, array in zip(roles, arrays, strict=False):
        if _kind(array) not in _NUMBERS:
            raise UnusableError(where, f"expected arrays of numbers as weights, found {_described(array)}; {_AGAIN}")
        yield f"{name}/{role}", _shaped(role, array)


def _normalisation(
    where: str, name: str, fields: dict[str, Any], arrays: list[Any]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields scale, shift, mean and variance of a normalisation.

    MatConvNet has a column of means and one of deviations, the roots of variances with a small number added
    (vl_nnbnorm.m); a difference below 0 is one of rounding.
    """
    if len(arrays) != 3 or any(_kind(array) not in _NUMBERS for array in arrays) or arrays[2].shape[1:] != (2,):
        shapes = ", ".join(_described(array) for array in arrays)
        raise UnusableError(where, f"expected multipliers, biases and moments of a normalisation, found {shapes}")
    scale, shift, moments = arrays
    epsilon: Any = fields.get("epsilon")
    added = float(epsilon.item()) if _kind(epsilon) in _NUMBERS and epsilon.size == 1 else _EPSILON
    deviation = moments[:, 1].astype(np.float64)
    yield f"{name}/scale", scale.reshape(-1)
    yield f"{name}/shift", shift.reshape(-1)
    yield f"{name}/mean", moments[:, 0]
    yield f"{name}/variance", np.maximum(deviation**2 - added, 0)


def _shaped(role: str | int, array: np.ndarray) -> np.ndarray:
    """Returns weights in their usual shape: in MATLAB vectors are matrices, and trailing lengths of one are dropped."""
    if role == "kernel":
        return array.reshape(array.shape + (1,) * (4 - array.ndim))
    return array.reshape(-1) if role == "bias" and array.ndim == 2 and 1 in array.shape else array


def _fields(where: str, value: Any) -> dict[str, Any]:
    if _kind(value) != "V" or not value.dtype.names or value.size != 1:
        raise UnusableError(where, f"expected a struct, found {_described(value)}; {_AGAIN}")
    return {name: value[name].item() for name in value.dtype.names}


def _text(where: str, fields: dict[str, Any], key: str) -> str:
    value: Any = fields.get(key)
    if _kind(value) != "U" or value.size != 1:
        raise UnusableError(where, f"expected a text as {key}, found {_described(value)}; {_AGAIN}")
    return value.item()


def _kind(value: Any) -> str:
    """Returns NumPy's letter for the content of an array, an empty text for anything else."""
    return value.dtype.kind if isinstance(value, np.ndarray) else ""


def _described(value: Any) -> str:
    if not _kind(value):
        return "none" if value is None else "a sparse matrix"
    shape = "x".join(str(length) for length in value.shape)
    return f"{_KINDS.get(value.dtype.kind, f'numbers ({value.dtype.name})')} of size {shape}"


def _mean_colour(network: dict[str, Any]) -> list[float] | None:
    """Returns the mean colour of the training images of a network, if the file has it."""
    try:
        parent = _fields("meta", network["meta"]) if "meta" in network else network
        image = _fields("normalization", parent["normalization"])["averageImage"]
    except (KeyError, UnusableError):
        return None
    if _kind(image) not in _NUMBERS or image.shape[2:] != (3,) or not image.size:
        return None
    mean = image.mean(axis=(0, 1), dtype=np.float64)
    return mean.tolist() if np.isfinite(mean).all() else None


def main() -> None:
    """Runs the program; errors are JSON on standard output, too."""
    path, most = sys.argv[1:]
    output = Output(int(most))
    try:
        output.finish(write(Path(path), output))
    except Exception as error:  # SciPy raises nearly everything, depending on where the damage is.
        if not isinstance(error, UnusableError):
            reason = str(error) or type(error).__name__
            error = UnusableError("", f"expected an intact MAT-file, found: {reason}; {_AGAIN}")
        output.restart()
        output.finish({"error": error.args})


if __name__ == "__main__":
    main()
