"""Rows of a network's table: every type of layer with its geometry.

Layer names are those of the papers and of the Caffe files that the papers used. There, ReLU works in place, so
that the blob called `conv4_2` *holds the rectified values*: what Gatys et al. and everybody after them call conv4_2 is
what others call relu4_2. Here both names mean that same tensor, and the linear response before the ReLU is
`conv4_2/linear`.
"""

import abc
import dataclasses
import itertools
import math
from typing import NamedTuple

Shape = tuple[int, int, int]
"""Height, width, channels."""


class Window(NamedTuple):
    """The square window of input positions that one output position sees.

    Attributes:
        size: side of the window, in positions of the input.
        stride: distance between neighbouring windows, in positions of the input.
        padding: positions added on each side of the input.
        ceil: whether to keep a last window that exceeds the padded input, as Caffe's pooling does.
    """

    size: int = 1
    stride: int = 1
    padding: int = 0
    ceil: bool = False

    def count(self, length: int) -> int:
        """Returns the number of windows that fit into `length` positions; 0 or less if none does."""
        fits = (length + 2 * self.padding - self.size) / self.stride
        return (math.ceil(fits) if self.ceil else math.floor(fits)) + 1

    def overhang(self, length: int) -> int:
        """Returns the number of positions by which the last window exceeds `length` positions and their padding.

        Caffe drops a last window that would start outside; without padding none ever does while stride ≤ size.
        """
        return max((self.count(length) - 1) * self.stride + self.size - length - 2 * self.padding, 0)


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
    def window(self) -> Window | None:
        """The window of input positions that each output position sees; None if it sees all."""

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
class Conv(_OneInput):
    """A convolution with bias and a ReLU named `relu`, or None for a linear layer."""

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    relu: str | None = None

    @property
    def window(self) -> Window:
        """The window of the kernel."""
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
    """A pooling without padding; `ceil` keeps a last window that exceeds the map, as Caffe does."""

    size: int
    stride: int
    ceil: bool

    @property
    def window(self) -> Window:
        """The window that is pooled."""
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
        """Returns the sum of the input channels."""
        return sum(inputs)


@dataclasses.dataclass(frozen=True)
class GlobalAverage(_OneInput):
    """The mean over all positions: `[H, W, C]` to `[1, 1, C]`."""

    @property
    def window(self) -> None:
        """None: it sees all positions."""
        return


Row = Conv | Pool | LocalResponseNorm | Concat | GlobalAverage
"""All types of row. Interpreters match every one of them and end in `typing.assert_never`."""
