"""Parts of a sweep that is too large for one sheet and one page: each a grid of its own, cut along the axes."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MOST = 1000
"""Cells of a page and of a sheet: a browser opens their pictures in a second, and a tile is as wide as a thumbnail."""

_WIDEST = 40
"""Columns of a part: more are cut as well, as tiles on a sheet of a single row would be specks."""


def parts(manifest: Mapping[str, Any], most: int = MOST) -> list[dict[str, Any]]:
    """Returns the manifest of each part; the whole one where all cells fit.

    Outer axes are cut before inner ones, so that parts are what one would see on a long sheet from one scroll to the
    next.

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
    across = [names.index(name) for name in manifest["cols"]]
    down = [names.index(name) for name in manifest["rows"]]
    down += [axis for axis in range(len(axes)) if axis not in (*across, *down)]
    lengths = [len(axis["values"]) for axis in axes]
    columns, rows = (math.prod(lengths[axis] for axis in list_) for list_ in (across, down))
    width = min(columns, max(_WIDEST, most // rows), most)
    lefts, tops = (
        _cuts([lengths[axis] for axis in across], width),
        _cuts([lengths[axis] for axis in down], most // width),
    )
    column_of, row_of = _places(lefts), _places(tops)
    found: list[list[Mapping[str, Any]]] = [[] for _ in range(len(tops) * len(lefts))]
    for cell in cells:
        top, left = (tuple(cell["place"][axis] for axis in list_) for list_ in (down, across))
        found[row_of[top] * len(lefts) + column_of[left]].append(cell)
    divided = []
    for (top, left), own in zip(itertools.product(tops, lefts), found, strict=True):
        cuts = dict(zip([*down, *across], [*top, *left], strict=True))
        divided.append(_part(manifest, [cuts[axis] for axis in range(len(axes))], own))
    return [part for part in divided if part["cells"]]


def numbered(path: Path, part: int) -> Path:
    """Returns the file of a part, counted from 0: `index.html`, `index-2.html`, ..."""
    return path if part == 0 else path.with_name(f"{path.stem}-{part + 1}{path.suffix}")


def _cuts(lengths: Sequence[int], most: int) -> list[tuple[range, ...]]:
    """Returns the values that each part has of each axis, the outermost first, for parts of so many combinations."""
    if not lengths:
        return [()]
    length, *others = lengths
    count = math.ceil(length / max(1, most // math.prod(others)))
    own = [range(length * part // count, length * (part + 1) // count) for part in range(count)]
    return [(values, *rest) for values in own for rest in _cuts(others, max(1, most // len(values)))]


def _places(divided: Sequence[tuple[range, ...]]) -> dict[tuple[int, ...], int]:
    """Returns the number of the part that each combination of values is in."""
    return {place: number for number, part in enumerate(divided) for place in itertools.product(*part)}


def _part(manifest: Mapping[str, Any], cuts: Sequence[range], cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the manifest of the part that has these values of each axis."""
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
