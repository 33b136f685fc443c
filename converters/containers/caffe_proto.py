"""Caffe's protobuf messages as far as weights need them, with the numbers of caffe.proto.

Source: BVLC/caffe, src/caffe/proto/caffe.proto; how shapes and data are understood: src/caffe/blob.cpp.
"""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import message

from nst_jax.io.files import file_error

from .. import regions, source
from ..source import Tensor
from . import messages, wire
from .wire import DELIMITED, VARINT, Keep, Numbers

# Numbers above all of Caffe's, for the fields that replace the bulk.
_FLOATS, _DOUBLES, _RAW = 100_001, 100_002, 100_003

_BLOB: wire.Schema = {
    **dict.fromkeys((1, 2, 3, 4, 7), Keep()),
    5: Numbers(4, _FLOATS),
    6: Numbers(4, None),
    8: Numbers(8, _DOUBLES),
    9: Numbers(8, None),
    12: Numbers(1, _RAW),
}
_V0_LAYER: wire.Schema = {1: Keep(), 2: Keep(), 50: _BLOB}
_V1_LAYER: wire.Schema = {1: _V0_LAYER, 4: Keep(), 5: Keep(), 6: _BLOB, 36: Keep()}
_LAYER: wire.Schema = {1: Keep(), 2: Keep(), 7: _BLOB, 100: Keep()}
_NET: wire.Schema = {1: Keep(), 2: _V1_LAYER, 100: _LAYER}

_SCHEMAS: dict[str, wire.Schema] = {"NetParameter": _NET, "BlobProto": _BLOB}

# The kinds of all fields; the beginning of a file is recognised by them.
_STARTS = {
    "NetParameter": {1: DELIMITED, 2: DELIMITED, 3: DELIMITED, 4: VARINT, 5: VARINT, 6: DELIMITED, 7: VARINT}
    | {8: DELIMITED, 100: DELIMITED},
    "BlobProto": {1: VARINT, 2: VARINT, 3: VARINT, 4: VARINT, 5: DELIMITED, 7: DELIMITED, 8: DELIMITED},
}

# Message → field → number, type, whether repeated. Texts are bytes: files from strangers are not always UTF-8.
_MESSAGES = {
    "BlobShape": {"dim": (1, "int64", True)},
    "BlobProto": {
        "num": (1, "int32", False),
        "channels": (2, "int32", False),
        "height": (3, "int32", False),
        "width": (4, "int32", False),
        "shape": (7, "BlobShape", False),
        "floats": (_FLOATS, "uint64", True),
        "doubles": (_DOUBLES, "uint64", True),
        "raw": (_RAW, "uint64", True),
    },
    "TransformationParameter": {"mean_file": (4, "bytes", False), "mean_value": (5, "float", True)},
    "V0LayerParameter": {
        "name": (1, "bytes", False),
        "type": (2, "bytes", False),
        "blobs": (50, "BlobProto", True),
    },
    "V1LayerParameter": {
        "layer": (1, "V0LayerParameter", False),
        "name": (4, "bytes", False),
        "type": (5, "int32", False),
        "blobs": (6, "BlobProto", True),
        "transform_param": (36, "TransformationParameter", False),
    },
    "LayerParameter": {
        "name": (1, "bytes", False),
        "type": (2, "bytes", False),
        "blobs": (7, "BlobProto", True),
        "transform_param": (100, "TransformationParameter", False),
    },
    "NetParameter": {
        "name": (1, "bytes", False),
        "layers": (2, "V1LayerParameter", True),
        "layer": (100, "LayerParameter", True),
    },
}


def starts_like(path: Path, name: str) -> bool:
    """Returns whether a file begins like a message of this name."""
    regions.file_size(path)
    with messages.mapped(path) as data:
        return wire.starts_like(data, _STARTS[name])


def parse(path: Path, name: str) -> Any:
    """Returns the message in a file, without its arrays of numbers.

    Raises:
        UserError: the file is not a message of this name.
    """
    return messages.parse(path, _SCHEMAS[name], _classes()[name], f"Caffe's {name}")


def tensor(path: Path, name: str, blob: Any) -> Tensor:
    """Returns the tensor in a blob of the file; `name` is for messages.

    Raises:
        UserError: its shape and its numbers contradict each other.
    """
    if blob.raw:
        raise file_error(
            path, f"{name}: expected numbers, found raw data, as a fork of Caffe writes it; save the file with Caffe"
        )
    shape = _shape(blob)
    numbers, dtype = (blob.doubles, np.dtype("<f8")) if blob.doubles else (blob.floats, np.dtype("<f4"))
    source.check_shape(path, name, shape, dtype)
    runs = messages.runs(numbers)
    found = messages.count(runs)
    if math.prod(shape) != found:
        raise file_error(
            path,
            f"{name}: expected {math.prod(shape)} numbers for shape {list(shape)}, found {found}; fetch the file again",
        )
    return Tensor(shape, dtype, lambda: messages.read(path, runs, dtype).reshape(shape))


def _shape(blob: Any) -> tuple[int, ...]:
    # Blob::FromProto: any of the four old lengths means the old shape, even beside a new one.
    old = ("num", "channels", "height", "width")
    if any(blob.HasField(name) for name in old):
        return tuple(getattr(blob, name) for name in old)
    return tuple(blob.shape.dim)


@functools.cache
def _classes() -> dict[str, type[message.Message]]:
    return messages.classes("caffe", _MESSAGES)
