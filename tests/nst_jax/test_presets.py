"""Presets: the numbers of the literature, written down from the sources, so that no default of ours changes them."""

import dataclasses
import math

import pytest

from nst_jax.backbones.registry import BACKBONES
from nst_jax.presets import LEARNING_RATES, PRESETS, default_preset, preset
from nst_jax.settings import Settings

pytestmark = pytest.mark.quick

CONV = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
RELU = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

# Options that no paper and program below has, at the value at which they do nothing.
WITHOUT = {
    "strength": 0.5,
    "laplacian_weight": 0.0,
    "laplacian_pool": 4,  # nothing without a weight
    "matting_weight": 0.0,
    "style_rotations": False,
    "smoothing": "none",
    "match_content": 0.75,  # nothing without hypercolumns
    "blending": "targets",
    "blend_weights": (),
    "region_weights": (),
    "region_guides": "simple",  # nothing without regions
    "padding": "zeros",
    "antialias": False,
    "shifts": 1,
    "shift_steps": 0,  # nothing with one shift
    "precision": "float32",
    "remat": False,
    "tile": "auto",  # the same numbers, but for rounding
    "colours": "auto",  # nothing unless all images are grey
    "colour_match": "none",
    "colour_match_to": "content",
    "margin": 0,
    "scales": (0,),
    "coarsest": 256,  # nothing at one scale, and so is the next
    "scale_factor": 0.0,
    "scale_steps": (),
    "coarse_content": 4.0,  # nothing at one scale
    "content_detail": 4.0,  # likewise
    "lbfgs_pairs": 0,
    "adam_decay": 0.999,  # Adam's own
    "finish_steps": 0,
    "finish_loss": "nearest_neighbour",  # nothing without a finishing pass
    "averaging": 0.0,
    "parameterization": "pixels",
    "dream_layers": (),
    "jitter": 0,
    "random_scale": 0.0,
    "random_rotate": 0.0,
}

