"""Networks that paint, as tables, and the published designs that fill them in.

Kinds differ in what stands for a style, its *code*, and where that acts:

| kind | code | acts on |
|---|---|---|
| `Transformer` with one style | none | |
| `Transformer` with K styles (Dumoulin et al. 2017) | a weight of each, `[K]` | every normalisation's scale and shift |
| `Predicted` (Ghiasi et al. 2017) | what the predictor sees in the style image, `[K]` | the same |
| `Matched` (Huang & Belongie 2017, Li et al. 2017) | mean and spread of its features | those of the content image |
| `Doodle` (Ulyanov et al. 2016) | none: it has one style, and paints from a map of regions | |

Codes of a kind blend linearly, and between a content image's own code and that of a style lies every strength.
"""

import dataclasses
from typing import Any, Literal

from nst_jax.applications.feedforward.steps import (
    Activation,
    Border,
    Conv,
    MaxPool,
    Mean,
    Norm,
    Residual,
    Step,
    Transposed,
    output_channels,
    parameter_shapes,
    stride,
)
from nst_jax.backbones.spec import CONVENTIONS, Preprocess
from nst_jax.vocabulary import Colour

COLOURS = 3

Matching = Literal["moments", "covariance"]
"""What of the features a style gives: the mean and deviation of each channel (adaptive instance normalisation), or the
mean and covariance (whitening and colouring)."""

UNIT = Preprocess(scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="RGB")
"""Pixels as they are everywhere in this project, in [0, 1]."""

BYTES = dataclasses.replace(UNIT, scale=255.0)
"""Pixels in [0, 255], without a mean."""


@dataclasses.dataclass(frozen=True)
class Output:
    """From the values of a network's last step to pixels: `values · scale + shift`, then cut to [0, 1].

    Attributes:
        scale: the factor.
        shift: the value of 0.
    """

    scale: float = 1.0
    shift: float = 0.0

    def pixels(self, values: Any) -> Any:
        """Returns the pixels that an array of values means, before they are cut."""
        return values * self.scale + self.shift


@dataclasses.dataclass(frozen=True)
class Transformer:
    """A network from the content image to the picture, with one style in it or with several by number.

    Attributes:
        steps: the network.
        pixels: its input convention.
        output: its output convention.
        styles: number of styles, whose weights are the code; 0 if there is one and no code.
    """

    steps: tuple[Step, ...]
    pixels: Preprocess = UNIT
    output: Output = Output()
    styles: int = 0


@dataclasses.dataclass(frozen=True)
class Predicted:
    """Two networks: one sees the style image, the other turns the content image into the picture.

    Attributes:
        predictor: from a style image of `side` × `side` pixels to the code `[1, 1, K]`.
        steps: from the content image to the picture.
        side: what the predictor was trained with.
        pixels: input convention of both.
        output: output convention.
    """

    predictor: tuple[Step, ...]
    steps: tuple[Step, ...]
    side: int
    pixels: Preprocess = UNIT
    output: Output = Output()


@dataclasses.dataclass(frozen=True)
class Matched:
    """An encoder and a decoder that inverts it; in between features get the statistics of the style's.

    Attributes:
        encoder: from an image to its features.
        steps: from features to the picture: the decoder.
        matching: the statistics.
        pixels: input convention of the encoder.
        output: output convention of the decoder.
    """

    encoder: tuple[Step, ...]
    steps: tuple[Step, ...]
    matching: Matching
    pixels: Preprocess
    output: Output = Output()


@dataclasses.dataclass(frozen=True)
class Doodle:
    """A network from a map of regions to the picture, with one style in it, whose regions have the same colours.

    It reads a channel for each region, how much a pixel belongs to it, and channels of noise, without which it would
    paint every place in a region alike.

    Attributes:
        steps: the network.
        regions: the colour of each region on maps, in 8 bits.
        noise: number of channels of noise.
        output: its output convention.
    """

    steps: tuple[Step, ...]
    regions: tuple[Colour, ...]
    noise: int
    output: Output = Output()


