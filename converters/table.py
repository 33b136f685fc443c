"""Tables of tensors as lines of text."""

from collections.abc import Sequence

import numpy as np


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the rows as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def spans(values: np.ndarray) -> tuple[str, str]:
    """Returns the smallest and the largest value as text; a dash if there are no numbers."""
    if values.size == 0 or values.dtype.kind not in "biuf":
        return ("–", "–")
    return (f"{values.min():.4g}", f"{values.max():.4g}")
