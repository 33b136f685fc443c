"""The peak of memory of a step, in a process that does nothing else."""

import concurrent.futures
import multiprocessing
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from nst_jax import loop
from nst_jax.backbones import pretrained
from nst_jax.settings import Precision

from . import pytorch, workload

OURS, REMAT = "ours", "remat"


def peak(side: str, backbone: str, size: int, precision: Precision) -> dict[str, float | None]:
    """Returns the peak of memory of a step of Adam, in bytes.

    Args:
        side: `ours`, `remat` (also ours) or a name in `pytorch.RIVALS`.
        backbone: the network, with `workload.step_settings`.
        size: side of the picture in pixels.
        precision: of the network.

    Returns:
        `process`, the peak of a whole process; `before`, its peak when it had imported everything, but not yet loaded
        the network; `step`, their difference; and `device`, the peak on a device that tells, else None.
    """
    # A new interpreter, which gets the module search path of this one.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, side, backbone, size, precision).result()


def _measure(side: str, backbone: str, size: int, precision: Precision) -> dict[str, float | None]:
    # Compiled anew, or it would matter whether there was a run before.
    jax.config.update("jax_enable_compilation_cache", False)
    jnp.zeros(()).block_until_ready()
    if side in pytorch.RIVALS:
        import torch

        torch.zeros(())
    before = _resident()
    settings = workload.step_settings(backbone, precision, remat=side == REMAT)
    photograph, _ = workload.pictures(size)
    job = workload.blank(pretrained.load(backbone), settings, size)
    if side in pytorch.RIVALS:
        job = job.replace(params={"params": job.params["params"]})
        pytorch.RIVALS[side](job, photograph, learning_rate=settings.learning_rate).run(1)
        device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    else:
        state = loop.init(job, jnp.asarray(photograph))
        jax.block_until_ready(loop.compile_chunk(job, state)(job, state, jnp.int32(1)))
        device = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    process = _resident()
    return {"process": process, "before": before, "step": process - before, "device": device}


def _resident() -> int:
    """Returns the peak of resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024  # of this program alone; on Linux getrusage begins with what the parent had
    import resource  # which Windows has not

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
