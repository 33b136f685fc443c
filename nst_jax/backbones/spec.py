"""Networks as data: the rows of a table, how a network wants its pixels, and the shapes that follow from both.

Layer names are those of the papers and of the Caffe files that the papers used. There, ReLU works in place, so
that the blob called `conv4_2` *holds the rectified values*: what Gatys et al. and everybody after them call conv4_2 is
what others call relu4_2. Here both names mean that same tensor, and the linear response before the ReLU is
`conv4_2/linear`.
"""

import dataclasses
import itertools
import math
from collections.abc import Collection, Iterator
from typing import Literal

INPUT = "data"
"""Name of the preprocessed picture, from which every table starts (the name of Caffe's input blob)."""


_LARGE_ENOUGH = 1024  # px, for something to be left of a picture in every layer


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution with bias, and the ReLU behind it: `relu` is its name, None for a linear layer."""

    name: str
    input: str
    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    relu: str | None = None


@dataclasses.dataclass(frozen=True)
class Pool:
    """A pooling without padding; `ceil` keeps the last window even where it sticks out of the map, as Caffe does."""

    name: str
    input: str
    size: int
    stride: int
    ceil: bool


@dataclasses.dataclass(frozen=True)
class Concat:
    """Concatenation over channels."""

    name: str
    inputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class GlobalAverage:
    """The mean over all positions: `[H, W, C]` to `[1, 1, C]`."""

    name: str
    input: str


Row = Conv | Pool | Concat | GlobalAverage


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How a network wants its pixels: `(pixels · scale − mean) / std`, in the units and channel order of its framework.

    Attributes:
        scale: what white is: 255 for Caffe, 1 for torchvision.
        mean: per channel in `order`, in units of `scale`.
        std: likewise.
        order: of the channels.
    """

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    order: Literal["RGB", "BGR"]


CONVENTIONS = {
    # The mean colour of ImageNet, blue first, as subtracted when the Oxford networks were trained.
    "caffe": Preprocess(scale=255.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), order="BGR"),
    "torchvision": Preprocess(scale=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), order="RGB"),
}
"""How the published networks want their pixels, by who trained them. Nothing in a weight file shows which it is."""


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where the weights come from and what one may do with them."""

    url: str
    licence: str
    citation: str


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A pretrained network. Hashable, so that it can be a static argument of jit.

    Attributes:
        name: by which it is chosen.
        rows: the layers that see textures and things, for pictures of nearly any size.
        preprocess: how it wants its pixels.
        provenance: where its weights come from.
        head: the layers behind them, which tell classes. Style transfer does without, and so do most weight files:
            nobody computes them or has their weights in memory who did not ask for `with_head`.
    """

    name: str
    rows: tuple[Row, ...]
    preprocess: Preprocess
    provenance: Provenance
    head: tuple[Row, ...] = ()


def with_head(backbone: Backbone) -> Backbone:
    """Returns the whole network, in which the layers of the head are like all others."""
    return dataclasses.replace(backbone, rows=backbone.rows + backbone.head, head=())


def tensor(backbone: Backbone, layer: str) -> str:
    """Returns the first name of a layer's values: `conv4_2` for `relu4_2` as well."""
    return next((row.name for row in backbone.rows if layer == getattr(row, "relu", None)), layer)


def channels(backbone: Backbone) -> dict[str, int]:
    """Returns the number of channels of every layer."""
    shapes = layer_shapes(backbone, _LARGE_ENOUGH, _LARGE_ENOUGH)
    return {layer: count for layer, (_, _, count) in shapes.items()}


def convolutions(backbone: Backbone) -> Iterator[tuple[Conv, int]]:
    """Yields each convolution and the number of channels that it reads."""
    channels = {INPUT: 3}
    for row in backbone.rows:
        match row:
            case Conv():
                yield row, channels[row.input]
                channels[row.name] = row.features
            case Concat():
                channels[row.name] = sum(channels[name] for name in row.inputs)
            case Pool() | GlobalAverage():
                channels[row.name] = channels[row.input]


