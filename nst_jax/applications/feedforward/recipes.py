"""Recipes to train networks that paint: which network, which objective, how many pictures a step and how many steps."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

from nst_jax.applications.feedforward.networks import Doodle, Predicted, Transformer, johnson, pastiche
from nst_jax.applications.feedforward.steps import Conv, Norm, Residual, Step, Transposed
from nst_jax.backbones.receptive_field import LEAST_PARTS, seeing_at_most
from nst_jax.backbones.registry import BACKBONES
from nst_jax.presets import PRESETS, default_preset, suits
from nst_jax.settings import Settings

Trainable = TypeVar("Trainable", Transformer, Predicted, Doodle)

RecipeName = Literal["magenta", "johnson", "ours"]

_LEAST_CHANNELS = 4


class Recipe(NamedTuple):
    """How a network is trained.

    Attributes:
        settings: the objective, and Adam's learning rate; what is about a single picture, as its margin, is not used.
        network: number of styles → the network.
        batch_size: pictures a step.
        steps: number of steps.
        fade: share of the steps, at the end, over which the learning rate falls to 0.
    """

    settings: Settings
    network: Callable[[int], Transformer]
    batch_size: int
    steps: int
    fade: float = 0.0


def _johnson(styles: int) -> Transformer:
    return dataclasses.replace(johnson(norm=Norm(code=styles)), styles=styles)


PUBLISHED: dict[RecipeName, Recipe] = {
    # Dumoulin, Shlens & Kudlur 2017, with the numbers of Magenta's image_stylization_train: VGG-16 with average pools,
    # the mean of squared differences of relu3_3 × 1, of Gram matrices × 1e-4 in each of four layers. `gram_error` is a
    # quarter of that mean. Differs: zeros stay as the loss network's borders, and every style has its share
    # (`training`), where theirs are given by hand.
    "magenta": Recipe(
        Settings(
            content_layers=("relu3_3",),
            style_layers=("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
            style_layer_weights=(1.0,),
            content_loss="mean_squared_error",
            style_loss="gram_error",
            style_weight=4e-4,
            tv_weight=0.0,
            optimizer="adam",
            learning_rate=1e-3,
        ),
        pastiche,
        batch_size=16,
        steps=40_000,
    ),
    # Johnson, Alahi & Fei-Fei 2016, with the numbers of fast-neural-style's train.lua. Its total variation is a
    # gradient that is added to each picture of a batch of 4, whose other terms are means over the batch: so 4e-6 here,
    # where all are. The network is that of PyTorch's examples, see `networks.johnson`.
    "johnson": Recipe(
        Settings(
            content_layers=("relu3_3",),
            style_layers=("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
            style_layer_weights=(1.0,),
            content_loss="mean_squared_error",
            style_loss="scaled_gram_error",
            variation_loss="neural_style_variation",
            content_weight=1.0,
            style_weight=5.0,
            tv_weight=4e-6,
            pooling="max",
            optimizer="adam",
            learning_rate=1e-3,
        ),
        _johnson,
        batch_size=4,
        steps=40_000,
    ),
}


def default_recipe(backbone: str) -> RecipeName:
    """Returns the name of the recipe that suits a backbone: `magenta` where it has those layers, else `ours`."""
    return "magenta" if suits(PUBLISHED["magenta"].settings, backbone) else "ours"


def named(name: RecipeName, backbone: str) -> Recipe:
    """Returns a recipe: `ours` is made for the backbone, the published ones have layers of VGG networks."""
    return ours(PRESETS[default_preset(backbone)]) if name == "ours" else PUBLISHED[name]


def ours(painted: Settings) -> Recipe:
    """Returns the recipe for an hour on two cores, from the settings with which the backbone paints a single picture.

    Style weighs less than there, as the error to which a network comes down is many times larger; total variation
    more, for want of other means against grain. The two factors were chosen by looking, with SqueezeNet. Batches are
    small, as steps are what an hour has few of.
    """
    return Recipe(
        dataclasses.replace(
            painted,
            style_weight=painted.style_weight / 28,
            tv_weight=painted.tv_weight * 3,
            optimizer="adam",
            learning_rate=1e-3,
        ),
        pastiche,
        batch_size=2,
        steps=5000,
        fade=0.5,
    )


def for_doodles(settings: Settings, backbone: str, size: int) -> Settings:
    """Returns the objective of a network that paints from maps of regions, from that of one that paints photographs.

    There is no content, and style only in layers that see small parts of a picture. Nothing stands against total
    variation but the style itself, so that a little is enough.

    Args:
        settings: the objective of a recipe.
        backbone: the loss network.
        size: side of the pictures to train with, in pixels.
    """
    return dataclasses.replace(
        settings,
        content_layers=(),
        content_weight=0.0,
        style_layers=seeing_at_most(BACKBONES[backbone], settings.style_layers, size / LEAST_PARTS),
        tv_weight=settings.tv_weight / 15,
    )


def scaled(network: Trainable, width: float) -> Trainable:
    """Returns a network with `width` times as many channels in all layers but the last, and the last of a predictor."""
    steps: Any = network.steps
    narrow: Any = dataclasses.replace(network, steps=_narrow(steps, width))
    if isinstance(narrow, Predicted):
        narrow = dataclasses.replace(narrow, predictor=_narrow(narrow.predictor, width))
    return narrow


def _narrow(steps: tuple[Step, ...], width: float) -> tuple[Step, ...]:
    *before, last = steps
    return (*(_scaled(step, width) for step in before), last)


def _scaled(step: Step, width: float) -> Step:
    match step:
        case Conv() | Transposed():
            return dataclasses.replace(step, features=max(_LEAST_CHANNELS, round(width * step.features)))
        case Residual():
            return Residual(tuple(_scaled(part, width) for part in step.steps))
        case _:
            return step
