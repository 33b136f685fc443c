"""Writes both containers of PyTorch, and whatever a pickle can be made to say."""

import struct
import zipfile
from typing import Any, NamedTuple

import numpy as np

KINDS = {
    "float16": "HalfStorage",
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "int8": "CharStorage",
    "int16": "ShortStorage",
    "int32": "IntStorage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class Global(NamedTuple):
    module: str
    name: str


class Call(NamedTuple):
    function: Any
    arguments: Any
    state: Any = None


class Persistent(NamedTuple):
    description: Any


class Raw(NamedTuple):
    instructions: bytes


def encode(value, text=lambda encoded: b"X" + struct.pack("<I", len(encoded)) + encoded):
    """Returns the instructions that make a value, in protocol 2 and without any memory."""
    many = lambda values: b"".join(encode(item, text) for item in values)  # noqa: E731
    match value:
        case Raw(instructions):
            return instructions
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case Persistent(description):
            return encode(description, text) + b"Q"
        case Call(function, arguments, state):
            return many((function, arguments)) + b"R" + (encode(state, text) + b"b" if state is not None else b"")
        case dict():
            return b"}(" + many(item for pair in value.items() for item in pair) + b"u"
        case list():
            return b"](" + many(value) + b"e"
        case tuple():
            return b"(" + many(value) + b"t"
        case str():
            return text(value.encode())
        case bool() | None:
            return {True: b"\x88", False: b"\x89", None: b"N"}[value]
        case int():
            encoded = value.to_bytes(16, "little", signed=True)
            return b"\x8a" + bytes([len(encoded)]) + encoded
    raise TypeError(value)


def dumps(value, **options):
    return b"\x80\x02" + encode(value, **options) + b"."


def old_text(encoded):
    """Text as Python 2 has it."""
    return b"U" + bytes([len(encoded)]) + encoded


ORDERED = Global("collections", "OrderedDict")


def tensor(key, numbers, shape, strides, *, start=0, kind="FloatStorage", location="cpu", view=None, part=None):
    """Returns what PyTorch writes for a tensor; `numbers` is the length of its storage."""
    description = "storage", Global("torch", kind), key, location, numbers
    description += {"zip": (), "legacy": (view,)}[part or "legacy"]
    arguments = (Persistent(description), start, shape, strides, False, Call(ORDERED, ()))
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


def plain(array, key, **options):
    """Returns the tensor of an array that is all of a storage."""
    strides = tuple(stride // array.itemsize for stride in np.ascontiguousarray(array).reshape(array.shape).strides)
    return tensor(key, array.size, array.shape, strides, kind=KINDS[array.dtype.name], **options)


def write_zip(path, state, storages, *, members=(), compression=zipfile.ZIP_STORED):
    """Writes a zip archive; `state` is the object or, if it is bytes, its pickle; `members` are added or replace."""
    data = state if isinstance(state, bytes) else dumps(state)
    contents = {"data.pkl": data, "byteorder": b"little", "version": b"3\n"}
    contents |= {f"data/{key}": content for key, content in storages.items()} | dict(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            if content is not None:
                archive.writestr(f"archive/{name}", content)
    return path


COMPUTER = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
HEADER = (0x1950A86A20F9469CFC6C, 1001, COMPUTER)


def write_legacy(path, state, storages, *, header=HEADER, keys=None, sizes=None, more=b""):
    """Writes the legacy container; `sizes` are those of the numbers of each storage, in bytes."""
    pickled = state if isinstance(state, bytes) else dumps(state)
    data = b"".join(map(dumps, header)) + pickled + dumps(list(storages) if keys is None else keys)
    for key, content in storages.items():
        data += struct.pack("<q", len(content) // (sizes or {}).get(key, 4)) + content
    path.write_bytes(data + more)
    return path


WRITERS = {"zip": write_zip, "legacy": write_legacy}


def write(container, path, state, storages):
    return WRITERS[container](path, state, storages)


def state_of(arrays, **options):
    return {name: plain(array, str(index), **options) for index, (name, array) in enumerate(arrays.items())}


def storages_of(arrays):
    return {str(index): array.tobytes() for index, array in enumerate(arrays.values())}


def write_network(container, path, state_dict):
    """Writes a state dict: name → array, each in a storage of its own."""
    arrays = {name: np.ascontiguousarray(values) for name, values in state_dict.items()}
    return write(container, path, state_of(arrays, part=container), storages_of(arrays))
