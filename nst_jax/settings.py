"""Settings of a transfer, and the named ones: those of the literature, and ours for each backbone.

Three things differ from the programs of the literature under every preset: pixels stay in [0, 1] at each step, white
noise is that of `parameterization.NOISE_DEVIATION`, and L-BFGS remembers 10 steps and searches along its direction (in
neural-style: 100, and no search).
"""

import dataclasses
import math
from typing import Literal

from nst_jax.errors import UserError

Pooling = Literal["max", "average"]
"""Max as the networks were trained, or average, which Gatys et al. found to give slightly more appealing pictures."""

Padding = Literal["zeros", "reflect", "replicate", "circular"]
"""What a convolution sees beyond the border. Zeros, which the networks were trained with, look like a black frame to
the filters, and that frame can show in stylised pictures; the others continue the picture. `circular` takes the picture
for a tile, beside which there is itself again, for pools too."""

Precision = Literal["float32", "tf32", "bfloat16"]
"""Of the network: single precision throughout; products of 10 bits where the hardware has them (NVIDIA's tensor cores;
elsewhere as float32); or activations of 8 bits. Losses, Gram matrices and the picture are float32 always."""

Optimizer = Literal["adam", "lbfgs", "gradient"]
"""`gradient` follows the gradient divided by its mean absolute value, as DeepDream does."""

Parameterization = Literal["pixels", "fourier", "coordinates"]
"""What is optimised: the pixels; the spectrum of their logit, in colours that are not correlated; or the weights of a
perceptron that paints a picture from the coordinates of its pixels."""

Gain = Literal[
    "mean_response",
    "contrasted_response",
    "central_response",
    "mean_square",
    "log_mean_square",
    "matched_response",
]
"""What of activations is to be made large, see `activations`."""

Init = Literal["content", "noise", "blend"]
ContentLoss = Literal[
    "half_squared_error", "mean_squared_error", "quarter_mean_squared_error", "relative_squared_error"
]
StyleLoss = Literal["gram_error", "scaled_gram_error", "relative_squared_error", "mean_covariance_error"]
VariationLoss = Literal["squared_variation", "neural_style_variation", "circular_squared_variation"]

Blending = Literal["targets", "losses"]
"""How the style of several paintings is blended: one loss towards the weighted mean of their Gram matrices (as in
neural-style), or the weighted sum of a loss towards each, which differs by what the paintings differ among each other
where the loss is quadratic, and weighs them anew where it is relative."""

MOST_JITTER = 10_000

