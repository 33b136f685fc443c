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
from nst_jax.errors import UserError
from nst_jax.files import file_error
from nst_jax.transfer import History

_KEPT = 2
_OVERHEAD = 1_000_000  # bytes of a checkpoint beside its arrays, generously
# What Orbax and TensorStore raise over files that are damaged or cannot be written.
_FAILURES = (OSError, ValueError, KeyError, TypeError, AttributeError)


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

    def clear(self) -> int | None:
        """Removes the checkpoints of an earlier run, and nothing else that may be in the folder.

        Returns:
            The last step of that run, None if there was none.

        Raises:
            UserError: they cannot be removed.
        """
        if not self._folder.is_dir():
            return None
        try:
            steps = self._open().all_steps()
            for step in steps:
                self._open().delete(step)
        except _FAILURES as error:
            raise file_error(self._folder, f"the checkpoints of an earlier run cannot be removed: {error}") from error
        return max(steps, default=None)

    def save(self, state: optimize.State, history: History) -> None:
        """Writes a checkpoint of the state's step; a second one of the same step changes nothing.

        Raises:
            UserError: it cannot be written.
        """
        step = int(state.step)
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(jax.tree.leaves(state)),
            history=ocp.args.StandardSave(jax.tree.leaves(history)),
            identity=ocp.args.JsonSave(self._identity),
        )
        try:
            if step not in self._open().all_steps():
                self._check_room(sum(leaf.nbytes for leaf in jax.tree.leaves((state, history))))
                self._open().save(step, args=items)
                self._open().wait_until_finished()
        except _FAILURES as error:
            raise file_error(self._folder, f"the checkpoint of step {step} cannot be written: {error}") from error

    def restore(self, state: optimize.State, history: History) -> Restored | None:
        """Returns the newest checkpoint that can be read, None where there is none at all.

        Args:
            state: one of the same structure.
            history: likewise; of any length.

        Raises:
            UserError: the checkpoints are those of a run with other settings, or all of them are damaged.
        """
        steps = sorted(self._open().all_steps(), reverse=True) if self._folder.is_dir() else []
        problem: Exception | None = None
        for step in steps:
            try:
                return self._restore(step, state, history)
            except _FAILURES as error:
                problem = error
        if problem is not None:
            advice = "leave --resume out to begin anew"
            raise file_error(self._folder, f"no checkpoint can be read: {problem}; {advice}") from problem
        return None

    def _check_room(self, size: int) -> None:
        """Asks for room beforehand: on a full disk the threads of TensorStore print tracebacks past every handler."""
        free = shutil.disk_usage(self._folder).free
        if free < size + _OVERHEAD:
            raise OSError(f"no room on the disk, {(size + _OVERHEAD) / 1e6:.1f} MB needed and {free / 1e6:.1f} MB free")

    def _restore(self, step: int, state: optimize.State, history: History) -> Restored:
        found = self._open().restore(step, args=ocp.args.Composite(identity=ocp.args.JsonRestore())).identity
        for name in sorted(found.keys() | self._identity.keys()):
            if found.get(name) != self._identity.get(name):
                raise UserError(
                    f"--resume: the run in {self._folder.parent} has {name} = {found.get(name)}, this one has "
                    f"{self._identity.get(name)}; set it back, or leave --resume out to begin anew"
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
            options = ocp.CheckpointManagerOptions(
                max_to_keep=_KEPT, enable_async_checkpointing=False, create=True, cleanup_tmp_directories=True
            )
            self._manager = ocp.CheckpointManager(self._folder, options=options)
        return self._manager