Network = Transformer | Predicted | Matched | Doodle
"""All kinds of networks that paint."""

PAINTER = "painter"
"""Name of the part that makes the picture, in the names of parameters."""

PREDICTOR = "predictor"
ENCODER = "encoder"


def parts(network: Network) -> dict[str, tuple[tuple[Step, ...], int]]:
    """Returns part → its steps and the number of channels that it reads."""
    match network:
        case Transformer():
            return {PAINTER: (network.steps, COLOURS)}
        case Predicted():
            return {PREDICTOR: (network.predictor, COLOURS), PAINTER: (network.steps, COLOURS)}
        case Matched():
            features = output_channels(network.encoder, COLOURS)
            return {ENCODER: (network.encoder, COLOURS), PAINTER: (network.steps, features)}
        case Doodle():
            return {PAINTER: (network.steps, input_channels(network))}


def input_channels(network: Network) -> int:
    """Returns the number of channels of what a network paints from."""
    return len(network.regions) + network.noise if isinstance(network, Doodle) else COLOURS


def network_parameters(network: Network) -> dict[str, tuple[int, ...]]:
    """Returns `part/layer/role` → shape of every parameter."""
    return {
        f"{part}/{name}": shape
        for part, (steps, channels) in parts(network).items()
        for name, shape in parameter_shapes(steps, channels).items()
    }


def content_steps(network: Network) -> tuple[Step, ...]:
    """Returns all steps from the content image, or a map, to the picture."""
    return (*network.encoder, *network.steps) if isinstance(network, Matched) else network.steps


def network_stride(network: Network) -> int:
    """Returns the number of pixels of which the sides of a content image should be multiples."""
    return stride(content_steps(network))


def painter_steps(
    *,
    contract: tuple[int, ...],
    residuals: int,
    expand: tuple[int, ...],
    norm: Norm,
    stride: int = 2,
    upsampling: Literal["nearest", "transposed"] = "nearest",
    border: Border = "reflect",
    bias: bool = False,
    norm_below: bool = True,
    norm_last: bool = True,
    last: Activation | None = "sigmoid",
) -> tuple[Step, ...]:
    """Returns the network of Johnson et al. 2016 (supplementary material, table 1) in one of its many versions.

    Args:
        contract: channels of the layers on the way down; the first has a kernel of 9, all others of 3.
        residuals: number of residual blocks, without a ReLU after the sum.
        expand: channels of the layers on the way up; one of 9 × 9 to the colours follows.
        norm: the normalisation.
        stride: that of the layers on the way down but the first, and the factor of those on the way up.
        upsampling: repeated positions and a convolution (Odena et al. 2016: no checkerboards), or transposed ones.
        border: what is beyond the border; beyond that of transposed convolutions are zeros.
        bias: whether convolutions have a bias beside their normalisation.
        norm_below: whether the layers on the way down are normalised; if not, they have a bias.
        norm_last: whether the last layer is normalised; if not, it has a bias.
        last: activation of the last layer.
    """
    below = norm if norm_below else None
    width = contract[-1]

    def conv(name: str, features: int, activation: Activation | None = "relu") -> Conv:
        return Conv(name, features, kernel=3, border=border, bias=bias, norm=norm, activation=activation)

    def larger(name: str, features: int) -> Step:
        if upsampling == "transposed":
            outside: Border = "zeros" if border == "reflect" else border
            return Transposed(name, features, kernel=3, stride=stride, border=outside, bias=bias, norm=norm)
        return dataclasses.replace(conv(name, features), enlarge=stride)

    return (
        *(
            Conv(
                f"contract{index}",
                features,
                kernel=9 if index == 1 else 3,
                stride=1 if index == 1 else stride,
                border=border,
                bias=bias or not norm_below,
                norm=below,
            )
            for index, features in enumerate(contract, 1)
        ),
        *(
            Residual((conv(f"residual{index}_1", width), conv(f"residual{index}_2", width, activation=None)))
            for index in range(1, residuals + 1)
        ),
        *(larger(f"expand{index}", features) for index, features in enumerate(expand, 1)),
        Conv(
            f"expand{len(expand) + 1}",
            COLOURS,
            kernel=9,
            border=border,
            bias=bias or not norm_last,
            norm=norm if norm_last else None,
            activation=last,
        ),
    )


