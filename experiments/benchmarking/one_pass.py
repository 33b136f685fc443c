"""Measures networks that paint in one pass: as CPUs do it fastest, as they are written, and in onnxruntime, in turn."""

import functools
import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nst_jax.applications.feedforward import doodles, instant, painting, trained
from nst_jax.applications.feedforward.networks import Doodle
from nst_jax.errors import UserError
from nst_jax.io.files import file_error
from nst_jax.regions import resized

from . import pytorch, workload

OURS, WRITTEN, ONNX = "ours", "as_written", "onnxruntime"
"""The sides."""

Report = dict[str, Any]


def check(names: tuple[str, ...], folder: Path | None) -> list[trained.Trained]:
    """Returns the networks.

    Args:
        names: of the networks.
        folder: where NAME.onnx is for each network that is to be compared; None if none is.

    Raises:
        UserError: a network cannot be read, or there are ONNX files and no onnxruntime, or none of them.
    """
    if folder is not None:
        if importlib.util.find_spec("onnxruntime") is None:
            raise UserError("--onnx: expected onnxruntime to be installed, found none: pip install onnxruntime")
        if not any(_file(folder, name).is_file() for name in names):
            raise file_error(folder, "expected NAME.onnx for one network or more; python -m experiments.export does it")
    return [trained.load(name) for name in names]


def measure(name: str, network: trained.Trained, size: int, *, rounds: int, folder: Path | None) -> Report:
    """Measures one picture of a size, with the sample images.

    Returns:
        `network` and `size`; `seconds`: side → median, fastest and all `rounds`; `compile_seconds`; `code_seconds` that
        the style image takes once, None without one; `difference`: side → the largest one of its pixels from ours.
    """
    content, style = workload.pictures(size)
    if isinstance(network.network, Doodle):
        random = np.random.default_rng(0)
        guides = doodles.random_guides(len(network.network.regions), size, random)
        content = doodles.painted_from(network.network, resized(guides, content.shape), random)
    painter = instant.painter(network, [style] if instant.takes_images(network.network) else [])
    sides: dict[str, Callable[[], np.ndarray]] = {OURS: lambda: painter.paint(content, tile="off")}
    written = jax.jit(functools.partial(painting.paint, network.network))
    sides[WRITTEN] = lambda: np.asarray(written(painter.params, content, painter.code))
    if folder is not None and _file(folder, name).is_file():
        sides[ONNX] = _session(_file(folder, name), content, painter.code)
    code_seconds = None
    if instant.takes_images(network.network):
        instant.code_of(network, painter.params, style)
        code_seconds = _seconds(lambda: instant.code_of(network, painter.params, style))
    began = time.perf_counter()
    pictures = {OURS: sides[OURS]()}
    compile_seconds = time.perf_counter() - began
    pictures |= {side: paint() for side, paint in sides.items() if side != OURS}
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, paint in sides.items():
            times[side].append(_seconds(paint))
    return {
        "network": name,
        "size": size,
        "seconds": {
            side: {"median": statistics.median(of), "fastest": min(of), "rounds": of} for side, of in times.items()
        },
        "compile_seconds": compile_seconds,
        "code_seconds": code_seconds,
        "difference": {
            side: float(abs(picture - pictures[OURS]).max()) for side, picture in pictures.items() if side != OURS
        },
    }


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _file(folder: Path, name: str) -> Path:
    return folder / f"{Path(name).name.removesuffix('.safetensors')}.onnx"


def _session(path: Path, content: np.ndarray, code: painting.Code) -> Callable[[], np.ndarray]:
    """Returns what paints in onnxruntime from a file of `experiments.export`, on the CPUs that we have too.

    Raises:
        UserError: the file is another one.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = pytorch.cpus()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        leaves = [content.transpose(2, 0, 1)[None], *jax.tree.leaves(code)]
        named = {of.name: np.asarray(leaf) for of, leaf in zip(session.get_inputs(), leaves, strict=True)}
        session.run(None, named)
    except Exception as error:  # onnxruntime has an exception for each kind of trouble
        problem = f"expected a file of experiments.export with the style as input, found: {error}"
        raise file_error(path, problem) from error
    return lambda: session.run(None, named)[0][0].transpose(1, 2, 0)
