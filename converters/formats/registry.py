"""The formats that can be read, and how a file's format is recognised: by its content, whatever its name."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nst_jax.commands import command
from nst_jax.io.files import file_error

from .. import regions
from ..source import Provenance, Tensors
from . import (
    binaryproto,
    caffe_hdf5,
    caffemodel,
    deeplearn_js,
    flax_hdf5,
    keras_archive,
    keras_h5,
    matconvnet,
    matlab_folder,
    numpy_pickle,
    onnx_graph,
    safetensors_file,
    tensorflow_graph,
    tfjs,
    tflite,
    torch_legacy,
    torch_zip,
)


class Format(NamedTuple):
    """A format.

    Attributes:
        title: its name in messages.
        recognises: returns whether a regular, non-empty file is in this format, by its content.
        read: returns its tensors and their provenance.
    """

    title: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], tuple[Tensors, Provenance]]


# Asked in this order: the last two have no signature, and may take a file of another format for one of theirs.
FORMATS = {
    "safetensors": Format("safetensors", safetensors_file.recognises, safetensors_file.read),
    "keras_archive": Format("Keras archive (.keras)", keras_archive.recognises, keras_archive.read),
    "torch_zip": Format("PyTorch (.pth)", torch_zip.recognises, torch_zip.read),
    "numpy_pickle": Format("arrays of NumPy (.npy, .pkl)", numpy_pickle.recognises, numpy_pickle.read),
    "torch_legacy": Format("PyTorch before 1.6 (.pth)", torch_legacy.recognises, torch_legacy.read),
    "deeplearn_js": Format(
        "deeplearn.js checkpoint (manifest.json and its files)", deeplearn_js.recognises, deeplearn_js.read
    ),
    "matlab_folder": Format(
        "MATLAB files with a tensor each (NAME_w.mat, NAME_b.mat)", matlab_folder.recognises, matlab_folder.read
    ),
    "tfjs": Format("TensorFlow.js layers model (model.json and shards)", tfjs.recognises, tfjs.read),
    "caffe_hdf5": Format("Caffe HDF5 (.caffemodel.h5)", caffe_hdf5.recognises, caffe_hdf5.read),
    "flax_hdf5": Format("Flax HDF5 of flaxmodels (.h5)", flax_hdf5.recognises, flax_hdf5.read),
    "keras_h5": Format("Keras HDF5 (.h5, .weights.h5)", keras_h5.recognises, keras_h5.read),
    "tflite": Format("TensorFlow Lite (.tflite)", tflite.recognises, tflite.read),
    "tensorflow_graph": Format("frozen graph of TensorFlow (.pb)", tensorflow_graph.recognises, tensorflow_graph.read),
    "onnx": Format("ONNX (.onnx)", onnx_graph.recognises, onnx_graph.read),
    "matconvnet": Format("MatConvNet (.mat)", matconvnet.recognises, matconvnet.read),
    "caffemodel": Format("Caffe network (.caffemodel)", caffemodel.recognises, caffemodel.read),
    "binaryproto": Format("Caffe mean picture (.binaryproto)", binaryproto.recognises, binaryproto.read),
}

_NO_WEIGHTS = {
    b"version https://git-lfs": "a git-lfs pointer; fetch the file itself with: git lfs pull",
    b"<": "a web page or XML; the download went wrong, fetch the file again",
    b"PK": "a zip archive with neither data.pkl (PyTorch) nor model.weights.h5 (Keras) in it",
    b"\x93NUMPY": "an array of NumPy, which does not say which weights it has",
    **dict.fromkeys(
        (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"), "a compressed file; uncompress it first"
    ),
    b"(dp": "a pickle of protocol 0; save it again with pickle.dump(weights, file, protocol=2)",
}


class _Foreign(NamedTuple):
    """A file that people have for a network, and that is not read.

    Attributes:
        suffix: how its name ends.
        start: a pattern of its first bytes; None where other files begin alike, and only the name tells.
        what: what it is.
    """

    suffix: str
    start: re.Pattern[bytes] | None
    what: str


_ELSEWHERE = f"get the weights of the networks here with: {command('converters.fetch')} vgg19"
_SAVED_MODEL = "saved_model.pb"
_IN_VARIABLES = "a SavedModel of TensorFlow, whose weights are in its folder variables; save them as .h5"
_FOREIGN = (
    _Foreign(
        ".prototxt",
        re.compile(rb"(?:\s|#[^\n]*\n)*(?:name\s*:\s*[\"']|layers?\s*\{|input\s*:\s*[\"']|force_backward\s*:)"),
        "a prototxt of Caffe, which describes a network and has no weights; give the .caffemodel that belongs to it",
    ),
    _Foreign(
        ".t7",
        re.compile(rb"[\x03\x04]\x00{3}\x01\x00{3}", re.DOTALL),
        f"a file of Torch 7 (Lua); {_ELSEWHERE}, or load it there and save the weights by name as HDF5",
    ),
    _Foreign(
        ".pb",
        re.compile(rb"\x08\x01\x12[\x80-\xff]{1,4}[\x00-\x7f]\x0a", re.DOTALL),
        _IN_VARIABLES,
    ),
    _Foreign(".meta", None, "the graph of a checkpoint of TensorFlow, without weights; save these as .h5"),
    _Foreign(".index", None, "the index of a checkpoint of TensorFlow, without weights; save these as .h5"),
    _Foreign(".mlmodel", None, f"a model of Core ML; {_ELSEWHERE}"),
    _Foreign(".mlpackage", None, f"a model of Core ML; {_ELSEWHERE}"),
    _Foreign(".npz", None, f"an archive of arrays of NumPy, whose colours may be in either order; {_ELSEWHERE}"),
    _Foreign(".msgpack", None, "parameters of Flax in msgpack; save them by layer and role as HDF5 or safetensors"),
    _Foreign(".engine", None, "an engine of TensorRT, made for one GPU; give the weights that it was made from"),
    _Foreign(".params", None, f"parameters of MXNet; {_ELSEWHERE}"),
)
_FOLDERS = ("tfjs", "deeplearn_js", "matlab_folder")
_UNSIGNED = ("matconvnet", "caffemodel", "binaryproto")

_LONGEST_START = 512
_TEXT = re.compile(rb"[\t\n\r -~\x80-\xff]*")


def detect(path: Path) -> str:
    """Returns the name of the format of a file, or of the model in a folder.

    Raises:
        UserError: the file does not exist, or is in none of the formats.
    """
    if regions.is_folder(path):
        for name in _FOLDERS:
            if FORMATS[name].recognises(path):
                return name
        if os.path.exists(path / _SAVED_MODEL):  # noqa: PTH110 - never an error
            raise file_error(
                path, f"expected trained weights in one of the formats that are read, found {_IN_VARIABLES}"
            )
        raise file_error(
            path,
            "expected a weight file, or the folder of a TensorFlow.js model, a deeplearn.js checkpoint or MATLAB files "
            "with a tensor each, found another folder",
        )
    start = regions.first_bytes(path, _LONGEST_START)
    # Formats without a signature would take a text for a damaged file.
    if not (_TEXT.fullmatch(start) and start.lstrip().startswith(tuple(_NO_WEIGHTS))):
        for name, candidate in FORMATS.items():
            # Formats without a signature would also take others in protobuf for their own.
            if name in _UNSIGNED and (what := _foreign(path, start)):
                raise file_error(path, f"expected trained weights in one of the formats that are read, found {what}")
            if candidate.recognises(path):
                return name
    found = next((what for prefix, what in _NO_WEIGHTS.items() if start.lstrip().startswith(prefix)), None)
    found = found or f"a file that starts with {start[:16].hex(' ')}"
    titles = ", ".join(candidate.title for candidate in FORMATS.values())
    raise file_error(path, f"expected one of the formats {titles}; found {found}")


def _foreign(path: Path, start: bytes) -> str | None:
    """Returns what a file is that is not read; None where neither content nor name tells."""
    for foreign in _FOREIGN:
        if foreign.start is not None and foreign.start.match(start):
            return foreign.what
    return next((foreign.what for foreign in _FOREIGN if path.suffix.lower() == foreign.suffix), None)