def johnson(*, upsampling: Literal["nearest", "transposed"] = "nearest", norm: Norm | None = None) -> Transformer:
    """Returns the network of PyTorch's examples (fast_neural_style), with one style in it.

    Deviations of those from Johnson et al. 2016: instance normalisation (Ulyanov et al. 2017), reflected borders of
    every layer, repeated positions and a convolution on the way up, and no tanh at the end.

    Args:
        upsampling: `transposed` for those who keep the paper's way up, with zeros as borders there.
        norm: the normalisation; by default instance normalisation.
    """
    steps = painter_steps(
        contract=(32, 64, 128),
        residuals=5,
        expand=(64, 32),
        norm=norm or Norm(),
        upsampling=upsampling,
        bias=True,
        norm_last=False,
        last=None,
    )
    return Transformer(steps, pixels=BYTES, output=Output(scale=1 / 255))


def lengstrom() -> Transformer:
    """Returns the network of Engstrom's fast-style-transfer, as ml5.js has it: zeros as borders, tanh at the end."""
    steps = painter_steps(
        contract=(32, 64, 128),
        residuals=5,
        expand=(64, 32),
        norm=Norm(epsilon=1e-3),
        upsampling="transposed",
        border="same",
        last="tanh",
    )
    return Transformer(steps, pixels=BYTES, output=Output(scale=150 / 255, shift=0.5))


def full_resolution(*, width: int = 32, residuals: int = 2) -> Transformer:
    """Returns the small network of Kleinicke's sveltekit_fast_style_transfer, which never leaves full resolution."""
    steps = painter_steps(
        contract=(width,) * 3,
        residuals=residuals,
        expand=(width,) * 2,
        norm=Norm(),
        stride=1,
        bias=True,
        norm_last=False,
        last=None,
    )
    return Transformer(steps, pixels=BYTES, output=Output(scale=1 / 255))


def pastiche(
    styles: int,
    *,
    contract: tuple[int, ...] = (32, 64, 128),
    residuals: int = 5,
    expand: tuple[int, ...] = (64, 32),
) -> Transformer:
    """Returns the network of Dumoulin et al. 2017 for several styles, by default with Magenta's numbers of channels."""
    steps = painter_steps(contract=contract, residuals=residuals, expand=expand, norm=Norm(code=styles))
    return Transformer(steps, styles=styles)


def pastiche26() -> Transformer:
    """Returns the network with 26 styles of TensorFlow's demonstration for Android."""
    return pastiche(26, contract=(32, 32, 32), residuals=6, expand=(8, 4))


def doodle(regions: tuple[Colour, ...], *, noise: int = 4) -> Doodle:
    """Returns Johnson's network between a map of regions with noise and the picture.

    That of Ulyanov et al. 2016 brings noise in at five sizes on the way up; here all of it is at the beginning, in
    cells of four sizes (`doodles.painted_from`).
    """
    steps = painter_steps(contract=(32, 64, 128), residuals=5, expand=(64, 32), norm=Norm())
    return Doodle(steps, regions, noise)


