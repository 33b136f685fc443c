"""Measures speed: warmed up, blocked until ready, all sides in turn in one process, with the loss beside the time."""

import contextlib
import dataclasses
import math
import platform
import subprocess
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import optimize
from nst_jax.backbones.features import PREPARED
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.checks import check_layers
from nst_jax.loop import compile_chunk, init, state_shapes
from nst_jax.presets import LEARNING_RATES, PRESETS
from nst_jax.problem import Transfer
from nst_jax.rendering.canvas import check_margin
from nst_jax.settings import Settings
from nst_jax.solvers import SOLVERS
from nst_jax.transfer import initial_image, prepare
from nst_jax.vocabulary import Optimizer, Precision

from . import pytorch, workload

_PRODUCT_SIDE = 2048
_PRODUCTS = 4
_TRIES = 5
_STEPS_AT_ONCE = 8
"""Steps between two readings of the clock in a race to a loss; their time is spread evenly over the evaluations."""
_ADAM_LIMIT = 4
"""Most steps of Adam in the race, as a multiple of those of L-BFGS."""
_TARGET = 1.1
"""The loss to reach, as a multiple of the last one of L-BFGS."""

Report = dict[str, Any]
Side = TypeVar("Side", bound=Hashable)


def keep_no_programs() -> None:
    """Makes this process compile everything itself, without the cache on disk; call it before anything is compiled."""
    jax.config.update("jax_enable_compilation_cache", False)


def machine() -> Report:
    """Returns the machine: `device` and `devices` (their number), `cpu`, `cores`, `system`."""
    return {
        "device": jax.devices()[0].device_kind,
        "devices": len(jax.devices()),
        "cpu": _cpu(),
        "cores": pytorch.cpus(),
        "system": platform.platform(),
    }


def check(network: Pretrained, size: int) -> None:
    """Checks that everything can be measured at a size.

    Raises:
        UserError: a layer vanishes, or the margin of the preset is too wide.
    """
    name = network.backbone.name
    preset = PRESETS[network.backbone.family.preset]
    check_margin(preset.margin, size, size)
    for settings in (workload.step_settings(name, "float32"), preset):
        for layers, what in ((settings.content_layers, "content layer"), (settings.style_layers, "style layer")):
            check_layers(network.backbone, layers, (size, size, 3), what=what)


def product_peak(precision: Precision) -> float:
    """Returns the floating-point operations per second of a product of square matrices."""
    exact = jax.lax.Precision.HIGHEST if precision == "float32" else jax.lax.Precision.DEFAULT
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    values = np.random.default_rng(0).standard_normal((_PRODUCT_SIDE, _PRODUCT_SIDE)) / math.sqrt(_PRODUCT_SIDE)
    matrix = jnp.asarray(values, dtype)

    @jax.jit
    def products(matrix: jax.Array) -> jax.Array:
        power = matrix
        for _ in range(_PRODUCTS):
            power = jnp.matmul(power, matrix, precision=exact)
        return power

    products(matrix).block_until_ready()
    seconds = min(_seconds(lambda: products(matrix).block_until_ready()) for _ in range(_TRIES))
    return 2 * _PRODUCT_SIDE**3 * _PRODUCTS / seconds


