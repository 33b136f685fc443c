"""The styles of an export: which one is fixed in it, or which ones its page begins with."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.applications.feedforward import painting
from nst_jax.applications.feedforward.networks import Predicted, Transformer
from nst_jax.applications.feedforward.trained import Trained
from nst_jax.errors import UserError, choose, one_line
from nst_jax.io import images

STYLE_SIZE = 512
"""Long side of style images that a network sees whole."""

_PREVIEW = 192


def weights_by_name(given: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Returns the share of each style `[K]`; the sum is 1.

    Args:
        given: a number for each style, or some as NAME or NAME:number.
        names: the styles.

    Raises:
        UserError: a name is unknown, or there are no such numbers.
    """
    numbers = [_number(item) for item in given]
    if len(given) == len(names) and None not in numbers:
        weights = np.array(numbers, np.float64)
    else:
        weights = np.zeros(len(names))
        for item in given:
            name, _, share = item.rpartition(":") if ":" in item else (item, "", "1")
            number = _number(share)
            if number is None:
                raise UserError(
                    f"--style_weights: expected a number behind {one_line(name)}:, found {one_line(share)!r}"
                )
            weights[list(names).index(choose(name, names, what="style"))] += number
    if weights.min() < 0 or weights.sum() <= 0:
        raise UserError("--style_weights: expected shares of at least 0, and one above it; change them")
    return (weights / weights.sum()).astype(np.float32)


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def read_style(trained: Trained, path: str) -> list[np.ndarray]:
    """Returns a style image as a network sees it: all of it, or as few squares of the network's side as cover it."""
    if not isinstance(trained.network, Predicted):
        return [images.read(path, size=STYLE_SIZE).pixels]
    pixels, side = images.read(path).pixels, trained.network.side
    height, width, _ = pixels.shape
    short, long = min(height, width), max(height, width)
    shape = round(height * side / short), round(width * side / short)
    pixels = np.clip(images.resize(pixels, shape), 0, 1)
    count = -(-long // short)
    starts = [round(place * (max(shape) - side) / max(count - 1, 1)) for place in range(count)]
    along = 0 if height >= width else 1
    return [pixels.take(range(start, start + side), axis=along) for start in starts]


def fixed_code(trained: Trained, style: Sequence[str], weights: Sequence[str]) -> Any:
    """Returns the code that flags fix; None if they leave it open, or if there is but one style.

    Args:
        trained: the network.
        style: paths of style images.
        weights: `--style_weights`.

    Raises:
        UserError: the flags do not suit the network, or an image cannot be read.
    """
    if isinstance(trained.network, Transformer):
        if style:
            raise UserError("--style: expected a network that sees style images, found one with its styles in it")
        if weights and not trained.styles:
            raise UserError("--style_weights: expected a network of several styles, found one with a single style")
        return jnp.asarray(weights_by_name(weights, trained.styles)) if weights else None
    if not style:
        if weights:
            raise UserError("--style_weights: expected the style images that they are of; name them with --style")
        return None
    shares = weights_by_name(weights or ["1"] * len(style), [Path(path).stem for path in style])
    encode = jax.jit(painting.encode, static_argnums=0)
    codes = []
    for path in style:
        seen = [encode(trained.network, trained.params, jnp.asarray(image)) for image in read_style(trained, path)]
        codes.append(painting.blend(seen, jnp.full(len(seen), 1 / len(seen), jnp.float32)))
    return painting.blend(codes, jnp.asarray(shares))


def sees(trained: Trained) -> bool:
    """Returns whether a network sees style images."""
    return not isinstance(trained.network, Transformer)


def for_page(path: Path) -> np.ndarray:
    """Returns a style image for the page, which has its own ways with it."""
    return images.read(path, size=STYLE_SIZE).pixels


def each_alone(trained: Trained) -> list[tuple[float, ...]]:
    """Returns the weights of each style of a network alone."""
    return [tuple(map(float, row)) for row in np.eye(len(trained.styles))]


def previews(trained: Trained, photo: np.ndarray) -> list[np.ndarray]:
    """Returns a small picture in each style of a network, of the middle of a photo `[H, W, 3]`."""
    height, width, _ = photo.shape
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    small = np.clip(images.resize(photo[top : top + least, left : left + least], (_PREVIEW, _PREVIEW)), 0, 1)
    paint = jax.jit(painting.paint, static_argnums=0)
    codes = np.eye(len(trained.styles), dtype=np.float32)
    return [np.asarray(paint(trained.network, trained.params, small, code)) for code in codes]
