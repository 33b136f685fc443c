"""Pictures that are larger than memory, painted in tiles, with the statistics of the whole.

A tile is what a *window* of pixels gives (`windows.py`), which is the tile and what its positions see around it. What
a window computes of the border elsewhere does not count.

An instance normalisation takes moments of the whole picture, and so needs a pass over all tiles of its own: tile by
tile a mean and a sum of squares about it, added up in double precision (Chan et al. 1979). The next layer's moments
depend on them, so there are as many passes as such layers, each from the start. Two ways to do less were weighed:

- To keep every layer's map and go on from it computes everything once, but a map of 8 channels at full size is all that
  the any-style network needs memory for: nothing would be saved.
- So a map is kept, in the host's memory, where it is small: a quarter of the widest one, as those after two strides
  are, between which most normalisations lie. The passes begin at the last one kept.

The any-style network so computes its way down once, each residual block two and a half times and its way up twice, with
24 bytes a pixel beside the two pictures, where the whole takes 130.

Networks that match features make two passes: the statistics of the features, and the picture.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.applications.feedforward.interpreter import Moments, Painter, Regional, at_positions
from nst_jax.applications.feedforward.networks import (
    COLOURS,
    PAINTER,
    Doodle,
    Matched,
    Network,
    Predicted,
    Transformer,
    content_steps,
    input_channels,
    network_stride,
)
from nst_jax.applications.feedforward.painting import (
    Code,
    Params,
    Spread,
    encoded,
    paint,
    spread_of,
)
from nst_jax.applications.feedforward.steps import (
    Conv,
    MaxPool,
    Mean,
    Residual,
    Step,
    Transposed,
    layers,
    spacings,
)
from nst_jax.applications.feedforward.windows import Window, inside, rounded, windows
from nst_jax.backbones.features import preprocess
from nst_jax.backbones.spec import Preprocess
from nst_jax.surroundings import float32_on_device

SMALLEST = 64
"""Pixels of a side; smaller tiles would be lost among what is computed around them."""

_KEPT = 1 / 4
"""Numbers of a map that is kept, as a share of those of the widest one."""

_BYTES = 4


def why_untiled(network: Network) -> str | None:
    """Returns why a network does not paint in tiles; None if it does."""
    steps = network.steps
    if any(isinstance(step, Mean) for step in steps):
        return "one of its layers is a mean over all positions"
    if isinstance(network, Matched) and any(
        layer.norm is not None and layer.norm.kind == "instance" for layer, _ in layers(content_steps(network), COLOURS)
    ):
        return "it normalises instances beside the features that it matches"
    return None


def needed(network: Network, height: int, width: int) -> int:
    """Returns about how many bytes of memory a picture takes that is painted as a whole, beside itself.

    That is 2.5 times the two largest maps that follow each other; XLA itself has 0.8 to 1.3 of it for the published
    networks at 1024 px.
    """
    sizes = [numbers for numbers, _ in _maps(network)]
    pairs = [first + second for first, second in itertools.pairwise(sizes)]
    return round(2.5 * max(pairs) * _BYTES * height * width)


def paint_in_tiles(
    network: Network,
    params: Params,
    content: np.ndarray,
    code: Code = None,
    *,
    tile: int,
    strength: jax.Array | float | None = None,
    guides: np.ndarray | None = None,
    fast: bool = False,
) -> np.ndarray:
    """Returns the picture, within 1e-5 of `painting.paint`.

    Args:
        network: one that paints in tiles, see `why_untiled`.
        params: its parameters.
        content: as in `paint`, on the host.
        code: the style.
        tile: side of the tiles in pixels; at least `SMALLEST`, and rounded up to the network's stride.
        strength: as in `paint`.
        guides: as in `paint`, on the host.
        fast: as in `paint`.
    """
    tile = rounded(tile, network_stride(network))
    height, width, _ = content.shape
    whole = _whole(network, content)
    guides = None if guides is None else _whole(network, guides)
    match network:
        case Matched():
            picture = _matched_tiles(network, params, whole, code, tile, strength, guides, fast=fast)
        case Transformer() | Predicted() | Doodle():
            values = None if code is None else code if guides is not None else code[None]
            picture = _Passes(network, params[PAINTER], whole, values, guides, tile, fast=fast).run()
        case _:
            assert_never(network)
    return picture[:height, :width]


def spread_in_tiles(network: Matched, params: Params, image: np.ndarray, *, tile: int, fast: bool = False) -> Spread:
    """Returns the statistics of the features of an image `[H, W, 3]`, tile by tile, as `painting.spread_of` has them.

    What its sides are longer than multiples of the network's stride is left out, as pools do it.
    """
    multiple = network_stride(network)
    rows, columns = (length - length % multiple for length in image.shape[:2])
    (found,) = _spreads(network, params, image[:rows, :columns], rounded(tile, multiple), None, fast=fast)
    return found


def _whole(network: Network, image: np.ndarray) -> np.ndarray:
    """Returns an image `[H, W, C]` that is reflected at its lower and right border, up to multiples of the stride."""
    pads = [(0, -length % network_stride(network)) for length in image.shape[:2]]
    return np.pad(image, (*pads, (0, 0)), mode="reflect") if any(after for _, after in pads) else image


class _Passes:
    """The passes over a picture, from one kept map to the next; see the module."""

    def __init__(
        self,
        network: Transformer | Predicted | Doodle,
        variables: Any,
        pixels: np.ndarray,
        code: Any,
        guides: np.ndarray | None,
        tile: int,
        *,
        fast: bool,
    ) -> None:
        self.network, self.variables, self.tile, self.fast = network, variables, tile, fast
        self.code, self.guides = code, guides
        self.multiple = network_stride(network)
        self.shape = pixels.shape[:2]
        self.first, self.kept, self.spacing = 0, pixels, 1
        self.known: dict[str, Moments] = {}

    def run(self) -> np.ndarray:
        """Returns the picture `[H, W, 3]`."""
        sizes = _maps(self.network)
        widest = max(numbers for numbers, _ in sizes)
        for index, step in enumerate(self.network.steps):
            for layer, _ in layers((step,), COLOURS):
                if layer.norm is None or layer.norm.kind != "instance":
                    continue
                if index > self.first and sizes[index][0] <= _KEPT * widest:
                    self._keep(index, sizes[index][1])
                self.known[layer.name] = self._moments(index, step, layer)
        picture = np.empty((*self.shape, COLOURS), np.float32)
        for window, part in self._parts(self.network.steps[self.first :]):
            made = _picture(part.steps, self.network, *part.arrays(self), pixels=self._pixels, fast=self.fast)
            window.put(picture, jax.device_get(made))
        return picture

    @property
    def _pixels(self) -> Preprocess | None:
        """The input convention where passes begin at a content image itself."""
        return None if self.first or isinstance(self.network, Doodle) else self.network.pixels

    def _keep(self, index: int, spacing: int) -> None:
        """Makes the map that the step of an index reads, from which later passes begin."""
        steps = self.network.steps[self.first : index]
        kept: np.ndarray | None = None
        for window, part in self._parts(steps):
            made = jax.device_get(_run(steps, *part.arrays(self), pixels=self._pixels, fast=self.fast))[0]
            if kept is None:
                kept = np.empty((*(length // spacing for length in self.shape), made.shape[-1]), np.float32)
            window.put(kept, made, spacing)
        assert kept is not None  # a picture has tiles
        self.first, self.kept, self.spacing = index, kept, spacing

    def _moments(self, index: int, step: Step, layer: Conv | Transposed) -> Moments:
        """Returns the moments of a layer's linear response over the whole picture."""
        steps = (*self.network.steps[self.first : index], *_up_to(step, layer.name))
        total = _Total()
        for window, part in self._parts(steps):
            total.add(_part_moments(steps, window.tile, *part.arrays(self), self._pixels, fast=self.fast))
        mean, variance = (float32_on_device(values[None, None, None]) for values in total.result())
        return Moments(mean, variance)

    def _parts(self, steps: tuple[Step, ...]) -> Iterator[tuple[Window, "_Part"]]:
        for window in windows(self.shape, self.tile, _reach(steps, self.spacing), self.multiple):
            code = self.code
            if self.guides is not None:
                code = Regional(code, float32_on_device(self.guides[window.slices()]))
            yield window, _Part(steps, self.kept[window.slices(self.spacing)], code)


