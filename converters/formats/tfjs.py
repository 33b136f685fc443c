"""TensorFlow.js layers models: `model.json` and the shards that it names, as they are or quantised.

Before version 1, the list of the shards was a separate file, `weights_manifest.json`.

The file lists groups; a group lists shards, which are read as if they were one file, and weights, which follow each
other in it without gaps, little-endian.
"""

import functools
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import beside, keras_config
from ..regions import Region
from ..source import Layout, Provenance, Tensor, Tensors

_MODELS = ("model.json", "weights_manifest.json")
_LARGEST_FLOAT = float(np.finfo(np.float32).max)

_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "bool": "?", "complex64": "<c8"}
_QUANTIZED = {"uint8": "<u1", "uint16": "<u2", "float16": "<f2"}


def recognises(path: Path) -> bool:
    """Returns whether the file looks like the JSON of a model, or the folder has such a file."""
    if regions.is_folder(path):
        return _model_in(path) is not None
    return regions.first_bytes(path, 1) in (b"{", b"[")


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the description of a layers model and checks that its shards have exactly the described size.

    Args:
        path: `model.json`, `weights_manifest.json` or the folder that it is in.

    Raises:
        UserError: this is not a TensorFlow.js model, it is damaged, or it points outside its folder.
    """
    if regions.is_folder(path):
        path = _model_in(path) or path / _MODELS[0]
    model = beside.read_json(path)
    tensors: Tensors = {}
    shards: list[Path] = []
    stored: dict[str, None] = {}
    bits = 0
    total = 0
    for group in model if isinstance(model, list) else _list(path, model, "weightsManifest"):
        paths = [beside.file(path, name) for name in _list(path, group, "paths")]
        _check_distinct(path, shards + paths)
        shards += paths
        sizes = [regions.file_size(shard) for shard in paths]
        total += sum(sizes)
        if total > regions.LARGEST:
            raise file_error(path, f"expected at most {regions.LARGEST} bytes in all shards, found more")
        entries = [_entry(path, weight) for weight in _list(path, group, "weights")]
        stored |= dict.fromkeys(entry.stored for entry in entries)
        bits = max([bits, *(8 * entry.numpy_dtype.itemsize for entry in entries if entry.scale is not None)])
        _add(tensors, path, _Group(paths, sizes), entries)
    source.check_total(path, tensors)
    if not tensors:
        raise file_error(path, "expected a TensorFlow.js layers model with weights, found none; fetch it again")
    provenance = Provenance(
        path=path,
        sha256=regions.sha256([path, *shards]),
        format=f"TensorFlow.js layers model, {', '.join(stored)}",
        producer=_producer(model),
        layout=_layout(model),
        convention=source.OF_KERAS,
        numbers=f"{bits}-bit quantisation" if bits else None,
    )
    return tensors, provenance


def _model_in(folder: Path) -> Path | None:
    """Returns the file in a folder that describes a model; None if there is none, or the folder cannot be read."""
    return next((folder / name for name in _MODELS if os.path.exists(folder / name)), None)  # noqa: PTH110


class _Entry(NamedTuple):
    """A weight of the manifest; `stored` is its type in the file, `scale` and `minimum` are set if it is quantised."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: str
    scale: float | None = None
    minimum: float | None = None

    @property
    def numpy_dtype(self) -> np.dtype:
        return np.dtype((_DTYPES | _QUANTIZED)[self.stored])

    @property
    def size(self) -> int:
        """Size in bytes; Python's integers do not overflow, whatever the file declares."""
        return math.prod(self.shape) * self.numpy_dtype.itemsize


class _Group(NamedTuple):
    shards: list[Path]
    sizes: list[int]

    def read(self, start: int, length: int) -> bytes:
        """Returns bytes of the concatenated shards."""
        parts = []
        for shard, size in zip(self.shards, self.sizes, strict=True):
            count = min(size - start, length)
            if start < size and count > 0:
                parts.append(Region(shard, start, count).read())
                start, length = start + count, length - count
            start -= size
        return b"".join(parts)


