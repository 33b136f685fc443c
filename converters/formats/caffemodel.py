"""Caffe networks in protobuf (`.caffemodel`), of all three generations.

V0 and V1 have `layers`, in V0 each around a layer of its own kind, and shapes of four axes counted from the end; V2 has
`layer` and shapes of any length. The VGG networks of Oxford are V1.

Source: BVLC/caffe, src/caffe/util/upgrade_proto.cpp (which generation is which), src/caffe/layers (order of the blobs).
"""

from pathlib import Path
from typing import Any

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .. import regions, source
from ..containers import caffe_norm, caffe_proto
from ..source import Layout, Provenance, Tensor, Tensors

_CONVOLUTION = {"conv", "Convolution", 4}
_DENSE = {"innerproduct", "InnerProduct", 14}
_NORMALISATION = {"BatchNorm"}
_SCALE = {"Scale"}
_ROLES = ("kernel", "bias")


def recognises(path: Path) -> bool:
    """Returns whether the file begins like a network of Caffe; protobuf has no signature."""
    return caffe_proto.starts_like(path, "NetParameter")


def read(path: Path) -> tuple[Tensors, Provenance]:
    """Reads the names, shapes and places of all weights.

    Raises:
        UserError: this is not a network of Caffe, or it is damaged.
    """
    net = caffe_proto.parse(path, "NetParameter")
    layers, generation = _layers(path, net)
    tensors: Tensors = {}
    for layer in layers:
        name, kind = _text(layer.name), layer.type if isinstance(layer.type, int) else _text(layer.type)
        if kind in _NORMALISATION | _SCALE:
            blobs = [
                caffe_proto.tensor(path, one_line(f"{name}/{index}"), blob) for index, blob in enumerate(layer.blobs)
            ]
            named = caffe_norm.normalisation if kind in _NORMALISATION else caffe_norm.scale
            for where, tensor in named(path, name, blobs).items():
                source.add(tensors, path, where, tensor)
            continue
        for index, blob in enumerate(layer.blobs):
            has_roles = kind in _CONVOLUTION | _DENSE and index < len(_ROLES)
            where = f"{name}/{_ROLES[index] if has_roles else index}"
            found = caffe_proto.tensor(path, one_line(where), blob)
            if has_roles:
                found = _without_empty_axes(found, 1 if index else 2 if kind in _DENSE else len(found.shape))
            source.add(tensors, path, where, found)
    if not tensors:
        raise file_error(path, f"expected layers with weights, found {len(layers)} layers without; fetch it again")
    notes = [note for layer in layers if hasattr(layer, "transform_param") for note in _mean(layer.transform_param)]
    network = _text(net.name) or None
    provenance = Provenance(
        path=path,
        sha256=regions.sha256([path]),
        format=f"Caffe network, generation {generation}",
        producer=f"Caffe as {one_line(network)!r}" if network else None,
        network=network,
        layout=Layout(conv="OIHW", dense="OIHW"),
        convention="caffe",
        notes=tuple(notes),
    )
    return tensors, provenance


def _layers(path: Path, net: Any) -> tuple[list[Any], str]:
    if net.layers and net.layer:
        raise file_error(
            path, "expected layers of one generation of Caffe, found `layers` (V1) and `layer` (V2); save it again"
        )
    inner = [layer.HasField("layer") for layer in net.layers]
    if any(inner):
        if not all(inner) or any(layer.blobs for layer in net.layers):
            raise file_error(path, "expected layers of one generation of Caffe, found V0 among V1; save it again")
        return [layer.layer for layer in net.layers], "V0"
    return (list(net.layers), "V1") if net.layers else (list(net.layer), "V2")


def _without_empty_axes(tensor: Tensor, count: int) -> Tensor:
    """Returns the tensor with its last `count` axes, if the others have length one, as in old shapes."""
    leading, shape = tensor.shape[:-count], tensor.shape[-count:]
    if any(length != 1 for length in leading):
        return tensor
    return Tensor(shape, tensor.dtype, lambda: tensor.load().reshape(shape))


def _mean(parameters: Any) -> list[str]:
    values = (
        [f"mean colour {' '.join(f'{value:g}' for value in parameters.mean_value)}"] if parameters.mean_value else []
    )
    files = [f"mean picture in {one_line(_text(parameters.mean_file))}"] if parameters.mean_file else []
    return values + files


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