_GATYS_STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that a transfer can be told, but the pictures, the network and their size.

    Attributes:
        content_layers: whose features should stay those of the photograph; each counts fully.
        style_layers: whose Gram matrices should become those of the painting.
        style_layer_weights: one a style layer, or one for all, or none: one divided by the number of layers.
        blending: of several paintings: `targets` or `losses`.
        blend_weights: the share of each painting, or none: equal shares.
        pooling: of the network.
        padding: of its convolutions.
        precision: of the network.
        remat: whether the gradient computes the activations anew instead of keeping them: less memory, more time, the
            same picture.
        margin: pixels around the picture that are painted too and cut off at the end, so that what the network sees
            at borders stays outside.
        content_loss: a name in `losses.CONTENT_LOSSES`.
        style_loss: a name in `losses.STYLE_LOSSES`.
        variation_loss: a name in `losses.VARIATION_LOSSES`.
        content_weight: α.
        style_weight: β.
        tv_weight: of the total variation.
        optimizer: `adam`, `lbfgs` or `gradient`.
        learning_rate: see `optimize.State`.
        steps: of the optimiser.
        init: the picture to start from: the `content`, white `noise`, or a `blend` of both.
        init_noise: share of noise in the blend.
        parameterization: of the picture.
        dream_layers: whose activations should become large; each counts fully.
        dream_channels: of each of them, or none: all.
        dream_channel_weights: one a dream channel, or none: ones.
        dream_gain: a name in `activations.GAINS`.
        dream_weight: δ.
        dream_anywhere: whether dream layers may be those of content or style, where the terms pull against each other.
        jitter: see `Transformation`.
        random_scale: likewise.
        random_rotate: likewise.
    """

    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    style_layer_weights: tuple[float, ...]
    blending: Blending
    blend_weights: tuple[float, ...]
    pooling: Pooling
    padding: Padding
    precision: Precision
    remat: bool
    margin: int
    content_loss: ContentLoss
    style_loss: StyleLoss
    variation_loss: VariationLoss
    content_weight: float
    style_weight: float
    tv_weight: float
    optimizer: Optimizer
    learning_rate: float
    steps: int
    init: Init
    init_noise: float
    parameterization: Parameterization = "pixels"
    dream_layers: tuple[str, ...] = ()
    dream_channels: tuple[int, ...] = ()
    dream_channel_weights: tuple[float, ...] = ()
    dream_gain: Gain = "log_mean_square"
    dream_weight: float = 1.0
    dream_anywhere: bool = False
    jitter: int = 0
    random_scale: float = 0.0
    random_rotate: float = 0.0

    def __post_init__(self) -> None:
        """Raises UserError for numbers that no run can use."""
        for name in _FINITE:
            value = getattr(self, name)
            if not math.isfinite(value):
                raise UserError(f"{name}: expected a finite number, found {value}")
        for name in ("style_layer_weights", "blend_weights", "dream_channel_weights"):
            if not all(map(math.isfinite, getattr(self, name))):
                raise UserError(f"{name}: expected finite numbers, found {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise UserError(f"learning_rate: expected more than 0, found {self.learning_rate}")
        if not 0 <= self.init_noise <= 1:
            raise UserError(f"init_noise: expected a share between 0 and 1, found {self.init_noise}")
        for name in ("steps", "margin", "jitter", "random_scale", "random_rotate"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        if self.jitter > MOST_JITTER:
            raise UserError(f"jitter: expected at most {MOST_JITTER} pixels, found {self.jitter}")
        if self.random_scale >= 1:
            raise UserError(f"random_scale: expected a share below 1, found {self.random_scale}")
        moves = [name for name in ("jitter", "random_scale", "random_rotate") if getattr(self, name)]
        if moves and self.optimizer == "lbfgs":
            raise UserError(f"{moves[0]}: expected an optimizer that bears a loss that changes, found lbfgs; use adam")
        if moves and self.content_layers:
            raise UserError(f"{moves[0]}: expected no content_layers, whose features stay in place, found some")
        if self.padding == "circular" and self.margin:
            raise UserError(f"margin: expected 0 with circular padding, as a tile has no border; found {self.margin}")


_FINITE = (
    *("content_weight", "style_weight", "tv_weight", "learning_rate", "init_noise"),
    *("dream_weight", "random_scale", "random_rotate"),
)

# Ours; WORKSPACE.md tells what was compared. Errors relative to the target make one weight mean the same at every size
# and in every layer.
_VGG = Settings(
    content_layers=("relu4_2",),
    style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    style_layer_weights=(),
    blending="targets",
    blend_weights=(),
    pooling="average",
    padding="zeros",
    precision="float32",
    remat=False,
    margin=16,
    content_loss="relative_squared_error",
    style_loss="relative_squared_error",
    variation_loss="squared_variation",
    content_weight=1.0,
    style_weight=50.0,
    tv_weight=3.0,
    optimizer="lbfgs",
    learning_rate=1.0,
    steps=250,
    init="content",
    init_noise=1.0,
)

PRESETS: dict[str, Settings] = {
    # Gatys, Ecker & Bethge, CVPR 2016: equations 1 to 7, α/β = 1e-3 as in figure 3 B. The paper names no number of
    # steps, the authors' later code does. Their network is rescaled so that each filter's mean activation is 1, here
    # the backbone vgg19_normalized; with the plain weights the same ratio gives the style more say.
    "gatys": Settings(
        content_layers=("conv4_2",),
        style_layers=_GATYS_STYLE_LAYERS,
        style_layer_weights=(),
        blending="targets",
        blend_weights=(),
        pooling="average",
        padding="zeros",
        precision="float32",
        remat=False,
        margin=0,
        content_loss="half_squared_error",
        style_loss="gram_error",
        variation_loss="squared_variation",
        content_weight=1.0,
        style_weight=1e3,
        tv_weight=0.0,
        optimizer="lbfgs",
        learning_rate=1.0,
        steps=500,
        init="noise",
        init_noise=1.0,
    ),
    # Johnson's neural-style with the default options of neural_style.lua.
    "neural_style": Settings(
        content_layers=("relu4_2",),
        style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        style_layer_weights=(1.0,),
        blending="targets",
        blend_weights=(),
        pooling="max",
        padding="zeros",
        precision="float32",
        remat=False,
        margin=0,
        content_loss="mean_squared_error",
        style_loss="scaled_gram_error",
        variation_loss="neural_style_variation",
        content_weight=5.0,
        style_weight=100.0,
        tv_weight=1e-3,
        optimizer="lbfgs",
        learning_rate=1.0,
        steps=1000,
        init="noise",
        init_noise=1.0,
    ),
    # Ng's course: α = 10, β = 40, Adam with a rate of 2 in units of 0..255, from 60 % noise.
    "ng": Settings(
        content_layers=("conv4_2",),
        style_layers=_GATYS_STYLE_LAYERS,
        style_layer_weights=(0.2,),
        blending="targets",
        blend_weights=(),
        pooling="average",
        padding="zeros",
        precision="float32",
        remat=False,
        margin=0,
        content_loss="quarter_mean_squared_error",
        style_loss="gram_error",
        variation_loss="squared_variation",
        content_weight=10.0,
        style_weight=40.0,
        tv_weight=0.0,
        optimizer="adam",
        learning_rate=2 / 255,
        steps=200,
        init="blend",
        init_noise=0.6,
    ),
    "vgg": _VGG,
    "squeezenet": dataclasses.replace(
        _VGG,
        content_layers=("fire3/concat", "fire5/concat"),
        style_layers=("conv1", *(f"fire{index}/concat" for index in range(2, 9))),
        padding="reflect",
        style_weight=200.0,
        tv_weight=10.0,
        steps=300,
    ),
}


LEARNING_RATES: dict[Optimizer, float] = {"adam": 0.02, "lbfgs": 1.0, "gradient": 1.5 / 255}
"""What suits an optimiser that is not the one of its preset."""


def default_preset(backbone: str) -> str:
    """Returns the name of the preset that suits a backbone."""
    return "squeezenet" if backbone.startswith("squeezenet") else "vgg"
