"""Networks as data: the rows of a table, how a network wants its pixels, and the shapes that follow from both.

Layer names are those of the papers and of the Caffe files that the papers used. There, ReLU works in place, so
that the blob called `conv4_2` *holds the rectified values*: what Gatys et al. and everybody after them call conv4_2 is
what others call relu4_2. Here both names mean that same tensor, and the linear response before the ReLU is
`conv4_2/linear`.
"""

import abc
import dataclasses
import itertools
import math
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple, TypeVar

INPUT = "data"
"""Name of the preprocessed picture, from which every table starts (the name of Caffe's input blob)."""

_COLOURS = 3

Shape = tuple[int, int, int]
"""Height, width, channels."""

Found = TypeVar("Found")


class Window(NamedTuple):
    """The square window of input positions that one output position sees.

    Attributes:
        size: side of the window, in positions of the input.
        stride: distance between neighbouring windows, in positions of the input.
        padding: positions added on each side of the input.
        ceil: whether to keep a last window that sticks out of the padded input, as Caffe's pooling does.
    """

    size: int = 1
    stride: int = 1
    padding: int = 0
    ceil: bool = False

    def count(self, length: int) -> int:
        """Returns how many windows fit into `length` positions; 0 or less if none does."""
        fits = (length + 2 * self.padding - self.size) / self.stride
        return (math.ceil(fits) if self.ceil else math.floor(fits)) + 1

    def overhang(self, length: int) -> int:
        """Returns by how many positions the last window sticks out of `length` positions and their padding.

        Caffe drops a last window that would start outside; without padding none ever does while stride ≤ size.
        """
        return max((self.count(length) - 1) * self.stride + self.size - length - 2 * self.padding, 0)


