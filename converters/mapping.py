"""From the tensors of any format to the parameters of a backbone: the one step that all converters share.

It renames and permutes axes; values stay as they are, to the bit. (Only a file in double precision, which the
interchange file does not have, is rounded to single.)
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from converters.source import Provenance, Tensor, Tensors
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import Backbone, convolutions, parameter_shapes
from nst_jax.errors import UserError, one_line

_Translations = tuple[tuple[re.Pattern[str], str], ...]

_KERAS_VGG = ((re.compile(r"block([1-5])_conv([1-4])"), r"conv\1_\2"),)
_KERAS_SQUEEZENET = ((re.compile(r"fire([2-9])_((?:squeeze|expand)[13]x[13])"), r"fire\1/\2"),)

_TRANSLATIONS: dict[str, _Translations] = {
    "vgg16": _KERAS_VGG,
    "vgg19": _KERAS_VGG,
    "squeezenet1_1": _KERAS_SQUEEZENET,  # Keras 3 allows no slashes in names.
}
"""How files name the layers of a backbone, where not as it does itself.

There is no entry for networks that merely share a table: Keras distributes the VGG networks as trained by Caffe, and
its names must not lead to a backbone with the preprocessing of torchvision.
"""

_LISTED = 3


class Match(NamedTuple):
    """What was found for a backbone.

    Attributes:
        sources: our name of each parameter → the name in the file.
        ignored: layers of the file that belong to the classifier.
    """

    sources: dict[str, str]
    ignored: tuple[str, ...]


def match(tensors: Tensors, provenance: Provenance, backbone: Backbone) -> Match:
    """Finds every parameter of the backbone by name and shape; reads no values.

    Dense layers that the backbone does not have are the classifier, which style transfer does without.

    Raises:
        UserError: a parameter is missing, there twice, of another shape, or there are layers that do not belong.
    """
    try:
        return _match(tensors, provenance, backbone)
    except UserError as error:
        others = [other for other in BACKBONES.values() if other is not backbone]
        fitting = [other.name for other in others if _fits(tensors, provenance, other)]
        if not fitting:
            raise
        advice = f"this looks like {' or '.join(fitting)}: convert it with --backbone={fitting[0]}"
        raise UserError(f"{error}; {advice}") from None


def load(tensors: Tensors, provenance: Provenance, matched: Match) -> dict[str, np.ndarray]:
    """Reads the matched parameters: our name → float32, kernels `[height, width, in, out]`.

    Raises:
        UserError: values are no finite floating-point numbers, or the file is damaged.
    """
    return {
        name: _values(f"{one_line(provenance.path)}: {one_line(source)}", tensors[source], provenance.layout)
        for name, source in matched.sources.items()
    }


def _match(tensors: Tensors, provenance: Provenance, backbone: Backbone) -> Match:
    expected = parameter_shapes(backbone)
    names = {row.name for row, _ in convolutions(backbone)}
    renamed = _rename(tensors, provenance, backbone)
    ignored = tuple(layer for layer in renamed if renamed[layer] not in names and _is_dense(tensors, layer))
    sources: dict[str, str] = {}
    for source in tensors:
        layer, role = _split(source)
        if layer in ignored:
            continue
        name = f"{renamed[layer]}/{role}"
        if name in sources:
            raise UserError(
                f"{one_line(provenance.path)}: expected {one_line(name)} once, found it as "
                f"{one_line(sources[name])} and as {one_line(source)}; remove one of the two from the file"
            )
        sources[name] = source
    _check_names(sources, tensors, provenance, backbone)
    for name, shape in expected.items():
        _check_shape(sources[name], tensors[sources[name]].shape, shape, provenance)
    return Match({name: sources[name] for name in expected}, ignored)


def _fits(tensors: Tensors, provenance: Provenance, backbone: Backbone) -> bool:
    try:
        _match(tensors, provenance, backbone)
    except UserError:
        return False
    return True


def _rename(tensors: Tensors, provenance: Provenance, backbone: Backbone) -> dict[str, str]:
    """Returns for each layer of the file what the backbone calls it, or its own name if it has no such layer."""
    layers = list(dict.fromkeys(_split(source)[0] for source in tensors))
    if provenance.named:
        return {layer: _translate(layer, backbone) for layer in layers}
    ordered = [layer for layer in layers if not _is_dense(tensors, layer)]
    names = [row.name for row, _ in convolutions(backbone)]
    return {layer: layer for layer in layers} | dict(zip(ordered, names, strict=False))


def _translate(layer: str, backbone: Backbone) -> str:
    for pattern, replacement in _TRANSLATIONS.get(backbone.name, ()):
        if found := pattern.fullmatch(layer):
            return found.expand(replacement)
    return layer


def _split(source: str) -> tuple[str, str]:
    layer, _, role = source.rpartition("/")
    return layer, role


def _is_dense(tensors: Tensors, layer: str) -> bool:
    kernel = tensors.get(f"{layer}/kernel")
    return kernel is not None and len(kernel.shape) == 2


def _check_names(sources: dict[str, str], tensors: Tensors, provenance: Provenance, backbone: Backbone) -> None:
    expected = parameter_shapes(backbone)
    missing = [name for name in expected if name not in sources]
    unknown = [source for name, source in sources.items() if name not in expected]
    if not missing and not unknown:
        return
    kernels = [name for name, tensor in tensors.items() if name.endswith("/kernel") and len(tensor.shape) == 4]
    listed = [f"without {_some(missing)}"] if missing else []
    listed += [f"with the unknown {_some(unknown)}"] if unknown else []
    raise UserError(
        f"{one_line(provenance.path)}: expected the {sum(1 for _ in convolutions(backbone))} convolutions of "
        f"{backbone.name}, found {len(kernels)}, {' and '.join(listed)}"
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(one_line(name) for name in names[:_LISTED]) + more


def _check_shape(source: str, found: tuple[int, ...], expected: tuple[int, ...], provenance: Provenance) -> None:
    stored = tuple(expected[axis] for axis in _order("HWIO", provenance.layout)) if len(expected) == 4 else expected
    if found == stored:
        return
    axes = " (its axes are in another order)" if sorted(found) == sorted(stored) else ""
    raise UserError(
        f"{one_line(provenance.path)}: {one_line(source)}: expected shape {list(stored)}, "
        f"found {one_line(list(found))}{axes}"
    )


def _values(where: str, tensor: Tensor, layout: str) -> np.ndarray:
    if tensor.dtype.kind != "f" or tensor.dtype.itemsize > 8:
        raise UserError(
            f"{where}: expected floating-point numbers, found {tensor.dtype.name}; "
            "only networks with trained weights in half, single or double precision can be converted"
        )
    with np.errstate(over="ignore"):  # What does not fit into single precision becomes infinite and is refused below.
        values = tensor.load().astype(np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{where}: expected finite numbers, found NaN or Inf; fetch or make the file again")
    return values.transpose(_order(layout, "HWIO")) if values.ndim == 4 else values


def _order(source: Iterable[str], target: Iterable[str]) -> tuple[int, ...]:
    """Returns for each axis of the target where it is in the source."""
    source = list(source)
    return tuple(source.index(axis) for axis in target)
