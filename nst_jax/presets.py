"""Named settings: those of the literature, and ours for each family of backbones.

Each gives its differences from the defaults of `Settings`.

Every preset deviates from the programs of the literature in three ways: pixels stay in [0, 1] at each step, white noise
has `parameterization.NOISE_DEVIATION`, and L-BFGS remembers 10 steps and searches along its direction (neural-style:
100 steps, which `lbfgs_pairs` gives, and no search).

Those for large pictures, `gatys_highres`, `crowson` and `spst`, deviate in four more: scales are counted by the long
side of the picture; no photograph is enlarged; style images have the long side of the picture, or that of --style_size,
and are reduced with it; and between scales, pictures are enlarged by PyTorch's cubic filter, in single precision.
"""

import dataclasses

from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import layers
from nst_jax.settings import Settings
from nst_jax.vocabulary import Optimizer

_GATYS_STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")

PRESETS: dict[str, Settings] = {
    # Gatys, Ecker & Bethge, CVPR 2016: equations 1 to 7, α/β = 1e-3 as in figure 3 B. The paper gives no number of
    # steps, the authors' later code does. Their network is rescaled so that each filter's mean activation is 1, here
    # the backbone vgg19_normalized; with the plain weights the same ratio favours the style.
    "gatys": Settings(
        content_layers=("conv4_2",),
        style_layers=_GATYS_STYLE_LAYERS,
        content_loss="half_squared_error",
        style_loss="gram_error",
        style_weight=1e3,
        tv_weight=0.0,
        margin=0,
        scales=(0,),
        steps=500,
        init="noise",
    ),
    # Johnson's neural-style with the default options of neural_style.lua.
    "neural_style": Settings(
        style_layer_weights=(1.0,),
        content_loss="mean_squared_error",
        style_loss="scaled_gram_error",
        variation_loss="neural_style_variation",
        content_weight=5.0,
        style_weight=100.0,
        tv_weight=1e-3,
        pooling="max",
        margin=0,
        scales=(0,),
        steps=1000,
        init="noise",
    ),
    # Ng's course: α = 10, β = 40, Adam with a rate of 2 in units of 0..255, from 60 % noise.
    "ng": Settings(
        content_layers=("conv4_2",),
        style_layers=_GATYS_STYLE_LAYERS,
        style_layer_weights=(0.2,),
        content_loss="quarter_mean_squared_error",
        style_loss="gram_error",
        content_weight=10.0,
        style_weight=40.0,
        tv_weight=0.0,
        margin=0,
        scales=(0,),
        optimizer="adam",
        learning_rate=2 / 255,
        steps=200,
        init="blend",
        init_noise=0.6,
    ),
    # Gatys, Ecker, Bethge, Hertzmann & Shechtman, CVPR 2017, section 6, with the numbers of the authors'
    # PytorchNeuralStyleTransfer: 512, then 1024 pixels, from the photograph. The program has these two scales; larger
    # pictures have more here, all with the steps of the second. Whether its network, vgg_conv.pth, is rescaled as that
    # of Gatys et al. 2016 it does not say; with vgg19_normalized the photograph hardly changes, with vgg19 it does.
    "gatys_highres": Settings(
        style_layer_weights=(1.0,),
        content_loss="mean_squared_error",
        style_loss="scaled_gram_error",
        style_weight=1e3,
        tv_weight=0.0,
        pooling="max",
        margin=0,
        coarsest=512,
        scale_factor=2.0,
        coarse_content=1.0,
        content_detail=0.0,
        steps=500,
        scale_steps=(500, 200),
    ),
    # Crowson's style_transfer with its default options. Its network is vgg19_torchvision; with another, the weight of
    # total variation alone means something else, as Adam does not know how large the others are together. The distance
    # adds 1e-3 of the target's mean variance to variances, in place of 1e-4, and takes 18 steps in place of 12 for its
    # root, see `wasserstein`.
    "crowson": Settings(
        style_layer_weights=tuple(weight / 341 for weight in (256.0, 64.0, 16.0, 4.0, 1.0)),
        content_loss="mean_squared_error",
        style_loss="wasserstein2",
        variation_loss="crowson_variation",
        content_weight=0.015,
        style_weight=1.0,
        tv_weight=2.0,
        pooling="max",
        padding="replicate_first",
        margin=0,
        coarsest=128,
        scale_factor=2**0.5,
        coarse_content=1.0,
        content_detail=0.0,
        optimizer="adam",
        learning_rate=0.02,
        adam_decay=0.99,
        averaging=0.99,
        steps=1000,
        scale_steps=(1000, 500),
    ),
    # Galerne, Raad, Lezama & Morel 2022, the faster of their two schedules: 600/3ⁱ steps at scale i, 30 at least. Their
    # network is the same vgg_conv.pth, said to be the backbone vgg19_normalized, with which means and deviations are
    # nearly all of the style loss. They halve the short side until it is below 1024, reduce style images to the
    # photograph's short side where these are 1.1 times as large, and enlarge pictures between scales in 8 bits; their
    # L-BFGS remembers 100 steps at the first scale and 10, as here, at the others. A deviation has 1e-6 added to its
    # square, which is 0 for a silent channel.
    "spst": Settings(
        style_layer_weights=(1.0,),
        content_loss="mean_squared_error",
        style_loss="gram_moments_error",
        style_weight=1e3,
        tv_weight=0.0,
        pooling="max",
        margin=0,
        coarsest=512,
        scale_factor=2.0,
        coarse_content=1.0,
        content_detail=0.0,
        steps=600,
        scale_steps=(600, 200, 66, 30),
    ),
    "vgg": Settings(),
    "squeezenet": Settings(
        content_layers=("fire3/concat", "fire5/concat"),
        style_layers=("conv1", *(f"fire{index}/concat" for index in range(2, 9))),
        style_weight=140.0,
        tv_weight=5.0,
        padding="reflect",
        antialias=True,  # its first layer skips every other pixel
        shifts=8,  # and the pools behind it skip more
        steps=300,
    ),
    # The layers of Gatys, Ecker & Bethge, NIPS 2015, figure 3 B, and what SqueezeNet needs for the same reason; not yet
    # chosen by looking.
    "alexnet": Settings(
        content_layers=("conv4",),
        style_layers=("conv1", "conv2", "conv3", "conv4", "conv5"),
        padding="reflect",
        antialias=True,  # its first layer skips three pixels of four
        shifts=8,
    ),
    # The layers of the example with this network in the README of Johnson's neural-style, whose content layers they
    # are, too; likewise.
    "nin": Settings(
        content_layers=("conv2", "conv3"),
        style_layers=("conv1", "conv2", "conv3", "cccp8-1024"),
        padding="reflect",
        antialias=True,
        shifts=8,
    ),
    # Smoothed as Wang, Li & Vasconcelos 2021 found necessary; not looked at, for want of trained weights.
    "resnet": Settings(
        content_layers=("res3d",),
        style_layers=("conv1", "res2a", "res2c", "res3b", "res3d", "res4c"),
        smoothing="softmax",
        padding="reflect",
        antialias=True,  # its first layer skips every other pixel
        shifts=8,
        steps=300,
    ),
    # Not looked at, for want of trained weights.
    "inception_v3": Settings(
        content_layers=("Mixed_5b",),
        style_layers=("Conv2d_1a_3x3", "Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5b", "Mixed_5d", "Mixed_6b"),
        padding="reflect",
        antialias=True,
        shifts=8,
        steps=300,
    ),
    "efficientnet": Settings(
        content_layers=("blocks_6/expand",),
        style_layers=("stem", *(f"blocks_{index}/expand" for index in (1, 2, 3, 4, 6, 8, 10))),
        style_weight=150.0,
        padding="reflect",
        antialias=True,
        shifts=8,
        steps=300,
    ),
    # Smoothed, strokes are broad and skies without the fine weave that they have otherwise.
    "mobilenet_v2": Settings(
        content_layers=("expanded_conv_4/expand",),
        style_layers=("Conv", *(f"expanded_conv_{index}/expand" for index in (1, 2, 3, 5, 6))),
        style_weight=300.0,
        smoothing="softmax",
        padding="reflect",
        antialias=True,
        shifts=8,
        steps=300,
    ),
    # Chosen by looking at two pairs of images, at 192 px: layers further up, to 4d, keep less of the photograph for
    # strokes that are no better.
    "googlenet": Settings(
        content_layers=("inception_3b/output",),
        style_layers=("conv1/7x7_s2", "conv2/3x3", "inception_3a/output", "inception_3b/output", "inception_4a/output"),
        padding="reflect",
        antialias=True,  # its first layer skips every other pixel
        shifts=8,
    ),
    # The same; not chosen by looking.
    "inception_v1": Settings(
        content_layers=("mixed3b",),
        style_layers=("conv2d0", "conv2d2", "mixed3a", "mixed3b", "mixed4a"),
        padding="reflect",
        antialias=True,
        shifts=8,
    ),
    # Kolkin et al. 2022, "Neural Neighbor Style Transfer", and its program. VGG-16 there, whose layers up to relu4_3
    # VGG-19 has too. Theirs otherwise: all positions of the style image (here 4096 of each rotation), and the content's
    # finest detail whole in the picture that is matched.
    "nnst": Settings(
        content_layers=(),
        style_layers=(
            *("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3"),
            *("relu4_1", "relu4_2", "relu4_3"),
        ),
        style_loss="hypercolumns",
        style_rotations=True,
        style_weight=1.0,
        tv_weight=0.0,
        pooling="max",
        margin=0,
        optimizer="adam",
        learning_rate=2e-3,
        coarsest=64,
        scale_factor=2.0,
        scale_steps=(200,),
        finish_steps=200,
        parameterization="laplacian",
    ),
}


