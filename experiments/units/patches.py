"""The patches of a folder's images that excite the units of a grid most, beside the optimised pictures."""

from collections.abc import Sequence
from pathlib import Path

from nst_jax.applications import top_patches
from nst_jax.backbones.pretrained import load_for
from nst_jax.io.image_folder import read_squares

from ..sweeping.grid import Grid
from ..sweeping.outcome import Outcome
from .sheets import draw_patch_sheets
from .units import Unit


def write(outcome: Outcome, grid: Grid, units: Sequence[Unit], pictures: Sequence[Path], *, count: int) -> list[Path]:
    """Writes one sheet per layer and returns the sheets; only units of a single channel have patches.

    Args:
        outcome: what has become of the grid.
        grid: the grid; its first cells show the units, in their order.
        units: the units.
        pictures: the images to search.
        count: maximal number of patches per unit.

    Raises:
        UserError: an image cannot be read or is too small, or something cannot be written.
    """
    single = {
        top_patches.Unit(unit.layer, *unit.channels): (unit.label, outcome.path(cell.name))
        for unit, cell in zip(units, grid.cells, strict=False)
        if len(unit.channels) == 1 and unit.weights in ((), (1.0,))
    }
    if not single:
        print("no patches: only single channels and classes have them")
        return []
    flags = grid.cells[0].flags
    pretrained = load_for(flags.backbone, [unit.layer for unit in single])
    found = top_patches.top_patches(read_squares(pictures, flags.size), pretrained, list(single), count=count)
    sheets = draw_patch_sheets(
        outcome.workdir,
        found,
        optimised={unit: path for unit, (_, path) in single.items() if path.exists()},
        labels={unit: label for unit, (label, _) in single.items()},
        title=f"What excites {pretrained.backbone.name} most",
    )
    return list(sheets.values())
