"""The first look at a picture: what a network for any style paints in one pass, while the optimiser is made ready."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nst_jax.applications.feedforward import instant, trained
from nst_jax.io import images

SIDE = 512
"""Long side of the first look at most: it is to be there within two seconds."""

_STYLE_SIDE = 768
"""As much as the network sees of a style image that is not very long."""


def paint(
    content: Path,
    styles: Sequence[Path],
    *,
    size: int,
    shares: Sequence[float] = (),
    strength: float = 0.5,
    network: str = trained.EMBEDDED,
) -> np.ndarray:
    """Returns the picture, `[H, W, 3]` in [0, 1].

    Args:
        content: the content image.
        styles: the style images.
        size: long side of the picture that is wanted; this one has `SIDE` at most.
        shares: of the style images.
        strength: that of a transfer; from 0.5 on, the network's whole strength.
        network: the name of one of `first_looks`; one that was trained for a single style paints that.

    Raises:
        UserError: the images or the network cannot be used.
    """
    path = trained.find(network)
    chosen = _network(path, path.stat().st_mtime_ns)
    if instant.takes_images(chosen.network):
        painted = [images.read(path, size=_STYLE_SIDE).pixels for path in styles]
        painter = instant.painter(chosen, painted, shares, strength=min(1.0, 2 * strength))
    else:
        painter = instant.painter(chosen)
    return painter.paint(images.read(content, size=min(size, SIDE)).pixels, room=True)


@functools.lru_cache(maxsize=2)
def _network(path: Path, modified: int) -> trained.Trained:  # noqa: ARG001 - it may be trained again under its name
    return trained.read(path)
