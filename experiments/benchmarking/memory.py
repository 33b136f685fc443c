"""Measures the peak memory of a step, in a separate process."""

import concurrent.futures
import multiprocessing
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from nst_jax import loop
from nst_jax.backbones import pretrained
from nst_jax.vocabulary import Precision

from . import pytorch, workload

OURS, REMAT = "ours", "remat"


def peak(side: str, backbone: str, size: int, precision: Precision) -> dict[str, float | None]:
    """Returns the peak memory of a step of Adam, in bytes.

    Args:
        side: `ours`, `remat` (also ours) or a name in `pytorch.RIVALS`.
        backbone: the network, with `workload.step_settings`.
        size: side of the picture in pixels.
        precision: precision of the network.

    Returns:
        `process`, the peak of the whole process; `before`, its peak after all imports, before the network is loaded;
        `step`, their difference; and `device`, the peak on the device, None if the device does not report it.
    """
    # A new interpreter, with the module search path of this one.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, side, backbone, size, precision).result()


def _measure(side: str, backbone: str, size: int, precision: Precision) -> dict[str, float | None]:
    # Without the cache, as the peak must not depend on earlier runs.
    jax.config.update("jax_enable_compilation_cache", False)
    jnp.zeros(()).block_until_ready()
    if side in pytorch.RIVALS:
        import torch

        torch.zeros(())
    before = _resident()
    settings = workload.step_settings(backbone, precision, remat=side == REMAT)
    content, _ = workload.pictures(size)
    transfer = workload.blank(pretrained.load(backbone), settings, size)
    if side in pytorch.RIVALS:
        transfer = transfer.replace(params={"params": transfer.params["params"]})
        pytorch.RIVALS[side](transfer, content, learning_rate=settings.learning_rate).run(1)
        device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    else:
        state = loop.init(transfer, jnp.asarray(content))
        jax.block_until_ready(loop.compile_chunk(transfer, state)(transfer, state, jnp.int32(1)))
        device = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    process = _resident()
    return {"process": process, "before": before, "step": process - before, "device": device}


def _resident() -> int:
    """Returns the peak resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024  # of this program alone; on Linux getrusage starts from the peak of the parent
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
