"""Measures the speed and memory of style transfer on this machine, beside PyTorch where that is installed.

    python -m experiments.benchmark

Prints tables and writes benchmark.json and benchmark.png to --workdir:

- seconds per step of Adam, by backbone and size, beside those of PyTorch and of direct convolution, run in turn;
- the time that direct convolution would need at the floating-point peak, as measured with matrix products, as a share
  of the time of a step;
- the time to compile, and how the time of a step grows with the number of pixels;
- the peak of memory, each in a separate process, also with recomputed activations (--remat of the other scripts);
- steps and seconds that Adam and L-BFGS take to reach the same loss;
- seconds to the same picture: from coarse to fine, at one scale, and in PyTorch at the same scales, with the style and
  content error of each and its defects in numbers.

Takes half an hour on 2 cores with VGG-19 and PyTorch. Nothing else should run on the machine meanwhile.
"""

import dataclasses
import datetime as dt
import os
import sys
from pathlib import Path
from typing import Any, Literal

from nst_jax.applications.feedforward import trained
from nst_jax.backbones import pretrained
from nst_jax.errors import UserError
from nst_jax.io.files import check_folder, make_folder
from nst_jax.vocabulary import Precision

from .cli.flags import Checked, FilePath, flag, option_flag, run_script
from .cli.folders import asked_for, default_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    workdir: FilePath | None = flag(None, "Folder for benchmark.json and benchmark.png; by default one in results/.")
    backbones: tuple[str, ...] | None = flag(None, "Networks; by default squeezenet1_1, and vgg19 if installed.")
    sizes: tuple[int, ...] = flag((256, 512), "Sides of the square pictures in pixels.", least=1)
    precision: Precision = option_flag("precision", "float32")
    rounds: int = flag(5, "Number of measurements of each time; the median is reported.", least=1)
    steps_per_round: int = flag(5, "Number of optimisation steps in each measurement.", least=1, most=64)
    rivals: Literal["auto", "none", "torch", "torch_compile"] = flag(
        "auto", "Framework to compare with; auto means PyTorch if it is installed."
    )
    memory_size: int = flag(
        1024, "Side in pixels of the picture for which memory is measured; 0 means no such measurement.", least=0
    )
    loss_steps: int = flag(
        100, "Number of L-BFGS steps that set the loss for Adam to reach; 0 means no such race.", least=0
    )
    picture_size: int = flag(
        512,
        "Side in pixels of the picture that is painted from coarse to fine, at one scale, in one pass; 0 means none.",
        least=0,
    )
    networks: tuple[str, ...] | None = flag(
        None, "Networks that paint in one pass, by name or weight file; by default those installed."
    )
    onnx: FilePath | None = flag(
        None, "Folder with NAME.onnx of such networks, from experiments.export, to measure onnxruntime beside them."
    )


def folder(config: Config) -> Path:
    """Returns the folder of the results."""
    return Path(config.workdir or default_folder("benchmark", "", asked_for(config, {})))


def run(config: Config) -> dict[str, Any]:
    """Runs the script; returns the content of benchmark.json, which is written after each part.

    Raises:
        UserError: a backbone is unknown or not installed, a size too small, the rival cannot run, or the folder cannot
            be written to.
    """
    workdir = folder(config)
    check_folder(workdir)
    names = backbones(config)
    # Several processes share the device here, and two frameworks one process.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from .benchmarking import (
        measure,  # with JAX, for which --help should not wait
        memory,
        one_pass,
        pytorch,
        scales,
    )
    from .benchmarking.report import print_tables, write_plot
    from .running.run_record import versions, write_json

    measure.keep_no_programs()
    if 0 < config.picture_size < scales.SMALLEST:
        raise UserError(f"--picture_size: expected 0, or {scales.SMALLEST} or more, found {config.picture_size}")
    networks = [pretrained.load(name) for name in names]
    in_one_pass = tuple(trained.installed()) if config.networks is None else config.networks
    painting = one_pass.check(in_one_pass, Path(config.onnx) if config.onnx else None)
    for size in (*config.sizes, *(size for size in (config.memory_size, config.picture_size) if size)):
        for network in networks:
            measure.check(network, size)
    rival, rival_name = pytorch.find(config.rivals)
    report: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": measure.machine(),
        "versions": versions() | pytorch.versions(),
        "precision": config.precision,
        "rounds": config.rounds,
        "steps_per_round": config.steps_per_round,
        "rival": rival,
        "rival_name": rival_name,
        "memory": [],
        "product_peak": None,
        "steps": [],
        "slopes": {},
        "races": [],
        "pictures": [],
        "one_pass": [],
    }
    make_folder(workdir)

    def save(part: str) -> None:
        write_json(workdir / "benchmark.json", report)
        print(f"measured: {part}", flush=True)

    for name in names if config.memory_size and sys.platform != "win32" else ():
        for side in (memory.OURS, memory.REMAT, *([rival] if rival else [])):
            found = memory.peak(side, name, config.memory_size, config.precision)
            report["memory"].append({"backbone": name, "size": config.memory_size, "side": side, **found})
            save(f"memory of {name} at {config.memory_size} px, {side}")
    report["product_peak"] = measure.product_peak(config.precision)
    for size in sorted(set(config.sizes)):
        report["steps"] += measure.steps_of(
            networks,
            size,
            config.precision,
            rival=rival,
            rounds=config.rounds,
            steps=config.steps_per_round,
            peak=report["product_peak"],
        )
        save(f"steps at {size} px")
    report["steps"].sort(key=lambda found: names.index(found["backbone"]))
    for name in names:
        report["slopes"][name] = measure.slope([row for row in report["steps"] if row["backbone"] == name])
    for network in networks if config.loss_steps else ():
        race = measure.race(network, min(config.sizes), config.precision, steps=config.loss_steps)
        report["races"].append(race)
        save(f"time to a loss of {network.backbone.name}")
    for network in networks if config.picture_size else ():
        report["pictures"].append(scales.same_picture(network, config.picture_size, config.precision, rival=rival))
        save(f"time to the same picture of {network.backbone.name}")
    for name, painter in zip(in_one_pass, painting, strict=True) if config.picture_size else ():
        folder_of_onnx = Path(config.onnx) if config.onnx else None
        found = one_pass.measure(name, painter, config.picture_size, rounds=config.rounds, folder=folder_of_onnx)
        report["one_pass"].append(found)
        save(f"one pass of {name}")
    write_json(workdir / "benchmark.json", report)
    write_plot(workdir / "benchmark.png", report)
    print_tables(report)
    return report


def backbones(config: Config) -> list[str]:
    """Returns the names of the networks.

    Raises:
        UserError: there is none, one is unknown, or one is there twice.
    """
    given = config.backbones
    if given is None:
        given = (pretrained.EMBEDDED, *(["vgg19"] if pretrained.find("vgg19") else []))
    names = [pretrained.resolve(name) for name in given]
    if not names or len(set(names)) < len(names) or not config.sizes:
        found = f"{','.join(given) or 'none'} and {','.join(map(str, config.sizes)) or 'none'}"
        raise UserError(f"--backbones and --sizes: expected one or more of each, each once, found {found}")
    return names


def main(config: Config) -> None:
    """Runs the script and prints where the results are."""
    run(config)
    print(f"numbers and plot: {folder(config)}")


if __name__ == "__main__":
    run_script(Config, main)
