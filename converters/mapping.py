"""From the tensors of any format to the parameters of a backbone: the one step that all converters share.

It renames tensors, and permutes and reverses their axes; values do not change by a bit. (Only double precision, which
the interchange file does not have, is rounded to single. Quantised numbers are decoded by their reader, which also
knows in what form its format keeps the mean and variance of a normalisation.)
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, convolutions, parameter_shapes, with_head
from nst_jax.errors import UserError, one_line
from nst_jax.io.files import file_error

from .naming import keras_order
from .naming.place import Place
from .naming.registry import aliases, is_auxiliary, torchvision_names
from .source import OF_KERAS, Axes, Layout, Provenance, Tensors

_OURS = "HWIO"
_LISTED = 3

# What formats call the arrays of a layer → what they are called here; PyTorch's `weight` is a kernel everywhere.
_DEPTHWISE_ROLES = {"depthwise_kernel": "kernel", "depthwise_weights": "kernel"}
_NORMALISATION_ROLES = {
    "gamma": "scale",
    "kernel": "scale",
    "beta": "shift",
    "bias": "shift",
    "moving_mean": "mean",
    "running_mean": "mean",
    "moving_variance": "variance",
    "running_var": "variance",
}
_MEANS = ("mean", "moving_mean", "running_mean")
_COUNTER = "num_batches_tracked"  # of training steps, in PyTorch

_KERAS_CONVENTIONS = ("caffe", "tensorflow")
"""keras-applications has networks in both, and none in both."""


_CALLED = {"alexnet": "AlexNet", "caffenet": "CaffeNet"}
"""What networks of the same layers, in another order, call themselves in files of Caffe."""


class Match(NamedTuple):
    """The tensors of a file that belong to a backbone.

    Attributes:
        sources: our name of each parameter → the name in the file.
        head: layers of the file that belong to the head of the backbone and are left out.
        foreign: layers of the file that the backbone does not have: dense ones, of another classifier, and those of
            classifiers on the way, which were for training alone.
    """

    sources: dict[str, str]
    head: tuple[str, ...]
    foreign: tuple[str, ...]


def match(tensors: Tensors, provenance: Provenance, backbone: Backbone) -> Match:
    """Finds every parameter of the backbone by name and shape; reads no values.

    Layers of its head, and dense layers that it does not have, are left out. For a network with its head, give
    `with_head(backbone)`; then no others may be there, but for classifiers that were for training alone.

    Raises:
        UserError: these are the weights of another backbone; a parameter is missing, there twice, or of another shape;
            or there are layers that do not belong to it.
    """
    try:
        return _match(tensors, provenance, backbone)
    except UserError as error:
        advice = _advice(tensors, provenance, backbone)
        if advice is None:
            raise
        raise UserError(f"{error}; {advice}") from None


def fitting(tensors: Tensors, provenance: Provenance, besides: Backbone | None = None) -> list[str]:
    """Returns the names of the backbones that these are the weights of, but for `besides` and its equals.

    Of backbones that no file distinguishes, the first one is meant: the second is the first one rescaled.
    """
    given = besides and (besides.rows, besides.preprocess)
    found = {
        (other.rows, other.preprocess): other.name
        for other in reversed(BACKBONES.values())
        if (other.rows, other.preprocess) != given and _fits(tensors, provenance, other)
    }
    return sorted(found.values(), key=list(BACKBONES).index)


def is_named_by_torchvision(tensors: Tensors, backbone: Backbone) -> bool:
    """Returns whether layers have the names of torchvision, as networks ported to other formats may have."""
    theirs = torchvision_names(backbone)
    return any(_split(source)[0] in theirs for source in tensors)


class Parameters(Mapping[str, np.ndarray]):
    """The matched parameters: our name → float32, kernels `[height, width, in, out]`; each is read on access.

    Access raises UserError if values are not finite floating-point numbers, or the file is damaged.
    """

    def __init__(self, tensors: Tensors, provenance: Provenance, matched: Match, backbone: Backbone) -> None:
        self._tensors = tensors
        self._provenance = provenance
        self._sources = matched.sources
        self._shapes = parameter_shapes(backbone)
        self._first = {f"{row.name}/kernel" for row, _ in convolutions(backbone) if row.input == INPUT}
        self._depthwise = _depthwise(backbone)

    def __getitem__(self, name: str) -> np.ndarray:
        values = numbers(self._tensors, self._sources[name], self._provenance)
        if len(self._shapes[name]) != len(_OURS):
            return values
        layout = self._provenance.layout
        if name in self._depthwise and values.shape != _permute(self._shapes[name], layout.conv):
            layout = layout._replace(conv=_exchanged(layout.conv))
        kernel = _kernel(values, layout, self._shapes[name])
        return kernel[:, :, ::-1] if name in self._first and layout.reversed_colours else kernel

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def _match(tensors: Tensors, provenance: Provenance, backbone: Backbone) -> Match:
    _check_meaning(provenance, backbone)
    renamed = _rename(tensors, provenance, backbone)
    in_head, known = _convolutions(backbone.head), _convolutions(with_head(backbone).rows)
    head = tuple(layer for layer, place in renamed.items() if place.row in in_head)
    unknown = [layer for layer, place in renamed.items() if place.row not in known]
    auxiliary = {layer for layer in renamed if is_auxiliary(backbone, layer)}
    dense = {layer for layer in unknown if _is_dense(layer, tensors)} if backbone == BACKBONES[backbone.name] else set()
    left_out = auxiliary | dense
    foreign = tuple(layer for layer in unknown if layer in left_out)
    ignored = {*head, *foreign, *auxiliary}
    sources: dict[str, str] = {}
    for source in tensors:
        layer, role = _split(source)
        place = renamed[layer]
        if layer in ignored or (place.normalisation and role == _COUNTER):
            continue
        name = f"{place.row}/{(_NORMALISATION_ROLES if place.normalisation else _DEPTHWISE_ROLES).get(role, role)}"
        if name in sources:
            raise file_error(
                provenance.path,
                f"expected {one_line(name)} once, found it as {one_line(sources[name])} and as {one_line(source)}; "
                "remove one of the two from the file",
            )
        sources[name] = source
    expected = parameter_shapes(backbone)
    depthwise = _depthwise(backbone)
    _check_names(sources, tensors, provenance, backbone)
    for name, shape in expected.items():
        _check_shape(sources[name], tensors[sources[name]].shape, shape, provenance, depthwise=name in depthwise)
    if provenance.ordered:
        _check_order(sources, provenance, backbone)
    return Match({name: sources[name] for name in expected}, head, foreign)


def _advice(tensors: Tensors, provenance: Provenance, backbone: Backbone) -> str | None:
    """Returns what to do with weights that fit another backbone, None if they fit no backbone."""
    known = BACKBONES[backbone.name]
    if backbone != known and _fits(tensors, provenance, known):
        return "the file has no classifier: leave --classifier out, or give a file with one"
    names = fitting(tensors, provenance, besides=known)
    return f"this looks like {' or '.join(names)}: convert it with --backbone={names[0]}" if names else None


def _fits(tensors: Tensors, provenance: Provenance, backbone: Backbone) -> bool:
    try:
        _match(tensors, provenance, backbone)
    except UserError:
        return False
    return True


def _check_meaning(provenance: Provenance, backbone: Backbone) -> None:
    """Checks what names and shapes do not show: the backbone, and the convention of its pixels."""
    if provenance.backbone not in (None, backbone.name):
        raise file_error(
            provenance.path, f"expected weights of {backbone.name}, found those of {one_line(provenance.backbone)}"
        )
    called = _CALLED.get(backbone.name)
    if called and provenance.network != called and provenance.network in _CALLED.values():
        raise file_error(
            provenance.path, f"expected {called}, by its own name in the file, found {one_line(provenance.network)}"
        )
    if provenance.convention is None:
        return
    found = _KERAS_CONVENTIONS if provenance.convention == OF_KERAS else (provenance.convention,)
    if any(CONVENTIONS.get(name) == backbone.preprocess for name in found):
        return
    wanted = next(name for name, preprocess in CONVENTIONS.items() if preprocess == backbone.preprocess)
    raise file_error(
        provenance.path,
        f"expected weights for pixels in the convention of {wanted}, as {backbone.name} has them, "
        f"found {one_line(' or '.join(found))}",
    )


def _rename(tensors: Tensors, provenance: Provenance, backbone: Backbone) -> dict[str, Place]:
    """Returns for each layer of the file what it is in the backbone; it keeps its name if the backbone lacks it."""
    layers = list(dict.fromkeys(_split(source)[0] for source in tensors))
    places = {layer: Place(layer) for layer in layers}
    if provenance.named:
        names = aliases(backbone)
        return {layer: names.get(layer, place) for layer, place in places.items()}
    rows = keras_order.listed(backbone) if provenance.ordered else [row for row, _ in convolutions(with_head(backbone))]
    # Each kind of layer by itself, as Keras counts each kind for itself.
    normalisations = [layer for layer in layers if _is_normalisation(layer, tensors)]
    depthwise = [layer for layer in layers if _is_depthwise(layer, tensors)]
    others = [layer for layer in layers if layer not in {*normalisations, *depthwise}]
    normalised = (Place(row.name, normalisation=True) for row in rows if row.norm)
    places |= dict(zip(normalisations, normalised, strict=False))
    places |= dict(zip(depthwise, (Place(row.name) for row in rows if row.groups > 1), strict=False))
    return places | dict(zip(others, (Place(row.name) for row in rows if row.groups == 1), strict=False))


def _is_normalisation(layer: str, tensors: Tensors) -> bool:
    return any(f"{layer}/{role}" in tensors for role in _MEANS)


def _is_depthwise(layer: str, tensors: Tensors) -> bool:
    kernel = tensors.get(f"{layer}/kernel")
    return kernel is not None and len(kernel.shape) == 4 and kernel.shape[2] > kernel.shape[3] == 1


def _convolutions(rows: tuple[Row, ...]) -> set[str]:
    return {row.name for row in rows if isinstance(row, Conv)}


def _is_dense(layer: str, tensors: Tensors) -> bool:
    kernel = tensors.get(f"{layer}/kernel")
    return kernel is not None and len(kernel.shape) == 2


def _split(source: str) -> tuple[str, str]:
    layer, _, role = source.rpartition("/")
    return layer, role


def _check_names(sources: dict[str, str], tensors: Tensors, provenance: Provenance, backbone: Backbone) -> None:
    expected = parameter_shapes(backbone)
    missing = [name for name in expected if name not in sources]
    unknown = [source for name, source in sources.items() if name not in expected]
    if not missing and not unknown:
        return
    kernels = [name for name, tensor in tensors.items() if name.endswith("/kernel") and len(tensor.shape) == 4]
    listed = [f"without {_some(missing)}"] if missing else []
    listed += [f"with the unknown {_some(unknown)}"] if unknown else []
    if any(_split(source)[1] in _MEANS for source in tensors) and not any(
        row.norm for row, _ in convolutions(backbone)
    ):
        listed.append(f"with batch normalisation, which {backbone.name} does not have")
    raise file_error(
        provenance.path,
        f"expected the {sum(1 for _ in convolutions(backbone))} convolutions of {backbone.name}, "
        f"found {len(kernels)}, {' and '.join(listed)}",
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(one_line(name) for name in names[:_LISTED]) + more


def _check_shape(
    source: str, found: tuple[int, ...], expected: tuple[int, ...], provenance: Provenance, *, depthwise: bool
) -> None:
    stored = expected
    if len(expected) == len(_OURS):
        # A classifier is stored as dense layers, or as the equivalent convolutions.
        stored = _stored_shape(expected, provenance.layout, dense=len(found) == 2)
        if depthwise and found == _permute(expected, _exchanged(provenance.layout.conv)):
            return
    if found == stored:
        return
    axes = " (its axes are in another order)" if sorted(found) == sorted(stored) else ""
    raise file_error(
        provenance.path,
        f"{one_line(source)}: expected shape {list(stored)}, found {one_line(list(found))}{axes}: another network, "
        "or a damaged file",
    )


def _stored_shape(ours: tuple[int, ...], layout: Layout, *, dense: bool) -> tuple[int, ...]:
    if not dense:
        return _permute(ours, layout.conv)
    *inputs, outputs = ours
    size = math.prod(inputs)
    return (outputs, size) if layout.dense.startswith("O") else (size, outputs)


def _check_order(sources: dict[str, str], provenance: Provenance, backbone: Backbone) -> None:
    """Checks that no layer comes before one whose output it reads, which would contradict the names."""
    layers = [name.rpartition("/")[0] for name in sources]
    positions = {layer: layers.index(layer) for layer in layers}
    behind: dict[str, int] = {INPUT: -1}  # layer → index of the last convolution that it depends on
    for row in backbone.rows:
        last = max(behind[name] for name in row.inputs)
        behind[row.name] = last
        if not isinstance(row, Conv):
            continue
        behind[row.name] = positions[row.name]
        if positions[row.name] < last:
            raise file_error(
                provenance.path,
                f"{one_line(sources[f'{row.name}/kernel'])}: expected it after the layers that {row.name} reads, as "
                "in the order of the model, found it before them: names and order contradict each other",
            )


def numbers(tensors: Tensors, source: str, provenance: Provenance) -> np.ndarray:
    """Returns the values of a tensor in single precision.

    Raises:
        UserError: they are no floating-point numbers, not finite, or the file is damaged.
    """
    tensor = tensors[source]
    if tensor.dtype.kind != "f" or tensor.dtype.itemsize > 8:
        raise file_error(
            provenance.path,
            f"{one_line(source)}: expected floating-point numbers, found {tensor.dtype.name}; "
            "only networks with trained weights in half, single or double precision can be converted",
        )
    with np.errstate(over="ignore"):  # values beyond single precision become infinite and are refused below
        values = tensor.load().astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise file_error(
            provenance.path,
            f"{one_line(source)}: expected finite numbers, found NaN or Inf; fetch or make the file again",
        )
    return values


def _kernel(values: np.ndarray, layout: Layout, shape: tuple[int, ...]) -> np.ndarray:
    """Returns a kernel of `shape` with its axes as ours."""
    axes = layout.dense if values.ndim == 2 else layout.conv
    kernel = values.reshape(_permute(shape, axes)).transpose([axes.index(axis) for axis in _OURS])
    return kernel[::-1, ::-1] if layout.rotated and values.ndim == len(_OURS) else kernel


def _depthwise(backbone: Backbone) -> set[str]:
    """Returns the names of kernels with one input a group, as many as there are channels."""
    return {f"{row.name}/kernel" for row, channels in convolutions(backbone) if channels == row.groups > 1}


def _exchanged(axes: Axes) -> Axes:
    """Returns the axes of a depthwise kernel in a format that has a layer of its own for it, one output a channel."""
    exchanged: dict[Axes, Axes] = {"HWIO": "HWOI", "OHWI": "IHWO"}
    return exchanged.get(axes, axes)


def _permute(ours: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    return tuple(ours[_OURS.index(axis)] for axis in axes)