class _Part(NamedTuple):
    """The steps of a pass, what they read of a window, and its style."""

    steps: tuple[Step, ...]
    maps: np.ndarray
    code: Any

    def arrays(self, passes: _Passes) -> tuple[Any, ...]:
        """Returns the arguments of the programs."""
        return passes.variables, float32_on_device(self.maps[None]), self.code, passes.known


class _Total:
    """Means and sums of squares (or of products) about them, of tile after tile, in double precision."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0.0, np.zeros(()), np.zeros(())

    def add(self, part: tuple[jax.Array, jax.Array, jax.Array]) -> None:
        """Adds a number of positions, their mean and the sum of squares about it."""
        count, mean, squares = (values.astype(np.float64) for values in jax.device_get(part))
        if not count:
            return  # a tile without a region
        whole, away = self.count + count, mean - self.mean
        outer = away[:, None] * away if squares.ndim == 2 else away**2
        self.squares = self.squares + squares + outer * (self.count * count / whole)
        self.mean = self.mean + away * (count / whole)
        self.count = float(whole)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and variance, or covariance."""
        return self.mean, self.squares / self.count


def _matched_tiles(
    network: Matched,
    params: Params,
    pixels: np.ndarray,
    code: Code,
    tile: int,
    strength: Any,
    guides: np.ndarray | None,
    *,
    fast: bool,
) -> np.ndarray:
    multiple = network_stride(network)
    each = _spreads(network, params, pixels, tile, guides, fast=fast)
    spread = each[0] if guides is None else jax.tree.map(lambda *of: jnp.stack(of), *each)
    picture = np.empty(pixels.shape, np.float32)
    spacing = spacings(network.encoder)[-1]
    around = _reach(network.encoder, 1) + _reach(network.steps, spacing)
    for window in windows(pixels.shape, tile, around, multiple):
        part = float32_on_device(pixels[window.slices()])
        made = _matched_part(network, params, part, code, spread, strength, _part_of(guides, window), fast=fast)
        window.put(picture, jax.device_get(made))
    return picture


