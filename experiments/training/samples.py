"""What a training shows as it goes on: held-out photographs in all styles, on a sheet and on a page with a slider."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nst_jax.applications.feedforward import painting
from nst_jax.applications.feedforward.networks import Transformer
from nst_jax.applications.feedforward.trained import grouped
from nst_jax.io import images
from nst_jax.io.files import sha256

from ..cli.folders import plain
from ..showing.page import write_page
from ..showing.sheet import write_sheet

FOLDER, SHEET, PAGE = "samples", "sheet.png", "index.html"
_PHOTOGRAPH = "photograph"


class Gallery:
    """The sample pictures of a training, and the files that show them."""

    def __init__(
        self, workdir: Path, title: str, shown: Mapping[str, np.ndarray], styles: tuple[str, ...], about: dict[str, Any]
    ) -> None:
        """Takes the folder, the photographs by name, the styles, versions and device."""
        self._workdir = workdir
        self._title = title
        self._shown = shown
        self._styles = styles
        self._about = about

    def paint(self, network: Transformer, variables: Mapping[str, Any], step: int) -> None:
        """Paints all photographs in all styles and writes the pictures of a step.

        Raises:
            UserError: one cannot be written.
        """
        params = grouped(variables, network)
        first = network.styles - len(self._styles)
        for photograph, content in self._shown.items():
            images.write(self._path(photograph, _PHOTOGRAPH, None), images.Picture(content))
            for index, style in enumerate(self._styles):
                code = np.eye(network.styles, dtype=np.float32)[first + index]
                picture = np.asarray(_paint(network, params, content, code))
                images.write(self._path(photograph, style, step), images.Picture(picture))

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
        photographs, columns = list(self._shown), [_PHOTOGRAPH, *self._styles]
        cells = [
            self._cell(photograph, column, step, losses if step == found[-1] and column != _PHOTOGRAPH else None)
            | {"place": [turn, row, place], "steps": step}
            for turn, step in enumerate(reversed(found))  # the page opens with the first
            for row, photograph in enumerate(photographs)
            for place, column in enumerate(columns)
        ]
        return {
            "title": f"{self._title}, step {found[-1]} of {steps}",
            "axes": [
                {"name": "step", "values": [str(step) for step in reversed(found)]},
                {"name": "photograph", "values": photographs},
                {"name": "style", "values": columns},
            ],
            "rows": ["photograph"],
            "cols": ["style"],
            "cells": cells,
            **self._about,
        }

    def _cell(self, photograph: str, column: str, step: int, losses: Mapping[str, float] | None) -> dict[str, Any]:
        path = self._path(photograph, column, None if column == _PHOTOGRAPH else step)
        there = path.is_file()
        height, width, _ = self._shown[photograph].shape
        return {
            "name": f"{photograph}, {column}",
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

    def _path(self, photograph: str, column: str, step: int | None) -> Path:
        folder = self._workdir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        row = list(self._shown).index(photograph)
        if step is None:
            return folder / f"photograph{row}.png"
        return folder / f"step{step:06d}_{row}_{self._styles.index(column):02d}_{plain(column)}.png"

    def _pictures(self) -> list[Path]:
        return list((self._workdir / FOLDER).glob("step*_*.png"))


@functools.partial(jax.jit, static_argnums=0)
def _paint(network: Transformer, params: Any, content: Any, code: Any) -> jax.Array:
    return painting.paint(network, params, content, code)
