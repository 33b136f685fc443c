"""Caffe networks in HDF5 (`.caffemodel.h5`): `data/<layer>/<0, 1, ...>`, where a `/` in a name makes nested groups.

Source: BVLC/caffe, src/caffe/net.cpp, Net::ToHDF5; shapes are stored without the leading ones of the old format.
"""

import re
from pathlib import Path

from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import hdf5
from ..source import Layout, Provenance, Tensors

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
    tensors: Tensors = {}
    datasets = hdf5.contents(regions.whole(path)).datasets
    for name, tensor in datasets.items():
        if found := _BLOB.fullmatch(name):
            layer, index = found.groups()
            # Kernels have several axes, unlike the first blob of other layers (PReLU, batch normalisation).
            is_kernel = len(datasets.get(f"{_ROOT}/{layer}/0", tensor).shape) > 1
            source.add(tensors, path, f"{layer}/{_ROLES.get(index, index) if is_kernel else index}", tensor)
    if not tensors:
        raise file_error(path, f"expected Caffe weights in the HDF5 file below {_ROOT}, found none; fetch it again")
    layout = Layout(conv="OIHW", dense="OIHW")
    return tensors, Provenance(path, regions.sha256([path]), "Caffe HDF5", layout=layout, convention="caffe")
