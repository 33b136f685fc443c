"""Pictures larger than memory: the network on one part after the other, with the loss and gradient of the whole.

Statistics are sums over positions, so those of a picture are the sums of those of its parts, and the gradient of any
function of the sums is that of the parts:

    S(x) = Σ_t s_t(x),    ∂L(S(x))/∂x = Σ_t ⟨∂L/∂S, ∂s_t/∂x⟩

A first pass over the parts adds up S; whoever takes the derivative of L(S) starts a second one, which computes each
part again for its share of the gradient. No activation of the whole picture ever exists.

A part is what a *window* of pixels gives, which is the part and what its units see around it. All windows have one
size, so that one compiled loop serves all; they begin at multiples of the network's stride, and the last one ends with
the picture. So a window has the picture's border, with its padding and its incomplete pools, exactly where the picture
has. Elsewhere its units near the border see padding instead of the picture, and do not count: every unit of a layer
belongs to one window, the last one in which it is as in the whole picture.

The parts may be divided among the devices of a mesh, each of which adds up its own.

Galerne, Raad, Lezama & Morel, "Scaling Painting Style Transfer" (2022), have the two passes for Gram matrices, mean and
deviation.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from nst_jax.backbones.rows import Row
from nst_jax.backbones.spec import Backbone, ancestors, forward, layer_shapes, strides

CANVAS = "canvas"
"""The layer of the pixels themselves, each of which sees some around it."""

ROWS = "rows"
"""The axis of a mesh over which the devices of one picture are: they have its rows, or its windows, among them."""


class Tile(NamedTuple):
    """One window, and the units of each layer that belong to it; arrays, as one program serves all.

    Attributes:
        corner: `[2]`, its first row and column in the picture.
        first: layer → `[2]`, row and column in the layer's map of the window's first unit.
        begin: layer → `[2]`, first row and column, counted from there, of the units that belong to the window.
        end: layer → `[2]`, the row and column after their last.
    """

    corner: Any
    first: dict[str, Any]
    begin: dict[str, Any]
    end: dict[str, Any]

    def own(self, layer: str, shape: Sequence[int]) -> jax.Array:
        """Returns which units of a window's map `[h, w, ...]` belong to it, `[h, w]`."""
        rows, columns = (
            (self.begin[layer][axis] <= place) & (place < self.end[layer][axis])
            for axis, place in enumerate(jnp.arange(length, dtype=jnp.int32) for length in shape[:2])
        )
        return rows[:, None] & columns[None, :]

    def part(self, layer: str, whole: jax.Array, shape: Sequence[int]) -> jax.Array:
        """Returns the units of a whole map `[H, W, C]` that a window with a map `[h, w, ...]` has."""
        return jax.lax.dynamic_slice(whole, (*self.first[layer], np.int32(0)), (*shape[:2], whole.shape[2]))


class Axis(NamedTuple):
    """The windows along rows or along columns.

    Attributes:
        window: size of a window in pixels.
        starts: first pixel of each window, in the picture as it is extended.
        around: pixels by which the picture is extended before and after, for one that repeats itself.
        own: layer → (first unit of each window's own in the whole map, ..., and the one after the last).
    """

    window: int
    starts: tuple[int, ...]
    around: tuple[int, int]
    own: dict[str, tuple[int, ...]]


