"""Networks as data: a table of rows, the input convention, and the shapes that follow."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal, TypeVar

from nst_jax.backbones.rows import Add, Concat, Conv, Pool, Row, Shape

INPUT = "data"
"""Name of the preprocessed picture, from which every table starts (the name of Caffe's input blob)."""

_COLOURS = 3
_KEPT = 1024
"""Answers about networks that are kept: the cells of a sweep ask for the same ones, a dozen times each."""

Found = TypeVar("Found")


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """The input convention of a network: `(pixels · scale − mean) / std`, in the channel order of its framework.

    Attributes:
        scale: the value of white: 255 for Caffe, 1 for torchvision.
        mean: mean per channel, in `order` and in units of `scale`.
        std: standard deviation per channel, in `order` and in units of `scale`.
        order: order of the channels.
    """

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    order: Literal["RGB", "BGR"]


CONVENTIONS = {
    # The mean colour of ImageNet, blue first, as subtracted when the Oxford networks were trained.
    "caffe": Preprocess(scale=255.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), order="BGR"),
    "torchvision": Preprocess(scale=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), order="RGB"),
    # From -1 to 1.
    "tensorflow": Preprocess(scale=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), order="RGB"),
    # The constant that inception5h.zip subtracts in its graph.
    "inception5h": Preprocess(scale=255.0, mean=(117.0, 117.0, 117.0), std=(1.0, 1.0, 1.0), order="RGB"),
}
"""Input conventions of published networks, by framework. Nothing in a weight file shows which one applies."""


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Source, licence and citation of weights."""

    url: str
    licence: str
    citation: str


@dataclasses.dataclass(frozen=True)
class Family:
    """The defaults that suit one kind of network. Presets are names in `presets.PRESETS`.

    Attributes:
        preset: preset for style transfer.
        figure_preset: preset for the figures of Gatys, Ecker & Bethge, the closest to their settings.
        figure_ratios: content to style weight, α/β, for the columns of figure 3 of that paper.
        depth_layers: five layers from fine to coarse, for the rows of that figure.
        texture_preset: preset for texture synthesis, without its content term.
        texture_layers: style layers for texture synthesis, instead of those of `texture_preset`.
        fine_until: the last layer whose statistics are those of strokes, without forms.
        dream_layers: layers that DeepDream amplifies.
        logits: the layer of the head with one linear response per ImageNet class.
    """

    preset: str
    figure_preset: str
    figure_ratios: tuple[float, ...]
    depth_layers: tuple[str, ...]
    texture_preset: str
    texture_layers: tuple[str, ...]
    fine_until: str
    dream_layers: tuple[str, ...]
    logits: str


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A pretrained network. Hashable, so that it can be a static argument of jit.

    Attributes:
        name: the name by which it is loaded.
        rows: the convolutional part, for pictures of nearly any size.
        preprocess: its input convention.
        provenance: source of its weights.
        family: the defaults that suit networks of its kind.
        head: the classifier after `rows`. Style transfer and most weight files lack it; it is loaded and computed only
            for `with_head`.
    """

    name: str
    rows: tuple[Row, ...]
    preprocess: Preprocess
    provenance: Provenance
    family: Family
    head: tuple[Row, ...] = ()

    def __hash__(self) -> int:
        """Returns the hash of all fields, computed once: what is found out about a network is kept by it."""
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, field.name) for field in dataclasses.fields(self)))

    def __getstate__(self) -> dict[str, Any]:
        """Returns the fields alone: texts have other hashes in other processes."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def with_head(backbone: Backbone) -> Backbone:
    """Returns the whole network, with the layers of the head among its rows."""
    return dataclasses.replace(backbone, rows=backbone.rows + backbone.head, head=())


@functools.lru_cache(_KEPT)
def layers(backbone: Backbone) -> tuple[str, ...]:
    """Returns the names of all layers, in the order in which they are computed."""
    return tuple(name for row in backbone.rows for name in row.names)


@functools.lru_cache(_KEPT)
def tensor(backbone: Backbone, layer: str) -> str:
    """Returns the first name of a layer's values: `conv4_2` for `relu4_2` as well."""
    outputs = (names for row in backbone.rows for names in row.outputs)
    return next((names[0] for names in outputs if layer in names), layer)