def steps_of(
    networks: Sequence[Pretrained],
    size: int,
    precision: Precision,
    *,
    rival: str | None,
    rounds: int,
    steps: int,
    peak: float,
) -> list[Report]:
    """Measures a step of Adam from noise, of several networks in turn.

    Args:
        networks: the networks.
        size: side of the picture in pixels.
        precision: precision of the networks.
        rival: a name in `pytorch.RIVALS`, or None.
        rounds: number of measurements of each side.
        steps: number of steps per round.
        peak: the result of `product_peak`.

    Returns:
        For each network `seconds` per step by side, as `in_turn` returns them: `ours`, `direct` if it differs (without
        Winograd's kernels), `evaluation` (of the objective and its gradient alone, no optimiser,
        no total variation) and `rival`; `loss` after all steps by side; `gradient_difference` by side, relative, from
        `direct` at the initial picture; `compile_seconds`; `multiply_adds` of the network forward; `roofline`, the
        share of the peak; and ratios of times: `overhead` of optimiser and total variation, `over_rival`,
        `over_direct`, `over_vgg19` (with direct convolution).
    """
    contenders = {network.backbone.name: _contenders(network, size, precision, rival) for network in networks}
    times, losses = in_turn(
        {(name, side): found.run for name, sides in contenders.items() for side, found in sides.items()},
        rounds=rounds,
        steps=steps,
    )
    reports = []
    for network in networks:
        name = network.backbone.name
        sides = contenders[name]
        ours, exact = sides["ours"], sides.get("direct", sides["ours"]).gradient
        settings = workload.step_settings(name, precision)
        adds = workload.multiply_adds(network.backbone, settings.content_layers + settings.style_layers, size)
        vgg = next((key for key in (("vgg19", "direct"), ("vgg19", "ours")) if key in times), None)

        def over(other: tuple[str, str] | None, *, key: tuple[str, str] = (name, "ours")) -> float | None:
            return ratio(times[key], times[other]) if other in times else None

        reports.append(
            {
                "backbone": name,
                "size": size,
                "seconds": {side: times[name, side] for side in sides},
                "loss": {side: losses[name, side] for side in sides},
                "gradient_difference": {
                    side: _relative_norm(found.gradient, exact)
                    for side, found in sides.items()
                    if not isinstance(found, _Evaluation)
                },
                "compile_seconds": ours.compile_seconds,
                "multiply_adds": adds,
                # A multiplication and an addition each, forward and backward.
                "roofline": 2 * 2 * adds / times[name, "ours"]["median"] / peak,
                "overhead": ratio(times[name, "ours"], times[name, "evaluation"]) - 1,
                "over_rival": over((name, "rival")),
                "over_direct": over((name, "direct")),
                "over_vgg19": over(vgg) if name != "vgg19" else None,
            }
        )
    return reports


def step(network: Pretrained, size: int, *, rounds: int, steps: int) -> Report:
    """Measures a step of Adam from noise of one network by itself, as `steps_of` does.

    Returns:
        `seconds` per step, the median, and `compile_seconds`.
    """
    transfer, image, _ = _step(network, size, "float32")
    ours = _Ours(transfer, image)
    times, _ = in_turn({"ours": ours.run}, rounds=rounds, steps=steps)
    return {"seconds": times["ours"]["median"], "compile_seconds": ours.compile_seconds}


def in_turn(
    runs: Mapping[Side, Callable[[int], float]], *, rounds: int, steps: int
) -> tuple[dict[Side, Report], dict[Side, float]]:
    """Measures several sides in turn, after a warm-up round.

    Args:
        runs: side → a function that runs a number of steps and returns the loss after them.
        rounds: number of rounds after the warm-up.
        steps: number of steps per round.

    Returns:
        Side → seconds per step: `median`, `fastest`, `rounds`; and side → the last loss.
    """
    seconds: dict[Side, list[float]] = {side: [] for side in runs}
    losses = {side: run(steps) for side, run in runs.items()}
    for _ in range(rounds):
        for side, run in runs.items():
            began = time.perf_counter()
            losses[side] = run(steps)
            seconds[side].append((time.perf_counter() - began) / steps)
    times = {
        side: {"median": float(np.median(found)), "fastest": min(found), "rounds": found}
        for side, found in seconds.items()
    }
    return times, losses


def ratio(times: Report, other: Report) -> float:
    """Returns the ratio of the times of two sides: the median over rounds, in each of which both ran in turn."""
    return float(np.median(np.divide(times["rounds"], other["rounds"])))


def slope(steps: Sequence[Report]) -> float | None:
    """Returns the exponent with which the time of a step grows with the number of pixels; None for a single size."""
    sizes = np.array([found["size"] for found in steps], float)
    if len(set(sizes)) < 2:
        return None
    seconds = [found["seconds"]["ours"]["median"] for found in steps]
    return float(np.polyfit(2 * np.log(sizes), np.log(seconds), 1)[0])


def race(network: Pretrained, size: int, precision: Precision, *, steps: int) -> Report:
    """Measures how long Adam and L-BFGS take from the content image to a loss, with the default preset of the backbone.

    Args:
        network: the network.
        size: side of the picture in pixels.
        precision: precision of the network.
        steps: number of steps of L-BFGS; the loss to reach is 10 % above its last one. Adam may take 4 times as many.

    Returns:
        `target`; and by optimiser the `steps` and `seconds` to reach it (None if it is not reached), the `evaluations`
        per step, and the curve: `losses` after each step and the `elapsed` seconds, without compilation.
    """
    settings = dataclasses.replace(PRESETS[network.backbone.family.preset], init="content", precision=precision)
    content, style = workload.pictures(size)
    transfer = prepare(network, settings, content, style)
    found = {"lbfgs": _curve(transfer, content, "lbfgs", steps=steps, target=-math.inf)}
    target = _TARGET * found["lbfgs"]["losses"][-1]
    found["adam"] = _curve(transfer, content, "adam", steps=_ADAM_LIMIT * steps, target=target)
    for curve in found.values():
        reached = np.flatnonzero(np.array(curve["losses"]) <= target)
        curve["steps"] = int(reached[0]) + 1 if len(reached) else None
        curve["seconds"] = curve["elapsed"][reached[0]] if len(reached) else None
    return {"backbone": network.backbone.name, "size": size, "target": target, "optimizers": found}


