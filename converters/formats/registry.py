"""The formats that can be read, and how a file's format is recognised: by its content, whatever its name."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nst_jax.io.files import file_error

from .. import regions
from ..source import Provenance, Tensors
from . import (
    binaryproto,
    caffe_hdf5,
    caffemodel,
    keras_archive,
    keras_h5,
    matconvnet,
    safetensors_file,
    tfjs,
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
    "torch_legacy": Format("PyTorch before 1.6 (.pth)", torch_legacy.recognises, torch_legacy.read),
    "tfjs": Format("TensorFlow.js layers model (model.json and shards)", tfjs.recognises, tfjs.read),
    "caffe_hdf5": Format("Caffe HDF5 (.caffemodel.h5)", caffe_hdf5.recognises, caffe_hdf5.read),
    "keras_h5": Format("Keras HDF5 (.h5, .weights.h5)", keras_h5.recognises, keras_h5.read),
    "matconvnet": Format("MatConvNet (.mat)", matconvnet.recognises, matconvnet.read),
    "caffemodel": Format("Caffe network (.caffemodel)", caffemodel.recognises, caffemodel.read),
    "binaryproto": Format("Caffe mean picture (.binaryproto)", binaryproto.recognises, binaryproto.read),
}

_NO_WEIGHTS = {
    b"version https://git-lfs": "a git-lfs pointer; fetch the file itself with: git lfs pull",
    b"<": "a web page or XML; the download went wrong, fetch the file again",
    b"PK": "a zip archive with neither data.pkl (PyTorch) nor model.weights.h5 (Keras) in it",
    b"\x93NUMPY": "an array of NumPy, which does not say which weights it has",
}
_LONGEST_START = 512
_TEXT = re.compile(rb"[\t\n\r -~\x80-\xff]*")


def detect(path: Path) -> str:
    """Returns the name of the format of a file, or of the model in a folder.

    Raises:
        UserError: the file does not exist, or is in none of the formats.
    """
    if regions.is_folder(path):
        if tfjs.recognises(path):
            return "tfjs"
        raise file_error(path, "expected a weight file or the folder of a TensorFlow.js model, found another folder")
    start = regions.first_bytes(path, _LONGEST_START)
    # Formats without a signature would take a text for a damaged file.
    if not (_TEXT.fullmatch(start) and start.lstrip().startswith(tuple(_NO_WEIGHTS))):
        for name, candidate in FORMATS.items():
            if candidate.recognises(path):
                return name
    found = next((what for prefix, what in _NO_WEIGHTS.items() if start.lstrip().startswith(prefix)), None)
    found = found or f"a file that starts with {start[:16].hex(' ')}"
    titles = ", ".join(candidate.title for candidate in FORMATS.values())
    raise file_error(path, f"expected one of the formats {titles}; found {found}")
