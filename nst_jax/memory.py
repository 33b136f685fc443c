"""Memory: what there is, what a picture needs, and so whether it is painted in tiles, and what L-BFGS remembers.

The estimate is one float per activation of the layers up to the deepest in use, whatever a compiler keeps of them; of
a step at 1024 px XLA's own account has 0.8 of it, with VGG-19 and SqueezeNet alike. To compile first and ask the
program would take a minute. Beside it are the network, whose kernels Winograd's algorithm has once more in both
directions, four times as large each, the content's features, and arrays of the size of the picture: in tiles, too.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

from nst_jax import lbfgs
from nst_jax.backbones.spec import Backbone, ancestors, layer_shapes, parameter_shapes
from nst_jax.checks import why_untiled
from nst_jax.free_memory import USABLE
from nst_jax.rendering.canvas import canvas_shape
from nst_jax.settings import Settings
from nst_jax.targets import layers_of, network_layers
from nst_jax.vocabulary import Tiles

OPEN: dict[str, Any] = {"tile": "auto", "lbfgs_pairs": 0}
"""Options that `settled` chooses → the value that leaves them open."""

PAIRS = (lbfgs.PAIRS, 6, 3)
"""Numbers of pairs to choose from: with 3, L-BFGS still descends faster than without any."""

TILES = (1024, 768, 512, 256)
"""Tiles to choose from; the larger they are, the less is computed twice around them."""

_AROUND = 160
"""Pixels by which windows are larger than tiles, for the deepest layers in use; an estimate is enough."""

_FLOAT = 4
_KERNELS = 9
_PICTURES = 15
"""Arrays of the size of the picture during a step, but for the pairs of L-BFGS."""

_MATTING = 9, 73
"""Numbers a pixel that the matting loss keeps of the content image, and that it has in use during a step."""


def decided(settings: Settings) -> dict[str, Any]:
    """Returns the options that `settled` chooses, as settings have them."""
    return {name: getattr(settings, name) for name in OPEN}


def settled(
    settings: Settings,
    backbone: Backbone,
    shapes: Sequence[Sequence[int]],
    free: int | None,
    *,
    fewer_pairs: bool = True,
) -> Settings:
    """Returns settings that say how large the tiles are, and how much L-BFGS remembers, where they left that open.

    Tiles come first, which change nothing but the time.

    Args:
        settings: of the transfer.
        backbone: the network.
        shapes: height and width of the picture, without margin, and of the style images.
        free: bytes of memory that are free, None if nobody knows; see `free_memory`.
        fewer_pairs: whether L-BFGS may remember less. Cells of a sweep do not: a batch has fewer of them instead, and
            the checkpoints of one that goes on keep their shape, whatever is free then.
    """
    fewer = fewer_pairs and settings.optimizer == "lbfgs" and not settings.lbfgs_pairs
    pairs = PAIRS if fewer else (settings.lbfgs_pairs or lbfgs.PAIRS,)
    tiles: tuple[Tiles, ...] = (settings.tile,)
    if settings.tile == "auto":
        tiles = ("off",) if why_untiled(backbone, settings) else ("off", *TILES)
    for number, tile in itertools.product(pairs, tiles):
        chosen = dataclasses.replace(settings, lbfgs_pairs=number, tile=tile)
        if free is None or needed(chosen, backbone, shapes) <= USABLE * free:
            break
    return chosen  # the last one where none fits


def needed(settings: Settings, backbone: Backbone, shapes: Sequence[Sequence[int]]) -> int:
    """Returns about how many bytes a transfer with settled settings takes; for the shapes see `settled`."""
    height, width, *_ = shapes[0]
    height, width = canvas_shape(height, width, settings.margin)
    pairs = 2 * settings.lbfgs_pairs if settings.optimizer == "lbfgs" else 0
    pictures = (_PICTURES + pairs) * height * width * 3 * _FLOAT
    network = _KERNELS * _FLOAT * _parameters(backbone)
    maps = layer_shapes(backbone, height, width)
    times = settings.shifts + (settings.shifts > 1)  # and those of a turn once more, in a step
    content = times * _FLOAT * sum(math.prod(maps[layer]) for layer in settings.content_layers)
    seen = [(height, width), *shapes[1:]]
    if isinstance(settings.tile, int):
        seen = [(settings.tile + _AROUND, settings.tile + _AROUND)]
    if settings.matting_weight:
        kept, used = _MATTING
        pictures += _FLOAT * (kept * height * width + used * math.prod(seen[0]))
    return max(activation_bytes(settings, backbone, shape) for shape in seen) + content + pictures + network


def activation_bytes(settings: Settings, backbone: Backbone, shape: Sequence[int]) -> int:
    """Returns the bytes of all activations up to the deepest layer in use, for a picture of this height and width."""
    rows = ancestors(backbone, network_layers(layers_of(settings)))
    shapes = layer_shapes(backbone, *shape[:2])
    return sum(_FLOAT * math.prod(shapes[row.name]) for row in rows)


@functools.cache
def _parameters(backbone: Backbone) -> int:
    """Returns the number of parameters of a network."""
    return sum(map(math.prod, parameter_shapes(backbone).values()))
