"""Paints one picture with every installed network, and shows side by side what each makes of it and what it costs.

    python -m experiments.compare_networks --content=photo.jpg --style=painting.jpg

Each network has the preset that suits it. Writes to --workdir the picture of each network, sheet.png with all of them,
losses.png with their curves, manifest.json and cells.csv as `experiments.sweep` does, and index.html: the pictures, and
a table of seconds a step, memory, size of the weight file, errors, layers, licence and citation of each. Steps and
memory are measured as `experiments.benchmark` does, on its own pictures at --size; nothing else should run on the
machine meanwhile. A network that cannot be read or used is named, and the others go on. The same command continues what
was stopped, and takes in networks that were installed since with the same --workdir.

A network takes what its picture takes in `experiments.stylize`, and up to a minute more to be measured.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nst_jax.backbones import pretrained
from nst_jax.errors import UserError

from .cli.flags import FilePath, flag, option_flag, run_script
from .cli.run_flags import RunFlags
from .cli.transfer_flags import CONTENT, STYLE, TransferFlags, inputs
from .sweeping.grid import Axis, Grid, product, workdir
from .sweeping.outcome import Outcome, finish_script

if TYPE_CHECKING:
    from .comparison.networks import Measured

_COLUMNS = 4
_ROUNDS, _STEPS = 3, 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunFlags):
    """The flags."""

    content: FilePath | None = flag(None, "Content image; by default a sample.")
    style: FilePath | None = flag(None, "Style image; by default a sample.")
    backbones: tuple[str, ...] | None = flag(None, "Networks; by default all that are installed.")
    size: int = option_flag("size", 256)
    steps: int | None = option_flag("steps", 150)
    seed: int = option_flag("seed", 0)
    measure: bool = flag(True, "Measure seconds and memory of a step of each network as well.")


def run(config: Config) -> Outcome:
    """Runs the script.

    Raises:
        UserError: a network is unknown, none can be used, the images cannot be used, or something cannot be written.
    """
    names = backbones(config)
    grid = make_grid(config, names)
    folder = workdir(config.workdir, "compare_networks", grid)
    from .running.progress import graceful_interrupt
    from .sweeping import (
        runner,  # with JAX, for which --help should not wait
    )

    outcome = runner.run_grid(grid, dataclasses.replace(config, keep_going=True), folder)
    if outcome.stopped or outcome.missing or outcome.partial:
        return outcome
    from .comparison import gallery

    measured: dict[str, Measured] = {}
    gallery.show(folder, measured)
    with graceful_interrupt() as interrupt:
        for cell, name in zip(grid.cells, names, strict=True) if config.measure else ():
            if interrupt.requested:
                return outcome._replace(stopped=True)
            if cell.name not in outcome.failed and outcome.names[cell.name] not in outcome.failed:
                measured[name] = _measured(folder, name, config.size)
                gallery.show(folder, measured)
    return outcome


def backbones(config: Config) -> list[str]:
    """Returns the names of the networks.

    Raises:
        UserError: there is none, one is unknown, or one is there twice.
    """
    if config.backbones is None:
        return pretrained.installed()
    names = [pretrained.resolve(name) for name in config.backbones]
    if not names or len(set(names)) < len(names):
        raise UserError(f"--backbones: expected one or more, each once, found {','.join(config.backbones) or 'none'}")
    return names


def make_grid(config: Config, names: Sequence[str]) -> Grid:
    """Returns the transfers, one for each network, in lines of four."""
    axis = Axis("network", tuple(names), tuple({"backbone": name} for name in names))
    base = TransferFlags(
        content=config.content, style=config.style, size=config.size, steps=config.steps, seed=config.seed
    )
    columns = min(_COLUMNS, math.ceil(math.sqrt(len(names))))
    cells = tuple(
        dataclasses.replace(cell, at=(index % columns, index // columns), caption=name)
        for index, (cell, name) in enumerate(zip(product(base, [axis]), names, strict=True))
    )
    paths = inputs(base)
    title = f"{paths[CONTENT].stem} in the style of {paths[STYLE].stem}, by network"
    return Grid(title, (axis,), cells, (), (axis.name,))


def _measured(folder: Path, name: str, size: int) -> "Measured":
    """Returns what a step of a network costs, measured now or in an earlier run of the same."""
    from .benchmarking import measure, memory
    from .comparison import networks
    from .running.run_record import versions

    network = pretrained.load(name)
    of: dict[str, Any] = {"weights_sha256": network.sha256, "size": size, "device": measure.machine(), **versions()}
    known = networks.recorded(folder, name, of)
    if known is not None:
        return known
    print(f"measuring {name}", flush=True)
    try:
        measure.check(network, size)
        seconds = measure.step(network, size, rounds=_ROUNDS, steps=_STEPS)["seconds"]
        peak = memory.peak(memory.OURS, name, size, "float32")
        on_device = peak["device"]
        found = networks.Measured(seconds, peak["step"] if on_device is None else on_device)
    except (UserError, RuntimeError) as error:  # another process was killed, or there was not enough memory
        found = networks.Measured(problem=f"could not be measured: {error}")
        print(f"{name} {found.problem}", flush=True)
    networks.record(folder, name, of, found)
    return found


def main(config: Config) -> None:
    """Runs the script and prints where the page is."""
    finish_script(run(config))


if __name__ == "__main__":
    run_script(Config, main)
