"""A run whose picture has not changed, and why."""

from typing import Any

import jax
import numpy as np

from nst_jax.optimize import State

_VISIBLE = 0.5 / 255
"""The least change of a value that can show in a picture of 8 bits."""


def standstill(start: np.ndarray, picture: np.ndarray, state: State) -> str | None:
    """Returns what to tell of a run that ended where it began; None if it did not.

    Args:
        start: the picture before the first step, `[H, W, 3]` in [0, 1]; one of a coarser scale is no place to end.
        picture: the picture after the last one.
        state: the last state, of this run alone or of a batch of one.
    """
    if start.shape != picture.shape or not np.abs(picture - start).max() < _VISIBLE:
        return None
    with np.errstate(over="ignore", under="ignore"):
        squares = sum(float(np.sum(np.square(leaf), dtype=np.float32)) for leaf in _leaves(state.evaluation.gradient))
    if not any(leaf.any() for leaf in _leaves(state.evaluation.gradient)):
        why = "the gradient of the loss is 0: nothing pulls at it; give a term a weight, or start from another image"
    elif not np.isfinite(squares):
        why = "the gradient of the loss is so large that its square is beyond single precision; lower the weights"
    elif squares == 0:
        why = "the gradient of the loss is so small that its square is 0 in single precision; raise the weights"
    else:
        why = "the steps are too short to show, or none lowered the loss; raise learning_rate or steps"
    return f"the picture is as it was before the first step: {why}"


def _leaves(tree: Any) -> list[np.ndarray]:
    return jax.tree.leaves(jax.device_get(tree))
