"""Several hosts: each process computes its own share of a grid and writes it; the first one gathers what all wrote.

JAX's multi-controller runtime tells the processes of each other. Nothing is sent between them: cells need nothing of
each other, and what is done is told by the files in the one folder that all of them see.
"""

import dataclasses
import re
import socket
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
from jax.sharding import Mesh

from experiments._flags import Checked, flag
from nst_jax import parallel
from nst_jax.errors import UserError, one_line

Item = TypeVar("Item")

PATIENCE = 300
"""Seconds that the processes of a cluster may take to start."""
_LOOK_EVERY = 1.0  # seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterFlags(Checked):
    """How the processes find each other; on a cluster that JAX knows (Slurm, Cloud TPU, ...) by themselves."""

    distributed: bool = flag(False, "several processes share the cells; all need the same flags and see --workdir")
    coordinator_address: str | None = flag(None, "host:port of the first process, where the cluster does not tell")
    num_processes: int | None = flag(None, "of all hosts, where the cluster does not tell", least=1)
    process_id: int | None = flag(None, "of this process, from 0, where the cluster does not tell", least=0)


def join(flags: ClusterFlags) -> None:
    """Joins the other processes, before anything else asks JAX for devices.

    Raises:
        UserError: the flags do not fit together, or the others are not to be found.
    """
    given = (flags.coordinator_address, flags.num_processes, flags.process_id)
    if not flags.distributed:
        if any(value is not None for value in given):
            raise UserError("--distributed: expected it with --coordinator_address, --num_processes, --process_id")
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
            "--num_processes and --process_id, the same but the last to all"
        ) from error


def _find(address: str) -> None:
    """Waits until the first process can be reached: JAX would abort where it cannot."""
    host, _, port = address.rpartition(":")
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
    """Returns whether this process writes what is about all cells."""
    return jax.process_index() == 0


def share(items: Sequence[Item]) -> list[Item]:
    """Returns what is this process's: the same at every start, so that each goes on with its own."""
    return list(items[jax.process_index() :: jax.process_count()])


def make_mesh() -> Mesh:
    """Returns the mesh of this process's devices."""
    return parallel.make_mesh(devices=jax.local_devices())


def wait(finished: Callable[[], bool], stopped: Callable[[], bool]) -> None:
    """Waits for the other processes: one that ends early would take the rest with it."""
    while jax.process_count() > 1 and not finished() and not stopped():
        time.sleep(_LOOK_EVERY)
