"""16 transfers as one program, one after the other by one program, and as 16 single runs: seconds and memory.

    python tests/benchmarks/cells_at_once.py --size=128 --backbone=squeezenet1_1 --optimizer=lbfgs

All three do the same steps from the same noise; the greatest difference of their last losses is printed beside the
times. Times are of one process, in turn, the fastest of some rounds; the peak of memory is that of a process which does
nothing else.
"""

import argparse
import dataclasses
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import batches, parallel, sweep, transfer
from nst_jax.backbones import weights
from nst_jax.presets import LEARNING_RATES, PRESETS, default_preset
from nst_jax.sweep import Cell

Run = Callable[[], tuple[list[float], float]]
"""Runs all cells; returns their last losses, and the seconds without those of compiling."""


def workload(options: argparse.Namespace) -> tuple[weights.Pretrained, list[Cell], np.ndarray, np.ndarray]:
    """Returns a backbone, cells that differ in weight and seed, a photograph and a painting, both of noise."""
    network = weights.load(options.backbone)
    how = dataclasses.replace(
        PRESETS[default_preset(options.backbone)],
        optimizer=options.optimizer,
        learning_rate=LEARNING_RATES[options.optimizer],
        init="noise",
    )
    cells = [
        Cell(dataclasses.replace(how, style_weight=10.0 * 1.3**index), seed=index) for index in range(options.cells)
    ]
    random = np.random.default_rng(0)
    content, painting = random.uniform(size=(2, options.size, options.size, 3)).astype(np.float32)
    return network, cells, content, painting


def single(options: argparse.Namespace) -> Run:
    """16 single transfers; all but the first find the program compiled."""
    network, cells, content, painting = workload(options)

    def run() -> tuple[list[float], float]:
        losses, seconds = [], 0.0
        for cell in cells:
            job = transfer.prepare(network, cell.settings, content, painting)
            image = transfer.initial_image(cell.settings, jnp.asarray(content), seed=cell.seed)
            begin = transfer.start(job, image, cell.settings.learning_rate)
            began = time.perf_counter()
            for _, news in transfer.run(job, begin, steps=options.steps):
                last = news.loss[-1]
            seconds += time.perf_counter() - began
            losses.append(float(last))
        return losses, seconds

    return run


def batched(options: argparse.Namespace, size: int) -> Run:
    """The cells in batches of a size."""
    network, cells, content, painting = workload(options)
    group = batches.Group(network, cells, lambda _: content, lambda _: painting, mesh=parallel.make_mesh())

    def run() -> tuple[list[float], float]:
        losses, seconds = [], 0.0
        for first in range(0, len(cells), size):
            indices = range(first, min(first + size, len(cells)))
            images = sweep.initial_images([cells[index] for index in indices], [content])
            batch = group.begin(indices, np.asarray(images), size)
            began = time.perf_counter()
            for _, news in group.run(batch, steps=options.steps):
                last = news.history.loss[-1]
            seconds += time.perf_counter() - began
            losses += last[: len(indices)].tolist()
        return losses, seconds

    return run


WAYS = {
    "single runs": single,
    "one at a time": lambda options: batched(options, parallel.make_mesh().size),
    "all at once": lambda options: batched(options, options.cells),
}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="squeezenet1_1")
    parser.add_argument("--optimizer", default="lbfgs", choices=LEARNING_RATES)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--cells", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=WAYS, help="one way, once, for its memory")
    options = parser.parse_args()
    if options.only:
        WAYS[options.only](options)()
        # Not of getrusage, which begins with what its parent had.
        peak = int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
        stats = jax.local_devices()[0].memory_stats() or {}
        print(json.dumps({"host": peak, "device": stats.get("peak_bytes_in_use", 0) / 2**20}))
        return
    runs, compiled, times, losses = {}, {}, {name: [] for name in WAYS}, {}
    for name, make in WAYS.items():
        began = time.perf_counter()
        runs[name] = make(options)
        losses[name], _ = runs[name]()
        compiled[name] = time.perf_counter() - began
    for _ in range(options.rounds):
        for name, run in runs.items():
            times[name].append(run()[1])
    print(f"{jax.devices()[0].device_kind} × {len(jax.devices())}, jax {jax.__version__}: {vars(options)}")
    reference = np.array(losses["single runs"])
    for name in WAYS:
        command = [sys.executable, *sys.argv, f"--only={name}"]
        memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        best = min(times[name])
        print(
            f"{name:>14}: {best:7.2f} s, {1000 * best / options.steps / options.cells:7.2f} ms a step of a cell, "
            f"first time with compiling {compiled[name]:6.1f} s, "
            f"peak {memory['host']:.0f} MiB of the host, {memory['device']:.0f} of the device, "
            f"losses within {np.max(np.abs(losses[name] / reference - 1)):.1e}"
        )


if __name__ == "__main__":
    main()
