"""The results of the benchmark as Markdown tables and as a plot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from ..plotting.figures import plot
from . import one_pass, scales

_WIDE = 1000  # columns, so that no cell is broken
_NONE = "–"
_LINES = {"ours": "o-", "direct": "s:", "rival": "^--"}

Report = Mapping[str, Any]


def print_tables(report: Report) -> None:
    """Prints all results as tables in Markdown."""
    machine = report["machine"]
    console = Console(width=_WIDE, highlight=False, markup=False, soft_wrap=True)
    versions = ", ".join(f"{name} {report['versions'][name]}" for name in ("jax", "python"))
    console.print(f"\n{_name(machine)}; {versions}; {report['precision']}; rival: {report['rival_name']}")
    console.print(f"measured peak of matrix products: {report['product_peak'] / 1e9:.0f} Gflop/s\n")
    for table in (
        _step_table(report),
        _memory_table(report),
        _race_table(report),
        _picture_table(report),
        _pass_table(report),
    ):
        if table.row_count:
            console.print(table)
            console.print()
    for found in report["pictures"]:
        if found["rival_problem"]:
            console.print(f"{report['rival_name']} did not paint with {found['backbone']}: {found['rival_problem']}")


def write_plot(path: Path, report: Report) -> None:
    """Plots the time of a step over the size of the picture, and the loss over time, as a PNG, atomically.

    Raises:
        UserError: it cannot be written.
    """
    with plot(path, width=13, height=4.5) as figure:
        steps, races = figure.subplots(1, 2)
        steps.set(
            title="step of Adam", xlabel="side of the picture in pixels", ylabel="seconds", xscale="log", yscale="log"
        )
        races.set(title="from the content image", xlabel="seconds", ylabel="loss", xscale="log", yscale="log")
        for index, backbone in enumerate(dict.fromkeys(found["backbone"] for found in report["steps"])):
            rows = [found for found in report["steps"] if found["backbone"] == backbone]
            for side, line in _LINES.items():
                if side in rows[0]["seconds"]:
                    seconds = [found["seconds"][side]["median"] for found in rows]
                    label = f"{backbone}, {report['rival'] if side == 'rival' else side}"
                    steps.plot([found["size"] for found in rows], seconds, line, color=f"C{index}", label=label)
        for index, found in enumerate(report["races"]):
            for (optimizer, curve), line in zip(found["optimizers"].items(), ("-", "--"), strict=True):
                label = f"{found['backbone']}, {found['size']} px, {optimizer}"
                races.plot(curve["elapsed"], curve["losses"], line, color=f"C{index}", label=label)
            races.axhline(found["target"], color=f"C{index}", linewidth=0.6)
        sizes = sorted({found["size"] for found in report["steps"]})
        steps.set_xticks(sizes, labels=map(str, sizes))
        steps.minorticks_off()
        for axes in (steps, races):
            axes.grid(visible=True, which="both", alpha=0.2)
            if axes.lines:
                axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        figure.suptitle(f"{_name(report['machine'])}, {report['precision']}", fontsize=10)


def _name(machine: Report) -> str:
    """Returns a machine in words."""
    host = f"{machine['cpu']}, {machine['cores']} cores"
    return host if machine["device"] == "cpu" else f"{machine['device']} ({host})"


def _step_table(report: Report) -> Table:
    """A step by backbone and size."""
    columns: dict[str, Callable[[Report], str]] = {
        "backbone": lambda row: row["backbone"],
        "px": lambda row: str(row["size"]),
        "step (fastest)": lambda row: _times(row, "ours"),
        "direct convolution": lambda row: _times(row, "direct"),
        report["rival"] or "rival": lambda row: _times(row, "rival"),
        "× rival": lambda row: _number(row["over_rival"], "{:.2f}"),
        "× direct VGG-19": lambda row: _number(row["over_vgg19"], "{:.3f}"),
        "share of peak (as direct convolution)": lambda row: f"{row['roofline']:.0%}",
        "Adam and total variation": lambda row: f"{row['overhead']:+.1%}",
        "gradient error": lambda row: _number(row["gradient_difference"].get("ours"), "{:.0e}"),
        "rival's gradient error": lambda row: _number(row["gradient_difference"].get("rival"), "{:.0e}"),
        "loss": lambda row: f"{row['loss']['ours']:.6g}",
        "rival's loss": lambda row: _number(row["loss"].get("rival"), "{:.6g}"),
        "compile": lambda row: f"{row['compile_seconds']:.1f} s",
        "time ∝ pixels^": lambda row: _number(report["slopes"][row["backbone"]], "{:.2f}"),
    }
    return _table(columns, report["steps"])


def _memory_table(report: Report) -> Table:
    """The peak memory of a step."""
    columns: dict[str, Callable[[Report], str]] = {
        "backbone": lambda row: row["backbone"],
        "px": lambda row: str(row["size"]),
        "side": lambda row: row["side"],
        "step": lambda row: f"{row['step'] / 2**20:.0f} MiB",
        "whole process": lambda row: f"{row['process'] / 2**20:.0f} MiB",
        "device": lambda row: _number(row["device"] and row["device"] / 2**20, "{:.0f} MiB"),
    }
    return _table(columns, report["memory"])


def _race_table(report: Report) -> Table:
    """Steps and seconds to reach a loss."""

    def of(optimizer: str, name: str, form: str) -> Callable[[Report], str]:
        return lambda row: _number(row["optimizers"][optimizer][name], form)

    columns: dict[str, Callable[[Report], str]] = {
        "backbone": lambda row: row["backbone"],
        "px": lambda row: str(row["size"]),
        "target loss": lambda row: f"{row['target']:.4g}",
        "L-BFGS": of("lbfgs", "steps", "{} steps"),
        "L-BFGS time": of("lbfgs", "seconds", "{:.1f} s"),
        "evaluations per step": of("lbfgs", "evaluations", "{:.2f}"),
        "Adam": of("adam", "steps", "{} steps"),
        "Adam time": of("adam", "seconds", "{:.1f} s"),
    }
    return _table(columns, report["races"])


def _picture_table(report: Report) -> Table:
    """Time to the same picture, and what it is like."""

    def of(name: str, form: str) -> Callable[[Report], str]:
        return lambda row: _number(row[name], form)

    columns: dict[str, Callable[[Report], str]] = {
        "backbone": of("backbone", "{}"),
        "px": of("scales", "{}"),
        "side": of("side", "{}"),
        "seconds": of("seconds", "{:.0f}"),
        "evaluations": of("evaluations", "{}"),
        "style error": of("style", "{:.3g}"),
        "content error": of("content", "{:.3g}"),
        "seconds to the style error of one scale": of("seconds_to_style", "{:.0f}"),
        "grain": of("grain", "{:.2f}"),
        "border frame": of("border_frame", "{:.2f}"),
        "blotches": of("blotches", "{:.2f}"),
    }
    return _table(columns, [row for found in report["pictures"] for row in _picture_rows(found, report)])


def _pass_table(report: Report) -> Table:
    """A picture in one pass, beside the same picture from coarse to fine."""
    seconds = [found["sides"][scales.SCALES]["seconds"] for found in report["pictures"]]
    stylized = ", ".join(f"{each:.0f} s" for each in seconds) or _NONE
    columns: dict[str, Callable[[Report], str]] = {
        "network": lambda row: row["network"],
        "px": lambda row: str(row["size"]),
        "picture (fastest)": lambda row: _times(row, one_pass.OURS),
        "as written": lambda row: _times(row, one_pass.WRITTEN),
        "onnxruntime": lambda row: _times(row, one_pass.ONNX),
        "its difference": lambda row: _number(row["difference"].get(one_pass.ONNX), "{:.0e}"),
        "style image, once": lambda row: _number(row["code_seconds"] and 1000 * row["code_seconds"], "{:.0f} ms"),
        "compile": lambda row: f"{row['compile_seconds']:.1f} s",
        "stylize": lambda _: stylized,
    }
    return _table(columns, report["one_pass"])


def _picture_rows(found: Report, report: Report) -> Iterator[Report]:
    """Returns a row per side."""
    for name, of in found["sides"].items():
        yield {
            **of,
            "backbone": found["backbone"],
            "scales": found["size"] if name == scales.ONE else ", ".join(map(str, found["scales"])),
            "side": report["rival"] if name == scales.RIVAL else name.replace("_", " "),
            "seconds_to_style": found["seconds_to_style"] if name == scales.SCALES else None,
        }


def _table(columns: Mapping[str, Callable[[Report], str]], rows: Sequence[Report]) -> Table:
    table = Table(*columns, box=MARKDOWN)
    for row in rows:
        table.add_row(*(cell(row) for cell in columns.values()))
    return table


def _times(row: Report, side: str) -> str:
    """Returns the median and the fastest time of a side in milliseconds."""
    if side not in row["seconds"]:
        return _NONE
    times = row["seconds"][side]
    return f"{1000 * times['median']:.4g} ms ({1000 * times['fastest']:.4g})"


def _number(value: float | None, form: str) -> str:
    return _NONE if value is None else form.format(value)
