"""Compiled programs kept for later runs, in JAX's persistent cache with a folder of our own.

JAX itself removes nothing from that folder, and neither reads nor replaces a damaged entry, such as a full disk or a
process killed while writing leaves; both are done here.
"""

import contextlib
import functools
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from nst_jax.errors import one_line
from nst_jax.io.files import expand_home

_ROOM = 2**27  # bytes; the programs for one size of picture take half a megabyte on a CPU
_TROUBLE = re.compile(r"Error (?:reading|writing) persistent compilation cache entry for '([^']*)': (.*)", re.DOTALL)


def keep_programs() -> None:
    """Makes JAX keep what it compiles and use it again, also in other processes; call it before JAX is imported.

    JAX's environment variables take precedence: JAX_COMPILATION_CACHE_DIR names another folder, and
    JAX_ENABLE_COMPILATION_CACHE=false switches the cache off.
    """
    folder = platformdirs.user_cache_path("nst_jax") / "programs"
    _make_room(folder)
    # XLA divides work among the CPUs that it finds; JAX knows what a program was compiled for, but not how many.
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(folder / f"{_cpus()}-cpus"))
    os.environ["JAX_COMPILATION_CACHE_DIR"] = expand_home(chosen)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # two dozen small ones add up
    warnings.showwarning = functools.partial(_show, warnings.showwarning, folder)


def _make_room(folder: Path) -> None:
    """Removes the least recently used entries until the rest is small enough."""
    with contextlib.suppress(OSError):  # another process may do the same
        used = {file: file.stat() for file in folder.rglob("*") if file.is_file()}
        size = sum(stat.st_size for stat in used.values())
        for file, stat in sorted(used.items(), key=lambda item: max(item[1].st_atime, item[1].st_mtime)):
            if size <= _ROOM:
                break
            file.unlink()
            size -= stat.st_size


def _cpus() -> int:
    if (told := os.environ.get("NPROC", "")).isdecimal():
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _show(show: Callable[..., None], folder: Path, warning: Warning | str, *arguments: Any, **options: Any) -> None:
    """Shows a warning, in one line if it is about the cache; removes a damaged entry, so that it is written again."""
    trouble = _TROUBLE.fullmatch(str(warning))
    if not trouble:
        show(warning, *arguments, **options)
        return
    program, reason = trouble.groups()
    with contextlib.suppress(OSError):
        damaged = list(folder.rglob(f"{program}-*"))
        for file in damaged:
            file.unlink(missing_ok=True)
        if damaged:
            return
    print(f"note: the cache of compiled programs cannot be used ({one_line(reason)})", file=sys.stderr)
    warnings.filterwarnings("ignore", _TROUBLE.pattern, UserWarning)  # once is enough