def _photorealistic(family: str) -> Settings:
    """Returns settings for photographs in another's light, by the matting term of Luan et al. 2017.

    The content image is moved to the other's colours first, and little is left for the style to paint: with the style
    weight of the family, flat parts get grain and coloured patches. The share was chosen by looking, with SqueezeNet.
    """
    base = PRESETS[family]
    return dataclasses.replace(
        base,
        style_weight=base.style_weight / 28,
        colour_match="symmetric",
        colour_match_to="style",
        matting_weight=1e5,
    )


PRESETS["photorealistic"] = _photorealistic("vgg")

LEARNING_RATES: dict[Optimizer, float] = {"adam": 0.02, "lbfgs": 1.0, "gradient": 1.5 / 255}
"""Learning rates that suit an optimiser other than that of the preset."""


def default_preset(backbone: str) -> str:
    """Returns the name of the preset that suits a backbone."""
    return BACKBONES[backbone].family.preset


def preset(name: str, backbone: str) -> Settings:
    """Returns the settings of a preset: `auto` is that of the backbone's family, and `photorealistic` follows it."""
    family = default_preset(backbone)
    match name:
        case "auto":
            return PRESETS[family]
        case "photorealistic":
            return _photorealistic(family)
        case _:
            return PRESETS[name]


def suits(settings: Settings, backbone: str) -> bool:
    """Returns whether a backbone has all content and style layers of some settings."""
    return {*settings.content_layers, *settings.style_layers} <= {*layers(BACKBONES[backbone])}
