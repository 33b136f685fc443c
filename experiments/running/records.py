"""The files that a run writes about its losses: losses.csv, losses.png."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nst_jax.history import History
from nst_jax.io.files import atomic_write
from nst_jax.pyramid import Scale
from nst_jax.settings import Settings
from nst_jax.terms import TERMS

from ..plotting.figures import plot

_SHOWN_DOWN_TO = 1e-3
"""Lower end of the plot, as a share of the lowest loss: terms below it do not matter."""


def write_losses(path: Path, history: History, scales: Sequence[Scale] = ()) -> None:
    """Writes one row per step, atomically: the step, the loss, the evaluations, the terms by name.

    Where there are several scales, the last column is the long side of each, which begins with the loss of its start.
    """
    columns = {"step": history.step, "loss": history.loss, "evaluations": history.evaluations, **history.terms}
    if len(scales) > 1:
        sides = np.array([max(scale.shape) for scale in scales])
        columns["scale"] = sides[_scale_of(history)]
    with atomic_write(path, encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def _scale_of(history: History) -> np.ndarray:
    """Returns the index of the scale of each step, `[S]`: each scale begins with the step that ended the one before."""
    return np.cumsum(np.diff(history.step, prepend=-1) <= 0)


def plot_losses(path: Path, history: History, settings: Sequence[Settings]) -> None:
    """Plots the loss and its weighted terms over the steps, atomically; terms with weight 0 are left out.

    Args:
        path: of the plot.
        history: the losses.
        settings: those of each scale, whose weights differ.
    """
    scale_of = _scale_of(history)
    positive = history.loss.min() > 0  # the activation objective is subtracted, so that the loss can be negative
    with plot(path, width=7, height=4.5) as figure:
        axes = figure.add_subplot(xlabel="step", ylabel="loss", yscale="log" if positive else "linear")
        axes.plot(history.step, history.loss, color="black", label="loss")
        for term in [term for term in TERMS if term in history.terms]:
            weights = np.array([TERMS[term].sign * TERMS[term].weight_in(of) for of in settings])[scale_of]
            if weights.any():
                ends = " … ".join(f"{weight:g}" for weight in dict.fromkeys(weights[[0, -1]].tolist()))
                axes.plot(history.step, weights * history.terms[term], label=f"{term.replace('_', ' ')} × {ends}")
        # The content loss of a run that starts from the content image is next to nothing at first.
        axes.set_ylim(bottom=history.loss.min() * _SHOWN_DOWN_TO if positive else None)
        axes.legend(frameon=False)
        axes.grid(visible=True, which="both", alpha=0.2)
