"""Tensors as lines of text for people."""

from collections.abc import Sequence

import numpy as np


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the rows as lines in which the columns stand below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def spans(values: np.ndarray) -> tuple[str, str]:
    """Returns the smallest and the largest value; of NaN the word, of nothing and of no numbers a dash."""
    if values.size == 0 or values.dtype.kind not in "biuf":
        return ("–", "–")
    return (f"{values.min():.4g}", f"{values.max():.4g}")
