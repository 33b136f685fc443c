"""Paints every combination of photographs, paintings and settings.

    python -m experiments.sweep --contents=photo.jpg --styles=paintings/ --style_weight=10,50,250

Every flag of `experiments.stylize` takes a list here (layers, which are lists already, with semicolons between them),
and every flag with several values is an axis of the grid; `--rows` and `--cols` choose where it goes. Cells that differ
in numbers, paintings or layers only are one compiled program. Expect in --workdir a picture for each cell, a sheet of
all, content loss against style loss, manifest.json and cells.csv with settings and losses, and index.html, which shows
and compares them in any browser; they fill in while cells finish. Four cells of 256 pixels on the embedded SqueezeNet
take a minute on 2 cores. The same command again goes on where it was stopped or killed.
"""

import dataclasses

from .cli.flags import flag, run_script
from .cli.run_flags import RunFlags
from .sweeping.grid import GridFlags, make_grid, preview, workdir
from .sweeping.outcome import Outcome, finish_script

_PREVIEW_SIZE, _PREVIEW_STEPS = 160, 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunFlags, GridFlags):
    """The flags."""

    preview: bool = flag(
        False, f"Run everything with {_PREVIEW_SIZE} pixels and {_PREVIEW_STEPS} steps first, in preview/ in --workdir."
    )


def run(config: Config) -> Outcome:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, or something cannot be written.
    """
    grid = make_grid(config)
    folder = workdir(config.workdir, "sweep", grid)
    from .sweeping import (
        hosts,
        runner,  # with JAX, for which --help should not wait
    )

    hosts.join(config)
    if config.preview:
        outcome = runner.run_grid(preview(grid, size=_PREVIEW_SIZE, steps=_PREVIEW_STEPS), config, folder / "preview")
        if outcome.stopped:
            return outcome
    return runner.run_grid(grid, config, folder)


def main(config: Config) -> None:
    """Runs the script and says where everything is."""
    finish_script(run(config))


if __name__ == "__main__":
    run_script(Config, main)
