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
    """Which positions of a map each position of the next one sees, along rows and columns alike.

    Attributes:
        size: of the window.
        stride: from a window to the next one.
        padding: positions before the first of the map at which the first window starts, and likewise at its end.
        ceil: whether the last window is kept even where it sticks out of the map, as Caffe's poolings do.
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
    """What every row of a table knows of itself. What one computes, `features.py` knows.

    A new type has to say what is abstract here, or none can be made; and to be one of `Row`, or interpreters refuse it.

    Attributes:
        name: of what it computes.
    """

    name: str

    @property
    @abc.abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The names of what it reads."""

    @property
    @abc.abstractmethod
    def window(self) -> Window | None:
        """What of its inputs each position sees; None for all of them, whatever the size."""

    @abc.abstractmethod
    def channels(self, *inputs: int) -> int:
        """Returns how many channels it has if its inputs have so many."""

    @property
    def outputs(self) -> tuple[tuple[str, ...], ...]:
        """The names that each of the maps goes by that it computes, in this order; all maps have one shape."""
        return ((self.name,),)

    @property
    def names(self) -> tuple[str, ...]:
        """All names of its outputs."""
        return tuple(itertools.chain(*self.outputs))

    def parameters(self, *inputs: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002 - most rows have none
        """Returns the shape of each parameter by what it is called, if its inputs have so many channels."""
        return {}

    def shape(self, *inputs: Shape) -> Shape:
        """Returns the shape of its outputs for inputs of these shapes, which differ in their channels only."""
        height, width, _ = inputs[0]
        window = self.window
        high, wide = (1, 1) if window is None else (window.count(height), window.count(width))
        return high, wide, self.channels(*(channels for *_, channels in inputs))


@dataclasses.dataclass(frozen=True)
class _OneInput(RowBase):
    """A row that reads one layer and, if it says nothing else, keeps its channels.

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
        """The linear response, and the rectified one, if it is, under both of its names."""
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
"""Every type of row: what interprets them matches these, to the last (`typing.assert_never`)."""


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
    """What suits a kind of network: everything that is chosen for it where nobody says otherwise.

    Presets are names in `settings.PRESETS`.

    Attributes:
        preset: for style transfer.
        figure_preset: for the figures of Gatys, Ecker & Bethge: the settings that come nearest to those of the paper.
        figure_ratios: the ratios α/β of content to style that are the columns of their figure 3.
        depth_layers: five layers from fine to coarse, as those figures go through them.
        texture_preset: for textures, without its content.
        texture_layers: whose Gram matrices a texture is made from.
        dream_layers: that are dreamt of.
        logits: the layer, in the head, of the linear evidence for each class of ImageNet.
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
        family: what suits networks of its kind.
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
    """Returns what follows for every layer from what is known of the picture.

    Args:
        backbone: the network.
        first: what is known of the picture.
        step: takes a row and what was found for each of its inputs; returns the same for its outputs.
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
