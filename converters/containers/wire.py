"""Protobuf's wire format, as far as needed to leave the bulk of a message in its file.

The protobuf runtime would hold hundreds of megabytes of weights in memory twice, and make an object of every two bytes
of a hostile file. Here, a message is copied without its long arrays of numbers and without unwanted fields; each array
is replaced by its place in the file. The runtime then parses the remaining few kilobytes.

Source: https://protobuf.dev/programming-guides/encoding/
"""

import mmap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5

MOST_FIELDS = 200_000
LARGEST_SKELETON = 16 << 20
_LONGEST_VARINT = 10
_FIRST_BLOCK, _LARGEST_BLOCK = 16, 1 << 20


class MalformedError(Exception):
    """A message that cannot be read, and why."""


class Keep(NamedTuple):
    """A field that is copied as it is."""


class Numbers(NamedTuple):
    """A repeated field of numbers of fixed size, packed or not, that stays in the file.

    Attributes:
        size: size of a number in bytes; 1 also for bytes, and for packed numbers of variable size.
        places: the field (packed varints) for their places: start, length and stride in bytes of each run, where the
            number is at the end of its stride; None if they are not wanted.
    """

    size: int
    places: int | None


Schema = Mapping[int, "Keep | Numbers | Schema"]
"""What to do with the fields of a message, by number; others are left out."""


class Field(NamedTuple):
    """A field of a message: all of it is from `start` to `end`, its content from `content` on."""

    number: int
    kind: int
    start: int
    content: int
    end: int


def skeleton(data: mmap.mmap, schema: Schema) -> bytes:
    """Returns the message without its bulk.

    Raises:
        MalformedError: it is not a message, is cut short, or has more fields than any honest one.
    """
    return _Copier(data).copy(0, len(data), schema)


def starts_like(data: mmap.mmap, kinds: Mapping[int, int]) -> bool:
    """Returns whether the first two fields have one of the numbers, each with its kind."""
    found = []
    try:
        for field in _fields(data, 0, len(data)):
            found.append(kinds.get(field.number) == field.kind)
            if len(found) == 2:
                break
    except MalformedError:
        return False
    return bool(found) and all(found)


class _Copier:
    """Copies messages, and counts the fields seen and the bytes copied."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._seen = 0
        self._copied = 0

    def copy(self, start: int, end: int, schema: Schema) -> bytes:
        parts: list[bytes] = []
        position = start
        while position < end:
            field = _field(self._data, position, end)
            self._count(field)
            position = field.end
            match schema.get(field.number):
                case Keep():
                    parts.append(self._take(field))
                case Numbers() as numbers:
                    place, position = _place(self._data, field, end, numbers)
                    if place and numbers.places:
                        parts.append(_delimited(numbers.places, b"".join(map(_varint, place))))
                case None:
                    pass
                case below if field.kind == DELIMITED:
                    parts.append(_delimited(field.number, self.copy(field.content, field.end, below)))
        return b"".join(parts)

    def _count(self, field: Field) -> None:
        self._seen += 1
        if self._seen > MOST_FIELDS:
            raise MalformedError(f"more than {MOST_FIELDS} fields, at byte {field.start}")

    def _take(self, field: Field) -> bytes:
        self._copied += field.end - field.start
        if self._copied > LARGEST_SKELETON:
            raise MalformedError(f"a field of {field.end - field.content} bytes where a short one belongs")
        return self._data[field.start : field.end]


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[Field]:
    while start < end:
        field = _field(data, start, end)
        yield field
        start = field.end


def _field(data: mmap.mmap, start: int, end: int) -> Field:
    tag, content = _read_varint(data, start, end)
    number, kind = tag >> 3, tag & 7
    match kind:
        case 0:
            _, stop = _read_varint(data, content, end)
        case 1:
            stop = content + 8
        case 2:
            length, content = _read_varint(data, content, end)
            stop = content + length
        case 5:
            stop = content + 4
        case _:
            raise MalformedError(f"a field of kind {kind} (a group, or not protobuf at all) at byte {start}")
    if stop > end:
        raise MalformedError(f"a field of {stop - content} bytes at byte {start}, of which {end - content} are there")
    return Field(number, kind, start, content, stop)


def _place(data: mmap.mmap, field: Field, end: int, numbers: Numbers) -> tuple[tuple[int, int, int] | None, int]:
    """Returns start, length and stride of the numbers from a field on, and their end."""
    if field.kind == DELIMITED:
        length = field.end - field.content
        if length % numbers.size:
            raise MalformedError(f"{length} bytes of numbers of {numbers.size} bytes each at byte {field.start}")
        return (field.content, length, numbers.size), field.end
    if field.kind == VARINT or field.end - field.content != numbers.size:
        return None, field.end
    stride = field.end - field.start
    stop = field.start + stride * _repetitions(data, field, end)
    return (field.start, stop - field.start, stride), stop


def _repetitions(data: mmap.mmap, field: Field, end: int) -> int:
    """Returns the number of successive fields with the same tag and one number each, from this one on."""
    tag = np.frombuffer(data[field.start : field.content], np.uint8)
    stride = field.end - field.start
    count, most, block = 0, (end - field.start) // stride, _FIRST_BLOCK
    while count < most:
        start = field.start + count * stride
        rows = np.frombuffer(data[start : start + min(most - count, block) * stride], np.uint8).reshape(-1, stride)
        block = min(2 * block, _LARGEST_BLOCK)  # else a million runs of one number would take a million large reads
        same = (rows[:, : len(tag)] == tag).all(axis=1)
        if not same.all():
            return count + int(same.argmin())
        count += len(rows)
    return count


def _read_varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    value = 0
    for index, position in enumerate(range(start, min(end, start + _LONGEST_VARINT))):
        byte = data[position]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + 1
    raise MalformedError(f"a number without an end at byte {start}")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | DELIMITED) + _varint(len(content)) + content
