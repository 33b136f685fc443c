"""Trade-off curves: style error against content error along one axis of a sweep, a line for each value of the others.

The losses of cells are compared as they are, which says something where formulas, layers, network and size are the
same. A single pair of images says little, so that there is a panel for each.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax.errors import choose, one_line

from ..cli.transfer_flags import CONTENT, STYLE  # as the losses towards these images are called, too
from ..plotting.figures import plot

_ACROSS = 3
"""Panels in a row."""

_SIDE = 3.6
"""Of a panel, in inches."""

_TICKS = 5
_POINTS = 65
"""At which two curves are compared."""


class Curve(NamedTuple):
    """A line of the plot.

    Attributes:
        panel: the pair of images.
        label: the values of the other axes.
        values: those along the curve.
        content: `[N]`, the content error at each.
        style: `[N]`, the style error.
    """

    panel: str
    label: str
    values: tuple[str, ...]
    content: np.ndarray
    style: np.ndarray


def curves(manifest: Mapping[str, Any], along: str, *, name: str) -> list[Curve]:
    """Returns the curves of a sweep; cells that are not finished, or have a loss that is 0 or not finite, are no part.

    Args:
        manifest: the sweep: `axes`, `cells`.
        along: name of the axis along which a curve goes.
        name: what a curve is called where there is no other axis.

    Raises:
        UserError: the sweep has no such axis.
    """
    axes = {str(axis["name"]): [str(value) for value in axis["values"]] for axis in manifest["axes"]}
    choose(along, axes, what=f"axis of {name}")
    found: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    for cell in manifest["cells"]:
        if cell["status"] != "finished":
            continue
        errors = float(cell["losses"][CONTENT]), float(cell["losses"][STYLE])
        if not all(0 < error < math.inf for error in errors):
            continue
        values = {axis: axes[axis][at] for axis, at in zip(axes, cell["place"], strict=True)}
        others = [f"{axis} {value}" for axis, value in values.items() if axis not in (along, CONTENT, STYLE)]
        panel = ", ".join(Path(str(cell["settings"][image])).stem for image in (CONTENT, STYLE))
        found.setdefault((panel, ", ".join(others) or name), {})[values[along]] = errors
    return [Curve(panel, label, tuple(of), *np.array(list(of.values())).T) for (panel, label), of in found.items()]


def ratio(one: Curve, other: Curve) -> float | None:
    """Returns the style error of the other curve as a multiple of that of one, at equal content error.

    That is the geometric mean over the content errors that both have, between whose points errors follow power laws;
    None if they share none.
    """
    least, most = max(one.content.min(), other.content.min()), min(one.content.max(), other.content.max())
    if least >= most:
        return None
    at = np.linspace(math.log(least), math.log(most), _POINTS)

    def style(curve: Curve) -> np.ndarray:
        order = np.argsort(curve.content)
        return np.interp(at, np.log(curve.content[order]), np.log(curve.style[order]))

    return float(np.exp(np.mean(style(other) - style(one))))


def plot_curves(path: Path, found: Sequence[Curve], along: str) -> None:
    """Plots curves as a PNG, atomically, a panel for each pair of images.

    Args:
        path: the file to write.
        found: one or more curves.
        along: the name of the axis along which they go.

    Raises:
        UserError: it cannot be written.
    """
    panels = list(dict.fromkeys(curve.panel for curve in found))
    colours = {label: f"C{index % 10}" for index, label in enumerate(dict.fromkeys(curve.label for curve in found))}
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    with plot(path, width=_SIDE * across, height=_SIDE * down) as figure:
        from matplotlib.ticker import MaxNLocator, NullLocator  # inside of `plot`, which imports it as it should be

        for index, panel in enumerate(panels):
            axes = figure.add_subplot(down, across, index + 1, xscale="log", yscale="log")
            axes.set(xlabel="content error", ylabel="style error")
            axes.set_title(_plain(panel), fontsize=9)
            for axis in (axes.xaxis, axes.yaxis):  # mostly less than a decade, of which the powers of 10 say nothing
                axis.set_major_locator(MaxNLocator(_TICKS))
                axis.set_major_formatter("{x:.3g}")
                axis.set_minor_locator(NullLocator())
            axes.grid(visible=True, alpha=0.2)
            for curve in (curve for curve in found if curve.panel == panel):
                order = np.argsort(curve.content)
                (line,) = axes.plot(curve.content[order], curve.style[order], "o-", markersize=4)
                line.set(color=colours[curve.label], label=_plain(curve.label))
                for value, content, style in zip(curve.values, curve.content, curve.style, strict=True):
                    axes.annotate(_plain(value), (content, style), (3, 3), textcoords="offset points", fontsize=6)
            axes.legend(fontsize=7, frameon=False)
        figure.suptitle(f"along {_plain(along)}", fontsize=9)


def _plain(text: str) -> str:
    """Returns a text that Matplotlib takes literally, not as mathematics; one that begins with _ would be left out."""
    return one_line(text, longest=48).replace("$", r"\$").lstrip("_")
