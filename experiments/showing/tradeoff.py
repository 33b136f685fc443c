"""The trade-off between content and style in a sweep: both losses of every cell, and the Pareto front."""

import json
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nst_jax.errors import one_line
from nst_jax.terms import CONTENT, STYLE

from ..plotting.figures import plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LABELS = 40
_MOST_COLOURS = 10  # that can be distinguished, and that the colour cycle has
_GREY = "0.55"
_LINE = 24  # characters
_LINES_OF_LEGEND = 4  # of each value
_MARKER = 5  # pixels around a point
_REACHES = (5, 12, 20)  # pixels from a point to its label
_SIDES = np.array([(1, 1), (-1, -1), (1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, 1)])  # the best first
# Losses measure the distance to content, style and blend of a cell, with the help of the others.
_MEASURES = ("backbone", "margin", "padding", "pooling", "size", "weights_sha256")
_MEASURED = (CONTENT, STYLE, "blend")  # and all settings whose names start like this, except weights
_WEIGHTS = ("content_weight", "style_weight")


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Finds the Pareto front: no other point is lower in one coordinate and not higher in the other.

    Equal points are on the front together or not at all; points that are not finite never are, and hide no others.

    Args:
        points: [N, 2], any range.

    Returns:
        int [F], indices of the points on the front, by ascending first (hence descending second) coordinate, then by
        index.
    """
    (candidates,) = np.nonzero(np.isfinite(points).all(axis=1))
    if not candidates.size:
        return candidates
    first, second = points[candidates].T
    values, which = np.unique(first, return_inverse=True)
    lowest = np.full(values.shape, np.inf)
    np.minimum.at(lowest, which, second)
    before = np.concatenate([[np.inf], np.minimum.accumulate(lowest)[:-1]])  # the lowest of smaller first coordinates
    front = candidates[(second == lowest[which]) & (second < before[which])]
    return front[np.argsort(points[front, 0], kind="stable")]


def plot_tradeoff(path: Path, manifest: Mapping[str, Any]) -> None:
    """Plots style loss over content loss of every finished cell as a PNG, atomically; nothing if no cell is finished.

    A step line leads through the Pareto front of all cells whose losses can be compared: those with equal content,
    style, blend, layers, formulas, network and size. The colour shows the value of the first axis; up to 40 points are
    labelled with the values of the others. Losses that are 0 or not finite have no place on logarithmic axes; a note
    has their number.

    Args:
        path: the file to write.
        manifest: the sweep: `title`, `axes`, `rows`, `cols`, `cells`.

    Raises:
        UserError: it cannot be written.
    """
    finished = [cell for cell in manifest["cells"] if cell["status"] == "finished" and cell["losses"] is not None]
    losses = np.array([[cell["losses"][name] for name in (CONTENT, STYLE)] for cell in finished], float).reshape(-1, 2)
    drawn = (np.isfinite(losses) & (losses > 0)).all(axis=1)
    points, cells = losses[drawn], [cell for cell, is_drawn in zip(finished, drawn, strict=True) if is_drawn]
    if not cells:
        return
    values = {axis["name"]: axis["values"] for axis in manifest["axes"]}
    coloured = next(iter([*manifest["rows"], *manifest["cols"]]), "")
    few = len(cells) <= _MOST_LABELS
    others = [name for name in values if name != coloured and len(values[name]) > 1]
    labelled = (others or [*values][:1]) if few else []
    notes = [f"labels: {', '.join(map(_plain, labelled))}"] if labelled else []
    if len(cells) < len(finished):
        notes.append(f"not drawn, as a loss is 0 or not finite: {len(finished) - len(cells)}")
    with plot(path, width=7, height=5) as figure, warnings.catch_warnings(action="ignore", category=UserWarning):
        # Names may have glyphs that fonts lack, of which Matplotlib warns.
        axes = figure.add_subplot(xlabel="content loss", ylabel="style loss", xscale="log", yscale="log")
        axes.grid(visible=True, which="both", alpha=0.2)
        indices = np.array([_place(cell, values).get(coloured, 0) for cell in cells])
        colours = _colours(indices, len(values.get(coloured, [""])))
        steps = _draw_fronts(axes, points, cells, colours)
        x, y = points.T
        axes.scatter(x, y, c=colours, s=28 if few else 14, edgecolors="white", linewidths=0.6, zorder=3)
        if coloured:
            _explain_colours(figure, axes, coloured, values[coloured])
        figure.suptitle(_plain(manifest["title"], 80))
        axes.set_title("; ".join(notes), loc="left", fontsize=8, color=_GREY)
        if labelled:
            places = [_place(cell, values) for cell in cells]
            texts = [", ".join(_plain(values[name][place[name]]) for name in labelled) for place in places]
            _label(figure, axes, points, texts, colours=colours, lines=steps)


def _place(cell: Mapping[str, Any], names: Iterable[str]) -> dict[str, int]:
    return dict(zip(names, cell["place"], strict=True))


def _plain(text: str, longest: int = _LINE) -> str:
    """Returns a text that Matplotlib takes literally, not as mathematics."""
    return one_line(text, longest=longest).replace("$", r"\$")


def _wrapped(text: str) -> str:
    """Returns a text in lines for the legend, as `_plain` has each."""
    lines = textwrap.wrap(one_line(text, longest=_LINES_OF_LEGEND * _LINE), _LINE)
    return "\n".join(map(_plain, lines))


def _colours(indices: np.ndarray, count: int) -> np.ndarray:
    """Returns [N, 4] RGBA for indices [N] below `count`."""
    import matplotlib as mpl  # inside of `plot`, which imports it as it should be
    from matplotlib.colors import Normalize

    if count <= _MOST_COLOURS:
        return mpl.colormaps["tab10"](indices)
    return mpl.colormaps["viridis"](Normalize(0, count - 1)(indices))


def _explain_colours(figure: "Figure", axes: "Axes", name: str, values: Sequence[str]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.lines import Line2D

    if len(values) > _MOST_COLOURS:
        mappable = ScalarMappable(Normalize(0, len(values) - 1), "viridis")
        ticks = np.unique(np.linspace(0, len(values) - 1, 6).round().astype(int))
        bar = figure.colorbar(mappable, ax=axes, label=_plain(name))
        bar.set_ticks(ticks.tolist(), labels=[_plain(values[tick]) for tick in ticks])
        return
    colours = _colours(np.arange(len(values)), len(values))
    handles = [Line2D([], [], color=colour, marker="o", markersize=5, linestyle="") for colour in colours]
    # Beside the axes, where it covers no point, and in lines, so that long values are not cut off.
    labels = map(str, range(len(values)))
    legend = axes.legend(handles, labels, title=_plain(name), loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    legend.set_alignment("left")
    for text, value in zip(legend.get_texts(), values, strict=True):
        text.set_text(_wrapped(value))  # given as labels, those that begin with _ would be left out


def _draw_fronts(
    axes: "Axes", points: np.ndarray, cells: Sequence[Mapping[str, Any]], colours: np.ndarray
) -> np.ndarray:
    """Draws a line for each group of comparable cells; returns its segments [M, 4]: left, bottom, right, top."""
    groups, segments = defaultdict(list), []
    for index, cell in enumerate(cells):
        groups[_comparable(cell["settings"])].append(index)
    for group in map(np.array, groups.values()):
        front = group[pareto_front(points[group])]
        uniform = (colours[group] == colours[group[0]]).all()
        x, y = points[front].T
        segments += [*zip(x[:-1], y[:-1], x[1:], y[:-1], strict=True), *zip(x[1:], y[1:], x[1:], y[:-1], strict=True)]
        axes.step(x, y, where="post", color=colours[group[0]] if uniform else _GREY, linewidth=1.2)
    return np.array(segments).reshape(-1, 4)


def _comparable(settings: Mapping[str, Any]) -> str:
    """Returns a key that is equal for cells whose losses measure the same."""
    names = (name for name in settings if name in _MEASURES or (name.startswith(_MEASURED) and name not in _WEIGHTS))
    return json.dumps({name: settings[name] for name in names}, sort_keys=True)


def _label(
    figure: "Figure", axes: "Axes", points: np.ndarray, texts: Sequence[str], *, colours: np.ndarray, lines: np.ndarray
) -> None:
    """Puts a label beside each point, where it covers least of points, lines and earlier labels, and is on the axes."""
    figure.draw_without_rendering()  # otherwise positions would not be known yet
    frame = np.array(axes.get_window_extent().extents)
    centres = axes.transData.transform(points)
    segments = axes.transData.transform(lines.reshape(-1, 2)).reshape(-1, 4) + np.array([-1, -1, 1, 1])
    taken = np.vstack([segments, np.hstack([centres - _MARKER, centres + _MARKER])])
    for centre, text, colour in zip(centres, texts, colours, strict=True):
        label = axes.annotate(text, (0, 0), xycoords="figure pixels", fontsize=8, in_layout=False)
        label.set_color(0.7 * colour[:3])  # darker, as thin strokes look paler than dots
        extent = label.get_window_extent()
        size = np.array([extent.width, extent.height])
        corners = centre + [(side * (size / 2 + reach) - size / 2) for reach in _REACHES for side in _SIDES]
        boxes = np.hstack([corners, corners + size])
        covered = _overlap(boxes[:, None], taken).sum(axis=1) + size.prod() - _overlap(boxes, frame)
        best = boxes[covered.round().argmin()]  # the first of the best; rounding errors make none better
        taken = np.vstack([taken, best])
        label.set(position=(best[:2] - centre) * 72 / figure.dpi)
        x, y = axes.transData.inverted().transform(centre)
        label.xy, label.xycoords, label.anncoords = (x, y), "data", "offset points"


def _overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the areas that boxes [..., 4] share with others."""
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    return np.maximum(high - low, 0).prod(axis=-1)
