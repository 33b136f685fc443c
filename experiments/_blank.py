"""Grids without a photograph: the pictures are painted on a blank one, of which nothing is wanted but its size."""

import dataclasses
from pathlib import Path

from experiments._grid import Grid
from nst_jax import image_io, texture
from nst_jax.files import check_folder, make_folder

_FILE = "canvas.png"


def on_blank(grid: Grid, workdir: Path, *, height: int, width: int) -> Grid:
    """Writes a grey picture into the folder of a grid, and returns the grid with it as every cell's photograph.

    Raises:
        UserError: it cannot be written.
    """
    check_folder(workdir)
    make_folder(workdir)
    path = workdir / _FILE
    image_io.write(path, image_io.Picture(texture.blank(height, width)))
    cells = (dataclasses.replace(cell, flags=dataclasses.replace(cell.flags, content=str(path))) for cell in grid.cells)
    return dataclasses.replace(grid, cells=tuple(cells))