_CODE = 100
_INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of the first (Sandler et al. 2018, MobileNetV2, table 2)."""


def _mobilenet_v2(code: int) -> tuple[Step, ...]:
    """Returns MobileNetV2 with its batch normalisation folded into biases, then the mean, then a code."""

    def conv(name: str, features: int, **different: Any) -> Conv:
        defaults: dict[str, Any] = {"kernel": 1, "border": "same", "bias": True, "activation": "relu6"}
        return Conv(name, features, **(defaults | different))

    steps: list[Step] = [conv("conv1", 32, kernel=3, stride=2)]
    channels, index = 32, 0
    for expansion, features, blocks, first_stride in _INVERTED:
        for block in range(blocks):
            index += 1
            wide, stride = channels * expansion, first_stride if block == 0 else 1
            inverted = (
                *([conv(f"block{index}_expand", wide)] if expansion > 1 else []),
                conv(f"block{index}_depthwise", wide, kernel=3, stride=stride, depthwise=True),
                conv(f"block{index}_project", features, activation=None),
            )
            steps.extend([Residual(inverted)] if (stride, channels) == (1, features) else inverted)
            channels = features
    return (*steps, conv("conv_last", 1280), Mean(), conv("code", code, activation=None))


def any_style() -> Predicted:
    """Returns Magenta's network of Ghiasi et al. 2017 for phones: MobileNetV2 sees the style image."""
    steps = painter_steps(
        contract=(8, 16, 32),
        residuals=5,
        expand=(16, 8),
        norm=Norm(code=_CODE, offset=True),
        norm_below=False,
    )
    return Predicted(_mobilenet_v2(_CODE), steps, side=256)


def predicted(*, side: int = 256) -> Predicted:
    """Returns a network for any style that trains from nothing: Dumoulin's painter, and a small predictor.

    That of Ghiasi et al. 2017 sees style images with Inception-v3, trained for ImageNet; this one, plain convolutions
    whose means over the image are its texture, learns to see from the style loss alone.
    """
    seen = [
        Conv(f"see{index}", features, kernel=3, stride=2, bias=True)
        for index, features in enumerate((32, 64, 128, 256), 1)
    ]
    code = Conv("code", _CODE, kernel=1, bias=True, activation=None)
    steps = painter_steps(
        contract=(32, 64, 128), residuals=5, expand=(64, 32), norm=Norm(code=_CODE, offset=True), norm_below=False
    )
    return Predicted((*seen, Mean(), code), steps, side)


def _vgg_encoder(convolutions: tuple[int, ...]) -> tuple[Step, ...]:
    """Returns VGG-19 with reflected borders; its blocks but the last end in a pool."""
    steps: list[Step] = []
    for block, count in enumerate(convolutions, 1):
        features = 64 * 2 ** (block - 1)
        steps.extend(Conv(f"conv{block}_{index}", features, kernel=3, bias=True) for index in range(1, count + 1))
        steps.append(MaxPool())
    return tuple(steps[:-1])


def _vgg_decoder(convolutions: tuple[int, ...]) -> tuple[Step, ...]:
    """Returns the mirrored encoder: each layer undoes one, pools are undone by repetition, and the last is linear."""
    steps: list[Step] = []
    for block in range(len(convolutions), 0, -1):
        for index in range(convolutions[block - 1], 0, -1):
            features = 64 * 2 ** (block - 1) if index > 1 else 32 * 2 ** (block - 1) if block > 1 else COLOURS
            enlarge = 2 if index == convolutions[block - 1] and block < len(convolutions) else 1
            activation: Activation | None = None if (block, index) == (1, 1) else "relu"
            name = f"conv{block}_{index}"
            steps.append(Conv(name, features, kernel=3, enlarge=enlarge, bias=True, activation=activation))
    return tuple(steps)


def adain() -> Matched:
    """Returns the network of Huang & Belongie 2017: VGG-19 to relu4_1, adaptive instance normalisation, a decoder."""
    blocks = (2, 2, 4, 1)
    return Matched(_vgg_encoder(blocks), _vgg_decoder(blocks), "moments", pixels=CONVENTIONS["caffe"])


def wct() -> Matched:
    """Returns one level of Li et al. 2017: VGG-19 to relu3_1, whitening and colouring, a decoder."""
    blocks = (2, 2, 1)
    return Matched(_vgg_encoder(blocks), _vgg_decoder(blocks), "covariance", pixels=CONVENTIONS["caffe"])
