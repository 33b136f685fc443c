"""Texture synthesis: pictures of any size from a style alone, and such that tile the plane without a seam.

Gatys, Ecker & Bethge, "Texture Synthesis Using Convolutional Neural Networks", NIPS 2015: white noise is changed until
its Gram matrices are those of the texture. That is a style transfer which keeps nothing of a photograph, so here it is
no more than settings. A picture is a tile (ours) if the network sees it go on at its other side, see `circular`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from nst_jax import transfer
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.presets import PRESETS
from nst_jax.settings import Settings


def texture_settings(backbone: str, *, tileable: bool = False) -> Settings:
    """Returns the settings that suit a backbone.

    Args:
        backbone: its name.
        tileable: whether the picture should go on at its other side without a seam. Then the stride of each layer has
            to divide its sides (16 for the layers here).
    """
    family = BACKBONES[backbone].family
    settings = dataclasses.replace(
        PRESETS[family.texture_preset],
        style_layers=family.texture_layers,
        content_layers=(),
        content_weight=0.0,
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
    """Paints a texture.

    Args:
        style: a picture of it, `[H', W', 3]`, RGB in [0, 1], or several of any sizes, which are blended.
        network: the backbone, else the best one that is installed.
        height: H in pixels.
        width: W in pixels.
        settings: how, else the `texture_settings` of the backbone, whose picture is no tile.
        seed: of the noise to start from.

    Returns:
        The picture, float32 `[H, W, 3]` in [0, 1].

    Raises:
        UserError: as of `transfer.stylize`.
    """
    network = network or pretrained.load()
    settings = settings or texture_settings(network.backbone.name)
    return transfer.stylize(blank(height, width), style, network, settings=settings, seed=seed)


def blank(height: int, width: int) -> np.ndarray:
    """Returns a grey picture `[H, W, 3]`: the photograph of a transfer that takes nothing of it but its size."""
    return np.full((height, width, 3), 0.5, np.float32)


def tiled(tile: np.ndarray, *, rows: int = 2, columns: int = 2) -> np.ndarray:
    """Returns a picture `[H, W, 3]` so many times below and beside itself, `[rows H, columns W, 3]`."""
    return np.tile(tile, (rows, columns, 1))
