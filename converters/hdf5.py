"""HDF5 files from strangers: what is in them by path, bounded in time and memory, and nothing outside them touched.

Another process finds out what is where (`hdf5_description.py` says why); the data are then read without libhdf5.
"""

import functools
import json
import math
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from converters import hdf5_description, source
from converters.source import Tensor, Tensors
from nst_jax.errors import UserError, one_line

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

CPU_SECONDS = 10
WALL_SECONDS = 120
_MEMORY = 1 << 31

_DEFLATE, _SHUFFLE = 1, 2


class Contents(NamedTuple):
    """What is in a file.

    Attributes:
        datasets: by path.
        groups: path → name of the attribute → texts, one or many. The path of the root is empty.
    """

    datasets: Tensors
    groups: dict[str, dict[str, list[str]]]


def recognises(path: Path) -> bool:
    """Returns whether the file is HDF5."""
    size = len(_SIGNATURE)
    return source.file_size(path) >= size and source.read_range(path, 0, size) == _SIGNATURE


def contents(path: Path) -> Contents:
    """Returns what is in a file; reads no data yet.

    Raises:
        UserError: the file is damaged, has data or links elsewhere, or declares more than it holds.
    """
    size = source.file_size(path)
    described = _describe(path)
    total = 0
    datasets: Tensors = {}
    for name, dataset in described["datasets"].items():
        where = f"{one_line(path)}: {one_line(name)}"
        total += _checked_size(where, dataset, size)
        if total > source.LARGEST:
            raise UserError(f"{where}: expected at most {source.LARGEST} bytes in all tensors together, found more")
        load = functools.partial(_read, path, where, dataset)
        datasets[name] = Tensor(tuple(dataset["shape"]), np.dtype(dataset["dtype"]), load)
    return Contents(datasets, described["groups"])


def texts(attributes: dict[str, list[str]], name: str) -> list[str] | None:
    """Returns an attribute that is a list of texts, None if there is none.

    HDF5 limits the size of attributes, so that Keras splits long lists into `name0`, `name1` and so on.
    """
    if name in attributes:
        return attributes[name]
    parts: list[str] = []
    count = 0
    while (part := attributes.get(f"{name}{count}")) is not None:
        parts += part
        count += 1
    return parts if count else None


def _describe(path: Path) -> dict[str, Any]:
    program = [sys.executable, "-P", str(Path(hdf5_description.__file__)), os.fspath(path.absolute())]
    command = [*program, str(CPU_SECONDS), str(_MEMORY)]
    # A linear algebra library reserves memory for each thread, which would count against the limit.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    try:
        result = subprocess.run(command, capture_output=True, timeout=WALL_SECONDS, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{one_line(path)}: expected an HDF5 file, found one that takes for ever to read") from error
    if result.returncode:
        # Python itself says what went wrong, a crash or a limit leaves no message.
        lines = result.stderr.decode(errors="replace").splitlines()
        found = lines[-1] if lines else "it made the HDF5 library crash or run out of time or memory"
        answer = {"error": ("", f"expected an intact HDF5 file, found: {found}")}
    else:
        answer = json.loads(result.stdout)
    if "error" in answer:
        where, what = answer["error"]
        inside = f" {one_line(where)}:" if where else ""
        raise UserError(f"{one_line(path)}:{inside} {one_line(what)}; fetch or make the file again")
    return answer


def _checked_size(where: str, dataset: dict[str, Any], file_size: int) -> int:
    """Returns how many bytes the dataset declares."""
    if dataset["layout"] == "elsewhere":
        raise UserError(f"{where}: expected weights, found data in another file or dataset; copy them into this one")
    if dataset["shape"] is None:
        raise UserError(f"{where}: expected weights, found a dataset without a shape")
    declared = math.prod(dataset["shape"]) * np.dtype(dataset["dtype"]).itemsize
    if dataset["layout"] == "contiguous" and declared:
        offset, stored = dataset["offset"], dataset["stored"]
        if offset is None or stored != declared or offset + stored > file_size:
            raise UserError(f"{where}: expected {declared} bytes, found {stored} in a file of {file_size}")
    return declared


def _read(path: Path, where: str, dataset: dict[str, Any]) -> np.ndarray:
    dtype, shape = np.dtype(dataset["dtype"]), tuple(dataset["shape"])
    size = math.prod(shape) * dtype.itemsize
    match dataset["layout"]:
        case "contiguous" if size:
            data = source.read_range(path, dataset["offset"], size)
        case "chunked":
            return _read_chunks(path, where, dataset, dtype, shape)
        case _:
            data = bytes.fromhex(dataset.get("bytes", ""))
    if len(data) != size:
        raise UserError(f"{where}: expected {size} bytes, found {len(data)}; fetch the file again")
    return np.frombuffer(data, dtype).reshape(shape)


def _read_chunks(
    path: Path, where: str, dataset: dict[str, Any], dtype: np.dtype, shape: tuple[int, ...]
) -> np.ndarray:
    chunk_shape = tuple(dataset["chunk_shape"])
    expected = math.prod(math.ceil(length / chunk) for length, chunk in zip(shape, chunk_shape, strict=True))
    places = {tuple(place) for place, *_ in dataset["chunks"]}
    if any(chunk > length for length, chunk in zip(shape, chunk_shape, strict=True)) or len(places) != expected:
        raise UserError(f"{where}: expected {expected} chunks of {list(shape)}, found {len(places)}")
    values = np.empty(shape, dtype)
    for place, offset, length, skipped in dataset["chunks"]:
        data = source.read_range(path, offset, length)
        size = math.prod(chunk_shape) * dtype.itemsize
        for index, number in reversed(list(enumerate(dataset["filters"]))):
            if not skipped & 1 << index:
                data = _unfilter(where, data, number, size, dtype.itemsize)
        if len(data) != size:
            raise UserError(f"{where}: expected {size} bytes in a chunk, found {len(data)}; fetch the file again")
        target = values[tuple(slice(start, start + chunk) for start, chunk in zip(place, chunk_shape, strict=True))]
        chunk = np.frombuffer(data, dtype).reshape(chunk_shape)
        target[...] = chunk[tuple(slice(0, length) for length in target.shape)]
    return values


def _unfilter(where: str, data: bytes, number: int, size: int, itemsize: int) -> bytes:
    """Undoes a filter; never returns more than `size + 1` bytes."""
    if number == _DEFLATE:
        try:
            return zlib.decompressobj().decompress(data, size + 1)
        except zlib.error as error:
            raise UserError(f"{where}: expected gzip, found: {one_line(error)}; fetch the file again") from error
    if number == _SHUFFLE and len(data) % itemsize == 0:
        return np.frombuffer(data, np.uint8).reshape(itemsize, -1).T.tobytes()
    raise UserError(f"{where}: expected weights as they are or compressed by gzip; repack them with: h5repack -f NONE")
