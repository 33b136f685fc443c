"""Caffe networks in HDF5 (`.caffemodel.h5`): `data/<layer>/<0, 1, ...>`, where a `/` in a name makes nested groups.

Source: BVLC/caffe, src/caffe/net.cpp, Net::ToHDF5; shapes are stored without the leading ones of the old format.
"""

import re
from pathlib import Path

from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import caffe_norm, hdf5
from ..source import Layout, Provenance, Tensor, Tensors

_ROOT = "data"
_BLOB = re.compile(rf"{_ROOT}/(.+)/(\d+)", re.DOTALL)
_ROLES = {"0": "kernel", "1": "bias"}


def recognises(path: Path) -> bool:
    """Returns whether the file is HDF5 with a group of Caffe's and without attributes of Keras."""
    if not hdf5.recognises(path):
        return False
    groups = hdf5.contents(regions.whole(path)).groups
    return _ROOT in groups and not groups[""]


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all weights.

    Raises:
        UserError: this is not a network of Caffe, it is damaged, or it refers to other files.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in hdf5.contents(regions.whole(path)).datasets.items():
        if found := _BLOB.fullmatch(name):
            layers.setdefault(found[1], {})[found[2]] = tensor
    tensors: Tensors = {}
    for layer, blobs in layers.items():
        for where, tensor in _layer(path, layer, blobs).items():
            source.add(tensors, path, where, tensor)
    if not tensors:
        raise file_error(path, f"expected Caffe weights in the HDF5 file below {_ROOT}, found none; fetch it again")
    layout = Layout(conv="OIHW", dense="OIHW")
    return tensors, Provenance(path, regions.sha256([path]), "Caffe HDF5", layout=layout, convention="caffe")


def _layer(path: Path, layer: str, blobs: dict[str, Tensor]) -> Tensors:
    """Returns the tensors of a layer, whose kind the file does not say, but the shapes of its blobs."""
    vectors = all(len(tensor.shape) == 1 for tensor in blobs.values())
    if vectors and list(blobs) == ["0", "1", "2"] and blobs["2"].shape == (1,):
        return caffe_norm.normalisation(path, layer, list(blobs.values()))
    if vectors and list(blobs) == ["0", "1"] and blobs["0"].shape == blobs["1"].shape:
        return caffe_norm.scale(path, layer, list(blobs.values()))
    # Kernels have several axes, unlike the first blob of other layers, such as PReLU.
    is_kernel = "0" in blobs and len(blobs["0"].shape) > 1
    return {f"{layer}/{_ROLES.get(index, index) if is_kernel else index}": tensor for index, tensor in blobs.items()}
