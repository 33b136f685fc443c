"""safetensors with the names of PyTorch (`features.0.weight`), or with our own, as in the interchange file."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from nst_jax.errors import one_line
from nst_jax.io.files import file_error
from nst_jax.io.weight_file import METADATA_KEY

from .. import regions, source
from ..containers import state_dict
from ..regions import Region
from ..source import Layout, Provenance, Tensor, Tensors

_LENGTH = 8
_LARGEST_HEADER = 16 << 20
_LARGEST_RECORD = 1 << 20  # the hashes of ten thousand pictures
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
_DTYPES |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "BF16": "<f4"}
_BFLOAT16 = "BF16"  # the upper halves of single precision; which NumPy lacks


def recognises(path: Path) -> bool:
    """Returns whether the file begins with the length of a JSON header and the header's first character."""
    start = regions.first_bytes(path, _LENGTH + 1)
    return start[_LENGTH:] == b"{" and int.from_bytes(start[:_LENGTH], "little") <= _LARGEST_HEADER


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all tensors.

    Raises:
        UserError: this is not a safetensors file, or it is damaged.
    """
    whole = regions.whole(path)
    length = int.from_bytes(whole.part(0, min(_LENGTH, whole.length)).read(), "little")
    if length > _LARGEST_HEADER:
        raise file_error(path, f"expected safetensors with a header of at most {_LARGEST_HEADER} bytes, found {length}")
    try:
        with safetensors.safe_open(path, framework="numpy"):  # which checks the header, and that it fits the file
            header = json.loads(whole.part(_LENGTH, length).read())
    except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise file_error(path, f"expected safetensors, found: {one_line(error)}; fetch it again") from error
    record = _record(header.pop("__metadata__", None))
    data = whole.part(_LENGTH + length, whole.length - _LENGTH - length)
    ours = any(name.endswith("/kernel") for name in header)
    names = {name: name for name in header} if ours else state_dict.names(header)
    tensors: Tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            found = one_line(entry["dtype"])
            raise file_error(path, f"{one_line(name)}: expected one of {', '.join(_DTYPES)}, found {found}")
        shape, dtype = tuple(entry["shape"]), np.dtype(_DTYPES[entry["dtype"]])
        start, end = entry["data_offsets"]
        widen = entry["dtype"] == _BFLOAT16
        load = functools.partial(_load, data.part(start, end - start), dtype, shape, widen=widen)
        source.add(tensors, path, names[name], Tensor(shape, dtype, load))
    return tensors, Provenance(
        path=path,
        sha256=regions.sha256([path]),
        format=f"safetensors, names {'of nst_jax' if ours else 'as in PyTorch'}",
        layout=Layout() if ours else state_dict.LAYOUT,
        backbone=record.get("backbone") if ours else None,
        notes=tuple(f"{one_line(key)}: {one_line(value)}" for key, value in record.items()),
    )


def _load(region: Region, dtype: np.dtype, shape: tuple[int, ...], *, widen: bool) -> np.ndarray:
    data = region.read()
    values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view(dtype) if widen else np.frombuffer(data, dtype)
    return values.reshape(shape)


def _record(metadata: Any) -> dict[str, Any]:
    """Returns the metadata of an interchange file; an empty dictionary for other files."""
    try:
        text = metadata[METADATA_KEY]
        record = json.loads(text) if len(text) <= _LARGEST_RECORD else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
