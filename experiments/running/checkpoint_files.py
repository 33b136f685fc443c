"""Files of checkpoints: arrays by step, and the identity of the run that they belong to.

Each is one safetensors file, written whole or not at all, so that a run killed at any moment keeps its last one.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import atomic_write, file_error, make_folder, on_disk
from nst_jax.io.safetensors_header import header, little_endian
from nst_jax.io.stores import MissingError, StoreError

_KEPT = 2
_FILE = "step{}.safetensors"
_IDENTITY, _DIGEST, _CHOSEN = "identity", "sha256", "chosen"
# Exceptions from reading a file that is damaged or not a checkpoint.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, safetensors.SafetensorError)

Content = TypeVar("Content")


class DamagedError(UserError):
    """There are checkpoints, but none of them can be read."""


class CheckpointFiles:
    """The checkpoints in a folder, all of the run with a given identity."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], chosen: Mapping[str, Any] | None = None) -> None:
        """Takes the folder, the identity of the run, and what the run chose by itself, which is no part of that."""
        self._identity = json.loads(json.dumps(identity))  # as it will be read: lists for tuples
        self._chosen = dict(chosen or {})
        self._folder = folder

    def clear(self) -> int | None:
        """Removes the checkpoints of an earlier run, but no other files in the folder.

        Returns:
            The last step of that run, None if there were no checkpoints.

        Raises:
            UserError: they cannot be removed.
        """
        files = self._files()
        self._remove(files.values())
        return max(files, default=None)

    def save(self, step: int, arrays: Callable[[], Sequence[np.ndarray]]) -> None:
        """Writes a checkpoint, unless there is one of the same step, and removes those before the last two.

        Args:
            step: number of the step.
            arrays: returns the arrays, on the host.

        Raises:
            UserError: it cannot be written.
        """
        files = self._files()
        if step in files:
            return
        leaves = arrays()
        described = {_name(index): (leaf.dtype, leaf.shape) for index, leaf in enumerate(leaves)}
        metadata = {
            _IDENTITY: json.dumps(self._identity),
            _CHOSEN: json.dumps(self._chosen),
            _DIGEST: _digest(leaves),
        }
        make_folder(self._folder)
        with atomic_write(self._folder / _FILE.format(f"{step:05d}")) as file:
            file.write(header(described, metadata))
            for leaf in leaves:
                file.write(little_endian(leaf))
        self._remove([files[old] for old in sorted(files)[: 1 - _KEPT]])

    def restore(self, content: Callable[[int, list[np.ndarray]], Content]) -> Content | None:
        """Returns the content of the newest checkpoint that can be read, None if there are no checkpoints.

        Args:
            content: number of a step and the arrays → the content; raises ValueError if they are not that.

        Raises:
            DamagedError: none of them can be read.
            UserError: they are from a run with other settings.
        """
        files = self._files()
        problem: Exception | None = None
        for step in sorted(files, reverse=True):
            try:
                identity, leaves = _read(files[step])
            except _DAMAGED as error:
                problem = error
                continue
            self._check_identity(identity)  # first, as the arrays depend on the settings
            try:
                restored = content(step, leaves)
            except _DAMAGED as error:
                problem = error
                continue
            self._remove(files[other] for other in files if other > step)  # these are damaged and would count as newer
            return restored
        if problem is not None:
            raise DamagedError(f"{self._folder}: no checkpoint can be read: {one_line(problem)}") from problem
        return None

    def chosen(self) -> dict[str, Any]:
        """Returns what the run chose, as its newest checkpoint has it; nothing if there is none that can be read."""
        files = self._files()
        try:
            with _opened(files[max(files)]) as file:
                return dict(json.loads(file.metadata()[_CHOSEN]))
        except _DAMAGED:
            return {}

    def newest(self) -> int | None:
        """Returns the step of the newest checkpoint, None if there are no checkpoints."""
        return max(self._files(), default=None)

    def _files(self) -> dict[int, Path]:
        """Returns the checkpoints by step."""
        before, after = _FILE.split("{}")
        steps = {
            path: path.name.removeprefix(before).removesuffix(after) for path in self._folder.glob(_FILE.format("*"))
        }
        return {int(step): path for path, step in steps.items() if step.isdecimal()}

    def _remove(self, files: Iterable[Path]) -> None:
        try:
            for path in files:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise file_error(self._folder, f"an earlier checkpoint cannot be removed: {error}") from error

    def _check_identity(self, found: Mapping[str, Any]) -> None:
        for name in sorted(found.keys() | self._identity.keys()):
            if found.get(name) != self._identity.get(name):
                raise UserError(
                    f"{self._folder}: expected a run with {name} = {self._identity.get(name)} as now, found one with "
                    f"{found.get(name)}; set it back"
                )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Opens a checkpoint.

    Raises:
        UserError: it is at a store that does not answer, by which nothing is lost; all else counts as damaged.
    """
    try:
        with on_disk(path) as here, safetensors.safe_open(here, framework="numpy") as file:
            yield file
    except MissingError:
        raise
    except StoreError as error:
        raise UserError(str(error)) from error


def _read(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Returns the identity and the arrays of a checkpoint; raises one of `_DAMAGED`."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
        leaves = [file.get_tensor(name) for name in sorted(file.keys())]
    if metadata.get(_DIGEST) != _digest(leaves):
        raise ValueError("its content has changed since it was written")
    return dict(json.loads(metadata[_IDENTITY])), leaves


def _name(index: int) -> str:
    return f"{index:04d}"  # sorts as it counts


def _digest(leaves: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(little_endian(leaf))
    return digest.hexdigest()