def parameter_shapes(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every parameter: `name/kernel` as `[height, width, in, out]` and `name/bias` as `[out]`."""
    shapes = {}
    for row, channels in convolutions(backbone):
        shapes[f"{row.name}/kernel"] = (row.kernel, row.kernel, channels, row.features)
        shapes[f"{row.name}/bias"] = (row.features,)
    return shapes


def layer_names(row: Row) -> tuple[str, ...]:
    """Returns every name that the outputs of a row go by."""
    if isinstance(row, Conv) and row.relu:
        return (f"{row.name}/linear", row.name, row.relu)
    return (row.name,)


def layers(backbone: Backbone) -> tuple[str, ...]:
    """Returns the names of all layers, in the order in which they are computed."""
    return tuple(name for row in backbone.rows for name in layer_names(row))


def inputs(row: Row) -> tuple[str, ...]:
    """Returns the names of what a row reads."""
    return row.inputs if isinstance(row, Concat) else (row.input,)


def ancestors(backbone: Backbone, read: Collection[str]) -> tuple[Row, ...]:
    """Returns the rows that have to be computed for these layers, in order."""
    needed, rows = set(read), []
    for row in reversed(backbone.rows):
        if needed.intersection(layer_names(row)):
            needed.update(inputs(row))
            rows.append(row)
    return tuple(reversed(rows))


def blocks(backbone: Backbone) -> tuple[tuple[Row, ...], ...]:
    """Returns the rows in parts, each of which reads nothing of those before but their last map: cut behind pools."""
    last_use = {name: index for index, row in enumerate(backbone.rows) for name in inputs(row)}
    parts, part, made = [], [], []
    for index, row in enumerate(backbone.rows):
        part.append(row)
        if isinstance(row, Pool) and all(last_use.get(name, 0) <= index for name in made):
            parts.append(tuple(part))
            part, made = [], []
        else:
            made.extend(layer_names(row))
    return (*parts, tuple(part)) if part else tuple(parts)


def layer_shapes(backbone: Backbone, height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """Returns the shape `(height, width, channels)` of every layer for a picture of `height` × `width` pixels."""
    shapes = {INPUT: (height, width, 3)}
    for row in backbone.rows:
        match row:
            case Conv():
                h, w, _ = shapes[row.input]
                shape = (*(_windows(n + 2 * row.padding, row.kernel, row.stride) for n in (h, w)), row.features)
            case Pool():
                h, w, channels = shapes[row.input]
                shape = (*(_windows(n, row.size, row.stride, ceil=row.ceil) for n in (h, w)), channels)
            case Concat():
                h, w, _ = shapes[row.inputs[0]]
                shape = (h, w, sum(shapes[name][2] for name in row.inputs))
            case GlobalAverage():
                shape = (1, 1, shapes[row.input][2])
        shapes |= dict.fromkeys(layer_names(row), shape)
    del shapes[INPUT]
    return shapes


def least_side(backbone: Backbone, layer: str) -> int:
    """Returns the least side of a picture of which something is left at a layer, in pixels."""
    rows = ancestors(backbone, (layer,))
    part = dataclasses.replace(backbone, rows=rows)
    return next(
        side for side in itertools.count(1) if all(min(layer_shapes(part, side, side)[row.name]) >= 1 for row in rows)
    )


def strides(backbone: Backbone) -> dict[str, int]:
    """Returns how many pixels lie between two positions of each layer."""
    found = {INPUT: 1}
    for row in backbone.rows:
        step = row.stride if isinstance(row, Conv | Pool) else 1
        found |= dict.fromkeys(layer_names(row), step * max(found[name] for name in inputs(row)))
    del found[INPUT]
    return found


def pool_overhang(row: Pool, length: int) -> int:
    """Returns by how many positions the last window of a pooling sticks out of `length` positions.

    Caffe drops a last window that would start outside; without padding, as here, none ever does while stride ≤ size.
    """
    return max((_windows(length, row.size, row.stride, ceil=row.ceil) - 1) * row.stride + row.size - length, 0)


def _windows(length: int, size: int, stride: int, *, ceil: bool = False) -> int:
    """Returns how many windows fit into `length` positions."""
    fits = (length - size) / stride
    return (math.ceil(fits) if ceil else math.floor(fits)) + 1
