"""The header of a safetensors file, for writing arrays one by one.

The library itself needs all arrays in memory, twice, and writes a transposed view in the order of its memory: wrong
values in the right shape.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_DTYPES = {
    "F32": np.float32,
    "F16": np.float16,
    "I8": np.int8,
    "I32": np.int32,
    "I64": np.int64,
    "U32": np.uint32,
    "BOOL": np.bool_,
}
_ALIGNMENT = 8


def header(arrays: Mapping[str, tuple[np.dtype, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """Returns the header (https://github.com/huggingface/safetensors#format); the arrays follow it, in `little_endian`.

    Args:
        arrays: name → type and shape, in the order in which they are written.
        metadata: text by name.
    """
    codes = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
    entries: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, (dtype, shape) in arrays.items():
        start, end = end, end + math.prod(shape) * np.dtype(dtype).itemsize
        entries[name] = {"dtype": codes[np.dtype(dtype)], "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def little_endian(values: np.ndarray) -> memoryview:
    """Returns the bytes of an array as the file holds them: contiguous and little-endian."""
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).data
