"""What a training shows as it goes on: pictures that it does not train with in all styles, on a sheet and on a page."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nst_jax.applications.feedforward import painting
from nst_jax.applications.feedforward.networks import Doodle, Network
from nst_jax.applications.feedforward.trained import grouped
from nst_jax.io import images
from nst_jax.io.files import sha256

from ..cli.folders import plain
from ..showing.page import write_page
from ..showing.sheet import write_sheet
from .lessons import Lesson

FOLDER, SHEET, PAGE = "samples", "sheet.png", "index.html"


class Gallery:
    """The sample pictures of a training, and the files that show them."""

    def __init__(self, workdir: Path, title: str, lesson: Lesson, about: dict[str, Any]) -> None:
        """Takes the folder, a title, what is learnt, versions and device."""
        self._workdir = workdir
        self._title = title
        self._lesson = lesson
        self._about = about
        self._columns: list[str] = []

    def paint(self, variables: Mapping[str, Any], step: int) -> None:
        """Paints all that is shown in all styles and writes the pictures of a step.

        Raises:
            UserError: one cannot be written.
        """
        network = self._lesson.network
        params = grouped(variables, network)
        codes = self._lesson.codes(params)
        self._columns = list(codes)
        for row, (painted_from, picture) in self._lesson.shown.items():
            images.write(self._path(row, self._from, None), images.Picture(picture))
            for column, code in codes.items():
                painted = np.asarray(_paint(network, params, painted_from, code))
                images.write(self._path(row, column, step), images.Picture(painted))

    @property
    def _from(self) -> str:
        """What the first column shows."""
        return "map" if isinstance(self._lesson.network, Doodle) else "photograph"

    def show(self, losses: Mapping[str, float], steps: int, plots: tuple[str, ...]) -> None:
        """Writes the sheet of the newest pictures, and the page with those of all steps.

        Args:
            losses: the newest.
            steps: number of steps of the whole training.
            plots: file names of plots in the folder, which the page has too.
        """
        found = sorted({int(path.name.split("_")[0].removeprefix("step")) for path in self._pictures()})
        if not found:
            return
        newest = found[-1:]
        write_sheet(self._workdir / SHEET, self._manifest(newest, losses, steps))
        write_page(self._workdir / PAGE, {**self._manifest(found, losses, steps), "plots": list(plots)})

    def _manifest(self, found: list[int], losses: Mapping[str, float], steps: int) -> dict[str, Any]:
        rows, columns = list(self._lesson.shown), [self._from, *self._columns]
        cells = [
            self._cell(shown, column, step, losses if step == found[-1] and column != self._from else None)
            | {"place": [turn, row, place], "steps": step}
            for turn, step in enumerate(reversed(found))  # the page opens with the first
            for row, shown in enumerate(rows)
            for place, column in enumerate(columns)
        ]
        return {
            "title": f"{self._title}, step {found[-1]} of {steps}",
            "axes": [
                {"name": "step", "values": [str(step) for step in reversed(found)]},
                {"name": self._from, "values": rows},
                {"name": "style", "values": columns},
            ],
            "rows": [self._from],
            "cols": ["style"],
            "cells": cells,
            **self._about,
        }

    def _cell(self, row: str, column: str, step: int, losses: Mapping[str, float] | None) -> dict[str, Any]:
        path = self._path(row, column, None if column == self._from else step)
        there = path.is_file()
        height, width, _ = self._lesson.shown[row].picture.shape
        return {
            "name": f"{row}, {column}",
            "status": "finished" if there else "unfinished",
            "error": None,
            "picture": path.relative_to(self._workdir).as_posix() if there else None,
            "sha256": sha256(path) if there else None,
            "width": width,
            "height": height,
            "seconds": None,
            "settings": {},
            "losses": dict(losses) if losses else None,
            "command": None,
        }

    def _path(self, row: str, column: str, step: int | None) -> Path:
        """Returns the file of a picture, in whose name is what it shows: another one that is shown has other files."""
        folder = self._workdir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.ascontiguousarray(self._lesson.shown[row].picture).tobytes()
        name = f"{plain(row)}-{hashlib.sha256(pixels).hexdigest()[:6]}"
        if step is None:
            return folder / f"{name}.png"
        return folder / f"step{step:06d}_{name}_{self._columns.index(column):02d}_{plain(column)}.png"

    def _pictures(self) -> list[Path]:
        return list((self._workdir / FOLDER).glob("step*_*.png"))


@functools.partial(jax.jit, static_argnums=0)
def _paint(network: Network, params: Any, content: Any, code: Any) -> jax.Array:
    return painting.paint(network, params, content, code)
