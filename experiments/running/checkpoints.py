"""Checkpoints of a run: the state of the optimiser, the history of losses, and the identity of the run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nst_jax import optimize
from nst_jax.history import History
from nst_jax.memory import OPEN

from .checkpoint_files import CheckpointFiles
from .checkpoint_files import DamagedError as DamagedError


class Restored(NamedTuple):
    """The content of a checkpoint, on the host.

    Attributes:
        state: the state.
        history: the losses up to it.
        scale: index of the scale that the state is of.
    """

    state: optimize.State
    history: History
    scale: int = 0


class Checkpoints:
    """The checkpoints in a folder, all of the run with a given identity."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], chosen: Mapping[str, Any] | None = None) -> None:
        """Takes the folder, the identity of the run, and the options that it chose by the free memory."""
        self._files = CheckpointFiles(folder, identity, chosen)

    def clear(self) -> int | None:
        """Removes the checkpoints of an earlier run, see `CheckpointFiles.clear`."""
        return self._files.clear()

    def save(self, state: optimize.State, history: History) -> None:
        """Writes a checkpoint, unless there is one of the same step.

        Raises:
            UserError: it cannot be written.
        """
        self._files.save(int(jax.device_get(state.step)), lambda: jax.device_get(jax.tree.leaves((state, history))))

    def restore(self, shapes: Callable[[int], Iterable[tuple[int, optimize.State]]]) -> Restored | None:
        """Returns the newest checkpoint that can be read, None if there are no checkpoints.

        Args:
            shapes: number of a step → the scales in which the run may be then, each with the shapes of its state.

        Raises:
            DamagedError: none of them can be read.
            UserError: they are from a run with other settings.
        """
        return self._files.restore(lambda step, leaves: _restored(leaves, shapes(step)))

    def chosen(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what a run that goes on from the newest checkpoint takes for options that are left open.

        With other tiles, say, the last bits of its picture would be others.

        Args:
            asked: the options that `memory.settled` chooses, as they are asked for.
        """
        found = {name: value for name, value in self._files.chosen().items() if name in OPEN}
        return {
            name: value
            for name, value in found.items()
            if asked[name] == OPEN[name] and ((type(value) is int and value > 0) or (name, value) == ("tile", "off"))
        }

    def newest(self) -> int | None:
        """Returns the step of the newest checkpoint, None if there are no checkpoints."""
        return self._files.newest()


def _restored(leaves: Sequence[np.ndarray], shapes: Iterable[tuple[int, optimize.State]]) -> Restored:
    """Returns the content of a checkpoint if it has the structure of one of these states; raises ValueError if not."""
    nothing = np.zeros(())
    for scale, state in shapes:
        history = History(nothing, nothing, dict.fromkeys(state.evaluation.terms, nothing), nothing)
        expected, structure = jax.tree.flatten((state, history))
        count = len(jax.tree.leaves(state))
        here = [(leaf.shape, leaf.dtype) for leaf in leaves[:count]]
        if here != [(leaf.shape, leaf.dtype) for leaf in expected[:count]]:
            continue
        if len(leaves) != len(expected) or len({leaf.shape for leaf in leaves[count:]}) != 1 or leaves[-1].ndim != 1:
            raise ValueError("its history is not that of this program")
        found, losses = jax.tree.unflatten(structure, leaves)
        return Restored(found, losses, scale)
    raise ValueError("its state is not that of this program")
