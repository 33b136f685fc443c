"""ONNX graphs (`.onnx`): initialisers and constants, as they are or as whole numbers that the graph dequantises.

Names are those of the program that exported the graph: PyTorch's (`features.0.weight`), or TensorFlow's from tf2onnx
(`conv1/weights`). Kernels are [out, in, height, width], those of transposed convolutions [in, out, height, width].

Source: onnx/onnx.proto; what whole numbers stand for: the operator DequantizeLinear in onnx/docs/Operators.md.
"""

import functools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import message

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import affine, graph_names, messages, state_dict, tensor_message, wire
from ..containers.tensor_message import Kind
from ..containers.wire import Keep, Numbers
from ..source import Layout, Provenance, Tensor, Tensors

# The version, then the name of a program, or the graph at once. SavedModels and models of Core ML go on otherwise.
_START = re.compile(rb"\x08[\x01-\x1f](?:\x12(?:\x00|[\x01-\x7f][ -~])|:)")

# Numbers above all of ONNX's, for the fields that replace the bulk.
_RAW, _FLOATS, _DOUBLES, _INTEGERS = 100_001, 100_002, 100_003, 100_004
_TENSOR: wire.Schema = {
    **dict.fromkeys((1, 2, 8, 14), Keep()),
    4: Numbers(4, _FLOATS),
    5: Numbers(1, _INTEGERS),
    9: Numbers(1, _RAW),
    10: Numbers(8, _DOUBLES),
    13: {1: Keep(), 2: Keep()},
}
_NODE: wire.Schema = {**dict.fromkeys((1, 2, 3, 4), Keep()), 5: {1: Keep(), 3: Keep(), 5: _TENSOR}}
_GRAPH: wire.Schema = {1: _NODE, 2: Keep(), 5: _TENSOR, 15: {1: {8: Keep()}}}
_MODEL: wire.Schema = {1: Keep(), 2: Keep(), 3: Keep(), 7: _GRAPH}

# Texts are bytes: files from strangers are not always UTF-8.
_MESSAGES: dict[str, messages.Fields] = {
    "Entry": {"key": (1, "bytes", False), "value": (2, "bytes", False)},
    "TensorProto": {
        "dims": (1, "int64", True),
        "data_type": (2, "int32", False),
        "name": (8, "bytes", False),
        "external_data": (13, "Entry", True),
        "data_location": (14, "int32", False),
        "raw": (_RAW, "uint64", True),
        "floats": (_FLOATS, "uint64", True),
        "doubles": (_DOUBLES, "uint64", True),
        "integers": (_INTEGERS, "uint64", True),
    },
    "AttributeProto": {"name": (1, "bytes", False), "i": (3, "int64", False), "t": (5, "TensorProto", False)},
    "NodeProto": {
        "input": (1, "bytes", True),
        "output": (2, "bytes", True),
        "name": (3, "bytes", False),
        "op_type": (4, "bytes", False),
        "attribute": (5, "AttributeProto", True),
    },
    "SparseTensorProto": {"values": (1, "TensorProto", False)},
    "GraphProto": {
        "node": (1, "NodeProto", True),
        "name": (2, "bytes", False),
        "initializer": (5, "TensorProto", True),
        "sparse_initializer": (15, "SparseTensorProto", True),
    },
    "ModelProto": {
        "ir_version": (1, "int64", False),
        "producer_name": (2, "bytes", False),
        "producer_version": (3, "bytes", False),
        "graph": (7, "GraphProto", False),
    },
}

_FLOATING = {
    1: Kind("<f4", "floats"),
    10: Kind("<f2", "integers", varints=True),
    11: Kind("<f8", "doubles"),
    16: Kind("<u2", "integers", varints=True, upper_halves=True),  # bfloat16
}
_WHOLE = {
    2: Kind("<u1", "integers", varints=True),
    3: Kind("<i1", "integers", varints=True),
    4: Kind("<u2", "integers", varints=True),
    5: Kind("<i2", "integers", varints=True),
    6: Kind("<i4", "integers", varints=True),
}
_BYTES = (2, 3)
_SMALL = {17: "float8", 18: "float8", 19: "float8", 20: "float8", 21: "uint4", 22: "int4", 23: "float4"}

