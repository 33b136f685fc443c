"""Stylises with every combination of content images, style images and settings.

    python -m experiments.sweep --contents=photo.jpg --styles=paintings/ --style_weight=10,50,250

Every flag of `experiments.stylize` takes a list of values here; a flag that is a list already, such as --style_layers,
takes lists separated by semicolons. Every flag with several values is an axis of the grid; `--rows` and `--cols` place
the axes on the sheet. Cells that differ only in numbers, style images or layers share one compiled program.
Style images that --style_fine and --style_coarse ask for are made first, in strokes/ within the folder.

Writes to --workdir the picture of each cell, sheet.png with all of them, tradeoff.png with content loss against style
loss, manifest.json and cells.csv with settings and losses, and index.html, which shows and compares the cells in a
browser; all of these are updated as cells finish. The same command continues a sweep that was stopped or killed; with
more values, and the same --workdir, the sweep grows. Four cells of 256 pixels take a minute with the embedded
SqueezeNet on 2 cores.
"""

import dataclasses

from .cli.flags import flag, run_script
from .cli.run_flags import RunFlags, in_this_process
from .sweeping.grid import GridFlags, make_grid, preview, workdir
from .sweeping.outcome import Outcome, finish_script

_PREVIEW_SIZE, _PREVIEW_STEPS = 160, 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunFlags, GridFlags):
    """The flags."""

    preview: bool = flag(
        False,
        f"Run all cells with {_PREVIEW_SIZE} pixels and {_PREVIEW_STEPS} steps first, into --workdir/preview.",
    )


def run(config: Config) -> Outcome:
    """Runs the script.

    Raises:
        UserError: the input cannot be used, or something cannot be written.
    """
    grid = make_grid(config)
    folder = workdir(config.workdir, "sweep", grid)
    from .sweeping import (
        strokes,  # with JAX, for which --help should not wait
    )

    if config.preview:
        small = preview(grid, size=_PREVIEW_SIZE, steps=_PREVIEW_STEPS)
        outcome = strokes.run(small, in_this_process(config), folder / "preview")
        if outcome.stopped:
            return outcome
    return strokes.run(grid, config, folder)


def main(config: Config) -> None:
    """Runs the script and prints where the results are."""
    finish_script(run(config))


if __name__ == "__main__":
    run_script(Config, main)
