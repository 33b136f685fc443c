"""Steps of a network that paints: every type of layer with its geometry, in sequences.

A network is a tuple of steps, each of which reads what the one before it made. What the backbones' rows need names for,
a branch beside the main way, is here a `Residual` that holds steps of its own.
"""

import abc
import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, TypeVar, assert_never

Spacing = TypeVar("Spacing", float, Fraction)
"""A distance between positions, in pixels."""

Border = Literal["reflect", "zeros", "same"]
"""What a convolution reads beyond the border: the map reflected, or zeros, half a kernel on each side; `same` has zeros
as TensorFlow has them, which for a stride of 2 and an even side are one less above and to the left."""

Activation = Literal["relu", "relu6", "tanh", "sigmoid"]

NormKind = Literal["instance", "batch"]
"""`instance` takes mean and variance over the positions of each picture; `batch` those that its file holds."""


@dataclasses.dataclass(frozen=True)
class Norm:
    """A normalisation of each channel, then a scale and a shift.

    Attributes:
        kind: whose mean and variance.
        epsilon: what is added to the variance.
        code: length K of the style code from which scale and shift come (Dumoulin et al. 2017, equation 5; Ghiasi et
            al. 2017): each is `code @ [K, C]`; 0 if both are the layer's own, `[C]`.
        offset: whether a bias `[C]` is added to each of the two, as an affine map of the code.
    """

    kind: NormKind = "instance"
    epsilon: float = 1e-5
    code: int = 0
    offset: bool = False

    def parameters(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of `scale` and `shift`, of their offsets, and of `mean` and `variance`."""
        own = (self.code, channels) if self.code else (channels,)
        shapes: dict[str, tuple[int, ...]] = {"scale": own, "shift": own}
        if self.offset:
            shapes |= {"scale_offset": (channels,), "shift_offset": (channels,)}
        if self.kind == "batch":
            shapes |= {"mean": (channels,), "variance": (channels,)}
        return shapes


class StepBase(abc.ABC):
    """The geometry that every type of step carries; what computes it is in `interpreter.py`."""

    @abc.abstractmethod
    def channels(self, channels: int) -> int:
        """Returns the number of output channels for this number of input channels."""

    def spacing(self, spacing: Spacing) -> Spacing:
        """Returns the distance in pixels between output positions, for that between input positions."""
        return spacing


@dataclasses.dataclass(frozen=True)
class Conv(StepBase):
    """A convolution, with what follows it: bias, normalisation, activation.

    Attributes:
        name: name of its parameters.
        features: output channels.
        kernel: side of the kernel, odd unless there is no border to add.
        stride: distance between output positions, in input positions.
        enlarge: how often each input position is repeated along both axes before (nearest neighbour).
        border: what is beyond the border.
        bias: whether there is a bias.
        norm: normalisation of the result.
        activation: what follows.
        depthwise: whether each channel has a kernel of its own; then `features` is the number of input channels.
    """

    name: str
    features: int
    kernel: int
    stride: int = 1
    enlarge: int = 1
    border: Border = "reflect"
    bias: bool = False
    norm: Norm | None = None
    activation: Activation | None = "relu"
    depthwise: bool = False

    def channels(self, channels: int) -> int:  # noqa: ARG002 - whatever it reads
        """Returns the number of features."""
        return self.features

    def spacing(self, spacing: Spacing) -> Spacing:
        """Returns the distance in pixels between output positions, for that between input positions."""
        return spacing / self.enlarge * self.stride

    def parameters(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Returns role → shape; `kernel` is `[height, width, in, out]`."""
        read = 1 if self.depthwise else channels
        return _parameters((self.kernel, self.kernel, read, self.features), bias=self.bias, norm=self.norm)


@dataclasses.dataclass(frozen=True)
class Transposed(StepBase):
    """A transposed convolution, which enlarges by its stride, with what follows it.

    Every input position i adds `kernel · value` to the output positions from `stride · i − before` on. `before` is half
    a kernel with the border `zeros` (PyTorch's `padding=kernel // 2, output_padding=stride − 1`), and the lesser half
    of `kernel − stride` with `same` (TensorFlow's); nothing is added beyond the border.

    Attributes:
        name: name of its parameters.
        features: output channels.
        kernel: side of the kernel, at least the stride.
        stride: factor of enlargement.
        border: as above; not `reflect`.
        bias: whether there is a bias.
        norm: normalisation of the result.
        activation: what follows.
    """

    name: str
    features: int
    kernel: int
    stride: int
    border: Border = "zeros"
    bias: bool = False
    norm: Norm | None = None
    activation: Activation | None = "relu"

    @property
    def before(self) -> int:
        """Rows and columns of the full result that are cut off above and to the left."""
        return self.kernel // 2 if self.border == "zeros" else (self.kernel - self.stride) // 2

    def channels(self, channels: int) -> int:  # noqa: ARG002 - whatever it reads
        """Returns the number of features."""
        return self.features

    def spacing(self, spacing: Spacing) -> Spacing:
        """Returns the distance in pixels between output positions, for that between input positions."""
        return spacing / self.stride

    def parameters(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Returns role → shape; `kernel` is `[height, width, in, out]`, not turned."""
        return _parameters((self.kernel, self.kernel, channels, self.features), bias=self.bias, norm=self.norm)


@dataclasses.dataclass(frozen=True)
class MaxPool(StepBase):
    """The maximum of each `size` × `size` positions, without overlap; what does not fill a window is left out."""

    size: int = 2

    def channels(self, channels: int) -> int:
        """Returns the number of channels, which stays."""
        return channels

    def spacing(self, spacing: Spacing) -> Spacing:
        """Returns the distance in pixels between output positions, for that between input positions."""
        return spacing * self.size


@dataclasses.dataclass(frozen=True)
class Mean(StepBase):
    """The mean over all positions: `[H, W, C]` to `[1, 1, C]`."""

    def channels(self, channels: int) -> int:
        """Returns the number of channels, which stays."""
        return channels


@dataclasses.dataclass(frozen=True)
class Residual(StepBase):
    """What its steps make of a map, added to the map itself."""

    steps: tuple["Step", ...]

    def channels(self, channels: int) -> int:
        """Returns the number of channels, which the steps must keep."""
        return output_channels(self.steps, channels)


Step = Conv | Transposed | MaxPool | Mean | Residual
"""All types of step. Interpreters match every one of them and end in `typing.assert_never`."""

Layer = Conv | Transposed
"""The types of step with parameters."""


def _parameters(kernel: tuple[int, ...], *, bias: bool, norm: Norm | None) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"kernel": kernel}
    if bias:
        shapes["bias"] = kernel[-1:]
    if norm is not None:
        shapes |= norm.parameters(kernel[-1])
    return shapes


def layers(steps: tuple[Step, ...], channels: int) -> Iterator[tuple[Layer, int]]:
    """Yields each step with parameters and the number of channels that it reads, in the order of computation."""
    for step in steps:
        match step:
            case Conv() | Transposed():
                yield step, channels
            case Residual():
                yield from layers(step.steps, channels)
            case MaxPool() | Mean():
                pass
            case _:
                assert_never(step)
        channels = step.channels(channels)


def output_channels(steps: tuple[Step, ...], channels: int) -> int:
    """Returns the number of channels that a sequence makes of `channels`."""
    for step in steps:
        channels = step.channels(channels)
    return channels


def parameter_shapes(steps: tuple[Step, ...], channels: int) -> dict[str, tuple[int, ...]]:
    """Returns `layer/role` → shape of every parameter."""
    return {
        f"{layer.name}/{role}": shape
        for layer, read in layers(steps, channels)
        for role, shape in layer.parameters(read).items()
    }


def spacings(steps: tuple[Step, ...], spacing: float = 1.0) -> list[int]:
    """Returns the distance in pixels between neighbouring positions of the map after each step."""
    found = []
    for step in steps:
        spacing = step.spacing(spacing)
        found.append(round(spacing))
    return found


def stride(steps: tuple[Step, ...]) -> int:
    """Returns the greatest distance in pixels between neighbouring positions of any map on the way.

    A picture whose sides are multiples of it loses nothing on the way down and comes back at its own size.
    """
    return max([1, *spacings(steps)])


def least_side(steps: tuple[Step, ...]) -> int:
    """Returns the least side of a picture, in pixels, whose maps can be reflected as far as kernels reach."""
    least, spacing = 1.0, 1.0
    for step in steps:
        if isinstance(step, Conv) and step.border == "reflect":
            least = max(least, spacing / step.enlarge * (step.kernel // 2 + 1))
        elif isinstance(step, Residual):
            least = max(least, spacing * least_side(step.steps))
        spacing = step.spacing(spacing)
    return math.ceil(least)
