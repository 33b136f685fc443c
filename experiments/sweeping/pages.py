"""Parts of a sweep that is too large for one sheet and one page: each a grid of its own, cut along the axes."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MOST = 1000
"""Cells of a page and of a sheet: a browser opens their pictures in a second, and a tile is as wide as a thumbnail."""

_Cells = Sequence[Mapping[str, Any]]


class _Cut(NamedTuple):
    """What a part has of an axis.

    Attributes:
        start: the first value.
        stop: the one after the last.
    """

    start: int
    stop: int


def parts(manifest: Mapping[str, Any], most: int = MOST) -> list[dict[str, Any]]:
    """Returns the manifest of each part; the whole one where all cells fit.

    The axes that go from top to bottom are cut first, the outermost before the others, so that parts are what one would
    see on a long sheet from one scroll to the next.

    Args:
        manifest: the sweep: `axes`, `rows`, `cells` and whatever else there is.
        most: number of cells of a part.

    Returns:
        The parts, in the order of the rows; each has a `label` that says which values it has, empty if it is the whole.
    """
    axes, cells = manifest["axes"], manifest["cells"]
    if len(cells) <= most:
        return [{**manifest, "label": ""}]
    if all(cell.get("at") is not None for cell in cells):  # at free positions, which know no axes
        count = math.ceil(len(cells) / most)
        bounds = [len(cells) * part // count for part in range(count + 1)]
        return [
            {**manifest, "cells": cells[start:stop], "label": f"cells {start + 1} to {stop}"}
            for start, stop in itertools.pairwise(bounds)
        ]
    names = [axis["name"] for axis in axes]
    inner = set(manifest["cols"])
    order = sorted(range(len(axes)), key=lambda axis: (names[axis] in inner, names[axis] not in manifest["rows"], axis))
    whole = [_Cut(0, len(axis["values"])) for axis in axes]
    return [_part(manifest, cuts, found) for cuts, found in _divided(cells, whole, order, most)]


def numbered(path: Path, part: int) -> Path:
    """Returns the file of a part, counted from 0: `index.html`, `index-2.html`, ..."""
    return path if part == 0 else path.with_name(f"{path.stem}-{part + 1}{path.suffix}")


def _divided(cells: _Cells, cuts: list[_Cut], order: list[int], most: int) -> list[tuple[list[_Cut], _Cells]]:
    if len(cells) <= most or not order:
        return [(cuts, cells)]
    axis, *others = order
    values = cuts[axis].stop - cuts[axis].start
    inner = math.prod(cuts[other].stop - cuts[other].start for other in others)
    count = math.ceil(values / max(1, most // inner))
    bounds = [values * part // count for part in range(count + 1)]
    part_of = [part for part in range(count) for _ in range(bounds[part], bounds[part + 1])]
    found: list[list[Mapping[str, Any]]] = [[] for _ in range(count)]
    for cell in cells:
        found[part_of[cell["place"][axis]]].append(cell)
    divided = []
    for part, own in enumerate(found):
        cut = [*cuts]
        cut[axis] = _Cut(bounds[part], bounds[part + 1])
        divided += _divided(own, cut, others, most)
    return divided


def _part(manifest: Mapping[str, Any], cuts: Sequence[_Cut], cells: _Cells) -> dict[str, Any]:
    axes, said = [], []
    for axis, cut in zip(manifest["axes"], cuts, strict=True):
        values = axis["values"][cut.start : cut.stop]
        axes.append({**axis, "values": values})
        if len(values) < len(axis["values"]):
            said.append(f"{axis['name']} {values[0]}" + (f" to {values[-1]}" if len(values) > 1 else ""))
    starts = [cut.start for cut in cuts]
    moved = [
        {**cell, "place": [value - start for value, start in zip(cell["place"], starts, strict=True)]} for cell in cells
    ]
    return {**manifest, "axes": axes, "cells": moved, "label": " · ".join(said)}
