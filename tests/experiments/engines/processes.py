"""Processes that another one has started, as /proc of Linux has them."""

from pathlib import Path

PROC = Path("/proc/self/stat").exists()


def children(pid):
    """The processes that a process has started and that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found


def workers(pid):
    """The workers that a driver has on this machine, by Python's `multiprocessing`."""
    return [child for child in children(pid) if b"spawn_main" in _command(child)]


def is_there(pid):
    """Whether a process has not ended; one that has may stay in the list until its parent asks for its end."""
    return bool(_command(pid))


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
