"""Shows how far a sweep is, from the files in its folder: it may run anywhere, or nowhere any more.

    python -m experiments.status results/sweep/FOLDER [--json] [--prometheus_file=FILE] [--every=30]

Cells that are finished, that have failed and why, and that have begun; workers that an engine runs, what they do, and
when each last gave a sign; cells an hour over the last ones, and what is left at that rate. With --prometheus_file it
is also written for Prometheus, as node_exporter's textfile collector reads it. Changes nothing in the folder, and takes
a second for some ten thousand cells.
"""

import dataclasses
import json
import time
from pathlib import Path

from nst_jax.errors import UserError
from nst_jax.io.files import atomic_write
from nst_jax.io.stores import located

from .cli.flags import Checked, FileOrAddress, FilePath, flag, run_script
from .sweeping import watching
from .sweeping.watching import Status


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    workdir: FileOrAddress | None = flag(None, "Folder of the sweep.")
    json: bool = flag(False, "Print it as JSON.")
    prometheus_file: FilePath | None = flag(
        None, "File to write it to in Prometheus' text format, such as /var/lib/node_exporter/textfile/sweep.prom."
    )
    every: float = flag(
        0.0, "Seconds after which to look again, until all cells are done; 0 means to look once.", least=0
    )


def run(config: Config) -> Status:
    """Returns how far the sweep in a folder is, and writes it for Prometheus if asked.

    Raises:
        UserError: there is no sweep in the folder, or the file cannot be written.
    """
    if config.workdir is None:
        raise UserError("--workdir: expected the folder of a sweep, found none; give it")
    status = watching.look(located(config.workdir))
    if config.prometheus_file is not None:
        with atomic_write(Path(config.prometheus_file), encoding="utf-8") as file:
            file.write(watching.prometheus(status))
    return status


def main(config: Config) -> None:
    """Runs the script and prints what it found."""
    while True:
        status = run(config)
        print(json.dumps(_as_dict(status), indent=2) if config.json else "\n".join(_lines(status)), flush=True)
        if not config.every or status.finished + len(status.failed) == status.cells:
            return
        time.sleep(config.every)


def _as_dict(status: Status) -> dict[str, object]:
    workers = {name: worker._asdict() for name, worker in status.workers.items()}
    return {**status._asdict(), "workers": workers}


def _lines(status: Status) -> list[str]:
    lines = [
        f"{status.finished} of {status.cells} cells finished, {len(status.failed)} failed, {len(status.begun)} begun"
    ]
    if status.cells_per_hour is not None and status.hours_left:
        lines.append(f"{status.cells_per_hour:g} cells an hour: {status.hours_left:g} hours left")
    alive = {name: worker for name, worker in status.workers.items() if worker.alive}
    for name, worker in alive.items():
        task = "" if worker.task is None else f"task {worker.task}, "
        lines.append(f"worker {name}: {task}{worker.doing or 'silent'}, last seen {worker.silent:.0f} s ago")
    if gone := len(status.workers) - len(alive):
        lines.append(f"{gone} workers that are done, or silent for too long")
    return [*lines, *(f"failed: {name}: {error}" for name, error in status.failed.items())]


if __name__ == "__main__":
    run_script(Config, main, bare=("workdir",))
