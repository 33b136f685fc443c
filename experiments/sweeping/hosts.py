"""Several hosts: each process computes and writes its own share of a grid; the first one collects the results.

JAX's multi-controller runtime connects the processes. Nothing is sent between them: cells are independent, and the
files in the shared folder say what is done. When a process ends or is killed, the others continue; only the first one,
which hosts the runtime, has to stay to the end.
"""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from jax._src import distributed
from jax.sharding import Mesh

from nst_jax import parallel
from nst_jax.errors import UserError, one_line

from ..cli.run_flags import ClusterFlags

PATIENCE = 300
"""Seconds that the processes of a cluster may take to start."""
SILENCE = 1800
"""Seconds without a sign of life after which a process counts as dead; compiling, or a huge step, takes less."""
GRACE = 5
"""Seconds that the first process waits if no other shows a sign of life: one may just be starting."""
_LOOK_EVERY = 0.5  # seconds
_SIGNS = "processes"
_BEGAN = time.time()  # older signs of life are from earlier runs


def join(flags: ClusterFlags, *, recoverable: bool = True) -> None:
    """Joins the other processes; call it before anything asks JAX for devices.

    Args:
        flags: the flags.
        recoverable: whether a process goes on without one that fails or is killed; those that compute together cannot.

    Raises:
        UserError: the flags do not fit together, or the other processes are not found.
    """
    given = (flags.coordinator_address, flags.num_processes, flags.process_id)
    if not flags.distributed:
        if any(value is not None for value in given):
            raise UserError(
                "--distributed: expected it with --coordinator_address, --num_processes, --process_id; add it"
            )
        return
    if flags.num_processes is not None and (flags.process_id or 0) >= flags.num_processes:
        raise UserError(f"--process_id: expected 0 to {flags.num_processes - 1}, found {flags.process_id}")
    address = re.fullmatch(r".+:(\d{1,5})", flags.coordinator_address or "host:1")
    if not address or not 0 < int(address[1]) < 2**16:  # JAX would abort
        raise UserError(f"--coordinator_address: expected host:port, found {one_line(flags.coordinator_address)!r}")
    if flags.coordinator_address is not None and flags.process_id:
        _find(flags.coordinator_address)
    # Otherwise a process that fails or is killed would end all others.
    jax.config.update("jax_enable_recoverability", recoverable)
    try:
        jax.distributed.initialize(*given)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"--distributed: the other processes were not found ({one_line(error)}); give --coordinator_address, "
            "--num_processes and --process_id, the first two the same for all processes"
        ) from error


def meet(place: str) -> None:
    """Waits until all processes have come to a place, which has another name each time.

    What they then compute together finds them at it: on CPUs, Gloo gives up after 30 seconds, and a process that
    compiles, or writes pictures, takes longer. JAX (0.10) has no public function for it that computes nothing.
    """
    client = distributed.global_state.client
    if client is not None and jax.process_count() > 1:
        client.wait_at_barrier(place, SILENCE * 1000)  # milliseconds


def _find(address: str) -> None:
    """Waits until the first process can be reached: JAX would abort if it cannot."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")  # around an IPv6 address
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=_LOOK_EVERY).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise UserError(
                    f"--coordinator_address: expected the first process at {address} within {PATIENCE} s, found none "
                    f"({error})"
                ) from error
            time.sleep(_LOOK_EVERY)


def is_first() -> bool:
    """Returns whether this process writes the files that cover all cells."""
    return jax.process_index() == 0


def is_mine(index: int) -> bool:
    """Returns whether this process runs the cell with an index: the same at every start, so that it can resume."""
    return index % jax.process_count() == jax.process_index()


def make_mesh() -> Mesh:
    """Returns the mesh of this process's devices."""
    return parallel.make_mesh(devices=jax.local_devices())


def show_life(workdir: Path) -> None:
    """Shows the first process that this one is alive; does nothing in the first process."""
    if not is_first():
        with contextlib.suppress(OSError):
            (workdir / _SIGNS).mkdir(parents=True, exist_ok=True)
            (workdir / _SIGNS / str(jax.process_index())).touch()


@contextlib.contextmanager
def taking_part(workdir: Path) -> Iterator[None]:
    """Shows life until the block ends, however it does; the first process removes the signs of earlier runs."""
    if is_first():
        for sign in (workdir / _SIGNS).glob("*"):
            with contextlib.suppress(OSError):
                if sign.stat().st_mtime < _BEGAN:
                    sign.unlink()
    show_life(workdir)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (workdir / _SIGNS / str(jax.process_index())).unlink(missing_ok=True)
            (workdir / _SIGNS).rmdir()  # succeeds in the last process


def wait(workdir: Path, finished: Callable[[], bool], stopped: Callable[[], bool]) -> None:
    """Makes the first process wait for the others, which would die with it.

    Ends when no other process shows life any more, or all are silent for too long: then they were killed, or their
    hosts are lost. Cells that the others have not finished are left to the next start.

    Args:
        workdir: the folder that all processes see.
        finished: whether all cells are done; called repeatedly.
        stopped: whether this process was asked to stop.
    """
    if not is_first() or jax.process_count() == 1:
        return
    seen: Any = None
    since = time.monotonic()
    while not stopped():
        signs = {sign.name: sign.stat().st_mtime_ns for sign in (workdir / _SIGNS).glob("*")}
        found = (finished(), signs)
        if found != seen:
            seen, since = found, time.monotonic()
        if time.monotonic() - since > (SILENCE if signs else GRACE):
            return
        time.sleep(_LOOK_EVERY)
