"""The styles of an export: which one is fixed in it, or which ones its page begins with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.applications.feedforward import instant, painting
from nst_jax.applications.feedforward.networks import Predicted
from nst_jax.applications.feedforward.trained import Trained, style_index
from nst_jax.errors import UserError
from nst_jax.io import images

STYLE_SIZE = 512
"""Long side of style images that a network sees whole."""

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


def check(trained: Trained, choice: Choice) -> None:
    """Checks that flags suit a network.

    Raises:
        UserError: they do not.
    """
    unsuited: tuple[str, ...] = choice._fields
    reason = "has a single style"
    if instant.takes_images(trained.network):
        unsuited, reason = ("styles", "style_weights"), "sees style images"
    elif trained.styles:
        unsuited, reason = ("style", "blend_weights"), "has its styles in it"
    for name in unsuited:
        if getattr(choice, name):
            raise UserError(f"--{name}: expected none for a network that {reason}; leave it out")
    if choice.blend_weights and not choice.style:
        raise UserError("--blend_weights: expected the style images that they are of; name them with --style")


def numbers(trained: Trained, choice: Choice) -> list[int]:
    """Returns the indices of the styles that are chosen; all of them if none is named.

    Raises:
        UserError: there is no style of a name.
    """
    if not choice.styles:
        return list(range(len(trained.styles)))
    return [style_index(trained.styles, name) for name in choice.styles]


def shares(flag: str, given: Sequence[float], count: int) -> np.ndarray:
    """Returns shares whose sum is 1, float32 `[count]`; equal ones if none are given.

    Raises:
        UserError: these are no shares; the message names the flag.
    """
    weights = np.array(given or [1.0] * count)
    if len(weights) != count or weights.min() < 0 or weights.sum() <= 0:
        found = ",".join(f"{weight:g}" for weight in given)
        raise UserError(f"--{flag}: expected {count} shares of 0 or more, one of them above it, found {found}")
    return (weights / weights.sum()).astype(np.float32)


def read_style(trained: Trained, path: str) -> np.ndarray:
    """Returns a style image, for a predictor at full size, as it sees squares of it."""
    return images.read(path, size=None if isinstance(trained.network, Predicted) else STYLE_SIZE).pixels


def fixed_code(trained: Trained, choice: Choice) -> Any:
    """Returns the code that flags fix; None if they leave it open, or if there is but one style.

    Raises:
        UserError: the flags do not suit the network, or an image cannot be read.
    """
    check(trained, choice)
    if not any(choice):
        return None
    if not instant.takes_images(trained.network):
        chosen = numbers(trained, choice)
        code = np.zeros(len(trained.styles), np.float32)
        np.add.at(code, chosen, shares("style_weights", choice.style_weights, len(chosen)))
        return jnp.asarray(code)
    weights = shares("blend_weights", choice.blend_weights, len(choice.style))
    codes = [instant.code_of(trained, trained.params, read_style(trained, path)) for path in choice.style]
    return painting.blend(codes, jnp.asarray(weights))


def for_page(path: Path) -> np.ndarray:
    """Returns a style image for the page, which has its own ways with it."""
    return images.read(path, size=STYLE_SIZE).pixels


def previews(trained: Trained, chosen: Sequence[int], photo: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns for each of some styles of a network its code `[K]`, and a small picture of the middle of a photo."""
    height, width, _ = photo.shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    small = np.clip(images.resize(photo[top : top + short, left : left + short], (_PREVIEW, _PREVIEW)), 0, 1)
    paint = jax.jit(painting.paint, static_argnums=0)
    codes = np.eye(len(trained.styles), dtype=np.float32)[list(chosen)]
    return [(code, np.asarray(paint(trained.network, trained.params, small, code))) for code in codes]