class _Ours:
    """A transfer as scripts run it, compiled ahead of time."""

    def __init__(self, transfer: Transfer, image: np.ndarray) -> None:
        self._transfer = transfer
        self._begin = lambda: init(transfer, jnp.asarray(image))
        began = time.perf_counter()
        self._program = compile_chunk(transfer, state_shapes(transfer))
        self.compile_seconds = time.perf_counter() - began
        self.begin()
        self.gradient = np.array(self._state.evaluation.gradient)

    def begin(self) -> None:
        """Goes back to the state before the first step."""
        self._state = jax.block_until_ready(self._begin())

    def run(self, steps: int) -> float:
        """Runs some steps, at most `LONGEST_CHUNK`; returns the loss of the picture after them."""
        return float(self.advance(steps).loss[steps - 1])

    def advance(self, steps: int) -> optimize.Info:
        """Runs some steps; returns the info of each, on the host."""
        self._state, info = self._program(self._transfer, self._state, jnp.int32(steps))
        jax.block_until_ready(self._state)
        return jax.device_get(info)


class _Evaluation:
    """The objective and its gradient alone."""

    def __init__(self, transfer: Transfer, image: np.ndarray) -> None:
        self._transfer = transfer
        self._image = jnp.asarray(image)

    def run(self, steps: int) -> float:
        """Evaluates `steps` times; returns the loss of the initial picture."""
        found = workload.evaluate(self._transfer, self._image, jnp.float32(0), jnp.int32(steps))
        _, loss = jax.block_until_ready(found)
        return float(loss)


def _step(network: Pretrained, size: int, precision: Precision) -> tuple[Transfer, np.ndarray, Settings]:
    """Returns the transfer whose steps are measured, its initial picture, and its settings."""
    settings = workload.step_settings(network.backbone.name, precision)
    content, style = workload.pictures(size)
    transfer = prepare(network, settings, content, style)
    return transfer, np.asarray(initial_image(settings, jnp.asarray(content), seed=0)).clip(0, 1), settings


def _contenders(network: Pretrained, size: int, precision: Precision, rival: str | None) -> dict[str, Any]:
    """Returns the sides of `steps_of`, each at the initial picture."""
    transfer, image, settings = _step(network, size, precision)
    sides: dict[str, Any] = {"ours": _Ours(transfer, image)}
    if transfer.params.get(PREPARED):
        direct = transfer.replace(params={"params": transfer.params["params"]})
        sides["direct"] = _Ours(direct, image)
    sides["evaluation"] = _Evaluation(transfer, image)
    if rival:
        sides["rival"] = pytorch.RIVALS[rival](transfer, image, learning_rate=settings.learning_rate)
    return sides


def _curve(transfer: Transfer, image: np.ndarray, optimizer: Optimizer, *, steps: int, target: float) -> Report:
    """Returns the curve of a run that ends at the target or after `steps`; see `race`."""
    transfer = transfer.replace(
        config=dataclasses.replace(transfer.config, solver=SOLVERS[optimizer]),
        learning_rate=jnp.float32(LEARNING_RATES[optimizer]),
    )
    ours = _Ours(transfer, image)
    ours.advance(1)
    ours.begin()
    losses: list[float] = []
    elapsed: list[float] = []
    evaluations: list[int] = []
    total = 0.0
    while len(losses) < steps and not (losses and losses[-1] <= target):
        count = min(_STEPS_AT_ONCE, steps - len(losses))
        began = time.perf_counter()
        info = ours.advance(count)
        seconds = time.perf_counter() - began
        done = info.evaluations[:count]
        elapsed += (total + seconds * np.cumsum(done) / done.sum()).tolist()
        total += seconds
        losses += info.loss[:count].tolist()
        evaluations += done.tolist()
        if not info.finite[:count].all():
            break
    return {"losses": losses, "elapsed": elapsed, "evaluations": float(np.mean(evaluations))}


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _relative_norm(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _cpu() -> str:
    """Returns the name of the CPU, if the system provides it."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]  # of macOS
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return platform.processor() or platform.machine()
