"""C's allocator: what it gives back, and what it keeps where somebody's settings forbid that."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nst_jax.allocator import keep_freed, share_memory, trim

pytestmark = pytest.mark.quick

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other allocator is asked")


@glibc
def test_trimmed_memory_goes_back_to_the_system():
    blocks = [bytes([1]) * 50_000 for _ in range(2000)]
    pinned = blocks[::100]
    before = resident()
    del blocks
    trim()
    assert resident() < before - 50_000_000
    assert len(pinned) == 20


def resident():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) * 1024


FAULTS = """
import resource, sys
from nst_jax.allocator import keep_freed
if sys.argv[1:] == ["keep"]:
    keep_freed()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    bytearray(b"1") * (1 << 22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@glibc
def test_what_is_freed_is_kept_for_what_comes_next():
    """Of a hundred arrays of a thousand pages, one after the other, each is of the same pages."""

    def faults(*arguments):
        environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
        command = [sys.executable, "-c", FAULTS, *arguments]
        return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    assert faults() > 50_000
    assert faults("keep") < 5000


def test_elsewhere_no_allocator_is_told(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    trim()
    share_memory()
    keep_freed()