LITERATURE = {
    # Gatys, Ecker & Bethge, CVPR 2016: conv4_2, w_l = 1/5, α/β = 1e-3, average pooling, L-BFGS, noise; 500 steps as in
    # the authors' PytorchNeuralStyleTransfer.
    "gatys": {
        "content_layers": ("conv4_2",),
        "style_layers": CONV,
        "style_layer_weights": (),
        "pooling": "average",
        "content_loss": "half_squared_error",
        "style_loss": "gram_error",
        "content_weight": 1.0,
        "style_weight": 1000.0,
        "tv_weight": 0.0,
        "optimizer": "lbfgs",
        "learning_rate": 1.0,
        "steps": 500,
        "init": "noise",
    },
    # neural_style.lua: -content_weight 5e0, -style_weight 1e2, -tv_weight 1e-3, -num_iterations 1000, -init random,
    # -pooling max, -optimizer lbfgs; each layer counts fully.
    "neural_style": {
        "content_layers": ("relu4_2",),
        "style_layers": RELU,
        "style_layer_weights": (1.0,),
        "pooling": "max",
        "content_loss": "mean_squared_error",
        "style_loss": "scaled_gram_error",
        "variation_loss": "neural_style_variation",
        "content_weight": 5.0,
        "style_weight": 100.0,
        "tv_weight": 0.001,
        "optimizer": "lbfgs",
        "learning_rate": 1.0,
        "steps": 1000,
        "init": "noise",
    },
    # Ng's course, "Art Generation with Neural Style Transfer": α = 10, β = 40, λ_l = 0.2, Adam(2.0) on 0..255, 200
    # iterations, noise_ratio = 0.6, the VGG-19 of imagenet-vgg-verydeep-19.mat with average pooling.
    "ng": {
        "content_layers": ("conv4_2",),
        "style_layers": CONV,
        "style_layer_weights": (0.2,),
        "pooling": "average",
        "content_loss": "quarter_mean_squared_error",
        "style_loss": "gram_error",
        "content_weight": 10.0,
        "style_weight": 40.0,
        "tv_weight": 0.0,
        "optimizer": "adam",
        "learning_rate": 2 / 255,
        "steps": 200,
        "init": "blend",
        "init_noise": 0.6,
    },
    # NeuralStyleTransfer.ipynb of the authors: style weights 1e3 / n², content weight 1, max pooling, 500 steps at 512
    # pixels and 200 at 1024, from the photograph.
    "gatys_highres": {
        "content_layers": ("relu4_2",),
        "style_layers": RELU,
        "style_layer_weights": (1.0,),
        "pooling": "max",
        "content_loss": "mean_squared_error",
        "style_loss": "scaled_gram_error",
        "content_weight": 1.0,
        "style_weight": 1e3,
        "tv_weight": 0.0,
        "optimizer": "lbfgs",
        "learning_rate": 1.0,
        "scales": (),
        "coarsest": 512,
        "scale_factor": 2.0,
        "coarse_content": 1.0,
        "content_detail": 0.0,
        "steps": 500,
        "scale_steps": (500, 200),
        "init": "content",
    },
    # style_transfer, cli.py: --content-weight 0.015, --tv-weight 2.0, --min-scale 128, --pooling max, --iterations 500,
    # --initial-iterations 1000, --step-size 0.02, --avg-decay 0.99, --init content; style_transfer.py: style weights
    # 256, 64, 16, 4, 1 by their sum, scales by √2, Adam with betas 0.9 and 0.99, conv1_1 padded with "replicate".
    "crowson": {
        "content_layers": ("relu4_2",),
        "style_layers": RELU,
        "style_layer_weights": (256 / 341, 64 / 341, 16 / 341, 4 / 341, 1 / 341),
        "pooling": "max",
        "padding": "replicate_first",
        "content_loss": "mean_squared_error",
        "style_loss": "wasserstein2",
        "variation_loss": "crowson_variation",
        "content_weight": 0.015,
        "style_weight": 1.0,
        "tv_weight": 2.0,
        "optimizer": "adam",
        "learning_rate": 0.02,
        "adam_decay": 0.99,
        "averaging": 0.99,
        "scales": (),
        "coarsest": 128,
        "scale_factor": math.sqrt(2),
        "coarse_content": 1.0,
        "content_detail": 0.0,
        "steps": 1000,
        "scale_steps": (1000, 500),
        "init": "content",
    },
    # Galerne et al. 2022 and spst-fast of their program: 1e3 (‖G − A‖² / n² + 10 (‖μ − μ_s‖² + ‖σ − σ_s‖²)), means over
    # elements, content weight 1, max pooling, scales by 2, max(600/3ⁱ, 30) steps at scale i, from the photograph.
    "spst": {
        "content_layers": ("relu4_2",),
        "style_layers": RELU,
        "style_layer_weights": (1.0,),
        "pooling": "max",
        "content_loss": "mean_squared_error",
        "style_loss": "gram_moments_error",
        "content_weight": 1.0,
        "style_weight": 1e3,
        "tv_weight": 0.0,
        "optimizer": "lbfgs",
        "learning_rate": 1.0,
        "scales": (),
        "coarsest": 512,
        "scale_factor": 2.0,
        "coarse_content": 1.0,
        "content_detail": 0.0,
        "steps": 600,
        "scale_steps": tuple(max(600 // 3**index, 30) for index in range(4)),
        "init": "content",
    },
    # Kolkin et al. 2022 and utils/stylize.py of the program: relu at torchvision's 1, 3, 6, 8, 11, 13, 15, 18, 20, 22
    # of VGG-16, α = 0.75, rotations unless --no_flip, Adam with 2e-3, 200 steps a scale and 200 more, a Laplacian
    # pyramid.
    "nnst": {
        "content_layers": (),
        "style_layers": (
            *("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3"),
            *("relu4_1", "relu4_2", "relu4_3"),
        ),
        "style_layer_weights": (),
        "style_loss": "hypercolumns",
        "style_rotations": True,
        "match_content": 0.75,
        "style_weight": 1.0,
        "tv_weight": 0.0,
        "pooling": "max",
        "optimizer": "adam",
        "learning_rate": 2e-3,
        "scales": (),
        "coarsest": 64,
        "scale_factor": 2.0,
        "scale_steps": (200,),
        "finish_steps": 200,
        "finish_loss": "nearest_neighbour",
        "init": "content",
        "parameterization": "laplacian",
    },
}


@pytest.mark.parametrize("name", LITERATURE)
def test_presets_of_the_literature(name):
    expected = WITHOUT | LITERATURE[name]
    found = {option: getattr(PRESETS[name], option) for option in expected}
    assert found == expected


@pytest.mark.parametrize("name", LITERATURE)
def test_what_is_not_written_down_here_has_no_effect(name):
    preset = PRESETS[name]
    rest = {field.name for field in dataclasses.fields(Settings)} - set(WITHOUT) - set(LITERATURE[name])
    assert {option for option in rest if not option.startswith("dream_")} <= {
        *(["variation_loss"] if preset.tv_weight == 0 else []),
        *(["init_noise"] if preset.init != "blend" else []),
        *(["content_loss", "content_weight"] if not preset.content_layers else []),
        *(["steps"] if preset.scale_steps else []),
    }


def test_the_defaults_are_the_preset_of_vgg_networks():
    assert PRESETS["vgg"] == Settings()
    assert default_preset("vgg19_normalized") == "vgg"
    assert default_preset("squeezenet1_1") == "squeezenet"


def test_a_preset_has_the_form_that_suits_a_network():
    assert preset("auto", "squeezenet1_1") is PRESETS["squeezenet"]
    assert preset("gatys", "squeezenet1_1") is PRESETS["gatys"]  # whose layers it has not
    assert preset("photorealistic", "vgg16") == PRESETS["photorealistic"]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_photographs_in_anothers_light_suit_every_network(backbone):
    usual, form = preset("auto", backbone), preset("photorealistic", backbone)
    changed = {name for name, value in vars(form).items() if value != getattr(usual, name)}
    assert changed == {"style_weight", "matting_weight", "colour_match", "colour_match_to"}


def test_an_optimiser_of_a_preset_has_its_learning_rate():
    assert LEARNING_RATES[Settings().optimizer] == Settings().learning_rate
