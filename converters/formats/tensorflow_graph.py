"""TensorFlow's frozen graphs (`.pb`): the constants of a binary GraphDef, as they are or with 8 bits.

Weights are nodes of the kind Const. Quantised ones (`conv1/kernel_quantized_const`, `conv1/weights_quint8_const`) have
their range in two other constants, and the node that reads the three says how they go together.

Source: tensorflow/core/framework/graph.proto, node_def.proto, attr_value.proto, tensor.proto, tensor_shape.proto and
types.proto; how values are left out: tensorflow/core/framework/tensor.cc, Tensor::FromProto.
"""

import functools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import message

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import affine, graph_names, messages, tensor_message, wire
from ..containers.tensor_message import Kind
from ..containers.wire import Keep, Numbers
from ..source import Provenance, Tensor, Tensors

_START = re.compile(
    rb"\x0a[\x80-\xff]{0,4}[\x01-\x7f]\x0a[\x80-\xff]?[\x01-\x7f][A-Za-z0-9.][A-Za-z0-9_.\\/>-]*"
    rb"\x12[\x01-\x40][A-Z_][A-Za-z0-9_>]*"
)
_LONGEST_START = 512

# Numbers above all of TensorFlow's, for the fields that replace the bulk.
_RAW, _FLOATS, _DOUBLES, _INTEGERS, _HALVES = 100_001, 100_002, 100_003, 100_004, 100_005
_TENSOR: wire.Schema = {
    1: Keep(),
    2: {2: {1: Keep()}},
    4: Numbers(1, _RAW),
    5: Numbers(4, _FLOATS),
    6: Numbers(8, _DOUBLES),
    7: Numbers(1, _INTEGERS),
    13: Numbers(1, _HALVES),
}
_ATTRIBUTE: wire.Schema = {1: Keep(), 2: {2: Keep(), 8: _TENSOR}}
_GRAPH: wire.Schema = {1: {1: Keep(), 2: Keep(), 3: Keep(), 5: _ATTRIBUTE}, 4: Keep()}

# Texts are bytes: files from strangers are not always UTF-8.
_MESSAGES: dict[str, messages.Fields] = {
    "Dim": {"size": (1, "int64", False)},
    "TensorShapeProto": {"dim": (2, "Dim", True)},
    "TensorProto": {
        "dtype": (1, "int32", False),
        "tensor_shape": (2, "TensorShapeProto", False),
        "raw": (_RAW, "uint64", True),
        "floats": (_FLOATS, "uint64", True),
        "doubles": (_DOUBLES, "uint64", True),
        "integers": (_INTEGERS, "uint64", True),
        "halves": (_HALVES, "uint64", True),
    },
    "AttrValue": {"s": (2, "bytes", False), "tensor": (8, "TensorProto", False)},
    "Attribute": {"key": (1, "bytes", False), "value": (2, "AttrValue", False)},
    "NodeDef": {
        "name": (1, "bytes", False),
        "op": (2, "bytes", False),
        "input": (3, "bytes", True),
        "attr": (5, "Attribute", True),
    },
    "VersionDef": {"producer": (1, "int32", False)},
    "GraphDef": {"node": (1, "NodeDef", True), "versions": (4, "VersionDef", False)},
}


_QUINT8 = 12
_KINDS = {
    1: Kind("<f4", "floats"),
    2: Kind("<f8", "doubles"),
    19: Kind("<f2", "halves", varints=True),
    14: Kind("<u2", "halves", varints=True, upper_halves=True),  # bfloat16
    _QUINT8: Kind("<u1", "integers", varints=True),
}
_QUANTISED = {11: "qint8", 13: "qint32", 15: "qint16", 16: "quint16"}

# Which inputs of a node are quantised weights, and the smallest and largest of them.
_WEIGHTS_OF = {"Dequantize": (0, 1, 2), "QuantizedConv2D": (1, 4, 5), "QuantizedMatMul": (1, 4, 5)}
_WHOLE_ZERO = {b"MIN_FIRST": True, b"MIN_COMBINED": False}
_SUFFIXES = ("_quantized_const", "_quint8_const")
_VARIABLES = {b"Variable", b"VariableV2", b"VarHandleOp"}