_DEQUANTISE = b"DequantizeLinear"
_QUANTISERS = (_DEQUANTISE, b"QuantizeLinear")
# What programs add to the name of a weight: behind the operation, and before it.
_DEQUANTISED = ("_dequant", "_DequantizeLinear_Output", "_dequantized")
_QUANTISED = "_quantized"
# Operations whose inputs behind the first one are settings, not weights.
_SETTINGS = (b"Resize", b"Upsample", b"Pad", b"Clip")


class _Quantisation(NamedTuple):
    """The names of codes, scales and zero points, the last one empty if there are none; and the axis of the scales."""

    codes: str
    scales: str
    zeros: str
    axis: int


def recognises(path: Path) -> bool:
    """Returns whether the file begins like an ONNX model; protobuf has no signature."""
    return _START.match(regions.first_bytes(path, 8)) is not None


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names, shapes and places of all constants that may be weights: those with axes, of real numbers.

    Raises:
        UserError: this is not an ONNX graph, it has no weights, they are in other files, or it is damaged.
    """
    model = messages.parse(path, _MODEL, _classes()["ModelProto"], "an ONNX graph")
    graph = model.graph
    if graph.sparse_initializer:
        raise file_error(path, "expected all numbers of a tensor, found a sparse one; export the graph without pruning")
    constants = _constants(path, graph)
    quantised = _quantised(graph, constants)
    settings = _settings(graph)
    dequantised = {row.codes for row in quantised.values()}
    found: Tensors = {}
    for name, row in quantised.items():
        tensor = _dequantised(path, name, row, constants)
        if not graph_names.is_single(tensor.shape) and 0 not in tensor.shape:
            source.add(found, path, name, tensor)
    for name, constant in constants.items():
        if name in settings | dequantised or graph_names.is_single(constant.dims) or 0 in constant.dims:
            continue
        if constant.data_type in _FLOATING:
            source.add(found, path, name, _plain(path, name, constant, _FLOATING[constant.data_type]))
        elif constant.data_type in _BYTES or constant.data_type in _SMALL:
            raise file_error(
                path,
                f"{one_line(name)}: expected floating-point numbers, or bytes that a node {_DEQUANTISE.decode()} reads "
                "with scales that are constants, found others; export the graph without quantisation",
            )
    source.check_expansion(path, found)
    if not found:
        raise file_error(path, f"expected weights, found {len(constants)} constants without; fetch or export it again")
    used = dequantised | set(found)
    others = sum(name not in used for name in constants)
    tensors: Tensors = {}
    for name, renamed in _names(found).items():
        source.add(tensors, path, renamed, found[name])
    kernels = (constants[row.codes] for row in quantised.values())  # biases have 32 bits beside any of them
    bits = max((8 * _WHOLE[codes.data_type].dtype.itemsize for codes in kernels if len(codes.dims) > 1), default=0)
    # Where no release was made of it, tf2onnx writes None behind its version.
    producer = " ".join((_text(model.producer_name), _text(model.producer_version).removesuffix(" None"))).strip()
    provenance = Provenance(
        path,
        regions.sha256([path]),
        f"ONNX graph, {len(graph.node)} nodes",
        producer=one_line(producer) or None,
        layout=Layout(conv="OIHW", dense="OIHW"),
        numbers=f"{bits}-bit quantisation" if bits else None,
        notes=(
            (f"left out {others} constants that are no weights: single numbers, shapes, scales of activations",)
            if others
            else ()
        ),
    )
    return tensors, provenance


def _constants(path: Path, graph: Any) -> dict[str, Any]:
    """Returns name → tensor of each initialiser, and of the values of nodes of the kind Constant."""
    found: dict[str, Any] = {}
    for name, tensor in _stored(graph):
        if tensor.external_data or tensor.data_location == 1:
            where = next((_text(entry.value) for entry in tensor.external_data if entry.key == b"location"), "another")
            raise file_error(
                path,
                f"{one_line(name)}: expected weights in this file, found them in the file {one_line(where)}; save all "
                "in one with onnx.save(onnx.load(FILE), ONE_FILE)",
            )
        source.check_shape(path, name, tuple(tensor.dims), np.dtype(np.uint8))
        if name in found:
            raise file_error(path, f"expected {one_line(name)} once, found it twice; make the file again")
        found[name] = tensor
    return found


def _stored(graph: Any) -> Iterator[tuple[str, Any]]:
    for tensor in graph.initializer:
        yield _text(tensor.name), tensor
    for node in graph.node:
        if node.op_type == b"Constant" and node.output:
            for attribute in node.attribute:
                if attribute.name == b"value" and attribute.HasField("t"):
                    yield _text(node.output[0]), attribute.t


def _quantised(graph: Any, constants: dict[str, Any]) -> dict[str, _Quantisation]:
    """Returns the names of weights that the graph dequantises → what they are made of.

    One tensor of codes may be several weights, since zeros are stored once however many biases are zero; so weights
    have the names of what comes out, without what programs add to these. Where they add nothing, as ONNX Runtime to
    biases, or give a name of their own, as PyTorch, it is the name of what goes in.
    """
    found: dict[str, _Quantisation] = {}
    for node in graph.node:
        if node.op_type != _DEQUANTISE or len(node.input) < 2 or not node.output:
            continue
        codes, scales = map(_text, node.input[:2])
        zeros = _text(node.input[2]) if len(node.input) > 2 else ""
        if codes not in constants or scales not in constants or (zeros and zeros not in constants):
            continue
        axis = next((attribute.i for attribute in node.attribute if attribute.name == b"axis"), 1)
        output = _text(node.output[0])
        name = next((output.removesuffix(end) for end in _DEQUANTISED if output.endswith(end)), None)
        name = codes.removesuffix(_QUANTISED) if name is None else name
        found[output if name in found else name] = _Quantisation(codes, scales, zeros, axis)
    return found


def _settings(graph: Any) -> set[str]:
    """Returns the names of inputs that are no weights: settings, scales and zero points."""
    behind_the_first = (*_QUANTISERS, *_SETTINGS)
    return {_text(name) for node in graph.node if node.op_type in behind_the_first for name in node.input[1:]}


def _dequantised(path: Path, name: str, row: _Quantisation, constants: dict[str, Any]) -> Tensor:
    codes, scales = constants[row.codes], constants[row.scales]
    kind = _WHOLE.get(codes.data_type)
    scale_kind = _FLOATING.get(scales.data_type)
    if kind is None or scale_kind is None:
        types = f"{_SMALL.get(codes.data_type, codes.data_type)} with scales of type {scales.data_type}"
        raise file_error(
            path,
            f"{one_line(name)}: expected whole numbers of 8 to 32 bits with scales of real numbers, found {types}; "
            "export the graph without quantisation",
        )
    stored = _plain(path, name, codes, kind)
    scaled = _plain(path, row.scales, scales, scale_kind)
    zeros = _plain(path, row.zeros, constants[row.zeros], kind) if row.zeros else None
    rank = len(stored.shape)
    axis = row.axis + rank if row.axis < 0 else row.axis
    count = math.prod(scaled.shape)
    along = stored.shape[axis] if 0 <= axis < rank else 1
    if len(scaled.shape) > 1 or count not in (1, along) or (zeros and math.prod(zeros.shape) != count):
        raise file_error(
            path,
            f"{one_line(name)}: expected one scale and zero point, or one each along axis {row.axis} of "
            f"{list(stored.shape)}, found {list(scaled.shape)} and {list(zeros.shape) if zeros else 'none'}; "
            "export the graph without quantisation",
        )
    source.check_shape(path, name, stored.shape, np.dtype(np.float32))

    def load() -> np.ndarray:
        return affine.values(
            path,
            name,
            stored.load(),
            scaled.load().ravel(),
            zeros.load().ravel() if zeros else None,
            axis,
            wide=False,
        )

    return Tensor(stored.shape, np.dtype(np.float32), load)


def _plain(path: Path, name: str, constant: Any, kind: Kind) -> Tensor:
    """Returns a constant as it is stored.

    Raises:
        UserError: its type is another one, or shape and numbers contradict each other.
    """
    if kind not in (_FLOATING.get(constant.data_type), _WHOLE.get(constant.data_type)):
        raise file_error(
            path, f"{one_line(name)}: expected zero points of the type of their codes, found {constant.data_type}"
        )
    return tensor_message.tensor(
        path, name, tuple(constant.dims), kind, constant.raw, getattr(constant, kind.field), filled=False
    )


def _names(keys: Tensors) -> dict[str, str]:
    """Returns key → name of the tensor here: by the rules of PyTorch where there are no slashes, else TensorFlow's."""
    of_torch = state_dict.names(key for key in keys if "/" not in key)
    of_tensorflow = graph_names.names(key for key in keys if "/" in key)
    return {key: of_torch[key] if key in of_torch else of_tensorflow[key] for key in keys}


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


@functools.cache
def _classes() -> dict[str, type[message.Message]]:
    return messages.classes("onnx", _MESSAGES)
