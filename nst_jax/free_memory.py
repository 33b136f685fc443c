"""How much memory there is."""

from pathlib import Path

import jax

USABLE = 0.8
"""Share of the free memory that a picture may take: what it needs is an estimate, and others are at work too."""

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int | None:
    """Returns the bytes that are free on the device, for a CPU those of the machine; None if nobody says."""
    device = jax.local_devices()[0]  # another host's says nothing of its memory
    memory = device.memory_stats() or {}
    if "bytes_limit" in memory:
        return int(memory["bytes_limit"]) - int(memory.get("bytes_in_use", 0))
    found = [size for size in (_machine(), _container()) if size is not None]
    return min(found, default=None) if device.platform == "cpu" else None


def _machine() -> int | None:
    """Returns what Linux says could be had without swapping; None elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _container() -> int | None:
    """Returns what is left of the limit of a container, None if there is none."""
    try:
        most, used = ((_CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        cached = next(
            int(line.split()[1])
            for line in (_CGROUP / "memory.stat").read_text().splitlines()
            if line.startswith("inactive_file ")
        )
    except (OSError, StopIteration):
        return None
    return int(most) - int(used) + cached if most.isdecimal() else None
