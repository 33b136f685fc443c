"""Keras weights in HDF5, of every generation: 0, 1, 2 and 3, weights or a whole model.

- Keras 0: layers and weights are numbered (`layer_0/param_0`), pools and paddings count.
- legacy `.h5` of Keras 1, 2 and 3: attributes list the layers and their weights.
- `.weights.h5` of Keras 3 and of TensorFlow 2.12 to 2.15: weights are numbered, groups have class and number as name
  (`layers/conv2d_1/vars/0`), and the layer's own name is an attribute, which early versions did not write. Nothing
  says whether maps were channels-first before they were flattened; they are assumed not to be.

Until Keras 2, kernels could have the axes of Theano (outputs first); and with Theano as backend, kernels could be
rotated by 180 degrees, since it computes mathematical convolutions. Axes show in the shapes; the rotation shows only in
the name of the backend, which Keras 0 and 1 did not write.
"""

import collections
import re
from pathlib import Path
from typing import Any

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import hdf5, keras_config
from ..containers.hdf5 import Contents
from ..regions import Region
from ..source import Layout, Provenance, Tensors

_KERAS_0 = re.compile(r"layer_(\d{1,9})/param_(\d{1,9})")
_KERAS_1 = re.compile(r".*_([Wb])(?:_\d+)?")
_KERAS_1_ROLES = {"W": "kernel", "b": "bias"}

_LAYERS = ("layers", "_layer_checkpoint_dependencies")  # the latter: TensorFlow 2.12 to 2.15
_VARIABLE = re.compile(rf"((?:(?:{'|'.join(_LAYERS)})/[^/]+/)+)vars/(\d{{1,9}})")
_NUMBERED_ROLES = {"0": "kernel", "1": "bias"}
_NORMALISED = {4: ("gamma", "beta", "moving_mean", "moving_variance"), 3: ("beta", "moving_mean", "moving_variance")}
"""Number of vectors of a normalisation → their roles; without a scale there are three."""
_NUMBERED_NAME = re.compile(r"(?:conv2d|convolution2d)(?:_\d+)?")
_COUNTED_NAME = re.compile(r"(?:conv2d|convolution2d|depthwise_conv2d|batch_normalization)(?:_\d+)?")
_COUNTED = re.compile(r"(.+?)(?:_(\d{1,9}))?", re.DOTALL)