@dataclasses.dataclass(frozen=True)
class RowBase(abc.ABC):
    """The geometry that every row of a table carries; the arithmetic of a row is in `features.py`.

    A new type must define everything abstract here, or it cannot be constructed, and must be listed in `Row`, or
    interpreters reject it.

    Attributes:
        name: of the layer that it computes.
    """

    name: str

    @property
    @abc.abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The names of the layers that it reads."""

    @property
    @abc.abstractmethod
    def window(self) -> Window | None:
        """The window of its inputs that each output position sees; None if it sees all positions."""

    @abc.abstractmethod
    def channels(self, *inputs: int) -> int:
        """Returns the number of output channels for these numbers of input channels."""

    @property
    def outputs(self) -> tuple[tuple[str, ...], ...]:
        """The names of each output, in the order of computation; all outputs have the same shape."""
        return ((self.name,),)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all its outputs."""
        return tuple(itertools.chain(*self.outputs))

    def parameters(self, *inputs: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002 - most rows have none
        """Returns parameter name → shape for these numbers of input channels."""
        return {}

    def shape(self, *inputs: Shape) -> Shape:
        """Returns the shape of its outputs for these input shapes, which differ at most in their channels."""
        height, width, _ = inputs[0]
        window = self.window
        high, wide = (1, 1) if window is None else (window.count(height), window.count(width))
        return high, wide, self.channels(*(channels for *_, channels in inputs))


@dataclasses.dataclass(frozen=True)
class _OneInput(RowBase):
    """A row with a single input, whose number of channels it keeps unless it says otherwise.

    Attributes:
        input: the name of the layer.
    """

    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    def channels(self, *inputs: int) -> int:
        (channels,) = inputs
        return channels


@dataclasses.dataclass(frozen=True)
class Conv(_OneInput):
    """A convolution with bias, and the ReLU behind it: `relu` is its name, None for a linear layer."""

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    relu: str | None = None

    @property
    def window(self) -> Window:
        """The kernel's."""
        return Window(self.kernel, self.stride, self.padding)

    def channels(self, *inputs: int) -> int:  # noqa: ARG002 - whatever it reads
        """Returns the number of features."""
        return self.features

    @property
    def outputs(self) -> tuple[tuple[str, ...], ...]:
        """The linear response and, if there is a ReLU, the rectified response under both of its names."""
        return ((f"{self.name}/linear",), (self.name, self.relu)) if self.relu else ((self.name,),)

    def parameters(self, *inputs: int) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of `kernel`, `[height, width, in, out]`, and `bias`, `[out]`."""
        (channels,) = inputs
        return {"kernel": (self.kernel, self.kernel, channels, self.features), "bias": (self.features,)}


@dataclasses.dataclass(frozen=True)
class Pool(_OneInput):
    """A pooling without padding; `ceil` keeps the last window even where it sticks out of the map, as Caffe does."""

    size: int
    stride: int
    ceil: bool

    @property
    def window(self) -> Window:
        """What is pooled."""
        return Window(self.size, self.stride, ceil=self.ceil)


@dataclasses.dataclass(frozen=True)
class LocalResponseNorm(_OneInput):
    """Local response normalisation across channels (AlexNet, GoogLeNet); see `ops.normalisation`, Caffe's defaults."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    @property
    def window(self) -> Window:
        """A single position."""
        return Window()


@dataclasses.dataclass(frozen=True)
class Concat(RowBase):
    """Concatenation of layers, `parts`, over channels."""

    parts: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The parts."""
        return self.parts

    @property
    def window(self) -> Window:
        """A single position."""
        return Window()

    def channels(self, *inputs: int) -> int:
        """Returns the sum."""
        return sum(inputs)


@dataclasses.dataclass(frozen=True)
class GlobalAverage(_OneInput):
    """The mean over all positions: `[H, W, C]` to `[1, 1, C]`."""

    @property
    def window(self) -> None:
        """Everything."""
        return


Row = Conv | Pool | LocalResponseNorm | Concat | GlobalAverage
"""All types of row. Interpreters match every one of them and end in `typing.assert_never`."""


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
class Family:
    """The defaults that suit one kind of network. Presets are names in `presets.PRESETS`.

    Attributes:
        preset: for style transfer.
        figure_preset: for the figures of Gatys, Ecker & Bethge: the settings closest to those of the paper.
        figure_ratios: content to style weight, α/β, for the columns of figure 3 of that paper.
        depth_layers: five layers from fine to coarse, for the rows of that figure.
        texture_preset: for texture synthesis, which leaves out its content term.
        texture_layers: style layers for texture synthesis, instead of those of `texture_preset`.
        dream_layers: layers that DeepDream amplifies.
        logits: the layer of the head with one linear response per ImageNet class.
    """

    preset: str
    figure_preset: str
    figure_ratios: tuple[float, ...]
    depth_layers: tuple[str, ...]
    texture_preset: str
    texture_layers: tuple[str, ...]
    dream_layers: tuple[str, ...]
    logits: str


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A pretrained network. Hashable, so that it can be a static argument of jit.

    Attributes:
        name: by which it is chosen.
        rows: the layers that see textures and things, for pictures of nearly any size.
        preprocess: how it wants its pixels.
        provenance: where its weights come from.
        family: the defaults that suit networks of its kind.
        head: the layers behind them, which tell classes. Style transfer does without, and so do most weight files:
            nobody computes them or has their weights in memory who did not ask for `with_head`.
    """

    name: str
    rows: tuple[Row, ...]
    preprocess: Preprocess
    provenance: Provenance
    family: Family
    head: tuple[Row, ...] = ()


def with_head(backbone: Backbone) -> Backbone:
    """Returns the whole network, in which the layers of the head are like all others."""
    return dataclasses.replace(backbone, rows=backbone.rows + backbone.head, head=())


def layers(backbone: Backbone) -> tuple[str, ...]:
    """Returns the names of all layers, in the order in which they are computed."""
    return tuple(name for row in backbone.rows for name in row.names)


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
    return forward(backbone, _COLOURS, lambda row, *inputs: row.channels(*inputs))


def convolutions(backbone: Backbone) -> Iterator[tuple[Conv, int]]:
    """Yields each convolution and the number of channels that it reads."""
    counts = {INPUT: _COLOURS} | channels(backbone)
    return ((row, counts[row.input]) for row in backbone.rows if isinstance(row, Conv))


def parameter_shapes(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every parameter: `name/kernel` as `[height, width, in, out]` and `name/bias` as `[out]`."""
    counts = {INPUT: _COLOURS} | channels(backbone)
    return {
        f"{row.name}/{role}": shape
        for row in backbone.rows
        for role, shape in row.parameters(*(counts[name] for name in row.inputs)).items()
    }


def ancestors(backbone: Backbone, read: Collection[str]) -> tuple[Row, ...]:
    """Returns the rows that have to be computed for these layers, in order."""
    needed: set[str] = set(read)
    rows: list[Row] = []
    for row in reversed(backbone.rows):
        if needed.intersection(row.names):
            needed.update(row.inputs)
            rows.append(row)
    return tuple(reversed(rows))


def blocks(backbone: Backbone) -> tuple[tuple[Row, ...], ...]:
    """Returns the rows in parts, each of which reads nothing of those before but their last map: cut behind pools."""
    last_use = {name: index for index, row in enumerate(backbone.rows) for name in row.inputs}
    parts: list[tuple[Row, ...]] = []
    part: list[Row] = []
    made: list[str] = []
    for index, row in enumerate(backbone.rows):
        part.append(row)
        if isinstance(row, Pool) and all(last_use.get(name, 0) <= index for name in made):
            parts.append(tuple(part))
            part, made = [], []
        else:
            made.extend(row.names)
    return (*parts, tuple(part)) if part else tuple(parts)


def layer_shapes(backbone: Backbone, height: int, width: int) -> dict[str, Shape]:
    """Returns the shape `(height, width, channels)` of every layer for a picture of `height` × `width` pixels."""
    return forward(backbone, (height, width, _COLOURS), lambda row, *inputs: row.shape(*inputs))


def least_side(backbone: Backbone, layer: str) -> int:
    """Returns the least side of a picture of which something is left at a layer, in pixels."""
    rows = ancestors(backbone, (layer,))
    part = dataclasses.replace(backbone, rows=rows)
    return next(
        side for side in itertools.count(1) if all(min(shape) >= 1 for shape in layer_shapes(part, side, side).values())
    )


def strides(backbone: Backbone) -> dict[str, int]:
    """Returns how many pixels lie between two positions of each layer."""

    def step(row: Row, *inputs: int) -> int:
        return max(inputs) * (1 if row.window is None else row.window.stride)

    return forward(backbone, 1, step)
