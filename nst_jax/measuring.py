"""What a picture has of each statistic: as a whole or region by region, at once or added up tile by tile."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from nst_jax import statistics, tiling
from nst_jax.losses import Term
from nst_jax.terms import CANVAS, TERMS

Positions = Mapping[str, jax.Array]
"""Layer → the share of each of its positions in the statistics of each region, `[h, w, R]`; none without regions."""

Read = Callable[[Any, jax.Array, Mapping[str, Callable[[jax.Array], Any]]], dict[str, Any]]
"""(Parameters, pixels `[h, w, 3]`, layer → a function of its map) → layer → what that returns."""


def measured(formula: Term, values: jax.Array, positions: jax.Array | None) -> Any:
    """Returns the statistic of a map `[h, w, C]`, with positions `[h, w, R]` that of each region, `[R, ...]`.

    One region after the other: all at once, each would have a copy of the map.
    """
    if positions is None:
        return formula.statistic(values)
    return jax.lax.map(lambda own: formula.statistic(values, own), jnp.moveaxis(positions, -1, 0))


def in_tiles(
    windows: tiling.Layout,
    read_layers: Read,
    formulas: Mapping[str, Term],
    params: Any,
    image: jax.Array,
    targets: Mapping[str, Mapping[str, Any]],
    positions: Positions,
    *,
    mesh: Mesh | None,
) -> dict[str, dict[str, Any]]:
    """Returns the means of statistics over positions, and the sums of the values of errors that are sums.

    Args:
        windows: the windows of the image.
        read_layers: reads the layers of a window.
        formulas: term → formula.
        params: parameters of the backbone.
        image: `[H, W, 3]`.
        targets: layer → term → target of an error that is a sum over positions, else None.
        positions: those of each region, for blended terms.
        mesh: devices among which the windows are divided; see `tiling.total`.

    Returns:
        Layer → term → mean or sum.
    """

    def is_map(formula: Term) -> bool:
        return formula.sum is not None and formula.sum.maps

    extended = {
        layer: {
            term: windows.extend_map(layer, target) if is_map(formulas[term]) else target for term, target in of.items()
        }
        for layer, of in targets.items()
    }
    spread = {layer: windows.extend_map(layer, of) for layer, of in positions.items() if layer in targets}

    def part(constants: Any, pixels: jax.Array, tile: tiling.Tile) -> dict[str, dict[str, Any]]:
        params, whole, regions = constants

        def read(layer: str, values: jax.Array) -> dict[str, Any]:
            own = tile.own(layer, values.shape)

            def of(term: str, target: Any) -> Any:
                by_sum = formulas[term].sum
                if by_sum is None and TERMS[term].blended and layer in regions:
                    within = tile.part(layer, regions[layer], values.shape)
                    return measured(formulas[term], values, jnp.where(own[..., None], within, 0))
                if by_sum is None:
                    return share(formulas[term], values, own, windows.positions(layer))
                if by_sum.maps:
                    target = tile.part(layer, target, values.shape)
                each = by_sum.value(statistics.activations(values), target)
                return jax.tree.map(lambda found: jnp.sum(jnp.where(own, found, 0)), each)

            return {term: of(term, target) for term, target in whole[layer].items()}

        readers = {layer: functools.partial(read, layer) for layer in whole}
        on_canvas = {CANVAS: readers.pop(CANVAS)(pixels)} if CANVAS in readers else {}
        return (read_layers(params, pixels, readers) if readers else {}) | on_canvas

    return tiling.total(windows, part, (params, extended, spread), image, mesh=mesh)


def share(formula: Term, values: jax.Array, own: jax.Array, positions: int) -> Any:
    """Returns the share that some positions of a map have in the mean over all positions of a picture.

    Args:
        formula: whose statistic is a mean over positions.
        values: the map, `[h, w, C]`.
        own: the positions, `[h, w]`.
        positions: number of positions of the picture.
    """
    kept = formula.statistic(jnp.where(own[..., None], values, 0))
    blank = formula.statistic(jnp.zeros((1, 1, values.shape[-1]), values.dtype))
    others = jnp.sum(~own, dtype=jnp.int32)
    return jax.tree.map(
        lambda all_, none: (all_ * own.size - none * others.astype(none.dtype)) / positions, kept, blank
    )