def forward(backbone: Backbone, first: Found, step: Callable[..., Found]) -> dict[str, Found]:
    """Propagates a value from the input through all rows.

    Args:
        backbone: the network.
        first: the value of the preprocessed picture.
        step: `(row, *values of its inputs) → value of its outputs`.

    Returns:
        Layer → value, in the order of computation.
    """
    found = {INPUT: first}
    for row in backbone.rows:
        found |= dict.fromkeys(row.names, step(row, *(found[name] for name in row.inputs)))
    del found[INPUT]
    return found


def channels(backbone: Backbone) -> dict[str, int]:
    """Returns the number of channels of every layer."""
    return dict(_channels(backbone))


@functools.lru_cache(_KEPT)
def _channels(backbone: Backbone) -> dict[str, int]:
    return forward(backbone, _COLOURS, lambda row, *inputs: row.channels(*inputs))


def convolutions(backbone: Backbone) -> Iterator[tuple[Conv, int]]:
    """Yields each convolution and the number of channels that it reads."""
    counts = {INPUT: _COLOURS} | channels(backbone)
    return ((row, counts[row.input]) for row in backbone.rows if isinstance(row, Conv))


def parameter_shapes(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every published parameter, `name/kernel` as `[height, width, in, out]`; see `Conv`."""
    counts = {INPUT: _COLOURS} | channels(backbone)
    return {
        f"{row.name}/{role}": shape
        for row in backbone.rows
        for role, shape in row.parameters(*(counts[name] for name in row.inputs)).items()
    }


def ancestors(backbone: Backbone, read: Collection[str]) -> tuple[Row, ...]:
    """Returns the rows that these layers depend on, in order of computation."""
    return _ancestors(backbone, frozenset(read))


@functools.lru_cache(_KEPT)
def _ancestors(backbone: Backbone, read: frozenset[str]) -> tuple[Row, ...]:
    needed = set(read)
    rows: list[Row] = []
    for row in reversed(backbone.rows):
        if needed.intersection(row.names):
            needed.update(row.inputs)
            rows.append(row)
    return tuple(reversed(rows))


def blocks(backbone: Backbone) -> tuple[tuple[Row, ...], ...]:
    """Returns the rows in blocks that end where maps come together; each reads only the last map of the block before.

    With those of pools and sums alone, Inception v3 has 3 blocks, whose derivative needs 71 MB at 512 px when blocks
    are recomputed, and 39 MB with the 13 that end in concatenations, too.
    """
    last_use = {name: index for index, row in enumerate(backbone.rows) for name in row.inputs}
    parts: list[tuple[Row, ...]] = []
    part: list[Row] = []
    held = [INPUT]  # what the rows of a block can read
    for index, row in enumerate(backbone.rows):
        part.append(row)
        if isinstance(row, Pool | Add | Concat) and all(last_use.get(name, 0) <= index for name in held):
            parts.append(tuple(part))
            part, held = [], [row.name]
        else:
            held.extend(row.names)
    return (*parts, tuple(part)) if part else tuple(parts)


def layer_shapes(backbone: Backbone, height: int, width: int) -> dict[str, Shape]:
    """Returns the shape `(height, width, channels)` of every layer for a picture of `height` × `width` pixels."""
    return dict(_layer_shapes(backbone, height, width))


@functools.lru_cache(_KEPT)
def _layer_shapes(backbone: Backbone, height: int, width: int) -> dict[str, Shape]:
    return forward(backbone, (height, width, _COLOURS), lambda row, *inputs: row.shape(*inputs))


def least_side(backbone: Backbone, layer: str) -> int:
    """Returns the least side of a picture, in pixels, for which a layer has at least one position."""
    rows = ancestors(backbone, (layer,))
    part = dataclasses.replace(backbone, rows=rows)
    return next(
        side for side in itertools.count(1) if all(min(shape) >= 1 for shape in layer_shapes(part, side, side).values())
    )


def strides(backbone: Backbone) -> dict[str, int]:
    """Returns the stride of each layer: the distance between neighbouring positions, in pixels."""

    def step(row: Row, *inputs: int) -> int:
        return max(inputs) * (1 if row.windows is None else row.windows[0].stride)

    return forward(backbone, 1, step)
