"""Models of TensorFlow Lite (`.tflite`): flatbuffers with weights in full or half precision, or as whole numbers.

Kernels are [out, height, width, in], those of depthwise convolutions [1, height, width, channels]. Whole numbers have a
scale, and a code for zero, in each tensor or for each position along one axis; the biases of a convolution too.

Source: tensorflow/lite/schema/schema.fbs, whose numbers of fields are here; what whole numbers stand for:
tensorflow/lite/kernels/internal/reference/dequantize.h.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import affine, flatbuffer, graph_names, messages
from ..containers.flatbuffer import MalformedError, Table
from ..regions import Region
from ..source import Layout, Provenance, Tensor, Tensors

_IDENTIFIER = b"TFL3"

_FLOATS = {0: "<f4", 1: "<f2", 10: "<f8"}
_WHOLES = {2: "<i4", 3: "<u1", 7: "<i2", 9: "<i1"}
_SMALL = {17: "int4", 19: "int2"}  # several in a byte

_MOST_AXES = 32
_LONGEST_NAME = 1000
_CONVERTED = " Converted."


class _Quantisation(NamedTuple):
    """Where scales and zero points are, and along which axis they go."""

    scales: Region
    zeros: Region | None
    axis: int


class _Found(NamedTuple):
    tensors: Tensors
    bits: int
    others: int
    producer: str | None


def recognises(path: Path) -> bool:
    """Returns whether the file has the identifier of TensorFlow Lite."""
    return regions.first_bytes(path, 8)[4:] == _IDENTIFIER


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names, shapes and places of all constants that may be weights: those with axes, of real numbers.

    Raises:
        UserError: this is not a model of TensorFlow Lite, it has no weights, or it is damaged.
    """
    whole = regions.whole(path)
    try:
        with messages.mapped(path) as data:
            found = _model(path, whole, flatbuffer.Buffer(data).root())
    except MalformedError as error:
        raise file_error(
            path, f"expected a model of TensorFlow Lite, found {one_line(error)}: damaged or cut short; fetch it again"
        ) from error
    source.check_expansion(path, found.tensors)
    if not found.tensors:
        raise file_error(path, "expected a model of TensorFlow Lite with weights, found none; fetch it again")
    names = graph_names.names(found.tensors)
    left_out = f"left out {found.others} constants that are no weights: single numbers, shapes, axes"
    provenance = Provenance(
        path,
        regions.sha256([path]),
        "TensorFlow Lite model",
        producer=found.producer,
        layout=Layout(conv="OHWI", dense="OHWI"),
        numbers=f"{found.bits}-bit quantisation" if found.bits else None,
        notes=(left_out,) if found.others else (),
    )
    return {names[name]: tensor for name, tensor in found.tensors.items()}, provenance


def _model(path: Path, whole: Region, model: Table) -> _Found:
    buffers = [_content(whole, buffer) for buffer in model.tables(4)]
    tensors: Tensors = {}
    bits = others = 0
    for number, graph in enumerate(model.tables(2)):
        for tensor in graph.tables(0):
            index = tensor.number(2, "<I")
            if index >= len(buffers):
                raise MalformedError(f"buffer {index} of {len(buffers)}")
            content = buffers[index]
            if content is None:  # computed, not stored
                continue
            name = tensor.text(3, _LONGEST_NAME)
            if number:
                name = f"graph{number}/{name}"
            found = _tensor(path, name, whole, content, tensor)
            if found is None:
                others += 1
                continue
            source.add(tensors, path, name, found)
            if tensor.number(1, "<b") in _WHOLES and len(found.shape) > 1:  # biases have 32 bits beside any kernel
                bits = max(bits, 8 * np.dtype(_WHOLES[tensor.number(1, "<b")]).itemsize)
    producer = model.text(3, _LONGEST_NAME)
    return _Found(tensors, bits, others, producer.removesuffix(_CONVERTED) or None)


def _content(whole: Region, buffer: Table) -> Region | None:
    """Returns the content of a buffer, None if it is empty."""
    data = buffer.vector(0, 1)
    if data is not None and data.length:
        return whole.part(data.start, data.length)
    start, length = buffer.number(1, "<Q"), buffer.number(2, "<Q")  # of models beyond 2 GB, behind the flatbuffer
    return whole.part(start, length) if start > 1 and length else None


def _tensor(path: Path, name: str, whole: Region, content: Region, tensor: Table) -> Tensor | None:
    """Returns a constant as real numbers; None if it is none of weights."""
    shape = tensor.numbers(0, "<i", _MOST_AXES) or ()
    kind = tensor.number(1, "<b")
    if graph_names.is_single(shape):
        return None
    if tensor.has(6):
        raise file_error(
            path, f"{one_line(name)}: expected all numbers of a tensor, found a sparse one; export it without pruning"
        )
    quantisation = _quantisation(path, name, whole, tensor, shape)
    if kind in _SMALL and quantisation:
        raise file_error(
            path, f"{one_line(name)}: expected weights of 8 bits or more, found {_SMALL[kind]}; export them anew"
        )
    if kind in _FLOATS:
        dtype = stored = np.dtype(_FLOATS[kind])
    elif kind in _WHOLES and quantisation:
        dtype, stored = np.dtype(np.float32), np.dtype(_WHOLES[kind])
    else:
        return None
    source.check_shape(path, name, shape, dtype)
    if math.prod(shape) * stored.itemsize != content.length:
        raise file_error(
            path,
            f"{one_line(name)}: expected {math.prod(shape) * stored.itemsize} bytes for shape {list(shape)} of "
            f"{stored.name}, found {content.length}; fetch it again",
        )

    def load() -> np.ndarray:
        codes = np.frombuffer(content.read(), stored).reshape(shape)
        return codes if stored == dtype else _dequantised(path, name, codes, quantisation)

    return Tensor(shape, dtype, load)


def _dequantised(path: Path, name: str, codes: np.ndarray, quantisation: _Quantisation | None) -> np.ndarray:
    assert quantisation is not None  # whole numbers without one are no weights
    scales = np.frombuffer(quantisation.scales.read(), "<f4")
    zeros = np.frombuffer(quantisation.zeros.read(), "<i8") if quantisation.zeros else None
    return affine.values(path, name, codes, scales, zeros, quantisation.axis, wide=True)


def _quantisation(path: Path, name: str, whole: Region, tensor: Table, shape: tuple[int, ...]) -> _Quantisation | None:
    """Returns what turns whole numbers into real ones, None if there is nothing.

    Raises:
        UserError: it does not belong to this shape.
    """
    table = tensor.table(4)
    scales = table.vector(2, 4) if table else None
    if table is None or scales is None or scales.length == 0:
        return None
    zeros = table.vector(3, 8)
    axis = table.number(6, "<i")
    along = shape[axis] if 0 <= axis < len(shape) else None
    if scales.length not in (1, along) or (zeros and zeros.length not in (0, scales.length)):
        raise file_error(
            path,
            f"{one_line(name)}: expected one scale and zero point, or one each along an axis of {list(shape)}, found "
            f"{scales.length} and {zeros.length if zeros else 0} along axis {axis}; fetch it again",
        )
    return _Quantisation(
        whole.part(scales.start, 4 * scales.length),
        whole.part(zeros.start, 8 * zeros.length) if zeros and zeros.length else None,
        axis,
    )
