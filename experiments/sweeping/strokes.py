"""A grid whose style images are made first, of coarse forms and fine strokes, by a grid of their own."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nst_jax.errors import UserError

from ..cli.run_flags import COARSE, FINE, UNTIL, RunFlags, StrokeFlags, in_this_process, parts
from ..cli.transfer_flags import STYLE, TransferFlags
from ..running.strokes import flags_of
from . import cells
from .grid import Axis, Grid, GridCell
from .outcome import Outcome
from .runner import run_grid

_FOLDER = "strokes"
_BITS: Literal[16] = 16


def run(grid: Grid, flags: RunFlags, workdir: Path) -> Outcome:
    """Runs a grid with the style images that its cells ask for, which are made in a folder within its own.

    They have a sheet, a page and checkpoints there, and are made once, however many cells share them.

    Raises:
        UserError: see `run_grid`; or a style image diverged.
    """
    wanted = {cell.name: flags_of(cell.flags) for cell in grid.cells if isinstance(cell.flags, StrokeFlags)}
    if not wanted or flags.task is not None:  # a task has the style images that the command has made
        return run_grid(grid, flags, workdir)
    # Of the same shape as what will be made of them: what does not fit is said at once.
    cells.prepare(
        _with(grid, {cell.name: parts(cell.flags)[COARSE] for cell in grid.cells}),
        cells.Pictures(),
        keep_going=flags.keep_going,
    )
    names: dict[TransferFlags, str] = {}
    for name, own in wanted.items():
        names.setdefault(own, name)
    outcome = run_grid(_grid_of(names), in_this_process(flags), workdir / _FOLDER, bits=_BITS)
    if outcome.stopped:
        return outcome
    for name, error in outcome.failed.items():
        if not flags.keep_going:
            raise UserError(f"style image {name}: {error}")
    return run_grid(_with(grid, {name: outcome.path(names[own]) for name, own in wanted.items()}), flags, workdir)


def _grid_of(names: Mapping[TransferFlags, str]) -> Grid:
    """Returns a grid of the transfers with these flags, each named as the first cell that has its picture as style."""
    axis = Axis("style", tuple(names.values()), ({},) * len(names))
    axes = (axis,) if len(names) > 1 else ()
    cells = tuple(GridCell(name, (index,) if axes else (), own) for index, (own, name) in enumerate(names.items()))
    return Grid("style images", axes, cells, (), tuple(axis.name for axis in axes))


def _with(grid: Grid, made: Mapping[str, Path]) -> Grid:
    """Returns a grid whose cells, by name, have these style images."""

    def of(cell: GridCell) -> GridCell:
        own: dict[str, Any] = {**dict.fromkeys((FINE, COARSE, UNTIL)), STYLE: str(made[cell.name])}
        return dataclasses.replace(cell, flags=dataclasses.replace(cell.flags, **own))

    return dataclasses.replace(grid, cells=tuple(map(of, grid.cells)))
