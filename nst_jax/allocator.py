"""What C's allocator keeps, where its defaults, or somebody's settings, cost memory or time: glibc's alone."""

import ctypes
import os
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
_TRIM_VARIABLE = "MALLOC_TRIM_THRESHOLD_"
_LARGE = 32 << 20
"""Bytes up to which glibc comes to serve arrays from what it keeps, left to itself."""


def trim() -> None:
    """Gives back to the system what the allocator keeps.

    A compilation leaves some 400 MB, of no use to a step: glibc asks the system for each large array by itself.
    """
    if library := _glibc():
        library.malloc_trim(0)


def share_memory() -> None:
    """Makes threads that start from now on share one arena, for processes that are short of memory.

    XLA compiles in threads, and what each leaves in an arena of its own cannot all be trimmed: 90 MB on two cores.
    """
    if library := _glibc():
        library.mallopt(_M_ARENA_MAX, 1)


def keep_freed() -> None:
    """Has the allocator keep what is freed for what comes next, as by default, if the environment forbids that.

    So Dask does for its workers (`MALLOC_TRIM_THRESHOLD_`): every array of a step is then asked of the system anew, and
    its pages are filled with zeros, which takes as long again as half of the step (160 px, SqueezeNet).
    """
    if _TRIM_VARIABLE in os.environ and (library := _glibc()):
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE)


def _glibc() -> Any:
    """Returns the C library if it is glibc, else None."""
    return library if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim") else None
