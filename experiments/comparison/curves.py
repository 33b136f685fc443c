"""The losses of several networks in one plot."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..plotting.figures import plot


def plot_curves(path: Path, files: Mapping[str, Path]) -> None:
    """Plots the loss of each network over the share of its steps, as a PNG, atomically.

    Losses of different networks are different errors, so each is a share of its own first one at the finest scale,
    which alone is shown.

    Args:
        path: the plot.
        files: network → the losses.csv of its picture; those that cannot be read are left out.

    Raises:
        UserError: it cannot be written.
    """
    curves = {name: found for name, file in files.items() if (found := _losses(file)) is not None}
    with plot(path, width=8, height=4.5) as figure:
        axes = figure.add_subplot(
            xlabel="steps at the finest scale, as a share of all there",
            ylabel="loss, as a share of the first",
            yscale="log",
        )
        for name, losses in curves.items():
            axes.plot(np.linspace(0, 1, len(losses)), losses / losses[0], label=name)
        if curves:
            axes.legend(loc="upper right", frameon=False, ncols=2 if len(curves) > 6 else 1, fontsize="small")
        axes.grid(visible=True, which="both", alpha=0.2)


def _losses(file: Path) -> np.ndarray | None:
    """Returns the losses of the last scale of a run, `[S]`; None if the file is none of ours or has none above 0."""
    try:
        with file.open(encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
        last = [row for row in rows if row.get("scale") == rows[-1].get("scale")]
        losses = np.array([float(row["loss"]) for row in last])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return losses if len(losses) > 1 and np.isfinite(losses).all() and losses.min() > 0 else None
