"""Top patches: the receptive fields in a set of pictures that activate a unit most.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901, figure 2: for single feature
maps the nine strongest activations in a set of pictures, each shown as the part of its picture that causes it.
"""

import bisect
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.backbones import features
from nst_jax.backbones.features import Features
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.backbones.receptive_field import Box, Field, receptive_fields
from nst_jax.backbones.registry import choose_layer
from nst_jax.backbones.spec import Backbone, Preprocess, layer_shapes, layers, least_side
from nst_jax.errors import UserError, one_line
from nst_jax.surroundings import float32_on_device


class Unit(NamedTuple):
    """A feature map: the same unit at every position of a layer.

    Attributes:
        layer: name of the layer.
        channel: index of the channel.
    """

    layer: str
    channel: int


class Patch(NamedTuple):
    """A part of a picture that activates a unit.

    Attributes:
        activation: activation of the unit.
        name: name of the picture.
        position: row and column of the unit on the map of its layer.
        box: receptive field in pixels of the picture, which may extend beyond it.
        pixels: float32 `[h, w, 3]`, the pixels in that box. Beyond the picture they have the mean colour of the
            training set, which networks see where they pad with zeros; no side is longer than the picture.
    """

    activation: float
    name: str
    position: tuple[int, int]
    box: Box
    pixels: np.ndarray


def top_patches(
    pictures: Iterable[tuple[str, np.ndarray]], pretrained: Pretrained, units: Sequence[Unit], *, count: int = 9
) -> dict[Unit, list[Patch]]:
    """Returns the patches that activate each unit most, the strongest first.

    While there are enough pictures, each has at most one patch, so that no single one fills the figure. With fewer
    pictures than `count` each also has its second best patch, and so on; patches of a picture do not overlap. Only
    activations above 0 count, so that a unit may have fewer patches, or none. A patch of a concatenation shows the
    field of all its branches, which may be more than the unit sees.

    Args:
        pictures: names, and float32 `[H, W, 3]` in [0, 1]; read one by one, keeping only patches. A program is compiled
            for each shape: use a single one.
        pretrained: the network, with its head for units of the head.
        units: the units.
        count: maximal number of patches per unit.

    Raises:
        UserError: the network has no such unit, or a picture is too small for its layer.
    """
    backbone = pretrained.backbone
    check_units(backbone, units)
    fill = _mean_colour(backbone.preprocess)
    channels = {layer: sorted({unit.channel for unit in units if unit.layer == layer}) for layer, _ in units}
    variables = features.prepare(pretrained.params, backbone, channels)
    respond = _responses(backbone, channels)
    best = {unit: _Best(count) for unit in units}
    shape = None
    for number, (name, pixels) in enumerate(pictures):
        if pixels.shape != shape:
            _check_size(backbone, channels, name, pixels)
            shape = pixels.shape
            fields = receptive_fields(backbone, *shape[:2])
        responses = jax.device_get(respond(variables, float32_on_device(pixels)))
        for unit, of_unit in best.items():
            layer, channel = unit
            field, values = fields[layer], responses[layer][..., channels[layer].index(channel)]
            for rank, (row, column) in enumerate(_peaks(values, field)):
                activation, box = float(values[row, column]), field.box(row, column)
                if not of_unit.admits((rank, -activation, number)):
                    break  # nor any later peak, which is weaker and of higher rank
                patch = Patch(activation, name, (row, column), box, _cut(pixels, box, fill))
                of_unit.add((rank, -activation, number), patch)
    return {unit: of_unit.patches() for unit, of_unit in best.items()}


def check_units(backbone: Backbone, units: Sequence[Unit]) -> None:
    """Checks that a backbone has the units.

    Raises:
        UserError: a layer or channel is unknown.
    """
    side = max((least_side(backbone, layer) for layer, _ in units if layer in layers(backbone)), default=1)
    shapes = layer_shapes(backbone, side, side)
    for layer, channel in units:
        choose_layer(backbone, layer)
        if not 0 <= channel < shapes[layer][2]:
            raise UserError(f"channel of {layer}: expected 0 to {shapes[layer][2] - 1}, found {channel}")


def _check_size(backbone: Backbone, layers: Iterable[str], name: str, pixels: np.ndarray) -> None:
    height, width, _ = pixels.shape
    for layer in layers:
        if (least := least_side(backbone, layer)) > min(height, width):
            raise UserError(
                f"{one_line(name)}: expected sides of {least} px or more for {layer}, found {width} × {height} px; "
                "use a larger size or a lower layer"
            )


def _responses(backbone: Backbone, channels: Mapping[str, Sequence[int]]) -> Callable[..., dict[str, jax.Array]]:
    """Returns the compiled function (variables, picture) → layer → maps of the channels `[H', W', channels]`."""
    read = {
        layer: functools.partial(jnp.take, indices=np.array(of_layer), axis=-1) for layer, of_layer in channels.items()
    }

    @jax.jit
    def respond(variables: Any, image: jax.Array) -> dict[str, jax.Array]:
        return cast(dict[str, jax.Array], Features(backbone).apply(variables, image, read))

    return respond


def _peaks(values: np.ndarray, field: Field) -> Iterator[tuple[int, int]]:
    """Yields positions on a map `[H, W]` with values above 0 and disjoint fields, the strongest first."""
    apart = math.ceil(min(max(values.shape), field.size / max(field.stride, 1)))
    left = values.copy()
    while True:
        row, column = map(int, np.unravel_index(left.argmax(), left.shape))
        if not left[row, column] > 0:
            return
        yield row, column
        left[max(0, row - apart + 1) : row + apart, max(0, column - apart + 1) : column + apart] = 0


class _Best:
    """The best patches of a unit: those with the least keys."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[tuple[tuple[int, float, int], Patch]] = []

    def admits(self, key: tuple[int, float, int]) -> bool:
        return len(self._kept) < self._count or key < self._kept[-1][0]

    def add(self, key: tuple[int, float, int], patch: Patch) -> None:
        bisect.insort(self._kept, (key, patch), key=lambda entry: entry[0])
        del self._kept[self._count :]

    def patches(self) -> list[Patch]:
        return sorted((patch for _, patch in self._kept), key=lambda patch: -patch.activation)


def _cut(pixels: np.ndarray, box: Box, fill: np.ndarray) -> np.ndarray:
    """Returns the pixels in a box, with the colour `fill` `[3]` beyond the picture."""
    height, width, _ = pixels.shape
    top, bottom = _shortened(box.top, box.bottom, height)
    left, right = _shortened(box.left, box.right, width)
    rows, columns = Box(top, left, bottom, right).within(height, width)
    patch = np.full((bottom - top, right - left, 3), fill, np.float32)
    patch[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = pixels[rows, columns]
    return patch


def _shortened(start: float, end: float, side: int) -> tuple[int, int]:
    """Returns a span shortened to `side` pixels, with all its pixels within the picture."""
    if end - start <= side:
        return int(start), int(end)
    first = int(min(max(0, start), end - side))
    return first, first + side


def _mean_colour(preprocess: Preprocess) -> np.ndarray:
    mean = np.array(preprocess.mean, np.float32) / preprocess.scale
    return mean if preprocess.order == "RGB" else mean[::-1]
