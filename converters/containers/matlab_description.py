"""Writes the weights in MATLAB's files to standard output, which must be a file, with a description as JSON.

    python matlab_description.py network MOST_BYTES FILE
    python matlab_description.py arrays MOST_BYTES FILE...

A network is one of MatConvNet: of its kind simplenn, a cell array of layers with their weights, or DagNN, a struct
array of layers that name their weights, and one of weights with these names. Arrays are files with a tensor each,
`conv1_w.mat` or `conv1_b.mat`. The output is the bytes of all weights in sequence (C order, little-endian, at most
MOST_BYTES), the JSON, and the length of the JSON in 8 bytes, little-endian. Runs in the sandbox.

Source: vlfeat/matconvnet, utils/import-caffe.py and layers.py, matlab/+dagnn/@DagNN/saveobj.m.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from scipy.io import loadmat, whosmat

_LARGEST_DESCRIPTION = 16 << 20
_LISTED = 8
_LONGEST_NAME = 100  # of weights, in messages
_BLOCK = 16 << 20
_STDOUT = 1
_AGAIN = "fetch or make the file again"
_ONLY = "only networks of MatConvNet can be converted, simplenn or DagNN"
_KINDS = {"O": "a cell array", "U": "text", "V": "a struct"}
_NUMBERS = tuple("biuf")
_EPSILON = 1e-4  # that of vl_nnbnorm, where a layer has none
_ROLES = {"w": "kernel", "b": "bias"}
_FIELDS = ["layers", "params", "meta", "normalization"]
_DAG_KINDS = {"dagnn.Conv": "conv", "dagnn.BatchNorm": "bnorm"}

_Weights = Iterator[tuple[str, np.ndarray]]


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


def write_arrays(paths: Iterable[Path], output: Output) -> dict[str, Any]:
    """Writes the tensor in each of several files; returns their description."""
    tensors = []
    for path in paths:
        try:
            array = _array(path)
        except Exception as error:  # as in `main`, and the file must be named
            raise error if isinstance(error, UnusableError) else _damaged(path.name, error) from error
        layer, _, ending = path.stem.rpartition("_")
        role = _ROLES[ending]
        dense = role == "kernel" and array.ndim == 2
        tensors.append((f"{layer}/{role}", output.add(path.name, array if dense else _shaped(role, array))))
    return {"tensors": tensors}


def _array(path: Path) -> np.ndarray:
    """Returns the only variable of a file."""
    with path.open("rb") as file:
        names = [name for name, *_ in whosmat(file, appendmat=False)]
        if len(names) != 1:
            listed = ", ".join(names[:_LISTED]) or "none"
            raise UnusableError(path.name, f"expected one variable, the tensor, found {listed}")
        array = _numbers(path.name, file, names)[names[0]]
    if _kind(array) not in _NUMBERS:
        raise UnusableError(path.name, f"expected an array of numbers, found {_described(array)}; {_AGAIN}")
    return array


def write_network(path: Path, output: Output) -> dict[str, Any]:
    """Writes the weights of a network; returns their description."""
    network, name = _network(path)
    if "layers" not in network:
        raise UnusableError(name, f"expected layers, found {', '.join(list(network)[:_LISTED]) or 'nothing'}; {_ONLY}")
    start = f"{name}." if name else ""
    layers, dag = network["layers"], _kind(network["layers"]) == "V"
    if dag:
        weights = _dag_weights(start, layers, network.get("params"))
    elif _kind(layers) == "O":
        weights = _simplenn_weights(f"{start}layers", layers)
    else:
        found = _described(layers)
        raise UnusableError(f"{start}layers", f"expected a cell array or a struct of layers, found {found}; {_ONLY}")
    tensors = [(tensor, output.add(tensor, array)) for tensor, array in weights]
    return {"tensors": tensors, "dag": dag, "new": "meta" in network, "mean": _mean_colour(network)}


def _network(path: Path) -> tuple[dict[str, Any], str]:
    """Returns the variables, or the fields of the variable `net`, and its name."""
    with path.open("rb") as file:
        names = [name for name, *_ in whosmat(file, appendmat=False)]
        wanted = [name for name in ("net",) if name in names and "layers" not in names] or _FIELDS
        twice = [name for name in wanted if names.count(name) > 1]
        if twice:
            raise UnusableError(twice[0], f"expected this variable once, found it twice; {_AGAIN}")
        values = _numbers("", file, wanted)
    if "net" in wanted:
        return _fields("net", values["net"]), "net"
    return {name: values.get(name) for name in names}, ""


def _numbers(where: str, file: IO[bytes], names: list[str]) -> dict[str, Any]:
    """Returns some variables of a file; the others are not read."""
    warnings.filterwarnings("error", category=np.exceptions.ComplexWarning)
    try:
        # With `mat_dtype`, since MATLAB stores numbers as bytes if they fit.
        return loadmat(file, appendmat=False, mat_dtype=True, variable_names=names)
    except np.exceptions.ComplexWarning as error:
        raise UnusableError(where, f"expected real numbers as weights, found complex numbers; {_AGAIN}") from error


def _simplenn_weights(where: str, cell: np.ndarray) -> _Weights:
    """Yields the weights of all layers in a cell array, each with its name."""
    for number, layer in enumerate(cell.ravel(order="F"), start=1):
        at = f"{where}{{{number}}}"
        fields = _fields(at, layer)
        arrays = [fields[name] for name in ("filters", "biases") if name in fields]
        if "weights" in fields:
            arrays = _items(at, fields, "weights")
        if arrays:
            yield from _of_layer(at, _text(at, fields, "name"), _text(at, fields, "type"), arrays, fields)


def _dag_weights(start: str, layers: np.ndarray, params: Any) -> _Weights:
    """Yields the weights of all layers in a struct array, each with its name, given the struct array of `params`.

    Weights belong to the layers that name them, so that their own names (`conv1_filter`; `conv1f` of the first
    importer) need no meaning.
    """
    values: dict[str, Any] = {}
    for at, fields in _structs(f"{start}params", params):
        name = _text(at, fields, "name")
        if name in values:
            raise UnusableError(f"{at}: {name[:_LONGEST_NAME]}", f"expected this name once, found it twice; {_AGAIN}")
        values[name] = fields.get("value")
    for at, fields in _structs(f"{start}layers", layers):
        names = [_text(at, {"params": item}, "params") for item in _items(at, fields, "params")]
        missing = next((name for name in names if name not in values), None)
        if missing is not None:
            where = f"{at}: {missing[:_LONGEST_NAME]}"
            raise UnusableError(where, f"expected it among params, found none of that name; {_AGAIN}")
        if names:
            kind = _text(at, fields, "type")
            block = fields.get("block")
            options = _fields(at, block) if _kind(block) == "V" else {}
            arrays = [values[name] for name in names]
            yield from _of_layer(at, _text(at, fields, "name"), _DAG_KINDS.get(kind, kind), arrays, options)


def _of_layer(where: str, name: str, kind: str, arrays: list[Any], options: dict[str, Any]) -> _Weights:
    """Yields the weights of a layer, each with its name."""
    if kind == "bnorm":
        yield from _normalisation(where, name, arrays, options.get("epsilon"))
        return
    convolution = kind == "conv" and len(arrays) <= 2
    roles: Iterable[str | int] = ("kernel", "bias") if convolution else range(len(arrays))
    for role, array in zip(roles, arrays, strict=False):
        if _kind(array) not in _NUMBERS:
            raise UnusableError(where, f"expected arrays of numbers as weights, found {_described(array)}; {_AGAIN}")
        yield f"{name}/{role}", _shaped(role, array)


def _normalisation(where: str, name: str, arrays: list[Any], epsilon: Any) -> _Weights:
    """Yields scale, shift, mean and variance of a normalisation.

    MatConvNet has a column of means and one of deviations, the roots of variances with a small number added
    (vl_nnbnorm.m); a difference below 0 is one of rounding.
    """
    if len(arrays) != 3 or any(_kind(array) not in _NUMBERS for array in arrays) or arrays[2].shape[1:] != (2,):
        shapes = ", ".join(_described(array) for array in arrays)
        raise UnusableError(where, f"expected multipliers, biases and moments of a normalisation, found {shapes}")
    scale, shift, moments = arrays
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
    # Biases are columns, rows, or of four axes, as old files of Caffe have them.
    return array.reshape(-1) if role == "bias" and array.size == max(array.shape, default=1) else array


def _fields(where: str, value: Any) -> dict[str, Any]:
    if _kind(value) != "V" or value.size != 1:
        raise UnusableError(where, f"expected a struct, found {_described(value)}; {_AGAIN}")
    (_, fields), *_ = _structs(where, value)
    return fields


def _structs(where: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the place and the fields of each element of a struct array."""
    if _kind(value) != "V" or not value.dtype.names:
        raise UnusableError(where, f"expected an array of structs, found {_described(value)}; {_AGAIN}")
    for number, item in enumerate(value.ravel(order="F"), start=1):
        yield f"{where}({number})", {name: item[name] for name in value.dtype.names}


def _items(where: str, fields: dict[str, Any], key: str) -> list[Any]:
    """Returns what is in a cell array; nothing is also an empty array of another kind."""
    cell: Any = fields.get(key)
    if _kind(cell) == "O":
        return list(cell.ravel(order="F"))
    if getattr(cell, "size", True):
        raise UnusableError(where, f"expected a cell array as {key}, found {_described(cell)}; {_AGAIN}")
    return []


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


def _damaged(where: str, error: Exception) -> UnusableError:
    return UnusableError(where, f"expected an intact MAT-file, found: {str(error) or type(error).__name__}; {_AGAIN}")


def main() -> None:
    """Runs the program; errors are JSON on standard output, too."""
    what, most, *paths = sys.argv[1:]
    output = Output(int(most))
    try:
        files = list(map(Path, paths))
        output.finish(write_network(files[0], output) if what == "network" else write_arrays(files, output))
    except Exception as error:  # SciPy raises nearly everything, depending on where the damage is.
        error = error if isinstance(error, UnusableError) else _damaged("", error)
        output.restart()
        output.finish({"error": error.args})


if __name__ == "__main__":
    main()
