"""The page and the contact sheet of compared networks: the files of their grid, with what is known of each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nst_jax.terms import CONTENT, STYLE

from ..running.run_record import write_json
from ..showing.page import write_page
from ..showing.sheet import write_sheet
from ..sweeping.outcome import MANIFEST, PAGE, SHEET, cell_path
from . import networks
from .curves import plot_curves
from .networks import Measured

CURVES = "losses.png"

_HEAD = (
    "network",
    "seconds a step",
    "memory of a step",
    "weight file",
    "content error",
    "style error",
    "time",
    "style layers",
    "content layers",
    "numbers",
    "licence",
    "citation",
)
_NONE = "–"
_UNIT = "\u00a0"
"""The space between a number and its unit, where no line is broken."""


def show(workdir: Path, measured: Mapping[str, Measured]) -> None:
    """Writes page, contact sheet and curves over those of the grid.

    Args:
        workdir: the folder of the grid.
        measured: network → what was measured so far.

    Raises:
        UserError: one of them cannot be written.
    """
    manifest = json.loads((workdir / MANIFEST).read_bytes())
    (axis,) = manifest["axes"]
    cells = {axis["values"][cell["place"][0]]: cell for cell in manifest["cells"]}
    for name, cell in cells.items():
        cell["caption"] = _caption(name, measured.get(name, Measured()))
    rows = [_row(name, cell, measured.get(name, Measured())) for name, cell in cells.items()]
    manifest["table"] = {"head": _HEAD, "rows": rows}
    files = {name: cell_path(workdir, cell["name"], ".csv") for name, cell in cells.items() if cell["losses"]}
    plot_curves(workdir / CURVES, files)
    write_json(workdir / MANIFEST, manifest)
    write_sheet(workdir / SHEET, manifest)
    write_page(workdir / PAGE, {**manifest, "plots": [CURVES]})


def _caption(name: str, measured: Measured) -> str:
    facts = [
        text
        for text in (_seconds(measured), _bytes(measured.memory), _bytes(networks.file_size(name)))
        if text != _NONE
    ]
    return " · ".join([name, *facts])


def _row(name: str, cell: Mapping[str, Any], measured: Measured) -> list[str]:
    settings, losses = cell["settings"], cell["losses"] or {}
    licence, citation = networks.source(name)
    return [
        name,
        cell["error"] or measured.problem or _seconds(measured),
        _bytes(measured.memory),
        _bytes(networks.file_size(name)),
        _error(losses.get(CONTENT)),
        _error(losses.get(STYLE)),
        _NONE if cell["seconds"] is None else f"{cell['seconds']:.0f}{_UNIT}s",
        _layers(settings.get("style_layers")),
        _layers(settings.get("content_layers")),
        settings.get("weights") or _NONE,
        licence,
        citation,
    ]


def _seconds(measured: Measured) -> str:
    return _NONE if measured.seconds is None else f"{measured.seconds:.3g}{_UNIT}s"


def _bytes(number: float | None) -> str:
    if number is None:
        return _NONE
    return f"{number / 1e9:.2f}{_UNIT}GB" if number >= 1e9 else f"{number / 1e6:.3g}{_UNIT}MB"


def _error(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3g}"


def _layers(names: Any) -> str:
    return ", ".join(names) if names else _NONE
