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
import numpy as np

from nst_jax import batches, parallel, transfer
from nst_jax.backbones import pretrained
from nst_jax.batches import Recipe
from nst_jax.loop import run as run_stages
from nst_jax.loop import stage
from nst_jax.presets import LEARNING_RATES, PRESETS, default_preset

Run = Callable[[], tuple[list[float], float]]
"""Runs all cells; returns their last losses, and the seconds without those of compiling."""


def workload(options: argparse.Namespace) -> tuple[pretrained.Pretrained, list[Recipe], np.ndarray, np.ndarray]:
    """Returns a backbone, cells that differ in weight and seed, a content and a style image, both of noise."""
    network = pretrained.load(options.backbone)
    settings = dataclasses.replace(
        PRESETS[default_preset(options.backbone)],
        optimizer=options.optimizer,
        learning_rate=LEARNING_RATES[options.optimizer],
        init="noise",
    )
    recipes = [
        Recipe(dataclasses.replace(settings, style_weight=10.0 * 1.3**index), "content", ("style",), seed=index)
        for index in range(options.cells)
    ]
    random = np.random.default_rng(0)
    content, style = random.uniform(size=(2, options.size, options.size, 3)).astype(np.float32)
    return network, recipes, content, style


def single(options: argparse.Namespace) -> Run:
    """16 single transfers; all but the first find the program compiled."""
    network, recipes, content, style = workload(options)

    def run_all() -> tuple[list[float], float]:
        losses, seconds = [], 0.0
        for recipe in recipes:
            job = transfer.prepare(network, recipe.settings, content, style)
            image = transfer.initial_image(recipe.settings, content, seed=recipe.seed)
            began = time.perf_counter()
            *_, last = run_stages([stage(job, image, steps=options.steps)])
            seconds += time.perf_counter() - began
            losses.append(float(last.history.loss[-1]))
        return losses, seconds

    return run_all


def batched(options: argparse.Namespace, size: int) -> Run:
    """The cells in batches of a size."""
    network, recipes, content, style = workload(options)
    images = {"content": content, "style": style}
    group = batches.Group(network, recipes, images.__getitem__, mesh=parallel.make_mesh())

    def run_all() -> tuple[list[float], float]:
        losses, seconds = [], 0.0
        for first in range(0, len(recipes), size):
            indices = range(first, min(first + size, len(recipes)))
            begin = [transfer.initial_image(recipes[i].settings, content, seed=recipes[i].seed) for i in indices]
            began = time.perf_counter()
            *_, last = group.run(indices, size, steps=options.steps, images=begin)
            seconds += time.perf_counter() - began
            losses += last.history.loss[-1][: len(indices)].tolist()
        return losses, seconds

    return run_all


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
