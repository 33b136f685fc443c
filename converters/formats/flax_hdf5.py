"""Weights in HDF5 by layer and role, without attributes: `conv1_1/weight`, `conv1_1/bias`.

So flaxmodels has torchvision's VGG networks, in the axes of Flax, with the order of channels and positions in which
PyTorch flattens maps.

Source: matthias-wright/flaxmodels, flaxmodels/vgg/vgg.py.
"""

import re
from pathlib import Path

from .. import regions, source
from ..containers import hdf5
from ..source import Layout, Provenance, Tensors

_PARAMETER = re.compile(r"(.+)/(weight|bias)", re.DOTALL)
_ROLES = {"weight": "kernel", "bias": "bias"}


def recognises(path: Path) -> bool:
    """Returns whether the file is HDF5 with nothing but kernels and biases of layers."""
    if not hdf5.recognises(path):
        return False
    contents = hdf5.contents(regions.whole(path))
    return bool(contents.datasets) and not contents.groups[""] and all(map(_PARAMETER.fullmatch, contents.datasets))


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all weights.

    Raises:
        UserError: the file is damaged, or refers to other files.
    """
    tensors: Tensors = {}
    for name, tensor in hdf5.contents(regions.whole(path)).datasets.items():
        if found := _PARAMETER.fullmatch(name):
            source.add(tensors, path, f"{found[1]}/{_ROLES[found[2]]}", tensor)
    layout = Layout(conv="HWIO", dense="IHWO")
    return tensors, Provenance(
        path, regions.sha256([path]), "Flax HDF5, layers by name", layout=layout, convention="torchvision"
    )
