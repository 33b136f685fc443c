"""The minimum error boundary cut: the seam along which two overlapping blocks differ least.

Efros & Freeman, "Image Quilting for Texture Synthesis and Transfer", SIGGRAPH 2001, section 2.1.
"""

import itertools

import numpy as np


def boundary_cut(errors: np.ndarray) -> np.ndarray:
    """Returns the path of least error from top to bottom: one column per row, at most one away from the one above.

    By dynamic programming: Eᵢⱼ = eᵢⱼ + min(Eᵢ₋₁,ⱼ₋₁, Eᵢ₋₁,ⱼ, Eᵢ₋₁,ⱼ₊₁).

    Args:
        errors: `[H, W]`, the cost of joining two blocks at each pixel.

    Returns:
        The columns, `[H]`.
    """
    height, width = errors.shape
    least = np.full((height, width + 2), np.inf)  # no path leaves the overlap
    least[:, 1:-1] = errors
    for above, row in itertools.pairwise(least):
        row[1:-1] += np.minimum(np.minimum(above[:-2], above[1:-1]), above[2:])
    column = int(np.argmin(least[-1]))
    path = [column]
    for row in least[-2::-1]:
        column += int(np.argmin(row[column - 1 : column + 2])) - 1
        path.append(column)
    return np.array(path[::-1]) - 1


def new_pixels(differences: np.ndarray, overlap: int, *, above: bool, left: bool) -> np.ndarray:
    """Returns the pixels of a block that replace those beneath: below the upper cut and right of the left one.

    Args:
        differences: squared differences between the block and the pixels beneath, `[patch, patch]`.
        overlap: overlap with its neighbours, in pixels.
        above: whether it has a neighbour above.
        left: whether it has a neighbour to the left.

    Returns:
        bool `[patch, patch]`.
    """
    new = np.ones(differences.shape, bool)
    if left:
        new[:, :overlap] &= np.arange(overlap) >= boundary_cut(differences[:, :overlap])[:, None]
    if above:
        new[:overlap] &= np.arange(overlap)[:, None] >= boundary_cut(differences[:overlap].T)
    return new
