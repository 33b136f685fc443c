"""From the tensors of any format to the parameters of a network that paints: renamed, and with their axes permuted."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax.applications.feedforward.networks import Network, network_parameters, parts
from nst_jax.applications.feedforward.steps import Conv, Layer, Transposed, layers
from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from .mapping import numbers
from .painters import DESIGNS, Design, Scheme
from .source import Layout, Provenance, Tensors

_OURS = "HWIO"
_SWAPPED = str.maketrans("IO", "OI")
_LISTED = 3


class File(NamedTuple):
    """A file that was read."""

    path: Path
    tensors: Tensors
    provenance: Provenance


class Match(NamedTuple):
    """The tensors of files that belong to a network.

    Attributes:
        sources: our name of each parameter → its file, and its name there.
        left_out: the tensors without effect, which no parameter is made of.
    """

    sources: dict[str, tuple[File, str]]
    left_out: tuple[str, ...]


def recognised(file: File) -> list[str]:
    """Returns the designs of which a file has a part, as `adain (encoder)`."""
    return [
        f"{name} ({scheme.part})" if len(parts(design.network)) > 1 else name
        for name, design in DESIGNS.items()
        for scheme in design.schemes
        if _follows(file, scheme) and _misfit(file, scheme, design.network) is None
    ]


def match(files: list[File], name: str) -> Match:
    """Finds every parameter of a network by name and shape; reads no values.

    Args:
        files: the files, in any order.
        name: the design, of `painters.DESIGNS`.

    Raises:
        UserError: a part of the network is in none of the files or in several, a file has no part of it, or a tensor
            has another shape.
    """
    design = DESIGNS[name]
    sources: dict[str, tuple[File, str]] = {}
    left_out: list[str] = []
    for file in files:
        schemes = _schemes(file, design, name)
        used = {theirs for scheme in schemes for theirs in scheme.names.values()}
        left_out += [theirs for theirs in file.tensors if theirs not in used]
        for scheme in schemes:
            found = {f"{scheme.part}/{ours}": (file, theirs) for ours, theirs in scheme.names.items()}
            if found.keys() & sources.keys():
                raise file_error(
                    file.path, f"expected the {scheme.part} of {name} once, found it again; leave one file out"
                )
            sources |= found
    missing = [part for part in parts(design.network) if not any(full.startswith(f"{part}/") for full in sources)]
    if missing:
        raise file_error(
            files[0].path, f"expected the {' and the '.join(missing)} of {name} too; give all files of the network"
        )
    return Match({full: sources[full] for full in network_parameters(design.network)}, tuple(left_out))


class Parameters(Mapping[str, np.ndarray]):
    """The matched parameters: `part/layer/role` → float32; each is read on access.

    Access raises UserError if values are not finite floating-point numbers, or a file is damaged.
    """

    def __init__(self, matched: Match, network: Network) -> None:
        self._sources = matched.sources
        self._shapes = network_parameters(network)
        self._layers = {f"{part}/{layer.name}": layer for part, found in _layers(network).items() for layer in found}

    def __getitem__(self, name: str) -> np.ndarray:
        file, theirs = self._sources[name]
        values = numbers(file.tensors, theirs, file.provenance)
        where, _, role = name.rpartition("/")
        return _arranged(values, self._shapes[name], self._layers[where], role, file.provenance.layout)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def _layers(network: Network) -> dict[str, list[Layer]]:
    return {part: [layer for layer, _ in layers(*found)] for part, found in parts(network).items()}


def _schemes(file: File, design: Design, name: str) -> list[Scheme]:
    """Returns the schemes that a file follows; where the encoder and decoder have the same names, shapes tell."""
    named = [scheme for scheme in design.schemes if _follows(file, scheme)]
    if not named:
        raise file_error(file.path, f"expected {_expected(design, name)}, found {_found(file, design)}")
    misfits = [_misfit(file, scheme, design.network) for scheme in named]
    fitting = [scheme for scheme, misfit in zip(named, misfits, strict=True) if misfit is None]
    if not fitting:
        raise file_error(file.path, f"{misfits[0]}: another network, or a damaged file")
    return fitting


def _follows(file: File, scheme: Scheme) -> bool:
    return all(theirs in file.tensors for theirs in scheme.names.values())


def _misfit(file: File, scheme: Scheme, network: Network) -> str | None:
    """Returns which tensor has another shape than that of a network; None if none has."""
    shapes = network_parameters(network)
    found = {layer.name: layer for layer in _layers(network)[scheme.part]}
    for ours, theirs in scheme.names.items():
        name, _, role = ours.rpartition("/")
        stored = _stored(shapes[f"{scheme.part}/{ours}"], found[name], role, file.provenance.layout)
        if (shape := file.tensors[theirs].shape) not in stored:
            return f"{one_line(theirs)}: expected shape {list(stored[0])}, found {one_line(list(shape))}"
    return None


def _expected(design: Design, name: str) -> str:
    names = list(parts(design.network))
    return f"weights of {name}" if len(names) == 1 else f"the {' or the '.join(names)} of {name}"


def _found(file: File, design: Design) -> str:
    """Returns what a file is instead: another network, or one that nearly fits."""
    others = recognised(file)
    if others:
        return f"that of {others[0]}: convert it with --network={others[0].partition(' ')[0]}"
    nearest = max(design.schemes, key=lambda scheme: sum(theirs in file.tensors for theirs in scheme.names.values()))
    missing = [theirs for theirs in nearest.names.values() if theirs not in file.tensors]
    more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
    return (
        f"{len(file.tensors)} tensors without {', '.join(map(one_line, missing[:_LISTED]))}{more}; "
        "converters.inspect lists what is in it"
    )


def _axes(layer: Layer, role: str, layout: Layout) -> str:
    """Returns the order of the axes of a tensor with four, one letter each."""
    match layer:
        case Transposed() if role == "kernel":
            return layout.conv.translate(_SWAPPED)  # their first axis is that of the other direction
        case Conv(depthwise=True) if role == "kernel" and layout.conv == "OHWI":
            return "IHWO"  # as TensorFlow Lite has them: (1, height, width, channels)
        case _:
            return layout.conv


def _stored(shape: tuple[int, ...], layer: Layer, role: str, layout: Layout) -> list[tuple[int, ...]]:
    """Returns the shapes in which a file may have a parameter."""
    axes = _axes(layer, role, layout)
    if role == "kernel":
        return [tuple(shape[_OURS.index(axis)] for axis in axes)]
    if len(shape) == 1:
        return [shape, (1, 1, *shape), (1, 1, 1, *shape)]
    whole = (1, 1, *shape)  # an affine map of a code is a 1 × 1 convolution in some files
    return [shape, tuple(whole[_OURS.index(axis)] for axis in axes)]


def _arranged(values: np.ndarray, shape: tuple[int, ...], layer: Layer, role: str, layout: Layout) -> np.ndarray:
    """Returns a parameter with its axes as ours."""
    if values.ndim == len(_OURS) and len(shape) > 1:
        axes = _axes(layer, role, layout)
        values = values.transpose([axes.index(axis) for axis in _OURS])
        if role == "kernel" and layout.rotated:
            values = values[::-1, ::-1]
    return np.ascontiguousarray(values.reshape(shape))