def _spreads(
    network: Matched, params: Params, pixels: np.ndarray, tile: int, guides: np.ndarray | None, *, fast: bool
) -> list[Spread]:
    """Returns the statistics of the features of an image, or those of each of its regions."""
    totals = [_Total() for _ in range(1 if guides is None else guides.shape[-1])]
    for window in windows(pixels.shape, tile, _reach(network.encoder, 1), network_stride(network)):
        part = float32_on_device(pixels[window.slices()])
        found = _part_spreads(network, params, part, window.tile, _part_of(guides, window), fast=fast)
        for total, of_region in zip(totals, found, strict=True):
            total.add(of_region)
    return [Spread(*map(float32_on_device, total.result())) for total in totals]


def _part_of(guides: np.ndarray | None, window: Window) -> jax.Array | None:
    return None if guides is None else float32_on_device(guides[window.slices()])


@functools.partial(jax.jit, static_argnames=("steps", "pixels", "fast"))
def _run(
    steps: tuple[Step, ...], variables: Any, maps: Any, code: Any, known: Any, pixels: Preprocess | None, *, fast: bool
) -> jax.Array:
    """Returns what steps make of a window `[1, h, w, C]`, with known moments."""
    maps = maps if pixels is None else preprocess(maps, pixels)
    made: Any = Painter(steps, fast=fast).apply(variables, maps, code, lambda name, _: known[name])
    return made


