"""Keras weights in HDF5: the legacy `.h5` of Keras 1, 2 and 3, weights or a whole model, and Keras 3 `.weights.h5`.

In legacy files attributes list the layers and the weights of each. In `.weights.h5` weights are numbered, groups are
called by class and number (`layers/conv2d_1/vars/0`), and the layer's own name is an attribute, which early versions
of Keras 3 did not write.
"""

import collections
import re
from pathlib import Path

from converters import hdf5, source
from converters.hdf5 import Contents
from converters.source import Provenance, Tensor, Tensors
from nst_jax.errors import one_line
from nst_jax.files import file_error

_KERAS_1 = re.compile(r".*_([Wb])(?:_\d+)?")
_KERAS_1_ROLES = {"W": "kernel", "b": "bias"}

_VARIABLE = re.compile(r"((?:layers/[^/]+/)+)vars/(\d+)")
_VARIABLE_ROLES = {"0": "kernel", "1": "bias"}
_COUNTED = re.compile(r"(.+?)(?:_(\d+))?", re.DOTALL)


recognises = hdf5.recognises


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names and shapes of all weights.

    Raises:
        UserError: this is no Keras file, it is damaged, it refers to other files, or its kernels are in Theano's order.
    """
    contents = hdf5.contents(source.whole(path))
    if hdf5.texts(contents.groups[""], "layer_names") is not None:
        return _read_legacy(path, contents, "", "weights")
    if "model_weights" in contents.groups:
        return _read_legacy(path, contents, "model_weights", "whole model")
    if "layers" in contents.groups:
        return _read_numbered(path, contents)
    roots = [one_line(name) for name in [*contents.groups, *contents.datasets] if name and "/" not in name]
    raise file_error(path, f"expected Keras weights in the HDF5 file, found {', '.join(roots[:5]) or 'nothing'}")


def _read_legacy(path: Path, contents: Contents, root: str, what: str) -> tuple[Tensors, Provenance]:
    attributes = contents.groups[""] | contents.groups[root]
    _refuse_theano(path, attributes)
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
            _add(path, tensors, f"{_owner(layer, weight, roles)}/{role}", contents.datasets[where])
            generation = min(generation, written_by)
    version = attributes.get("keras_version")
    return tensors, Provenance(
        path=path,
        sha256=source.sha256([path]),
        format=f"legacy Keras HDF5, {what}, names as in Keras {generation}",
        producer=f"Keras {one_line(' '.join(version))}" if version else None,
    )


def _role(weight: str) -> tuple[str, int]:
    """Returns `kernel`, `bias` or what else the weight is, and in which generation of Keras it is called so."""
    name, _, output = weight.rpartition("/")[2].partition(":")
    if found := _KERAS_1.fullmatch(name):
        return _KERAS_1_ROLES[found[1]], 1
    return name, 2 if output else 3


def _owner(layer: str, weight: str, roles: list[tuple[str, int]]) -> str:
    """Returns the layer that a weight belongs to.

    That is the one that lists it: in the weight's own name TensorFlow may have appended a number to the layer. But a
    layer that is itself a model lists the weights of all its layers, and then only their names tell them apart.
    """
    counts = collections.Counter(role for role, _ in roles)
    nested = max(counts.values()) > 1 and "/" in weight
    return weight.rpartition("/")[0].removeprefix(f"{layer}/") if nested else layer


def _refuse_theano(path: Path, attributes: dict[str, list[str]]) -> None:
    if "theano" in attributes.get("backend", ()):
        raise file_error(
            path,
            "expected kernels in TensorFlow's order, found those of Theano, which are rotated by "
            "180 degrees; use the file for TensorFlow (tf_dim_ordering_tf_kernels)",
        )


def _read_numbered(path: Path, contents: Contents) -> tuple[Tensors, Provenance]:
    variables = [found for name in contents.datasets if (found := _VARIABLE.fullmatch(name))]
    variables.sort(key=lambda found: _model_order(found[0]))
    names = {found[1]: "".join(contents.groups[f"{found[1]}vars"].get("name", ())) for found in variables}
    named = all(names.values())
    # In a layer without a kernel, such as a normalisation, the first variable is a vector.
    with_kernel = {found[1] for found in variables if found[2] == "0" and len(contents.datasets[found[0]].shape) > 1}
    tensors: Tensors = {}
    for found in variables:
        group, index = found.groups()
        layer = names[group] if named else group.replace("layers/", "").rstrip("/")
        role = _VARIABLE_ROLES.get(index, index) if group in with_kernel else index
        _add(path, tensors, f"{layer}/{role}", contents.datasets[found[0]])
    how = "layers by name" if named else "layers in order, without names"
    return tensors, Provenance(path, source.sha256([path]), f"Keras 3 weights HDF5, {how}", named=named)


def _model_order(name: str) -> list[tuple[str, int]]:
    """Returns a sort key by which `conv2d` comes before `conv2d_1`, and that before `conv2d_10`."""
    parts = [_COUNTED.fullmatch(part) for part in name.split("/")]
    return [(part[1], int(part[2] or 0)) for part in parts if part]


def _add(path: Path, tensors: Tensors, name: str, tensor: Tensor) -> None:
    if name in tensors:
        raise file_error(path, f"expected {one_line(name)} once, found it twice")
    tensors[name] = tensor