class Layout(NamedTuple):
    """The windows of a picture.

    Attributes:
        rows: the windows from top to bottom.
        columns: the windows from left to right.
        strides: layer → its stride.
        shapes: layer → shape of its map for the picture as it is extended.
    """

    rows: Axis
    columns: Axis
    strides: dict[str, int]
    shapes: dict[str, tuple[int, int, int]]

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of a window in pixels."""
        return self.rows.window, self.columns.window

    def extent(self, layer: str) -> tuple[int, int]:
        """Returns the numbers of rows and columns of a layer's units, over all windows."""
        rows, columns = self.rows.own[layer], self.columns.own[layer]
        return rows[-1] - rows[0], columns[-1] - columns[0]

    def positions(self, layer: str) -> int:
        """Returns the number of units of a layer, over all windows."""
        return math.prod(self.extent(layer))

    def tiles(self) -> Tile:
        """Returns all windows, with a leading axis in every array."""
        each = [(down, right) for down in range(len(self.rows.starts)) for right in range(len(self.columns.starts))]

        def stacked(value: Callable[[Axis, int], int]) -> np.ndarray:
            pairs = [(value(self.rows, down), value(self.columns, right)) for down, right in each]
            return np.array(pairs, np.int32)

        def by_layer(value: Callable[[Axis, int, str, int], int]) -> dict[str, np.ndarray]:
            def of(layer: str, stride: int) -> np.ndarray:
                return stacked(lambda axis, index: value(axis, index, layer, stride))

            return {layer: of(layer, stride) for layer, stride in self.strides.items()}

        return Tile(
            corner=stacked(lambda axis, index: axis.starts[index]),
            first=by_layer(lambda axis, index, _, stride: axis.starts[index] // stride),
            begin=by_layer(lambda axis, index, at, stride: axis.own[at][index] - axis.starts[index] // stride),
            end=by_layer(lambda axis, index, at, stride: axis.own[at][index + 1] - axis.starts[index] // stride),
        )

    def extend(self, picture: jax.Array) -> jax.Array:
        """Returns a picture `[H, W, 3]` with what is around it, if it repeats itself."""
        around = (self.rows.around, self.columns.around)
        return jnp.pad(picture, (*around, (0, 0)), mode="wrap") if any(map(any, around)) else picture

    def extend_map(self, layer: str, whole: jax.Array) -> jax.Array:
        """Returns the map `[H, W, C]` of a layer with what is around it, if the picture repeats itself."""
        pads = []
        for index, axis in enumerate((self.rows, self.columns)):
            before = axis.around[0] // self.strides[layer]
            pads.append((before, self.shapes[layer][index] - whole.shape[index] - before))
        return jnp.pad(whole, (*pads, (0, 0)), mode="wrap") if any(map(any, pads)) else whole


@functools.lru_cache(64)
def layout(
    backbone: Backbone, layers: tuple[str, ...], shape: tuple[int, int], tile: int, *, around: bool, halo: int = 1
) -> Layout | None:
    """Returns the windows of a picture that have the fewest pixels together; None for one that is a single window.

    Args:
        backbone: the network.
        layers: the layers whose units are counted; each sees a part of the picture (`seeing_all`).
        shape: height and width of the picture in pixels.
        tile: a window has at most as many pixels as a square of this side has with its surroundings; where these are
            most of it, the smallest windows may be larger.
        around: whether the picture repeats itself; then `shape` is a multiple of the stride of every layer.
        halo: how many pixels on each side what is counted at one of the canvas sees.
    """
    if not layers:
        return None
    needed = dataclasses.replace(backbone, rows=ancestors(backbone, layers))
    steps = {CANVAS: 1} | {layer: step for layer, step in strides(needed).items() if layer in layers}
    down, across = (
        _axes(needed, steps, length, tile, axis=axis, around=around, halo=halo) for axis, length in enumerate(shape)
    )
    pairs = [(rows, columns) for rows in down for columns in across]
    most = math.prod(tile + _lacking(needed, steps, halo, axis) for axis in range(len(shape)))
    fitting = [pair for pair in pairs if _area(*pair) <= most] or [min(pairs, key=lambda pair: _area(*pair))]
    rows, columns = min(fitting, key=lambda pair: _area(*pair) * len(pair[0].starts) * len(pair[1].starts))
    if len(rows.starts) == len(columns.starts) == 1:
        return None
    height, width = (length + sum(axis.around) for length, axis in zip(shape, (rows, columns), strict=True))
    shapes = {CANVAS: (height, width, 3)} | layer_shapes(needed, height, width)
    return Layout(rows, columns, steps, {layer: shapes[layer] for layer in steps})


def _area(rows: Axis, columns: Axis) -> int:
    return rows.window * columns.window


def seeing_all(backbone: Backbone, layers: Collection[str]) -> list[str]:
    """Returns those of the layers whose units see the whole picture, so that no part of it has them."""
    return [layer for layer in layers if any(row.windows is None for row in ancestors(backbone, (layer,)))]


class _Units(NamedTuple):
    """Units of a layer along one direction, in a window.

    Attributes:
        length: their number.
        first: the first one that sees nothing beyond the window's beginning.
        end: the one after the last that sees nothing beyond its end.
    """

    length: int
    first: int
    end: int


def _units(backbone: Backbone, window: int, halo: int, axis: int) -> dict[str, _Units]:
    """Returns the units of every layer, `CANVAS` included, along a window in the middle of a picture.

    Args:
        backbone: the network.
        window: length of the window in pixels.
        halo: how many pixels on each side a unit of the canvas sees.
        axis: 0 for units along rows, 1 along columns.
    """

    def step(row: Row, *inputs: _Units) -> _Units:
        assert row.windows is not None, "excluded by seeing_all"
        sees, length = row.windows[axis], inputs[0].length
        before, _ = sees.around(length)
        return _Units(
            sees.count(length),
            max(-(-(units.first + before) // sees.stride) for units in inputs),
            min((units.end - sees.size + before) // sees.stride + 1 for units in inputs),
        )

    return {CANVAS: _Units(window, halo, window - halo)} | forward(backbone, _Units(window, 0, window), step)


def _lacking(backbone: Backbone, steps: dict[str, int], halo: int, axis: int) -> int:
    """Returns by how many pixels a window is larger than what belongs to it, with windows around it."""
    units, stride = _units(backbone, 0, halo, axis), max(steps.values())  # the same for all windows
    return _rounded_up(max(step * (units[layer].first - units[layer].end) for layer, step in steps.items()), stride)


def _axes(
    backbone: Backbone, steps: dict[str, int], length: int, tile: int, *, axis: int, around: bool, halo: int
) -> list[Axis]:
    """Returns the smallest windows that cover a direction of `length` pixels, for each number of them in question.

    Windows that are longer by a multiple of the stride have as many units more in every layer. So the last one ends as
    the picture does, and one evaluation of the table tells about all of them.
    """
    stride = max(steps.values())
    extra = (0, 0)
    if around:
        units = _units(backbone, 0, halo, axis)
        before = max(units[layer].first * step for layer, step in steps.items())
        after = max(-units[layer].end * step for layer, step in steps.items())
        extra = (_rounded_up(before, stride), _rounded_up(after, stride))
    whole = length + sum(extra)
    rest, most = whole % stride, whole // stride
    units = _units(backbone, rest, halo, axis)
    # In strides: what belongs to a window of `rest` pixels, which is less than nothing, and the least that has units.
    own = min(step * (units[layer].end - units[layer].first) for layer, step in steps.items()) // stride
    least = max(1 - own, *(1 - of.length for of in units.values()))

    def divided(count: int) -> Axis | None:
        size = most if count == 1 else max(least, -(-(most - (count - 1) * own) // count))
        if size >= most and count > 1:
            return None
        window, gaps = rest + size * stride, -(-(most - size) // (own + size)) if size < most else 0
        starts = tuple(stride * ((most - size) * index // gaps) for index in range(gaps + 1)) if gaps else (0,)
        belongs = {}
        for layer, step in steps.items():
            last = units[layer].length + most * stride // step
            first, end = (extra[0] // step, (extra[0] + length) // step) if around else (0, last)
            # What surrounds a picture may be more than a window's own part, so that its beginning is in the second one.
            begins = (max(first, start // step + units[layer].first) for start in starts[1:])
            belongs[layer] = (first, *begins, end)
        return Axis(window, starts, extra, belongs)

    counts = range(1, max(2, 2 * length // tile + 2))
    return [found for found in map(divided, counts) if found is not None]


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


Part = Callable[[Any, jax.Array, Tile], Any]
"""(Constants, pixels `[h, w, 3]` of a window, the window) → its part of the sums, a pytree."""


def total(windows: Layout, part: Part, constants: Any, picture: jax.Array, *, mesh: Mesh | None = None) -> Any:
    """Returns the sums over all windows of what a function makes of each.

    The derivative by the picture computes each window again; there is none by the constants.

    Args:
        windows: the windows.
        part: the function, which does not depend on traced values but for its arguments.
        constants: its first argument.
        picture: `[H, W, 3]`.
        mesh: devices among whose `ROWS` the windows are divided; by default they stay where the arguments are.
    """
    return _total(windows, part, mesh, constants, windows.extend(picture))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _total(windows: Layout, part: Part, mesh: Mesh | None, constants: Any, picture: jax.Array) -> Any:
    tile = _single(windows.tiles())
    shapes = jax.eval_shape(part, constants, _pixels(windows, picture, tile), tile)

    def of(tiles: Tile, constants: Any, picture: jax.Array) -> Any:
        def add(sums: Any, tile: Tile) -> tuple[Any, None]:
            found = part(constants, _pixels(windows, picture, tile), tile)
            return jax.tree.map(jnp.add, sums, found), None

        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.scan(add, nothing, tiles)[0]

    return _divided(of, windows, mesh, constants, picture)


def _total_forward(
    windows: Layout, part: Part, mesh: Mesh | None, constants: Any, picture: jax.Array
) -> tuple[Any, Any]:
    return _total(windows, part, mesh, constants, picture), (constants, picture)


def _total_backward(
    windows: Layout, part: Part, mesh: Mesh | None, saved: Any, cotangent: Any
) -> tuple[None, jax.Array]:
    def of(tiles: Tile, constants: Any, picture: jax.Array, cotangent: Any) -> jax.Array:
        def add(gradient: jax.Array, tile: Tile) -> tuple[jax.Array, None]:
            pixels = _pixels(windows, picture, tile)
            _, pull = jax.vjp(lambda pixels: part(constants, pixels, tile), pixels)
            (found,) = pull(cotangent)
            corner = (*tile.corner, np.int32(0))
            before = jax.lax.dynamic_slice(gradient, corner, found.shape)
            return jax.lax.dynamic_update_slice(gradient, before + found, corner), None

        return jax.lax.scan(add, jnp.zeros_like(picture), tiles)[0]

    return None, _divided(of, windows, mesh, *saved, cotangent)


_total.defvjp(_total_forward, _total_backward)


def _divided(of: Callable[..., Any], windows: Layout, mesh: Mesh | None, *arguments: Any) -> Any:
    """Returns the sum of what a function makes of windows, of (`Tile` of some, *arguments), over all of them."""
    tiles = windows.tiles()
    if mesh is None:
        return of(tiles, *arguments)
    missing = -len(tiles.corner) % mesh.shape[ROWS]
    # Windows to which no unit belongs, so that every device has as many.
    padded = jax.tree.map(lambda leaf: np.pad(leaf, ((0, missing), (0, 0))), tiles)
    added = jax.shard_map(
        lambda *own: jax.lax.psum(of(*own), ROWS),
        mesh=mesh,
        in_specs=(PartitionSpec(ROWS), *[PartitionSpec()] * len(arguments)),
        out_specs=PartitionSpec(),
        check_vma=False,  # sums begin with zeros, which are the same on all devices
    )
    return added(padded, *arguments)


def maps(windows: Layout, read: Part, constants: Any, picture: jax.Array) -> dict[str, jax.Array]:
    """Returns maps `[H, W, C]` of the whole picture, of which a function makes layer → map `[h, w, C]` of a window."""
    picture, tiles = windows.extend(picture), windows.tiles()
    shapes = jax.eval_shape(read, constants, _pixels(windows, picture, _single(tiles)), _single(tiles))

    def put(found: dict[str, jax.Array], tile: Tile) -> tuple[dict[str, jax.Array], None]:
        parts = read(constants, _pixels(windows, picture, tile), tile)
        return {layer: insert(layer, found[layer], values, tile) for layer, values in parts.items()}, None

    def insert(layer: str, whole: jax.Array, values: jax.Array, tile: Tile) -> jax.Array:
        own = tile.own(layer, values.shape)[..., None]
        kept = jnp.where(own, values, tile.part(layer, whole, values.shape))
        return jax.lax.dynamic_update_slice(whole, kept, (*tile.first[layer], np.int32(0)))

    nothing = {layer: jnp.zeros(windows.shapes[layer], leaf.dtype) for layer, leaf in shapes.items()}
    whole, _ = jax.lax.scan(put, nothing, tiles)
    rows, columns = windows.rows.own, windows.columns.own
    return {
        layer: values[rows[layer][0] : rows[layer][-1], columns[layer][0] : columns[layer][-1]]
        for layer, values in whole.items()
    }


def _pixels(windows: Layout, picture: jax.Array, tile: Tile) -> jax.Array:
    return jax.lax.dynamic_slice(picture, (*tile.corner, np.int32(0)), (*windows.window, picture.shape[2]))


def _single(tiles: Tile) -> Tile:
    return jax.tree.map(lambda leaf: leaf[0], tiles)
