"""What the folder of a sweep tells: its manifest, and the record of each cell. Read without JAX, by whoever looks.

Only records are authoritative; a manifest has the names of all cells, and what they are, as they were known when it was
written.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.io.files import file_error, names_in

from .outcome import CELLS, MANIFEST, cell_path

FINISHED, UNFINISHED, FAILED = "finished", "unfinished", "failed"
IDENTITY = "identity"
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)
"""Exceptions from reading JSON that is damaged or not ours."""

_RECORD = ".json"
_LOSSES = {"loss", "content", "style"}
"""What each finished cell has, see `nst_jax.terms`, which comes with JAX."""
_FEW = 10
"""Records that are looked for one by one; where more are missing, the folder is listed instead, as each is a request at
a store."""


class Record(NamedTuple):
    """The record of a cell.

    Attributes:
        identity: everything that its picture depends on.
        known: its status, error, losses and so on, with their types checked.
        written: when it was written, in seconds, by the clock of the folder's machine.
    """

    identity: dict[str, Any]
    known: dict[str, Any]
    written: float


def read_manifest(workdir: Path, advice: str = "give the folder of one") -> dict[str, Any] | None:
    """Returns the manifest of a sweep, None if there is none; its `cells` have a `name` and `settings` each.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    path = workdir / MANIFEST
    text = read_text(path, advice)
    if text is None:
        return None
    try:
        manifest = json.loads(text)
        cells = [{**cell, "name": str(cell["name"]), "settings": dict(cell["settings"])} for cell in manifest["cells"]]
        return {**manifest, "cells": cells}
    except DAMAGED as error:
        raise file_error(path, f"expected the manifest of a sweep, found something else: {advice}") from error


def read_record(workdir: Path, name: str, advice: str = "make it readable") -> Record | None:
    """Returns the record of a cell, None if there is none, or a damaged one.

    Raises:
        UserError: it cannot be read.
    """
    path = cell_path(workdir, name, _RECORD)
    text = read_text(path, advice)
    if text is None:
        return None
    try:
        record = json.loads(text)
        return Record(dict(record[IDENTITY]), _known(record), path.stat().st_mtime)
    except (*DAMAGED, OSError):  # or removed meanwhile
        return None


def with_records(workdir: Path, names: Collection[str]) -> Iterable[str]:
    """Returns those of some cells that may have a record by now.

    Where there are many it takes one look at the folder, instead of one for each that is not there.
    """
    if len(names) <= _FEW:
        return list(names)
    found = names_in(workdir / CELLS)
    return [name for name in names if f"{name}{_RECORD}" in found]


def read_text(path: Path, advice: str) -> str | None:
    """Returns the text of a file, None if there is no file; bytes that are not UTF-8 make it invalid JSON later.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror}): {advice}") from error


def _known(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the known fields of the record of a cell, with their types checked.

    Raises:
        ValueError: it is not one; or another exception of `DAMAGED`.
    """
    if record["status"] == FAILED:
        return {"status": FAILED, "error": str(record["error"])}
    if record["status"] != FINISHED:
        raise ValueError(record["status"])
    losses = {str(name): float(value) for name, value in record["losses"].items()}
    if not losses.keys() >= _LOSSES:
        raise ValueError(losses)
    return {
        "status": FINISHED,
        "error": None,
        "sha256": str(record["sha256"]),
        "seconds": float(record["seconds"]),
        "cells_in_batch": int(record["cells_in_batch"]),
        "losses": losses,
    }
