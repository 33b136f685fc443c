"""Rows of a network's table: every type of layer with its geometry.

Layer names are those of the papers and of the Caffe files that the papers used. There, ReLU works in place, so
that the blob called `conv4_2` *holds the rectified values*: what Gatys et al. and everybody after them call conv4_2 is
what others call relu4_2. Here both names mean that same tensor, and the linear response before the ReLU is
`conv4_2/linear`.
"""

import abc
import dataclasses
import itertools
from typing import Literal, NamedTuple

Shape = tuple[int, int, int]
"""Height, width, channels."""

Padding = int | Literal["same"]
"""Positions added on each side, or as many as TensorFlow's SAME adds, which depends on the length: the windows then
cover every position, and of an odd number of positions that are missing, the larger half comes after the last."""

PoolKind = Literal["max", "average", "padded_average"]
"""What is pooled: `average` is over positions within the map, `padded_average` over those of the padding too."""


class Window(NamedTuple):
    """The window of input positions that one output position sees, along one direction.

    Attributes:
        size: length of the window, in positions of the input.
        stride: distance between neighbouring windows, in positions of the input.
        padding: positions added to the input.
        ceil: whether to keep a last window that exceeds the padded input, as Caffe's pooling does.
    """

    size: int = 1
    stride: int = 1
    padding: Padding = 0
    ceil: bool = False

    def around(self, length: int) -> tuple[int, int]:
        """Returns the numbers of positions added before the first and after the last of `length` positions."""
        if self.padding != "same":
            return self.padding, self.padding
        missing = max(self.size - (length % self.stride or self.stride), 0)
        return missing // 2, missing - missing // 2

    def count(self, length: int) -> int:
        """Returns the number of windows that fit into `length` positions; 0 or less if none does."""
        before, after = self.around(length)
        rest = length + before + after - self.size
        if not self.ceil:
            return rest // self.stride + 1
        # Caffe drops a last window that would begin beyond the map, in the padding.
        return min(-(-rest // self.stride) + 1, -(-(length + before) // self.stride))

    def overhang(self, length: int) -> int:
        """Returns the number of positions by which the last window exceeds `length` positions and their padding."""
        return max((self.count(length) - 1) * self.stride + self.size - length - sum(self.around(length)), 0)


Windows = tuple[Window, Window]
"""The windows along rows and along columns: how high and how wide what is seen is."""


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


@dataclasses.dataclass(frozen=True)
class RowBase(abc.ABC):
    """The geometry that every row of a table carries; the arithmetic of a row is in `features.py`.

    A new type must define everything abstract here, or it cannot be constructed, and must be listed in `Row`, or
    interpreters reject it.

    Attributes:
        name: name of the layer that it computes.
    """

    name: str

    @property
    @abc.abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The names of the layers that it reads."""

    @property
    @abc.abstractmethod
    def windows(self) -> Windows | None:
        """The windows of input positions that each output position sees; None if it sees all."""

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
        """Returns the name → shape of the parameters that are published, for these numbers of input channels."""
        return {}

    def shape(self, *inputs: Shape) -> Shape:
        """Returns the shape of its outputs for these input shapes, which differ at most in their channels."""
        height, width, _ = inputs[0]
        high, wide = (1, 1) if self.windows is None else map(Window.count, self.windows, (height, width))
        return high, wide, self.channels(*(channels for *_, channels in inputs))


@dataclasses.dataclass(frozen=True)
class _OneInput(RowBase):
    """A row with a single input, whose number of channels it keeps by default.

    Attributes:
        input: name of the layer that it reads.
    """

    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    def channels(self, *inputs: int) -> int:
        (channels,) = inputs
        return channels


@dataclasses.dataclass(frozen=True)
class _EachPosition(_OneInput):
    """A row that sees a single position."""

    @property
    def windows(self) -> Windows:
        """Single positions."""
        return Window(), Window()


def _rectified(name: str, relu: str | None) -> tuple[tuple[str, ...], ...]:
    """Returns the names of a linear response and, if there is a ReLU, of the rectified one under both of its names."""
    return ((f"{name}/linear",), (name, relu)) if relu else ((name,),)


@dataclasses.dataclass(frozen=True)
class BatchNorm:
    """The batch normalisation of a trained network, behind a convolution: an affine map of each channel.

    Attributes:
        epsilon: what is added to the variance.
        scale: whether the normalised values are scaled before they are shifted.
    """

    epsilon: float
    scale: bool = True

    def parameters(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of `mean`, `variance`, `shift` and, if there is one, `scale`, all `[channels]`."""
        names = ("mean", "variance", *(("scale",) if self.scale else ()), "shift")
        return dict.fromkeys(names, (channels,))


@dataclasses.dataclass(frozen=True)
class Conv(_OneInput):
    """A convolution, with what follows it: bias, batch normalisation, ReLU.

    Attributes:
        features: number of output channels.
        kernel: side of the kernel, or its height and width.
        stride: distance between windows.
        padding: zeros on each side, or above and below, and left and right.
        relu: name of the rectified response; None for a linear layer.
        ceiling: the largest rectified response, 6 for ReLU6.
        groups: number of groups of channels, each of which is convolved by itself.
        bias: whether a bias is published.
        norm: the batch normalisation, which is published beside the kernel and becomes a part of it (`folding.py`).
    """

    features: int
    kernel: int | tuple[int, int]
    stride: int = 1
    padding: Padding | tuple[int, int] = 0
    relu: str | None = None
    ceiling: float | None = None
    groups: int = 1
    bias: bool = True
    norm: BatchNorm | None = None

    @property
    def windows(self) -> Windows:
        """The windows of the kernel."""
        down, across = (self.padding,) * 2 if self.padding == "same" else _pair(self.padding)
        high, wide = _pair(self.kernel)
        return Window(high, self.stride, down), Window(wide, self.stride, across)

    def channels(self, *inputs: int) -> int:  # noqa: ARG002 - whatever it reads
        """Returns the number of features."""
        return self.features

    @property
    def outputs(self) -> tuple[tuple[str, ...], ...]:
        """The linear response, normalised if it is, and the rectified response."""
        return _rectified(self.name, self.relu)

    def computed(self, *inputs: int) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of what is computed with: `kernel`, `[height, width, in / groups, out]`; `bias`, `[out]`.

        Raises:
            ValueError: the groups do not divide the channels.
        """
        (channels,) = inputs
        if channels % self.groups or self.features % self.groups:
            raise ValueError(f"{self.name}: {self.groups} groups do not divide {channels} and {self.features} channels")
        kernel = (*_pair(self.kernel), channels // self.groups, self.features)
        return {"kernel": kernel, "bias": (self.features,)}

    def parameters(self, *inputs: int) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of `kernel`, of `bias` if there is one, and of the batch normalisation's arrays."""
        shapes = self.computed(*inputs)
        if not self.bias:
            del shapes["bias"]
        return shapes | (self.norm.parameters(self.features) if self.norm else {})


@dataclasses.dataclass(frozen=True)
class Pool(_OneInput):
    """A pooling.

    Attributes:
        size: side of the window.
        stride: distance between windows.
        ceil: whether a last window that exceeds the map is kept, as Caffe does.
        padding: positions on each side that are not pooled, but count in a `padded_average`.
        kind: what is pooled, whatever the settings say, as inside an Inception module; None for what they say.
    """

    size: int
    stride: int
    ceil: bool = False
    padding: Padding = 0
    kind: PoolKind | None = None

    @property
    def windows(self) -> Windows:
        """The windows that are pooled."""
        return (Window(self.size, self.stride, self.padding, self.ceil),) * 2


@dataclasses.dataclass(frozen=True)
class LocalResponseNorm(_EachPosition):
    """Local response normalisation across channels (AlexNet, GoogLeNet); see `ops.normalisation`, Caffe's defaults."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0


@dataclasses.dataclass(frozen=True)
class _Parts(RowBase):
    """A row that reads several layers of the same height and width.

    Attributes:
        parts: names of the layers.
    """

    parts: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The parts."""
        return self.parts

    @property
    def windows(self) -> Windows:
        """Single positions."""
        return Window(), Window()


@dataclasses.dataclass(frozen=True)
class Concat(_Parts):
    """Concatenation of layers over channels."""

    def channels(self, *inputs: int) -> int:
        """Returns the sum of the input channels."""
        return sum(inputs)


@dataclasses.dataclass(frozen=True)
class Add(_Parts):
    """The sum of layers of one shape, as behind a residual branch, and a ReLU named `relu`, or None for none."""

    relu: str | None = None

    def channels(self, *inputs: int) -> int:
        """Returns the number of channels that all parts have.

        Raises:
            ValueError: they have different numbers.
        """
        if len(set(inputs)) != 1:
            raise ValueError(f"{self.name}: expected parts with as many channels, found {inputs}")
        return inputs[0]

    @property
    def outputs(self) -> tuple[tuple[str, ...], ...]:
        """The sum and, if there is a ReLU, the rectified sum."""
        return _rectified(self.name, self.relu)


@dataclasses.dataclass(frozen=True)
class GlobalAverage(_OneInput):
    """The mean over all positions: `[H, W, C]` to `[1, 1, C]`."""

    @property
    def windows(self) -> None:
        """None: it sees all positions."""
        return


Row = Conv | Pool | LocalResponseNorm | Concat | Add | GlobalAverage
"""All types of row. Interpreters match every one of them and end in `typing.assert_never`."""
