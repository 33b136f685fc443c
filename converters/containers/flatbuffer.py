"""Flatbuffers, read where they lie: no offset is followed before it is known to stay in the file.

A table is a place from which fields are found through its vtable; vectors and texts begin with their length. Offsets
of fields point forward, that of a vtable either way, and several may point to one place: so whatever is walked is
counted, and nothing is copied before its length was looked at.

Source: https://flatbuffers.dev/internals/
"""

import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple

MOST_TABLES = 100_000

_OFFSET = 4
_VTABLE_HEADER = 4  # bytes: the lengths of the vtable and of the table


class MalformedError(Exception):
    """A flatbuffer that cannot be read, and why."""


class Vector(NamedTuple):
    """Where the items of a vector are, and how many."""

    start: int
    length: int


class Buffer:
    """A flatbuffer in memory or mapped; counts the tables that were visited."""

    def __init__(self, data: mmap.mmap | bytes) -> None:
        self._data = data
        self._visited = 0

    def root(self) -> "Table":
        """Returns the first table.

        Raises:
            MalformedError: there is none.
        """
        return self.table(self.follow(0))

    def number(self, place: int, layout: str) -> float:
        """Returns a number in the layout of `struct`, which begins with `<`."""
        size = struct.calcsize(layout)
        self.check(place, size)
        return struct.unpack(layout, self._data[place : place + size])[0]

    def whole(self, place: int, layout: str) -> int:
        """Returns a whole number, as `number` does."""
        return int(self.number(place, layout))

    def follow(self, place: int) -> int:
        """Returns the place to which the offset at `place` points."""
        offset = self.whole(place, "<I")
        if offset == 0:
            raise MalformedError(f"an offset of 0 at byte {place}")
        self.check(place + offset, _OFFSET)
        return place + offset

    def table(self, place: int) -> "Table":
        """Returns the table at a place."""
        self._visited += 1
        if self._visited > MOST_TABLES:
            raise MalformedError(f"more than {MOST_TABLES} tables")
        return Table(self, place)

    def vector(self, place: int, size: int) -> Vector:
        """Returns the vector at a place, of items of `size` bytes."""
        length = self.whole(place, "<I")
        self.check(place + _OFFSET, length * size)
        return Vector(place + _OFFSET, length)

    def check(self, place: int, size: int) -> None:
        """Raises MalformedError unless `size` bytes from `place` on are in the file."""
        if place < 0 or place + size > len(self._data):
            raise MalformedError(f"{size} bytes at byte {place}, beyond the end of the file")

    def bytes(self, vector: Vector) -> bytes:
        """Returns the items of a vector of bytes."""
        return self._data[vector.start : vector.start + vector.length]


class Table:
    """A table: its fields by their numbers; absent ones are None, or a default."""

    def __init__(self, buffer: Buffer, place: int) -> None:
        self._buffer = buffer
        self._place = place
        self._vtable = place - buffer.whole(place, "<i")
        self._vtable_size = buffer.whole(self._vtable, "<H")
        self._size = buffer.whole(self._vtable + 2, "<H")
        buffer.check(self._vtable, self._vtable_size)
        if self._vtable_size < _VTABLE_HEADER or self._vtable_size % 2:
            raise MalformedError(f"a vtable of {self._vtable_size} bytes at byte {self._vtable}")

    def number(self, field: int, layout: str, default: int = 0) -> int:
        """Returns a whole number."""
        place = self._field(field, struct.calcsize(layout))
        return default if place is None else self._buffer.whole(place, layout)

    def table(self, field: int) -> "Table | None":
        """Returns a table within this one."""
        place = self._field(field, _OFFSET)
        return None if place is None else self._buffer.table(self._buffer.follow(place))

    def vector(self, field: int, size: int) -> Vector | None:
        """Returns a vector of items of `size` bytes."""
        place = self._field(field, _OFFSET)
        return None if place is None else self._buffer.vector(self._buffer.follow(place), size)

    def tables(self, field: int) -> Iterator["Table"]:
        """Yields the tables in a vector of them."""
        vector = self.vector(field, _OFFSET) or Vector(0, 0)
        for index in range(vector.length):
            yield self._buffer.table(self._buffer.follow(vector.start + index * _OFFSET))

    def text(self, field: int, longest: int) -> str:
        """Returns a text.

        Raises:
            MalformedError: it has more than `longest` bytes.
        """
        vector = self.vector(field, 1)
        if vector is None:
            return ""
        if vector.length > longest:
            raise MalformedError(f"a text of {vector.length} bytes at byte {vector.start}")
        return self._buffer.bytes(vector).decode(errors="replace")

    def numbers(self, field: int, layout: str, most: int) -> tuple[int, ...] | None:
        """Returns a vector of whole numbers; `layout` is that of one.

        Raises:
            MalformedError: there are more than `most`.
        """
        size = struct.calcsize(layout)
        vector = self.vector(field, size)
        if vector is None:
            return None
        if vector.length > most:
            raise MalformedError(f"a vector of {vector.length} numbers at byte {vector.start}")
        return tuple(self._buffer.whole(vector.start + index * size, layout) for index in range(vector.length))

    def has(self, field: int) -> bool:
        """Returns whether the field is there."""
        return self._field(field, 0) is not None

    def _field(self, field: int, size: int) -> int | None:
        entry = _VTABLE_HEADER + 2 * field
        if entry + 2 > self._vtable_size:
            return None
        offset = self._buffer.whole(self._vtable + entry, "<H")
        if offset == 0:
            return None
        if offset + size > self._size:
            raise MalformedError(f"a field at byte {self._place + offset}, beyond the end of its table")
        return self._place + offset
