"""Segments: parts of an image that look alike and lie together, a first map of regions.

k-means over the features of a network, colours and positions; no network for segmentation, so no names.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from scipy.cluster.vq import kmeans2

from nst_jax.backbones.features import Features
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.backbones.spec import Backbone
from nst_jax.checks import check_layers
from nst_jax.errors import UserError
from nst_jax.io.images import resize
from nst_jax.io.region_maps import hexadecimal
from nst_jax.rendering import oklab
from nst_jax.rendering.colour_matching import NOISE

_DIRECTIONS = 8
"""Directions of largest variance that are kept of the features of a layer."""

_GRID = 4
"""Pixels a side of the cells that are sorted into segments; borders are drawn between them in proportion."""

_ATTEMPTS = 4
_ROUNDS = 30


def segments(
    network: Pretrained,
    image: np.ndarray,
    count: int,
    *,
    layers: Sequence[str] = (),
    position: float = 0.5,
    seed: int = 0,
) -> np.ndarray:
    """Returns the number of each pixel's segment, `[H, W]`, from 0, in the order in which they appear.

    Args:
        network: the backbone.
        image: `[H, W, 3]`, RGB in [0, 1].
        count: number of segments to look for; fewer may be found.
        layers: layers whose features count; by default the middle ones of the backbone's `depth_layers`.
        position: weight of the position; the higher it is, the more compact are segments.
        seed: seed of the random beginnings, of which the best result counts.

    Raises:
        UserError: the image has a single colour, a layer is unknown or has no positions, or `count` exceeds the number
            of cells.
    """
    height, width, _ = image.shape
    if np.ptp(image, axis=(0, 1)).max() <= NOISE:
        colour = hexadecimal(np.round(255 * np.asarray(image[0, 0])).astype(int).tolist())
        raise UserError(f"image: expected parts to tell apart, found {colour} everywhere; draw the map by hand")
    layers = tuple(layers) or network.backbone.family.depth_layers[2:4]
    check_layers(network.backbone, tuple(layers), (height, width, 3), what="layer")
    cells = max(1, height // _GRID), max(1, width // _GRID)
    if count > cells[0] * cells[1]:
        raise UserError(
            f"count: expected at most {cells[0] * cells[1]} segments for an image of this size, found {count}"
        )
    found = jax.device_get(_read(network.backbone, layers)(network.params["params"], np.asarray(image, np.float32)))
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in cells), indexing="ij"), axis=-1)
    parts = [
        *(_principal(resize(np.asarray(found[layer], np.float32), cells)) / len(layers) ** 0.5 for layer in layers),
        _scaled(oklab.from_rgb(np.clip(resize(np.asarray(image, np.float32), cells), 0, 1))),
        position * _scaled(places),
    ]
    rows = np.concatenate(parts, axis=-1).reshape(cells[0] * cells[1], -1)
    centres = _clustered(rows, count, np.random.default_rng(seed))
    far = np.square(rows[:, None] - centres).sum(axis=-1).reshape(*cells, -1)
    nearest = resize(far.astype(np.float32), (height, width)).argmin(axis=-1)
    _, first, labels = np.unique(nearest, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels].reshape(height, width)


def _read(backbone: Backbone, layers: Sequence[str]) -> Callable[[Any, Any], dict[str, jax.Array]]:
    """Returns a compiled function of parameters and an image to layer → features."""

    def read(params: Any, image: Any) -> dict[str, jax.Array]:
        values: Any = Features(backbone).apply({"params": params}, image)
        return {layer: values[layer] for layer in layers}

    return jax.jit(read)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Returns values `[h, w, C]` with a mean of 0 and a total variance of 1."""
    centred = values - values.mean(axis=(0, 1))
    return centred / np.sqrt(np.square(centred).sum(axis=-1).mean() + 1e-12)


def _principal(features: np.ndarray) -> np.ndarray:
    """Returns the coordinates of features `[h, w, C]` of one length in the directions in which they vary most."""
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    rows = _scaled(features / (lengths + 1e-6)).reshape(-1, features.shape[-1]).astype(np.float64)
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return _scaled((rows @ vectors[:, -_DIRECTIONS:]).reshape(*features.shape[:2], -1))


def _clustered(rows: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Returns the centres `[K, D]` of the best of several runs of k-means on rows `[M, D]`."""
    best, least = rows[:1], np.inf
    for _ in range(_ATTEMPTS):
        centres, labels = kmeans2(rows, _spread(rows, count, random), iter=_ROUNDS, minit="matrix", missing="warn")
        error = np.square(rows - centres[labels]).sum()
        if error < least:
            best, least = centres, error
    return best


def _spread(rows: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Returns rows to begin from, each likely to be far from the others (Arthur & Vassilvitskii 2007, k-means++)."""
    chosen = [rows[random.integers(len(rows))]]
    for _ in range(count - 1):
        far = np.min([np.square(rows - each).sum(axis=-1) for each in chosen], axis=0)
        weights = far / far.sum() if far.sum() > 0 else None
        chosen.append(rows[random.choice(len(rows), p=weights)])
    return np.array(chosen)
