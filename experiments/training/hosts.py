"""Several hosts that compute together, connected by JAX's multi-controller runtime."""

import re
import socket
import time

import jax
from jax._src import distributed

from nst_jax.errors import UserError, one_line

from ..cli.run_flags import ClusterFlags

PATIENCE = 300
"""Seconds that the processes of a cluster may take to start."""
SILENCE = 1800
"""Seconds that a process may take to come to where the others wait; compiling, or a huge step, takes less."""
_LOOK_EVERY = 0.5  # seconds


def join(flags: ClusterFlags) -> None:
    """Joins the other processes; call it before anything asks JAX for devices.

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
