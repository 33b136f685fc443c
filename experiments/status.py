"""Shows how far a sweep is, from the files in its folder: it may run anywhere, or nowhere any more.

    python -m experiments.status results/sweep/FOLDER [--json]

Cells that are finished, that have failed and why, and that have begun; workers that an engine runs, and when each last
said something; cells an hour over the last ones, and what is left at that rate. Reads only, and takes a second for some
thousand cells.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.errors import UserError
from nst_jax.io.files import file_error

from .cli.flags import Checked, FilePath, flag, run_script
from .sweeping.outcome import CHECKPOINTS, LOGS, MANIFEST, cell_path

_RECENT = 20
"""Finished cells of which the rate is taken."""
_SILENT = 300.0
"""Seconds after which a worker that has written nothing counts as gone; a cell that begins compiles for less."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    workdir: FilePath | None = flag(None, "Folder of the sweep.")
    json: bool = flag(False, "Print it as JSON.")


class Status(NamedTuple):
    """How far a sweep is.

    Attributes:
        cells: number of its cells.
        finished: those with a picture.
        failed: name of each that has failed → its error.
        begun: names of those that have a checkpoint.
        workers: worker → seconds since it last wrote something.
        cells_per_hour: rate of the last ones; None while there are fewer than two.
        hours_left: at that rate; None likewise.
    """

    cells: int
    finished: int
    failed: dict[str, str]
    begun: list[str]
    workers: dict[str, float]
    cells_per_hour: float | None
    hours_left: float | None


def run(config: Config) -> Status:
    """Returns how far the sweep in a folder is.

    Raises:
        UserError: there is no sweep in the folder.
    """
    if config.workdir is None:
        raise UserError("--workdir: expected the folder of a sweep, found none; give it")
    workdir, now = Path(config.workdir), time.time()
    names = _names(workdir / MANIFEST)
    failed, ends = {}, []
    for name in names:
        record = _record(cell_path(workdir, name, ".json"))
        if record is None:
            continue
        about, ended = record
        if "error" in about:
            failed[name] = str(about["error"])
        else:
            ends.append(ended)
    begun = sorted(path.name for path in (workdir / CHECKPOINTS).glob("*") if path.name in names)
    recent = sorted(ends)[-_RECENT:]
    seconds = recent[-1] - recent[0] if len(recent) > 1 else 0.0
    rate = (len(recent) - 1) / seconds * 3600 if seconds else None
    left = len(names) - len(ends) - len(failed)
    return Status(
        cells=len(names),
        finished=len(ends),
        failed=failed,
        begun=begun,
        workers={path.stem: round(now - path.stat().st_mtime, 1) for path in sorted((workdir / LOGS).glob("*.log"))},
        cells_per_hour=rate and round(rate, 2),
        hours_left=rate and round(left / rate, 2),
    )


def main(config: Config) -> None:
    """Runs the script and prints what it found."""
    status = run(config)
    if config.json:
        print(json.dumps(status._asdict(), indent=2))
        return
    print(f"{status.finished} of {status.cells} cells finished, {len(status.failed)} failed, {len(status.begun)} begun")
    if status.cells_per_hour is not None and status.hours_left:
        print(f"{status.cells_per_hour:g} cells an hour: {status.hours_left:g} hours left")
    alive = {name: silent for name, silent in status.workers.items() if silent < _SILENT}
    for name, silent in alive.items():
        print(f"worker {name}: last seen {silent:.0f} s ago")
    if gone := len(status.workers) - len(alive):
        print(f"{gone} workers of earlier runs, or silent for {_SILENT:.0f} s and more")
    for name, error in status.failed.items():
        print(f"failed: {name}: {error}")


def _names(path: Path) -> set[str]:
    try:
        return {str(cell["name"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]}
    except OSError as error:
        raise file_error(path, f"expected the manifest of a sweep: {error.strerror}; give the folder of one") from error
    except (ValueError, LookupError, TypeError) as error:
        raise file_error(path, "expected the manifest of a sweep, found something else") from error


def _record(path: Path) -> tuple[dict[str, Any], float] | None:
    """Returns the record of a cell and when it was written; None if there is none, or one that is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return (record, path.stat().st_mtime) if isinstance(record, dict) else None
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    run_script(Config, main, bare=("workdir",))
