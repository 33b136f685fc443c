"""Describes an HDF5 file as JSON on standard output: where its data are, and its text attributes.

    python hdf5_description.py FILE START LENGTH

The HDF5 file is the LENGTH bytes of FILE from START on: it may lie inside another file. Runs in the sandbox. It follows
no links out of the file and reads no data, so that HDF5 neither runs filters nor opens external files or virtual
datasets.
"""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

DEEPEST = 32
MOST_OBJECTS = 20_000
MOST_CHUNKS = 100_000
LARGEST_TEXT = 16 << 20

_LAYOUTS = {h5py.h5d.COMPACT: "compact", h5py.h5d.CONTIGUOUS: "contiguous", h5py.h5d.CHUNKED: "chunked"}
_SIMPLE_KINDS = "iuf"


class UnusableError(Exception):
    """A file that cannot be used: where in the file, and why."""


class Section(io.RawIOBase):
    """A part of a file as if it were a file."""

    def __init__(self, file: io.BufferedIOBase, start: int, length: int) -> None:
        self._file = file
        self._start = start
        self._length = length
        self._position = 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a position and returns it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        """Returns the position."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Reads into the buffer and returns the number of bytes."""
        wanted = min(len(buffer), max(self._length - self._position, 0))
        self._file.seek(self._start + self._position)
        count = self._file.readinto(memoryview(buffer)[:wanted])
        self._position += count
        return count


def describe(file: io.IOBase) -> dict[str, Any]:
    """Returns the attributes of all groups and the description of all datasets, both by path."""
    groups: dict[str, Any] = {}
    datasets: dict[str, Any] = {}
    characters = chunks = 0
    with h5py.File(file, "r") as root:
        for name, item in _walk(root, "", 0):
            if isinstance(item, h5py.Dataset):
                datasets[name] = _describe_dataset(item)
                chunks += len(datasets[name].get("chunks", ()))
            elif isinstance(item, h5py.Group):
                groups[name] = {key: value for key in item.attrs if (value := _text(item.attrs[key])) is not None}
                characters += sum(len(text) for value in groups[name].values() for text in value)
            if len(groups) + len(datasets) > MOST_OBJECTS or chunks > MOST_CHUNKS or characters > LARGEST_TEXT:
                raise UnusableError(name, "expected the weights of a network, found far more objects or text")
    return {"groups": groups, "datasets": datasets}


def _walk(group: h5py.Group, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yields the group and everything below it, each with its path."""
    # Groups may contain each other; depth first, this limit is reached at once.
    if depth > DEEPEST:
        raise UnusableError(name, f"expected at most {DEEPEST} nested groups, found more, or links in a circle")
    yield name, group
    for key in group:
        below = f"{name}/{key}" if name else key
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise UnusableError(below, "expected weights, found a link to elsewhere; copy its target into the file")
        item = group[key]
        if isinstance(item, h5py.Group):
            yield from _walk(item, below, depth + 1)
        else:
            yield below, item


def _describe_dataset(dataset: h5py.Dataset) -> dict[str, Any]:
    creation = dataset.id.get_create_plist()
    external = creation.get_external_count() > 0
    layout = "elsewhere" if external else _LAYOUTS.get(creation.get_layout(), "elsewhere")
    described = {"shape": dataset.shape, "dtype": _dtype(dataset), "layout": layout}
    if layout == "compact":
        described["bytes"] = _compact_bytes(dataset)
    elif layout == "contiguous":
        described["offset"], described["stored"] = dataset.id.get_offset(), dataset.id.get_storage_size()
    elif layout == "chunked":
        described["chunk_shape"] = dataset.chunks
        described["filters"] = [creation.get_filter(index)[0] for index in range(creation.get_nfilters())]
        described["chunks"] = _chunks(dataset)
    return described


def _dtype(dataset: h5py.Dataset) -> str:
    """Returns NumPy's code of numbers that the file stores as NumPy does; `V` (void) for all else."""
    stored, dtype = dataset.id.get_type(), dataset.dtype
    if dtype.kind in _SIMPLE_KINDS and stored.equal(h5py.h5t.py_create(dtype)):
        return dtype.str
    return f"V{stored.get_size()}"


def _compact_bytes(dataset: h5py.Dataset) -> str:
    """Returns data so small (at most 64 KiB) that they are stored in the description of the dataset."""
    return dataset[()].tobytes().hex() if dataset.dtype.kind in _SIMPLE_KINDS else ""


def _chunks(dataset: h5py.Dataset) -> list[tuple[tuple[int, ...], int, int, int]]:
    """Returns for each chunk its place in the dataset and in the file, its length, and the filters that it skipped."""
    count = dataset.id.get_num_chunks()
    if count > MOST_CHUNKS:
        raise UnusableError(dataset.name, f"expected at most {MOST_CHUNKS} chunks, found {count}")
    infos = [dataset.id.get_chunk_info(index) for index in range(count)]
    return [(info.chunk_offset, info.byte_offset, info.size, info.filter_mask) for info in infos]


def _text(value: Any) -> list[str] | None:
    """Returns a text or an array of texts as a list, None for all else."""
    values = [value] if isinstance(value, (bytes, str)) else getattr(value, "flat", ())
    texts = [item.decode(errors="replace") if isinstance(item, bytes) else item for item in values]
    return texts if all(isinstance(text, str) for text in texts) else None


def main() -> None:
    """Runs the program; errors are JSON on standard output, too."""
    path, start, length = sys.argv[1:]
    try:
        with Path(path).open("rb") as file:
            answer = describe(Section(file, int(start), int(length)))
    except UnusableError as error:
        answer = {"error": error.args}
    except Exception as error:  # h5py raises nearly everything, depending on where the damage is.
        reason = str(error).strip("\"'") or type(error).__name__
        answer = {"error": ("", f"expected an intact HDF5 file, found: {reason}")}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
