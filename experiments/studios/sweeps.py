"""Try many: a sweep from the dials."""

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nst_jax.backbones import pretrained
from nst_jax.errors import UserError
from nst_jax.io.files import file_error

from ..cli.run_flags import RunFlags
from ..cli.transfer_flags import resolve
from ..sweeping.grid import GridFlags, make_grid
from ..sweeping.outcome import MANIFEST
from .dials import typed
from .folders import SWEEP
from .protocol import MOST_VALUES, Dials, Value


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepFlags(RunFlags, GridFlags):
    """The flags of a sweep."""


_FINISHED = "finished"
_NAMES = frozenset(field.name for field in dataclasses.fields(SweepFlags))


def sweep_flags(
    folder: Path,
    given: Dials,
    axes: dict[str, list[Value]],
    content: Path,
    styles: Sequence[Path],
    regions: Path | None = None,
    style_regions: Sequence[Path] = (),
    *,
    each_style: bool = False,
) -> SweepFlags:
    """Returns the flags of a sweep.

    Args:
        folder: the folder of its run, in which it has one of its own.
        given: the dials that all cells have; what is done with a finished picture, cells do not have.
        axes: dial → values, of which every combination is a cell.
        content: the content image.
        styles: the style images, blended in every cell.
        regions: a map of the content image.
        style_regions: maps of the style images.
        each_style: whether each style image has cells of its own instead.

    Raises:
        UserError: there are too few cells or too many, or the values cannot be used.
    """
    count = math.prod(map(len, axes.values())) * (len(styles) if each_style else 1)
    if not 2 <= count <= MOST_VALUES:
        raise UserError(f"expected 2 to {MOST_VALUES} pictures in all, found {count}: give fewer or more values")
    fixed = {name: (value,) for name, value in typed(given).items() if name not in axes}
    swept = {name: tuple(typed({name: value})[name] for value in values) for name, values in axes.items()}
    values: dict[str, Any] = {name: found for name, found in {**fixed, **swept}.items() if name in _NAMES}
    if lost := [name for name in axes if name not in _NAMES]:
        raise UserError(f"{lost[0]}: expected a dial of the picture, as this is about the finished one; leave it out")
    images: dict[str, Any] = {"contents": (str(content),)}
    if each_style:
        images["styles"] = tuple(map(str, styles))
    else:
        images["style"] = ",".join(str(path).replace(",", r"\,") for path in styles)
    if regions:
        images["regions"] = (str(regions),)
    if style_regions:
        images["style_regions"] = (tuple(map(str, style_regions)),)
    flags = SweepFlags(workdir=str(folder / SWEEP), **images, **values)
    for cell in make_grid(flags).cells:
        resolve(cell.flags, pretrained.resolve(cell.flags.backbone))
    return flags


def named(folder: Path, images: Sequence[Path], word: str) -> list[Path]:
    """Returns files in a folder for images, with names to tell them apart: labels of a sweep are made of these."""
    return [folder / (word if len(images) == 1 else f"{word} {number}") for number in range(1, len(images) + 1)]


def link(images: Sequence[Path], files: Sequence[Path]) -> None:
    """Has images at other places as well.

    Raises:
        UserError: they cannot be put there.
    """
    for path, file in zip(images, files, strict=True):
        try:
            file.unlink(missing_ok=True)
            os.link(path, file)
        except OSError:  # another disk, or a file system without links
            try:
                shutil.copyfile(path, file)
            except OSError as error:
                raise file_error(file, f"cannot be written ({error.strerror or error})") from error


def cells_done(folder: Path) -> tuple[int, int]:
    """Returns how many cells of the sweep of a run, given its folder, are done, and of how many; 0 if nobody knows."""
    try:
        cells = json.loads((folder / SWEEP / MANIFEST).read_bytes())["cells"]
        return sum(cell["status"] == _FINISHED for cell in cells), len(cells)
    except (OSError, ValueError, LookupError, TypeError):
        return 0, 0