@functools.partial(jax.jit, static_argnames=("steps", "network", "pixels", "fast"))
def _picture(
    steps: tuple[Step, ...],
    network: Network,
    variables: Any,
    maps: Any,
    code: Any,
    known: Any,
    pixels: Preprocess | None,
    *,
    fast: bool,
) -> jax.Array:
    made = _run(steps, variables, maps, code, known, pixels, fast=fast)[0]
    return jnp.clip(network.output.pixels(made), 0.0, 1.0)


@functools.partial(jax.jit, static_argnames=("steps", "pixels", "fast"))
def _part_moments(
    steps: tuple[Step, ...],
    tile: jax.Array,
    variables: Any,
    maps: Any,
    code: Any,
    known: Any,
    pixels: Preprocess | None,
    *,
    fast: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the number of a tile's positions, their mean and the sum of squares about it."""
    made = _run(steps, variables, maps, code, known, pixels, fast=fast)[0]
    belongs = inside(made, tile).astype(made.dtype)
    count = belongs.sum()
    mean = (made * belongs).sum(axis=(0, 1)) / count
    return count, mean, (jnp.square(made - mean[None, None]) * belongs).sum(axis=(0, 1))


@functools.partial(jax.jit, static_argnames=("network", "fast"))
def _part_spreads(
    network: Matched, params: Params, pixels: jax.Array, tile: jax.Array, guides: jax.Array | None, *, fast: bool
) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
    """Returns number of positions, mean and sum of squares about it, of a tile or of each region in it."""
    features = encoded(network, params, pixels, fast=fast)
    belongs = inside(features, tile).astype(features.dtype)
    if guides is not None:
        belongs *= at_positions(guides, *features.shape[:2])
    found = []
    for region in range(belongs.shape[-1]):
        own = belongs[..., region : region + 1]
        spread, count = spread_of(network, features, own), own.sum()
        found.append((count, spread.mean, spread.variance * count))
    return found


@functools.partial(jax.jit, static_argnames=("network", "fast"))
def _matched_part(
    network: Matched,
    params: Params,
    pixels: jax.Array,
    code: Code,
    spread: Spread,
    strength: Any,
    guides: jax.Array | None,
    *,
    fast: bool,
) -> jax.Array:
    return paint(network, params, pixels, code, spread=spread, strength=strength, guides=guides, fast=fast)


def _up_to(step: Step, name: str) -> tuple[Step, ...]:
    """Returns the steps of a step up to the linear response of a layer in it."""
    match step:
        case Residual():
            found: list[Step] = []
            for own in step.steps:
                if any(layer.name == name for layer, _ in layers((own,), COLOURS)):
                    return (*found, *_up_to(own, name))
                found.append(own)
            return tuple(found)
        case Conv() | Transposed():
            return (dataclasses.replace(step, norm=None, activation=None),)
        case MaxPool() | Mean():
            return (step,)
        case _:
            assert_never(step)


def _reach(steps: tuple[Step, ...], spacing: float) -> int:
    """Returns the pixels that a position sees in each direction through steps, and more rather than fewer."""
    reach = 0.0
    for step in steps:
        match step:
            case Conv():
                reach += step.kernel // 2 * spacing / step.enlarge + spacing * (step.enlarge > 1)
            case Transposed():
                reach += -(-step.kernel // step.stride) * spacing
            case MaxPool():
                reach += step.size * spacing
            case Residual():
                reach += _reach(step.steps, spacing)
            case Mean():
                pass
            case _:
                assert_never(step)
        spacing = step.spacing(spacing)
    return round(reach + 0.5)


def _maps(network: Network) -> list[tuple[float, int]]:
    """Returns for the map that each step reads, and the last one: numbers for each pixel, distance of positions."""
    steps = content_steps(network)
    channels = input_channels(network)
    found = [(float(channels), 1)]
    for step, spacing in zip(steps, spacings(steps), strict=True):
        channels = step.channels(channels)
        found.append((channels / spacing**2, spacing))
    return found
