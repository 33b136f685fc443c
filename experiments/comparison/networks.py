"""What is known of a network without running it, and the record of what was measured, which a stopped run keeps."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.io.files import make_folder

from ..running.run_record import write_json

_FOLDER = "networks"
_OF = "measured_of"


class Measured(NamedTuple):
    """What was measured of a network.

    Attributes:
        seconds: of a step; None if it could not be measured.
        memory: bytes that a step adds to the process, or takes on the device; None likewise.
        problem: why not; None if it could.
    """

    seconds: float | None = None
    memory: float | None = None
    problem: str | None = None


def file_size(name: str) -> int | None:
    """Returns the bytes of the weight file of a network; None if there is none, or it is there no more."""
    path = pretrained.find(name)
    try:
        return path.stat().st_size if path else None
    except OSError:
        return None


def source(name: str) -> tuple[str, str]:
    """Returns the licence and the citation of the weights of a network."""
    provenance = BACKBONES[name].provenance
    return provenance.licence, provenance.citation


def recorded(workdir: Path, name: str, of: Mapping[str, Any]) -> Measured | None:
    """Returns what was measured of a network before; None if nothing was, or of something else.

    Args:
        workdir: the folder of the comparison.
        name: the network.
        of: what the measurement depends on: weights, size, versions.
    """
    try:
        record = json.loads(_path(workdir, name).read_bytes())
        if record[_OF] != json.loads(json.dumps(dict(of))) or record["problem"] is not None:
            return None
        memory = record["memory"]
        return Measured(float(record["seconds"]), None if memory is None else float(memory))
    except (OSError, ValueError, LookupError, TypeError):  # none, or not ours
        return None


def record(workdir: Path, name: str, of: Mapping[str, Any], measured: Measured) -> None:
    """Keeps what was measured; raises UserError if it cannot be written."""
    path = _path(workdir, name)
    make_folder(path.parent)
    write_json(path, {_OF: dict(of), **measured._asdict()})


def _path(workdir: Path, name: str) -> Path:
    return workdir / _FOLDER / f"{name}.json"
