"""Protobuf messages of other programs: classes from tables of fields, and arrays of numbers that stay in their file.

`wire` leaves the bulk of a message in the file and the places of it in fields of their own; what is left is parsed by
the protobuf runtime.
"""

import mmap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions
from ..regions import Region
from . import wire

Fields = Mapping[str, tuple[int, str, bool]]
"""Field → number, type (one of protobuf's, or a message), whether it is repeated."""

_LONGEST_VARINT = 10


class Run(NamedTuple):
    """Numbers in a file, each at the end of its stride; in bytes."""

    start: int
    length: int
    stride: int


def classes(package: str, described: Mapping[str, Fields]) -> dict[str, type[message.Message]]:
    """Returns message → its class, from message → fields."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in described.items():
        added = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            row = added.field.add(name=field, number=number, label=label)
            if kind in described:
                row.type, row.type_name = kinds.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                row.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in described
    }


def parse(path: Path, schema: wire.Schema, kind: type[message.Message], what: str) -> Any:
    """Returns the message in a file, without its arrays of numbers; `what` is its name in error messages.

    Raises:
        UserError: the file is not such a message.
    """
    regions.file_size(path)
    try:
        with mapped(path) as data:
            skeleton = wire.skeleton(data, schema)
        return kind.FromString(skeleton)
    except (wire.MalformedError, message.DecodeError) as error:
        raise file_error(
            path, f"expected {what}, found {one_line(error)}: damaged or cut short; fetch it again"
        ) from error


def mapped(path: Path) -> mmap.mmap:
    """Returns the content of a regular file that is not empty.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise regions.unreadable(path, error) from error


def runs(places: Iterable[int]) -> list[Run]:
    """Returns the runs of numbers that `wire` has put into a field."""
    return [Run(*place) for place in zip(*[iter(places)] * 3, strict=True)]


def count(places: Iterable[Run]) -> int:
    """Returns how many numbers of fixed size there are."""
    return sum(run.length // run.stride for run in places)


def read(path: Path, places: Iterable[Run], dtype: np.dtype) -> np.ndarray:
    """Returns numbers of fixed size, in a row."""
    parts = []
    for run in places:
        record = np.dtype({"names": ["number"], "formats": [dtype], "offsets": [run.stride - dtype.itemsize]})
        parts.append(np.frombuffer(Region(path, run.start, run.length).read(), record)["number"])
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype), *parts])


def read_varints(path: Path, places: Sequence[Run], most: int) -> np.ndarray:
    """Returns numbers of variable size, in a row as int64; `places` are those of their bytes.

    Raises:
        UserError: there are more than `most`, or they are damaged.
    """
    length = sum(run.length for run in places)
    data = read(path, places if length <= most * _LONGEST_VARINT else [], np.dtype(np.uint8))
    if data.size < length or np.count_nonzero(data < 0x80) > most:
        raise file_error(path, f"expected at most {most} numbers of variable size in a tensor, found more")
    ends = np.flatnonzero(data < 0x80)
    starts = np.concatenate([[0], ends + 1])
    lengths = ends + 1 - starts[:-1]
    if starts[-1] != len(data) or (lengths > _LONGEST_VARINT).any():
        raise file_error(path, "expected numbers of variable size, found one without an end; fetch it again")
    values = np.zeros(len(ends), np.uint64)
    for index in range(int(lengths.max(initial=0))):
        more = index < lengths
        digits = data[starts[:-1][more] + index].astype(np.uint64) & np.uint64(0x7F)
        values[more] |= digits << np.uint64(7 * index)
    return values.view(np.int64)
