"""The losses of a training: kept for its checkpoints, written as a table, drawn as curves."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from nst_jax.errors import UserError
from nst_jax.io.files import atomic_write
from nst_jax.objective import Weights
from nst_jax.terms import TERMS

from ..plotting.figures import plot

_OF_STYLES = "styles"
_SMOOTHED = 50
"""About how many points a curve of means over steps has at least."""


class Losses:
    """The losses of all steps so far.

    Attributes:
        columns: name → `[S]`, one number a step: the loss, the terms, and the moving average of every style.
    """

    def __init__(
        self, terms: Iterable[str], styles: Sequence[str], columns: Sequence[np.ndarray] | None = None
    ) -> None:
        """Takes the terms, the names of the styles, and the columns that a checkpoint had."""
        self._styles = styles
        names = ["loss", *(name for name in TERMS if name in terms), *(f"style/{name}" for name in styles)]
        columns = [np.zeros(0, np.float32)] * len(names) if columns is None else columns
        self.columns = dict(zip(names, columns, strict=True))

    def __len__(self) -> int:
        return len(self.columns["loss"])

    def add(self, steps: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Adds steps.

        Raises:
            UserError: a loss is not a number; then what is before it is added.
        """
        for found in steps:
            row = {
                **{name: found[name] for name in self.columns if "/" not in name},
                **{f"style/{name}": found[_OF_STYLES][index] for index, name in enumerate(self._styles)},
            }
            if bad := next((name for name, value in row.items() if not np.isfinite(value)), None):
                raise UserError(
                    f"step {len(self) + 1}: expected numbers, the {bad} is {row[bad]}; lower --learning_rate or "
                    "weights, in another --workdir"
                )
            self.columns = {name: np.append(values, np.float32(row[name])) for name, values in self.columns.items()}

    def last(self) -> dict[str, float]:
        """Returns the newest losses, each the mean over the last tenth of the steps, as single ones vary."""
        count = max(1, len(self) // 10)
        return {name: float(values[-count:].mean()) for name, values in self.columns.items()} if len(self) else {}

    def write(self, path: Path) -> None:
        """Writes one row per step, atomically."""
        with atomic_write(path, encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["step", *self.columns])
            rows = zip(*(values.tolist() for values in self.columns.values()), strict=True)
            writer.writerows([step, *row] for step, row in enumerate(rows, 1))

    def draw(self, path: Path, weights: Weights) -> None:
        """Draws loss, weighted terms and the error of every style, as means over neighbouring steps."""
        width = max(1, len(self) // (2 * _SMOOTHED))
        count = len(self) // width
        at = (np.arange(count) + 0.5) * width
        means = {
            name: values[: count * width].reshape(count, width).mean(axis=1) for name, values in self.columns.items()
        }
        with plot(path, width=10, height=4.5) as figure:
            left, right = figure.subplots(1, 2)
            left.plot(at, means["loss"], color="black", label="loss")
            for term in (name for name in self.columns if name in TERMS):
                weight = float(weights.terms.get(term, 0.0))
                if weight and means[term].any():
                    left.plot(at, weight * means[term], label=f"{term.replace('_', ' ')} × {weight:g}")
            for name in self._styles:
                right.plot(at, means[f"style/{name}"], label=name)
            for axes, title in ((left, "loss"), (right, "style error, moving average")):
                axes.set(xlabel="step", ylabel=title, yscale="log")
                axes.legend(frameon=False)
                axes.grid(visible=True, which="both", alpha=0.2)