def _add(tensors: Tensors, path: Path, group: _Group, entries: list[_Entry]) -> None:
    """Adds the weights of a group to the tensors."""
    declared, found = sum(entry.size for entry in entries), sum(group.sizes)
    if declared != found:
        names = ", ".join(one_line(shard.name) for shard in group.shards[:1] + group.shards[1:][-1:])
        raise file_error(
            path,
            f"expected {declared} bytes of weights in {len(group.shards)} shards ({names}), "
            f"found {found}: {'short' if found < declared else 'long'} shards; fetch them again",
        )
    start = 0
    for entry in entries:
        dtype = np.dtype(_DTYPES[entry.dtype])
        load = functools.partial(_load, group, entry, start)
        source.add(tensors, path, entry.name, Tensor(entry.shape, dtype, load))
        start += entry.size


def _load(group: _Group, entry: _Entry, start: int) -> np.ndarray:
    values = np.frombuffer(group.read(start, entry.size), entry.numpy_dtype).reshape(entry.shape)
    if entry.scale is not None:
        # In single precision throughout, as it is defined; TensorFlow.js itself computes in double and rounds at the
        # end. Where product and minimum nearly cancel, the two differ by many times the last bit of what is left, but
        # by no more than that of the minimum. Overflow becomes infinite and is refused with all other infinite weights.
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = values.astype(np.float32)
            numbers *= np.float32(entry.scale)
            numbers += np.float32(entry.minimum)
            return numbers
    return values.astype(_DTYPES[entry.dtype])


def _entry(path: Path, weight: Any) -> _Entry:
    name = _text(path, weight, "name")
    shape = _list(path, weight, "shape")
    dtype = _text(path, weight, "dtype")
    _check_dtype(path, name, dtype, _DTYPES)
    if not all(type(length) is int for length in shape):
        raise file_error(path, f"{one_line(name)}: expected whole numbers as shape, found others; fetch it again")
    source.check_shape(path, name, tuple(shape), np.dtype(_DTYPES[dtype]))
    if "quantization" not in weight:
        return _Entry(name, tuple(shape), dtype, dtype)
    quantization = weight["quantization"]
    stored = _text(path, quantization, "dtype")
    _check_dtype(path, name, stored, _QUANTIZED)
    if dtype != "float32":
        raise file_error(path, f"{one_line(name)}: expected quantised float32, found quantised {dtype}")
    if stored == "float16":
        return _Entry(name, tuple(shape), dtype, stored)
    scale, minimum = (_number(path, name, quantization, key) for key in ("scale", "min"))
    return _Entry(name, tuple(shape), dtype, stored, scale, minimum)


def _check_dtype(path: Path, name: str, dtype: str, known: dict[str, str]) -> None:
    if dtype not in known:
        raise file_error(path, f"{one_line(name)}: expected one of {', '.join(known)}, found {one_line(dtype)}")


def _number(path: Path, name: str, quantization: dict[str, Any], key: str) -> float:
    value: Any = quantization.get(key)
    if type(value) not in (int, float) or not abs(value) <= _LARGEST_FLOAT:
        raise file_error(path, f"{one_line(name)}: expected a finite number as {key}, found {one_line(value)}")
    return float(value)


def _check_distinct(path: Path, shards: list[Path]) -> None:
    if len(set(shards)) < len(shards):
        raise file_error(path, "expected every shard once, found one listed twice")


def _list(path: Path, mapping: Any, key: str) -> list[Any]:
    value = mapping.get(key) if isinstance(mapping, dict) else None
    if not isinstance(value, list):
        raise file_error(
            path,
            f"expected a TensorFlow.js layers model with a list as {key!r}, found {one_line(type(value).__name__)}",
        )
    return value


def _text(path: Path, mapping: Any, key: str) -> str:
    value = mapping.get(key) if isinstance(mapping, dict) else None
    if not isinstance(value, str):
        raise file_error(path, f"expected text as {key!r} of a weight, found {one_line(type(value).__name__)}")
    return value


def _layout(model: Any) -> Layout:
    topology = None if isinstance(model, list) else model.get("modelTopology")
    return Layout(dense=keras_config.dense_axes(topology) or "HWIO")


def _producer(model: Any) -> str | None:
    if isinstance(model, list):
        return None
    programs = [model[key] for key in ("generatedBy", "convertedBy") if isinstance(model.get(key), str)]
    return ", ".join(one_line(program) for program in programs) or None
