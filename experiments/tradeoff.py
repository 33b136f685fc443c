"""Draws the trade-off between content and style of several sweeps in one plot, a curve for each way to paint.

    python -m experiments.sweep --contents=a.jpg --styles=b.jpg --style_weight=70,280 --scales='0;auto' --workdir=first
    python -m experiments.tradeoff --sweeps=first,second

Each sweep may have other images, each pair of which is a panel; within it, every combination of values of the other
axes is a curve along --along. Writes tradeoff.png and tradeoff.csv to --workdir, and prints the style error of each
curve as a multiple of that of the first at equal content error: below 1 it is the better way. Computes nothing.
"""

import csv
import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import atomic_write, check_folder, file_error, make_folder

from .cli.flags import ESCAPE, Checked, FilePath, flag, run_script
from .cli.folders import default_folder
from .showing.curves import Curve, curves, plot_curves, ratio
from .sweeping.outcome import MANIFEST, TRADEOFF

# Exceptions from reading JSON that is damaged or not ours.
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    sweeps: tuple[FilePath, ...] = flag((), f"Folders of sweeps{ESCAPE}.")
    along: str = flag("style_weight", "Axis of the sweeps along which a curve goes.")
    workdir: FilePath | None = flag(None, "Folder for the plot and its table; by default one in results/.")


class Result(NamedTuple):
    """Result of a run: the plot, its table, and the curves."""

    output: Path
    table: Path
    curves: list[Curve]


def run(config: Config) -> Result:
    """Runs the script.

    Raises:
        UserError: a folder has no sweep, or one without that axis or without finished cells, and then nothing is
            written; or something cannot be written.
    """
    folders = [Path(folder) for folder in config.sweeps]
    if not folders:
        raise UserError("--sweeps: expected one folder of a sweep or more, found none")
    found = [curve for folder in folders for curve in _read(folder, config.along)]
    title = "-".join(folder.name for folder in folders)
    names = [str(folder.absolute()) for folder in folders]
    workdir = Path(config.workdir) if config.workdir else default_folder("tradeoff", title, [*names, config.along])
    check_folder(workdir)
    make_folder(workdir)
    result = Result(workdir / TRADEOFF, workdir / "tradeoff.csv", found)
    plot_curves(result.output, found, config.along)
    _write(result.table, found, config.along)
    return result


def _read(folder: Path, along: str) -> list[Curve]:
    path = folder / MANIFEST
    try:
        found = curves(json.loads(path.read_text(encoding="utf-8")), along, name=folder.name)
    except OSError as error:
        raise file_error(path, f"expected the manifest of a sweep, found none ({error.strerror})") from error
    except _DAMAGED as error:
        raise file_error(path, "expected the manifest of a sweep, found something else") from error
    if not found:
        raise file_error(path, "expected finished cells, found none")
    return found


def _write(path: Path, found: list[Curve], along: str) -> None:
    with atomic_write(path, encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["images", "curve", along, "content", "style"])
        for curve in found:
            points = zip(curve.values, curve.content, curve.style, strict=True)
            writer.writerows([curve.panel, curve.label, *point] for point in points)


def main(config: Config) -> None:
    """Runs the script, and prints the curves, how they compare, and where the plot is."""
    result = run(config)
    first: dict[str, Curve] = {}
    for curve in result.curves:
        errors = ", ".join(
            f"{style:.2g} at {content:.2g}" for content, style in zip(curve.content, curve.style, strict=True)
        )
        beside = first.setdefault(curve.panel, curve)
        found = None if beside is curve else ratio(beside, curve)
        compared = (
            "" if found is None else f"; {found:.2f} times that of {one_line(beside.label)} at equal content error"
        )
        print(f"{one_line(curve.panel)}: {one_line(curve.label)}: style error {errors}{compared}")
    print(f"plot: {result.output}, table: {result.table}")


if __name__ == "__main__":
    run_script(Config, main)
