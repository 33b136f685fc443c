"""Checkpoints of a run (Orbax): the state of the optimiser, the history of losses, and whose they are.

Orbax writes a checkpoint beside the others and renames it when it is whole, so that a run killed at any moment leaves
its last one.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from nst_jax import optimize
from nst_jax.errors import UserError, one_line
from nst_jax.transfer import History

_KEPT = 2


class Restored(NamedTuple):
    """What a checkpoint holds."""

    state: optimize.State
    history: History


class Checkpoints:
    """The checkpoints in a folder, all of the run that `identity` describes."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._identity = json.loads(json.dumps(identity))  # as it will come back: lists for tuples
        self._folder = folder.absolute()
        self._manager: ocp.CheckpointManager | None = None

    def clear(self) -> None:
        """Removes the checkpoints of an earlier run."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def save(self, state: optimize.State, history: History) -> None:
        """Writes a checkpoint of the state's step; a second one of the same step changes nothing.

        Raises:
            UserError: it cannot be written.
        """
        step = int(state.step)
        try:
            if step not in self._open().all_steps():
                self._open().save(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardSave(jax.tree.leaves(state)),
                        history=ocp.args.StandardSave(jax.tree.leaves(history)),
                        identity=ocp.args.JsonSave(self._identity),
                    ),
                )
                self._open().wait_until_finished()
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self._folder}: the checkpoint of step {step} cannot be written: {one_line(error)}"
            ) from error

    def restore(self, state: optimize.State, history: History) -> Restored | None:
        """Returns the newest checkpoint, None where there is none.

        Args:
            state: one of the same structure.
            history: likewise; of any length.

        Raises:
            UserError: the checkpoints are those of a run with other settings.
        """
        if not self._folder.is_dir() or (step := self._open().latest_step()) is None:
            return None
        found = self._open().restore(step, args=ocp.args.Composite(identity=ocp.args.JsonRestore())).identity
        for name, value in self._identity.items():
            if found.get(name) != value:
                raise UserError(
                    f"--resume: the run in {self._folder.parent} has {name} = {found.get(name)}, "
                    f"this one has {value}; set it back, or leave --resume out to begin anew"
                )
        leaves, structure = jax.tree.flatten(state)
        restored = self._open().restore(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(leaves), history=ocp.args.StandardRestore()),
        )
        return Restored(
            jax.tree.unflatten(structure, restored.state),
            jax.tree.unflatten(jax.tree.structure(history), [np.asarray(leaf) for leaf in restored.history]),
        )

    def _open(self) -> ocp.CheckpointManager:
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT, enable_async_checkpointing=False, create=True)
            self._manager = ocp.CheckpointManager(self._folder, options=options)
        return self._manager
