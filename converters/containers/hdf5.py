"""Untrusted HDF5 files: their content by path, bounded in time and memory, without touching other files.

Another process finds the places of the data (`sandbox.py` says why), which are then read without libhdf5.
"""

import functools
import json
import math
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..regions import Region
from ..source import Tensor, Tensors
from . import hdf5_description, sandbox

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DEFLATE, _SHUFFLE = 1, 2
_OVERHEAD = 1024


class Contents(NamedTuple):
    """The content of a file.

    Attributes:
        datasets: path → tensor.
        groups: path → name of the attribute → its texts, one or more. The path of the root is empty.
    """

    datasets: Tensors
    groups: dict[str, dict[str, list[str]]]


def recognises(path: Path) -> bool:
    """Returns whether the file is HDF5."""
    return regions.first_bytes(path, len(_SIGNATURE)) == _SIGNATURE


def contents(region: Region) -> Contents:
    """Returns the content of a file, without reading data yet.

    Raises:
        UserError: the file is damaged, has data or links elsewhere, or declares more than it holds.
    """
    status = region.path.stat()
    described = _describe(region, (status.st_ino, status.st_mtime_ns))
    datasets: Tensors = {}
    total = 0
    for name, dataset in described["datasets"].items():
        _check(region, name, dataset)
        source.check_shape(region.path, name, tuple(dataset["shape"]), np.dtype(dataset["dtype"]))
        load = functools.partial(_read, region, name, dataset)
        datasets[name] = Tensor(tuple(dataset["shape"]), np.dtype(dataset["dtype"]), load)
        total += datasets[name].size
        if total > regions.LARGEST:
            raise _error(region, name, f"expected at most {regions.LARGEST} bytes in all tensors together, found more")
    return Contents(datasets, described["groups"])


def texts(attributes: dict[str, list[str]], name: str) -> list[str] | None:
    """Returns an attribute that is a list of texts, None if it does not exist.

    HDF5 limits the size of attributes, so Keras splits long lists into `name0`, `name1` and so on.
    """
    if name in attributes:
        return attributes[name]
    parts: list[str] = []
    count = 0
    while (part := attributes.get(f"{name}{count}")) is not None:
        parts += part
        count += 1
    return parts if count else None


def _error(region: Region, name: str, problem: str) -> UserError:
    return file_error(region.path, f"{one_line(name)}: {problem}" if name else problem)


@functools.lru_cache(maxsize=1)  # two formats in HDF5 both look at a file
def _describe(region: Region, version: tuple[int, int]) -> dict[str, Any]:  # noqa: ARG001  (other contents, other key)
    path = os.fspath(region.path.absolute())
    result = sandbox.run(Path(hdf5_description.__file__), [path, str(region.start), str(region.length)])
    if result.failure:
        answer = {"error": ("", f"expected an intact HDF5 file, found: {one_line(result.failure)}")}
    else:
        answer = json.loads(result.output)
    if "error" in answer:
        where, what = answer["error"]
        raise _error(region, where, f"{one_line(what)}; fetch or make the file again")
    return answer


def _check(region: Region, name: str, dataset: dict[str, Any]) -> None:
    if dataset["layout"] == "elsewhere":
        raise _error(region, name, "expected weights, found data in another file or dataset; copy them into this one")
    if dataset["shape"] is None:
        raise _error(region, name, "expected weights, found a dataset without a shape")
    declared = _size(dataset)
    if dataset["layout"] == "contiguous" and declared:
        offset, stored = dataset["offset"], dataset["stored"]
        if offset is None or stored != declared or offset + stored > region.length:
            raise _error(region, name, f"expected {declared} bytes, found {stored} in a damaged file")


def _size(dataset: dict[str, Any]) -> int:
    """Returns the number of bytes that a dataset declares."""
    return math.prod(dataset["shape"]) * np.dtype(dataset["dtype"]).itemsize


def _read(region: Region, name: str, dataset: dict[str, Any]) -> np.ndarray:
    size = _size(dataset)
    match dataset["layout"]:
        case "contiguous" if size:
            data = region.part(dataset["offset"], size).read()
        case "chunked":
            return _read_chunks(region, name, dataset)
        case _:
            data = bytes.fromhex(dataset.get("bytes", ""))
    if len(data) != size:
        raise _error(region, name, f"expected {size} bytes, found {len(data)}; fetch the file again")
    return np.frombuffer(data, dataset["dtype"]).reshape(dataset["shape"])


def _read_chunks(region: Region, name: str, dataset: dict[str, Any]) -> np.ndarray:
    dtype, shape, chunk_shape = np.dtype(dataset["dtype"]), tuple(dataset["shape"]), tuple(dataset["chunk_shape"])
    expected = math.prod(math.ceil(length / chunk) for length, chunk in zip(shape, chunk_shape, strict=True))
    places = {tuple(place) for place, *_ in dataset["chunks"]}
    if any(chunk > length for length, chunk in zip(shape, chunk_shape, strict=True)) or len(places) != expected:
        raise _error(region, name, f"expected {expected} chunks of {list(shape)}, found {len(places)}: damaged")
    size = math.prod(chunk_shape) * dtype.itemsize
    values = np.empty(shape, dtype)
    for place, offset, length, skipped in dataset["chunks"]:
        if length > size + size // 8 + _OVERHEAD:  # what cannot be compressed grows a little
            raise _error(region, name, f"expected at most {size} bytes in a chunk, found {length}; fetch it again")
        data = region.part(offset, length).read()
        for index, number in reversed(list(enumerate(dataset["filters"]))):
            if not skipped & 1 << index:
                data = _unfilter(region, name, data, number, size, dtype.itemsize)
        if len(data) != size:
            raise _error(region, name, f"expected {size} bytes in a chunk, found {len(data)}; fetch the file again")
        target = values[tuple(slice(start, start + chunk) for start, chunk in zip(place, chunk_shape, strict=True))]
        chunk = np.frombuffer(data, dtype).reshape(chunk_shape)
        target[...] = chunk[tuple(slice(0, length) for length in target.shape)]
    return values


def _unfilter(region: Region, name: str, data: bytes, number: int, size: int, itemsize: int) -> bytes:
    """Undoes a filter; never returns more than `size + 1` bytes."""
    if number == _DEFLATE:
        try:
            return zlib.decompressobj().decompress(data, size + 1)
        except zlib.error as error:
            raise _error(region, name, f"expected gzip, found: {error}; fetch the file again") from error
    if number == _SHUFFLE and len(data) % itemsize == 0:
        return np.frombuffer(data, np.uint8).reshape(itemsize, -1).T.tobytes()
    raise _error(region, name, "expected weights uncompressed or compressed by gzip; repack them: h5repack -f NONE")