recognises = hdf5.recognises


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all weights.

    Raises:
        UserError: this is not a Keras file, it is damaged, or it refers to other files.
    """
    return read_region(regions.whole(path))


def read_region(region: Region) -> tuple[Tensors, Provenance]:
    """Reads a Keras file that is part of another; otherwise as `read`."""
    contents = hdf5.contents(region)
    if hdf5.texts(contents.groups[""], "layer_names") is not None:
        return _read_legacy(region.path, contents, "", "weights")
    if "model_weights" in contents.groups:
        return _read_legacy(region.path, contents, "model_weights", "whole model")
    if any(name in contents.groups for name in _LAYERS):
        return _read_numbered(region.path, contents)
    if any(_KERAS_0.fullmatch(name) for name in contents.datasets):
        return _read_first(region.path, contents)
    roots = [one_line(name) for name in [*contents.groups, *contents.datasets] if name and "/" not in name]
    raise file_error(region.path, f"expected Keras weights in the HDF5 file, found {', '.join(roots[:5]) or 'nothing'}")


def _read_first(path: Path, contents: Contents) -> tuple[Tensors, Provenance]:
    """Reads a file of Keras 0."""
    tensors: Tensors = {}
    numbered = [found for name in contents.datasets if (found := _KERAS_0.fullmatch(name))]
    for found in sorted(numbered, key=lambda found: (int(found[1]), int(found[2]))):
        layer, index = found.groups()
        source.add(tensors, path, f"layer_{layer}/{_NUMBERED_ROLES.get(index, index)}", contents.datasets[found[0]])
    layout = _layout(tensors)._replace(rotated=None)
    return tensors, _provenance(path, "Keras 0 HDF5, layers in order", layout=layout, named=False)


def _read_legacy(path: Path, contents: Contents, root: str, what: str) -> tuple[Tensors, Provenance]:
    attributes = contents.groups[""] | contents.groups[root]
    tensors: Tensors = {}
    generation = 3
    for layer in hdf5.texts(attributes, "layer_names") or []:
        group = f"{root}/{layer}".lstrip("/")
        weights = hdf5.texts(contents.groups.get(group, {}), "weight_names") or []
        roles = [_role(weight) for weight in weights]
        for weight, (role, written_by) in zip(weights, roles, strict=True):
            where = f"{group}/{weight}"
            if where not in contents.datasets:
                raise file_error(path, f"expected {one_line(where)}, as the file lists it, found no such data")
            source.add(tensors, path, f"{_owner(layer, weight, roles)}/{role}", contents.datasets[where])
            generation = min(generation, written_by)
    named = _have_names(tensors)
    tensors = tensors if named else _as_made(tensors)
    version = attributes.get("keras_version")
    layout = _layout(tensors)
    if layout.conv == "HWIO":
        config = keras_config.parse("".join(attributes.get("model_config", ())))
        layout = layout._replace(dense=keras_config.dense_axes(config) or layout.dense)
    return tensors, _provenance(
        path,
        f"legacy Keras HDF5, {what}, names as in Keras {generation}",
        producer=f"Keras {one_line(' '.join(version))}" if version else None,
        layout=layout._replace(rotated=_rotated(attributes)),
        named=named,
    )


def _provenance(path: Path, kind: str, **known: Any) -> Provenance:
    return Provenance(path, regions.sha256([path]), kind, convention=source.OF_KERAS, **known)


def _have_names(tensors: Tensors) -> bool:
    """Returns whether the layers with kernels have given names, and not numbers from Keras."""
    layers = [name.rpartition("/")[0] for name, tensor in tensors.items() if len(tensor.shape) == 4]
    return not all(_NUMBERED_NAME.fullmatch(layer) for layer in layers)


def _as_made(tensors: Tensors) -> Tensors:
    """Returns the tensors of numbered layers in the order in which these were made, then the others as they come.

    Keras numbers layers as it makes them, and lists them by their distance from the end.
    """

    def key(name: str) -> tuple[bool, list[tuple[str, int]]]:
        layer = name.rpartition("/")[0]
        counted = _COUNTED_NAME.fullmatch(layer) is not None
        return not counted, _model_order(layer) if counted else []

    return dict(sorted(tensors.items(), key=lambda item: key(item[0])))


def _layout(tensors: Tensors) -> Layout:
    """Returns the order of axes that the shapes show, assuming square kernels."""
    kernels = [tensor.shape for tensor in tensors.values() if len(tensor.shape) == 4]
    outputs_last = all(shape[0] == shape[1] for shape in kernels)
    if not outputs_last and all(shape[2] == shape[3] for shape in kernels):
        return Layout(conv="OIHW", dense="IHWO")
    return Layout()


def _rotated(attributes: dict[str, list[str]]) -> bool | None:
    """Returns whether kernels are rotated, None if unknown."""
    backend = attributes.get("backend")
    return "theano" in backend if backend else None


def _role(weight: str) -> tuple[str, int]:
    """Returns the role of a weight, such as `kernel` or `bias`, and the generation of Keras with this name for it."""
    name, _, output = weight.rpartition("/")[2].partition(":")
    if found := _KERAS_1.fullmatch(name):
        return _KERAS_1_ROLES[found[1]], 1
    return name, 2 if output else 3


def _owner(layer: str, weight: str, roles: list[tuple[str, int]]) -> str:
    """Returns the layer that a weight belongs to.

    That is the one that lists it, as TensorFlow may have appended a number to the layer in the weight's own name. But a
    layer that is itself a model lists the weights of all its layers, and then only their names distinguish them.
    """
    counts = collections.Counter(role for role, _ in roles)
    nested = max(counts.values()) > 1 and "/" in weight
    return weight.rpartition("/")[0].removeprefix(f"{layer}/") if nested else layer


def _read_numbered(path: Path, contents: Contents) -> tuple[Tensors, Provenance]:
    variables = [found for name in contents.datasets if (found := _VARIABLE.fullmatch(name))]
    variables.sort(key=lambda found: _model_order(found[0]))
    names = {found[1]: "".join(contents.groups[f"{found[1]}vars"].get("name", ())) for found in variables}
    named = all(names.values())
    # In a layer without a kernel, such as a normalisation, the first variable is a vector.
    with_kernel = {found[1] for found in variables if found[2] == "0" and len(contents.datasets[found[0]].shape) > 1}
    counts = collections.Counter(found[1] for found in variables)
    tensors: Tensors = {}
    for found in variables:
        group, index = found.groups()
        layer = names[group] if named else "/".join(part for part in group.split("/") if part and part not in _LAYERS)
        roles = (
            _NUMBERED_ROLES
            if group in with_kernel
            else dict(zip("0123", _NORMALISED.get(counts[group], ()), strict=False))
        )
        source.add(tensors, path, f"{layer}/{roles.get(index, index)}", contents.datasets[found[0]])
    models = {group.rstrip("/").rpartition("/")[0] for group in names}
    numbered = named and not _have_names(tensors)
    named = named and not numbered
    if not named and len(models) > 1:
        raise file_error(
            path, f"expected layers with names, or in one model, found {len(models)} models; save them by name"
        )
    naming = "layers by name" if named else "layers in order, without names"
    writer = "Keras 3" if _LAYERS[0] in contents.groups else "TensorFlow 2.12 to 2.15"
    # The names of several models do not show their order, nor do those of several kinds of convolution.
    maps = {group for group in with_kernel if len(contents.datasets[f"{group}vars/0"].shape) == 4}
    kinds = {_model_order(group.rstrip("/"))[-1][0] for group in maps}
    ordered = len(models) == len(kinds) == 1 and not numbered
    tensors = _as_made(tensors) if numbered else tensors
    return tensors, _provenance(path, f"{writer} weights HDF5, {naming}", named=named, ordered=ordered)


def _model_order(name: str) -> list[tuple[str, int]]:
    """Returns a sort key that orders `conv2d`, `conv2d_1`, `conv2d_10`."""
    parts = [_COUNTED.fullmatch(part) for part in name.split("/")]
    return [(part[1], int(part[2] or 0)) for part in parts if part]
