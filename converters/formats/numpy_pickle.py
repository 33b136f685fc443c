"""Weights as pickled NumPy arrays: `.npy` dictionaries of TensorFlow's ports, `.pkl` lists of Lasagne.

- By name (`vgg19.npy`): layer → [kernel, bias], or → {"weights": kernel, "biases": bias}. `numpy.save` pickles the
  dictionary as an array of one object. Kernels have TensorFlow's axes, the pixels are Caffe's.
- In order (`vgg19.pkl` of Lasagne's model zoo): {"param values": [kernel, bias, kernel, bias, ...]}. Kernels are
  Caffe's, dense ones transposed.
"""

import re
from pathlib import Path
from typing import Any

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import numpy_pickle
from ..containers.numpy_pickle import Array
from ..regions import Region
from ..source import Layout, Provenance, Tensors

_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_FRAME = re.compile(rb"\x95.{8}", re.DOTALL)
_LONG = b"\x8a"  # of PyTorch's magic number, with which its files begin
_NPY = b"\x93NUMPY"
_OF_OBJECTS = re.compile(rb"\{'descr': '\|O', 'fortran_order': (?:True|False), 'shape': \(\), \}\s*")
_LONGEST_HEADER = 1000

_IN_ORDER = "param values"
_ROLES = ("kernel", "bias")
_NAMED_ROLES = {"weights": "kernel", "weight": "kernel", "W": "kernel", "biases": "bias", "b": "bias"}
_LASAGNE = Layout(conv="OIHW", dense="IHWO")


def recognises(path: Path) -> bool:
    """Returns whether the file begins with a pickle that is not PyTorch's, or is an object saved by `numpy.save`."""
    start = regions.first_bytes(path, _LONGEST_HEADER)
    if start.startswith(_PICKLES):
        return not start[9 + 2 if _FRAME.match(start, 2) else 2 :].startswith(_LONG)
    return _objects(start) is not None


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names, shapes and places of all arrays.

    Raises:
        UserError: these are no arrays by name or in order, or the file is damaged.
    """
    whole = regions.whole(path)
    start = _objects(regions.first_bytes(path, _LONGEST_HEADER)) or 0
    value = numpy_pickle.load(Region(path, start, whole.length - start))
    if isinstance(value, Array) and value.items and len(value.items) == 1:
        value = value.items[0]
    named = not (isinstance(value, list) or (isinstance(value, dict) and _IN_ORDER in value))
    tensors: Tensors = {}
    arrays = _named(path, value) if named else _in_order(path, value)
    for name, array in arrays.items():
        source.add(tensors, path, name, numpy_pickle.tensor(path, name, array))
    source.check_total(path, tensors)
    return tensors, Provenance(
        path,
        regions.sha256([path]),
        "NumPy pickle, " + ("layers by name" if named else "layers in order, as Lasagne saves them"),
        layout=Layout() if named else _LASAGNE,
        convention="caffe",
        named=named,
        ordered=not named,
    )


def _objects(start: bytes) -> int | None:
    """Returns where the pickle of a `.npy` file of one object begins; None for other files."""
    if not start.startswith(_NPY) or len(start) < 12:
        return None
    width = 2 if start[6] == 1 else 4
    first = 8 + width
    length = int.from_bytes(start[8:first], "little")
    return first + length if _OF_OBJECTS.fullmatch(start, first, first + length) else None


def _in_order(path: Path, value: Any) -> dict[str, Array]:
    arrays = value[_IN_ORDER] if isinstance(value, dict) else value
    if not isinstance(arrays, list) or not all(isinstance(array, Array) for array in arrays) or len(arrays) % 2:
        raise file_error(path, "expected kernel and bias of each layer in turn, found something else in the list")
    return {f"layer_{index // 2}/{_ROLES[index % 2]}": array for index, array in enumerate(arrays)}


def _named(path: Path, value: Any) -> dict[str, Array]:
    if not isinstance(value, dict) or not value:
        raise file_error(path, "expected arrays by the name of their layer, or a list of them, found something else")
    found: dict[str, Array] = {}
    for layer, arrays in value.items():
        pairs: list[tuple[Any, Any]] = []
        if isinstance(arrays, dict):
            pairs += arrays.items()
        elif isinstance(arrays, list | tuple) and len(arrays) == len(_ROLES):
            pairs += zip(_ROLES, arrays, strict=True)
        if type(layer) is not str or not pairs or not all(isinstance(array, Array) for _, array in pairs):
            raise file_error(path, f"{one_line(layer)}: expected kernel and bias of a layer, found something else")
        for role, array in pairs:
            name = f"{layer}/{_NAMED_ROLES.get(role, role)}"
            if name in found:
                raise file_error(path, f"expected {one_line(name)} once, found it under two names; remove one")
            found[name] = array
    return found
