"""Features of several layers at one position as one vector, a hypercolumn, and how like two of them are.

Kolkin, Kucera, Paris, Sýkora, Shechtman & Shakhnarovich, "Neural Neighbor Style Transfer", 2022: every position of the
picture gets a hypercolumn of the style image to become like, the one that is nearest to its own when a scale begins.
So it copies patches of the style image, each for as long as the scale lasts.

The cosine of two hypercolumns is made of sums over their layers, and so the layers need not be there at once.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nst_jax import neighbours
from nst_jax.rendering.canvas import resize
from nst_jax.statistics import activations

STRIDE = 4
"""Distance in pixels between the positions that all layers share."""


class Products(NamedTuple):
    """Products of the picture's hypercolumns with those they are to become like, at each position, `[P]`.

    Attributes:
        mixed: F·S.
        found: F·F.
        wanted: S·S.
    """

    mixed: jax.Array
    found: jax.Array
    wanted: jax.Array


def align(features: jax.Array, picture: tuple[int, int]) -> jax.Array:
    """Returns features `[h, w, C]` divided by C, at every fourth pixel of a picture of this height and width.

    They are interpolated bilinearly where they lie in the picture; Kolkin et al. let the corners of all maps coincide.
    """
    height, width = (max(1, side // STRIDE) for side in picture)
    return resize(activations(features) / features.shape[-1], (height, width), method="linear")


def choose(
    found: Mapping[str, jax.Array], weights: Mapping[str, jax.Array | float], targets: Mapping[str, neighbours.Sample]
) -> jax.Array:
    """Returns which position of the style image's sample is nearest to each of the picture, `[P]`.

    Args:
        found: layer → features `[..., C]` of the picture, at the same P positions.
        weights: layer → what its products count, 0 or more.
        targets: layer → those of the style image.
    """
    scales = {layer: jnp.sqrt(weight) for layer, weight in weights.items()}
    rows = [scales[layer] * values.reshape(-1, values.shape[-1]) for layer, values in found.items()]
    candidates = [scales[layer] * targets[layer].rows for layer in found]
    present = next(iter(targets.values())).present
    sample = neighbours.Sample(jnp.concatenate(candidates, axis=-1), present)
    return neighbours.nearest(jnp.concatenate(rows, axis=-1), sample)


def products(features: jax.Array, target: neighbours.Sample, chosen: jax.Array) -> Products:
    """Returns a layer's share of the products of hypercolumns.

    Args:
        features: of the picture, `[..., C]`, at P positions.
        target: those of the style image.
        chosen: which of them each is to become like, `[P]`.
    """
    rows, wanted = features.reshape(-1, features.shape[-1]), target.rows[chosen]
    return Products(*(jnp.sum(a * b, axis=-1) for a, b in ((rows, wanted), (rows, rows), (wanted, wanted))))


def error(whole: Products) -> jax.Array:
    """Returns the mean over positions of 1 − cos(F, S), from the sums of the products over all layers.

    As half the squared distance of unit vectors, which for two zeros is 0.
    """
    found, wanted = (jax.lax.rsqrt(square + neighbours.NEXT_TO_NOTHING) for square in (whole.found, whole.wanted))
    squares = whole.found * jnp.square(found) + whole.wanted * jnp.square(wanted)
    return jnp.mean(squares / 2 - whole.mixed * found * wanted)
