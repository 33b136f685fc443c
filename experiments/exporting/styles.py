"""The styles of an export: which one is fixed in it, or which ones its page begins with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nst_jax.applications.feedforward import instant, painting
from nst_jax.applications.feedforward.trained import Trained
from nst_jax.errors import UserError
from nst_jax.io import images

from ..running import network_styles

_STYLE_SIZE = 512
"""Long side of the page's style images, which is that of its picture at first."""

_PREVIEW = 192


class Choice(NamedTuple):
    """What flags say of the style.

    Attributes:
        style: paths of style images.
        blend_weights: a share of each.
        styles: styles of a network that has them in it, by name or by number from 1.
        style_weights: a share of each, or of all styles of the network.
    """

    style: tuple[str, ...] = ()
    blend_weights: tuple[float, ...] = ()
    styles: tuple[str, ...] = ()
    style_weights: tuple[float, ...] = ()


def check(trained: Trained, network: str, choice: Choice) -> None:
    """Checks that flags suit a network, which is called `network` in messages.

    Raises:
        UserError: they do not.
    """
    network_styles.check(trained, network, choice._asdict())
    if choice.blend_weights and not choice.style:
        raise UserError("--blend_weights: expected the style images that they are of; name them with --style")


def fixed_code(trained: Trained, network: str, choice: Choice) -> Any:
    """Returns the code that flags fix; None if they leave it open, or if there is but one style.

    Args:
        trained: the network.
        network: what it is called in messages.
        choice: the flags.

    Raises:
        UserError: the flags do not suit the network, or an image cannot be read.
    """
    check(trained, network, choice)
    if not any(choice):
        return None
    if not instant.takes_images(trained.network):
        shares = network_styles.shares_of_numbers(trained, choice.styles, choice.style_weights)
        return instant.painter(trained, shares=shares).code
    shares = network_styles.shares("blend_weights", choice.blend_weights, len(choice.style), what="style images")
    return instant.painter(trained, network_styles.read(trained, list(map(Path, choice.style))), shares).code


def for_page(path: Path) -> np.ndarray:
    """Returns a style image for the page, which has its own ways with it."""
    return images.read(path, size=_STYLE_SIZE).pixels


def previews(trained: Trained, chosen: Sequence[int], photo: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns for each of some styles of a network its code `[K]`, and a small picture of the middle of a photo."""
    height, width, _ = photo.shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    small = np.clip(images.resize(photo[top : top + short, left : left + short], (_PREVIEW, _PREVIEW)), 0, 1)
    paint = jax.jit(painting.paint, static_argnums=0)
    codes = np.eye(len(trained.styles), dtype=np.float32)[list(chosen)]
    return [(code, np.asarray(paint(trained.network, trained.params, small, code))) for code in codes]
