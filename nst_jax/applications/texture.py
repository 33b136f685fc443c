"""Texture synthesis: pictures of any size from a style alone, and tiles that repeat without a seam.

Gatys, Ecker & Bethge, "Texture Synthesis Using Convolutional Neural Networks", NIPS 2015: white noise is changed until
its Gram matrices are those of the texture. This is a style transfer without content, so it is only settings. A picture
is a tile (ours) if the network uses circular padding, see `ops.circular_padding`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from nst_jax import pyramid, transfer
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.presets import PRESETS
from nst_jax.rendering.colour_matching import check_without_content
from nst_jax.settings import Settings


def texture_settings(backbone: str, *, tileable: bool = False) -> Settings:
    """Returns the settings that suit a backbone.

    Args:
        backbone: name of the backbone.
        tileable: whether the picture should repeat without a seam. Then the stride of each layer (16 at most here) has
            to divide its sides.
    """
    family = BACKBONES[backbone].family
    settings = dataclasses.replace(
        PRESETS[family.texture_preset],
        style_layers=family.texture_layers,
        content_layers=(),
        content_weight=0.0,
        match_content=0.0,
        scales=(0,),
        init="noise",
    )
    if not tileable:
        return settings
    return dataclasses.replace(settings, padding="circular", margin=0, variation_loss="circular_squared_variation")


def synthesize(
    style: transfer.Image | Sequence[transfer.Image],
    network: pretrained.Pretrained | None = None,
    *,
    height: int,
    width: int,
    settings: Settings | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Synthesises a texture.

    Args:
        style: the style image, `[H', W', 3]`, RGB in [0, 1], or several of any sizes, which are blended.
        network: the backbone; by default the best installed one.
        height: H in pixels.
        width: W in pixels.
        settings: the options; by default the `texture_settings` of the backbone, without tiling.
        seed: seed of the initial noise.

    Returns:
        The picture, float32 `[H, W, 3]` in [0, 1].

    Raises:
        UserError: as in `pyramid.stylize`, or colours would be those of a content image.
    """
    network = network or pretrained.load()
    settings = settings or texture_settings(network.backbone.name)
    check_without_content(settings)
    return pyramid.stylize(blank(height, width), style, network, settings=settings, seed=seed)


def blank(height: int, width: int) -> np.ndarray:
    """Returns a grey image `[H, W, 3]`: the content image of a transfer that uses only its size."""
    return np.full((height, width, 3), 0.5, np.float32)


def tiled(tile: np.ndarray, *, rows: int = 2, columns: int = 2) -> np.ndarray:
    """Returns a tile `[H, W, 3]` repeated in rows and columns, `[rows H, columns W, 3]`."""
    return np.tile(tile, (rows, columns, 1))