def recognises(path: Path) -> bool:
    """Returns whether the file begins like a node of a graph, with its name and its operation."""
    return _START.match(regions.first_bytes(path, _LONGEST_START)) is not None


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names, shapes and places of all constants that may be weights: those with axes, of real numbers.

    Raises:
        UserError: this is not a graph of TensorFlow, it has no weights, or it is damaged.
    """
    graph = messages.parse(path, _GRAPH, _classes()["GraphDef"], "a graph of TensorFlow")
    constants = _constants(path, graph)
    ranges = dict(_ranges(graph))
    found: Tensors = {}
    others = 0
    for name, constant in constants.items():
        if constant.dtype == _QUINT8 or constant.dtype in _QUANTISED:
            whole = next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), name)
            source.add(found, path, whole, _quantised(path, name, constant, ranges.get(name), constants))
        elif constant.dtype in _KINDS and not graph_names.is_single([dim.size for dim in constant.tensor_shape.dim]):
            source.add(found, path, name, _plain(path, name, constant))
        else:
            others += 1
    source.check_expansion(path, found)
    if not found:
        variables = sum(node.op in _VARIABLES for node in graph.node)
        what = f"{variables} variables, whose values are in a checkpoint" if variables else "none"
        raise file_error(
            path, f"expected a frozen graph, with its weights as constants, found {what}; save the weights as .h5"
        )
    names = graph_names.names(found)
    bits = "8-bit quantisation" if any(constants[name].dtype == _QUINT8 for name in constants) else None
    provenance = Provenance(
        path,
        regions.sha256([path]),
        f"frozen graph of TensorFlow, {len(graph.node)} nodes",
        producer=f"TensorFlow, graph version {graph.versions.producer}" if graph.versions.producer else None,
        numbers=bits,
        notes=(f"left out {others} constants that are no weights: single numbers, shapes, axes",) if others else (),
    )
    return {names[name]: tensor for name, tensor in found.items()}, provenance


def _constants(path: Path, graph: Any) -> dict[str, Any]:
    """Returns name → tensor of each constant."""
    found: dict[str, Any] = {}
    for node in graph.node:
        if node.op != b"Const":
            continue
        name = _text(node.name)
        value = next((attribute.value for attribute in node.attr if attribute.key == b"value"), None)
        if value is None or not value.HasField("tensor"):
            raise file_error(path, f"{one_line(name)}: expected a constant with a value, found none; fetch it again")
        if name in found:
            raise file_error(path, f"expected {one_line(name)} once, found it twice; make the file again")
        found[name] = value.tensor
    return found


def _ranges(graph: Any) -> Iterator[tuple[str, tuple[str, str, bool]]]:
    """Yields quantised constant → names of its smallest and largest number, and whether zero is one of its codes."""
    for node in graph.node:
        places = _WEIGHTS_OF.get(_text(node.op))
        if places is None or len(node.input) <= max(places):
            continue
        codes, smallest, largest = (_text(node.input[place]).removesuffix(":0") for place in places)
        mode = b"MIN_FIRST"
        if node.op == b"Dequantize":
            mode = next((attribute.value.s for attribute in node.attr if attribute.key == b"mode"), b"MIN_COMBINED")
        if mode in _WHOLE_ZERO:
            yield codes, (smallest, largest, _WHOLE_ZERO[mode])


def _quantised(
    path: Path, name: str, constant: Any, span: tuple[str, str, bool] | None, constants: dict[str, Any]
) -> Tensor:
    if constant.dtype in _QUANTISED:
        raise file_error(
            path,
            f"{one_line(name)}: expected weights in single precision or as quint8, found "
            f"{_QUANTISED[constant.dtype]}; save them as .h5",
        )
    if span is None or span[0] not in constants or span[1] not in constants:
        raise file_error(
            path,
            f"{one_line(name)}: expected a node that dequantises it by two other constants, in the mode MIN_FIRST or "
            "MIN_COMBINED, found none; save the weights as .h5",
        )
    codes = _plain(path, name, constant)
    low, high = (_plain(path, end, constants[end]) for end in span[:2])
    if low.dtype.kind != "f" or high.dtype.kind != "f" or math.prod(low.shape + high.shape) != 1:
        raise file_error(
            path,
            f"{one_line(name)}: expected its range as two numbers, found tensors of shapes {list(low.shape)} and "
            f"{list(high.shape)}",
        )
    source.check_shape(path, name, codes.shape, np.dtype(np.float32))

    def load() -> np.ndarray:
        smallest, largest = (float(end.load().item()) for end in (low, high))
        return affine.table(path, name, smallest, largest, whole=span[2])[codes.load()]

    return Tensor(codes.shape, np.dtype(np.float32), load)


def _plain(path: Path, name: str, constant: Any) -> Tensor:
    """Returns a constant as it is stored.

    Raises:
        UserError: it is of a type that is not read, or shape and numbers contradict each other.
    """
    kind = _KINDS.get(constant.dtype)
    if kind is None:
        raise file_error(path, f"{one_line(name)}: expected floating-point numbers, found type {constant.dtype}")
    shape = tuple(dim.size for dim in constant.tensor_shape.dim)
    return tensor_message.tensor(path, name, shape, kind, constant.raw, getattr(constant, kind.field), filled=True)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


@functools.cache
def _classes() -> dict[str, type[message.Message]]:
    return messages.classes("tensorflow", _MESSAGES)
