"""safetensors with the names of PyTorch (`features.0.weight`), or with our own, as the interchange file has them."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from converters import regions, source
from converters.source import Layout, Provenance, Tensor, Tensors
from nst_jax.backbones.weights import METADATA_KEY
from nst_jax.errors import one_line
from nst_jax.files import file_error

_LARGEST_HEADER = 100_000_000  # what safetensors itself allows
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
_DTYPES |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}
_ROLES = {"weight": "kernel"}


def recognises(path: Path) -> bool:
    """Returns whether the file begins with the length of a JSON header and the header's first character."""
    start = regions.first_bytes(path, 9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _LARGEST_HEADER


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all tensors.

    Raises:
        UserError: this is no safetensors file, it is damaged, or has tensors by the names of both.
    """
    regions.file_size(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = list(file.keys())[: source.MOST_TENSORS + 1]  # of more than that `add` complains
            described = {name: _describe(file.get_slice(name)) for name in names}
            metadata = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise file_error(path, f"expected safetensors, found: {one_line(error)}; fetch it again") from error
    ours = any(name.endswith("/kernel") for name in described)
    tensors: Tensors = {}
    for name, (shape, dtype) in described.items():
        if dtype not in _DTYPES:
            raise file_error(path, f"{one_line(name)}: expected one of {', '.join(_DTYPES)}, found {one_line(dtype)}")
        layer, _, role = name.rpartition("/" if ours else ".")
        load = functools.partial(_load, path, name)
        source.add(tensors, path, f"{layer}/{_ROLES.get(role, role)}", Tensor(shape, np.dtype(_DTYPES[dtype]), load))
    record = _record(metadata)
    return tensors, Provenance(
        path=path,
        sha256=regions.sha256([path]),
        format=f"safetensors, names {'of nst_jax' if ours else 'as in PyTorch'}",
        producer=None,
        layout=Layout() if ours else Layout(conv="OIHW", dense="OIHW"),
        convention=None,
        backbone=record.get("backbone") if ours else None,
        notes=tuple(f"{one_line(key)}: {one_line(value)}" for key, value in record.items()),
    )


def _describe(part: Any) -> tuple[tuple[int, ...], str]:
    return tuple(part.get_shape()), part.get_dtype()


def _load(path: Path, name: str) -> np.ndarray:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return file.get_tensor(name)
    except (OSError, safetensors.SafetensorError) as error:
        raise file_error(path, f"{one_line(name)}: expected a tensor, found: {one_line(error)}") from error


def _record(metadata: dict[str, str]) -> dict[str, Any]:
    """Returns what the interchange file tells of itself; nothing for files of others."""
    try:
        record = json.loads(metadata[METADATA_KEY])
    except (KeyError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
