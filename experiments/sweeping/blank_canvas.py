"""Grids without a content image: a blank image takes its place and sets the size of the pictures."""

import dataclasses
from pathlib import Path

from nst_jax.applications import texture
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import with_head
from nst_jax.checks import check_canvas
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import check_folder, make_folder

from ..cli.transfer_flags import inputs, resolve, style_images, styles
from .grid import Grid

_FILE = "canvas.png"


def on_blank(grid: Grid, workdir: Path, *, height: int, width: int) -> Grid:
    """Writes a grey image into the folder of a grid, and returns the grid with it as content image of every cell.

    Raises:
        UserError: it is too large or cannot be written, does not suit the cells, or a style image cannot be read.
    """
    if height * width > images.MAX_PIXELS:
        raise UserError(f"size: expected at most {images.MAX_PIXELS:,} pixels, found {width} × {height}; choose less")
    if min(height, width) < images.MIN_SIDE:
        raise UserError(f"size: expected {images.MIN_SIDE} px or more a side, found {width} × {height}; choose more")
    for flags in dict.fromkeys(cell.flags for cell in grid.cells):
        backbone = with_head(BACKBONES[flags.backbone])
        check_canvas(backbone, resolve(flags, flags.backbone), height, width)
    # Cells that differ in their seeds have the same style images: each is read once.
    for image in {image for cell in grid.cells for image in style_images(cell.flags, styles(inputs(cell.flags)))}:
        image.read()
    check_folder(workdir)
    make_folder(workdir)
    path = workdir / _FILE
    images.write(path, images.Picture(texture.blank(height, width)))
    cells = (dataclasses.replace(cell, flags=dataclasses.replace(cell.flags, content=str(path))) for cell in grid.cells)
    return dataclasses.replace(grid, cells=tuple(cells))
