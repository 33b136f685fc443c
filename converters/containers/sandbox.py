"""Runs programs of this package in separate processes with limits on time and memory, as their libraries may fail.

    python sandbox.py CPU_SECONDS BYTES PROGRAM ARGUMENT...

On damaged files, libraries such as libhdf5 crash, loop forever or reserve any amount of memory; then only that process
dies. Programs there have the standard library and installed packages, and import nothing from this package.
"""

import contextlib
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

try:
    import resource
except ImportError:  # not on Windows; there only wall time is limited
    resource = None  # type: ignore[assignment]  # a module that may be missing has no type

CPU_SECONDS = 10
WALL_SECONDS = 120
_MEMORY = 1 << 31


class Result(NamedTuple):
    """Result of a program.

    Attributes:
        output: its standard output; empty if that went to a file.
        failure: why it has no result, None if it has one.
    """

    output: bytes
    failure: str | None


def run(
    program: Path, arguments: Sequence[str], *, output: IO[bytes] | None = None, cpu_seconds: int | None = None
) -> Result:
    """Runs a Python program with limits on its time and memory.

    Args:
        program: a file of this package.
        arguments: its arguments.
        output: a file for its standard output; by default it is returned.
        cpu_seconds: the limit; by default `CPU_SECONDS`.
    """
    limits = [str(CPU_SECONDS if cpu_seconds is None else cpu_seconds), str(_MEMORY)]
    command = [sys.executable, "-P", __file__, *limits, os.fspath(program), *arguments]
    # A linear algebra library reserves memory per thread, which would count against the limit.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.PIPE,
            timeout=WALL_SECONDS,
            env=environment,
            check=False,
        )
    except OSError as error:
        return Result(b"", f"no program can be started to read it: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Result(b"", f"it takes more than {WALL_SECONDS} seconds to read")
    if result.returncode:
        # Python reports its own errors; a crash or a limit leaves no message.
        lines = result.stderr.decode(errors="replace").splitlines()
        return Result(b"", lines[-1] if lines else "it makes the library crash or run out of time or memory")
    return Result(result.stdout or b"", None)


def main() -> None:
    """Limits this process and becomes the program."""
    seconds, size, *sys.argv = sys.argv[1:]
    if resource:
        limits = {resource.RLIMIT_CPU: int(seconds), resource.RLIMIT_AS: int(size), resource.RLIMIT_CORE: 0}
        for kind, wanted in limits.items():
            _, hard = resource.getrlimit(kind)
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)  # limits cannot be raised
            with contextlib.suppress(ValueError, OSError):  # macOS refuses to limit the address space
                resource.setrlimit(kind, (most, most))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
