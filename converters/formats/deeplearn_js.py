"""Checkpoints of deeplearn.js, the predecessor of TensorFlow.js: `manifest.json`, and a file for each variable.

The manifest says name → file name and shape; the files have nothing but single precision, little-endian, in the order
of C. Names are those of TensorFlow's variables (`Variable_3`, `conv1/weights`), or of ports of Keras (`conv1_W:0`).

Source: deeplearn.js, scripts/dump_checkpoints/dump_checkpoint_vars.py, which wrote them.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import beside, graph_names, state_dict
from ..regions import Region
from ..source import Provenance, Tensor, Tensors

_MANIFEST = "manifest.json"
_KEYS = ("filename", "shape")
_DTYPE = np.dtype("<f4")
_OUTPUT = ":0"  # of the operation that is the variable


def recognises(path: Path) -> bool:
    """Returns whether the file is a manifest, or the folder has one."""
    if regions.is_folder(path):
        return os.path.exists(path / _MANIFEST)  # noqa: PTH110 - never an error
    if regions.first_bytes(path, 1) != b"{":
        return False
    try:
        manifest = beside.read_json(path)
    except UserError:
        return False
    return isinstance(manifest, dict) and any(map(_is_variable, manifest.values()))


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads names and shapes of all variables, and checks that their files have exactly the described size.

    Args:
        path: `manifest.json` or the folder that it is in.

    Raises:
        UserError: this is not a checkpoint of deeplearn.js, it is damaged, or it points outside its folder.
    """
    if regions.is_folder(path):
        path = path / _MANIFEST
    manifest = beside.read_json(path)
    if not isinstance(manifest, dict) or not manifest:
        raise file_error(path, "expected variables by name, found none; fetch the manifest of the checkpoint again")
    found: Tensors = {}
    files: dict[Path, None] = {}
    for name, variable in manifest.items():
        file, tensor = _variable(path, name, variable)
        if file in files:
            raise file_error(path, f"expected a file for each variable, found {one_line(file.name)} twice")
        files[file] = None
        source.add(found, path, name, tensor)
    source.check_total(path, found)
    of_ports = state_dict.names(name.removesuffix(_OUTPUT) for name in found)
    of_tensorflow = graph_names.names(of_ports.values())
    tensors: Tensors = {}
    for name, tensor in found.items():
        source.add(tensors, path, of_tensorflow[of_ports[name.removesuffix(_OUTPUT)]], tensor)
    return tensors, Provenance(path, regions.sha256([path, *files]), "deeplearn.js checkpoint")


def _is_variable(value: Any) -> bool:
    return isinstance(value, dict) and all(key in value for key in _KEYS)


def _variable(path: Path, name: str, value: Any) -> tuple[Path, Tensor]:
    shape = value["shape"] if _is_variable(value) else None
    if not isinstance(shape, list) or not all(type(length) is int for length in shape):
        raise file_error(
            path, f"{one_line(name)}: expected the name of a file and a shape in whole numbers, found others"
        )
    source.check_shape(path, name, tuple(shape), _DTYPE)
    file = beside.file(path, value["filename"])
    size, wanted = regions.file_size(file), math.prod(shape) * _DTYPE.itemsize
    if size != wanted:
        raise file_error(
            path,
            f"{one_line(name)}: expected {wanted} bytes in {one_line(file.name)} for shape {shape}, found {size}; "
            "fetch it again",
        )

    def load() -> np.ndarray:
        return np.frombuffer(Region(file, 0, size).read(), _DTYPE).reshape(shape)

    return file, Tensor(tuple(shape), _DTYPE, load)
