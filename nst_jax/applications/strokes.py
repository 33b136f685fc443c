"""A style image with the coarse forms of one and the fine strokes of another, which no single painting has.

Gatys, Ecker, Bethge, Hertzmann & Shechtman, "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017
(arXiv:1611.07865), section 6: the statistics of the fine image in the first layers alone, whose units see a stroke and
no more, are transferred onto the coarse image; there is no content loss, as the start keeps the forms. Between the
luminances alone (their section 5), so that the colours of the fine image stay behind, and those of the coarse one stay
where they are: with its colours matched to them, they wander. To blend the statistics of both images, each in its
layers, mixes forms and strokes less well, as they show.

This is a style transfer of two style images, so it is only settings; its result is the style image of another.
"""

import dataclasses

import numpy as np

from nst_jax import pyramid, transfer
from nst_jax.backbones.pretrained import Pretrained, loaded
from nst_jax.backbones.registry import choose_layer
from nst_jax.backbones.spec import Backbone, layers, tensor
from nst_jax.errors import UserError
from nst_jax.presets import PRESETS, default_preset
from nst_jax.settings import Settings
from nst_jax.vocabulary import LUMINANCE


def stroke_settings(backbone: Backbone, settings: Settings, until: str | None = None) -> Settings:
    """Returns the settings by which a coarse image takes over the strokes of a fine one.

    Args:
        backbone: the network.
        settings: those of the transfer that the image is for: network, formulas, solver, steps and style layers.
        until: the last layer whose statistics are those of the fine image; by default that of the network's family.

    Raises:
        UserError: the layer is unknown, or no style layer is there or before it.
    """
    until = backbone.family.fine_until if until is None else until
    choose_layer(backbone, until, what="layer in fine_until")
    order = {layer: place for place, layer in enumerate(layers(backbone))}
    named = [choose_layer(backbone, layer, what="style layer") for layer in settings.style_layers]
    last = order[tensor(backbone, until)]
    fine = [index for index, layer in enumerate(named) if order[tensor(backbone, layer)] <= last]
    if not fine:
        raise UserError(
            f"fine_until: expected a layer with a style layer at it or before it, found {until} and style layers "
            f"{', '.join(settings.style_layers) or 'none'}; choose a later one, or style layers there"
        )
    weights = settings.style_layer_weights
    return dataclasses.replace(
        settings,
        content_layers=(),
        style_layers=tuple(named[index] for index in fine),
        style_layer_weights=tuple(weights[index] for index in fine) if len(weights) == len(named) else weights,
        blend_weights=(),
        region_weights=(),
        dream_layers=(),
        dream_channels=(),
        dream_channel_weights=(),
        strength=0.5,
        laplacian_weight=0.0,
        matting_weight=0.0,
        scales=(0,),
        scale_steps=(),
        finish_steps=0,
        init="content",
        colours=LUMINANCE,
        colour_match="none",
        colour_match_to="content",
    )


def combine(
    coarse: transfer.Image,
    fine: transfer.Image,
    network: Pretrained | str | None = None,
    *,
    until: str | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Returns a style image with the forms of one and the strokes of another.

    Args:
        coarse: the image whose forms and colours stay, `[H, W, 3]`, RGB in [0, 1].
        fine: the image whose strokes are taken over, `[H', W', 3]`; the larger it is, the larger they are.
        network: the backbone, or its name; by default the best installed one.
        until: see `stroke_settings`.
        settings: of the transfer that it is for; by default the preset of the backbone.
        seed: seed of random transformations.

    Returns:
        The image, float32 `[H, W, 3]` in [0, 1].

    Raises:
        UserError: see `stroke_settings` and `pyramid.stylize`.
    """
    network = loaded(network)
    settings = settings or PRESETS[default_preset(network.backbone.name)]
    own = stroke_settings(network.backbone, settings, until)
    return pyramid.stylize(coarse, fine, network, settings=own, seed=seed)
