"""Several hosts: each process computes its own share of a grid and writes it; the first one gathers what all wrote.

JAX's multi-controller runtime tells the processes of each other. Nothing is sent between them: cells need nothing of
each other, and what is done is told by the files in the one folder that all of them see. Where one of them ends or is
killed the others go on; only the first one, which holds the runtime together, has to be there to the end.
"""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from nst_jax import parallel
from nst_jax.errors import UserError, one_line

from ..cli.run_flags import ClusterFlags

PATIENCE = 300
"""Seconds that the processes of a cluster may take to start."""
SILENCE = 1800
"""Seconds after which a process that shows no life is given up: compiling, or a step of a huge picture, takes less."""
GRACE = 5
"""Seconds for which the first process waits when no other one shows life: one may just be starting."""
_LOOK_EVERY = 0.5  # seconds
_SIGNS = "processes"
_BEGAN = time.time()  # no process of this run has shown life before


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
    # Or any process that ends with an error or is killed would take the others with it.
    jax.config.update("jax_enable_recoverability", True)
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
    """Returns whether this process writes what is about all cells."""
    return jax.process_index() == 0


def is_mine(index: int) -> bool:
    """Returns whether the cell with this index is this process's: the same at every start, to go on with its own."""
    return index % jax.process_count() == jax.process_index()


def make_mesh() -> Mesh:
    """Returns the mesh of this process's devices."""
    return parallel.make_mesh(devices=jax.local_devices())


def show_life(workdir: Path) -> None:
    """Tells the first process that this one is at work; nothing where there is only one."""
    if not is_first():
        with contextlib.suppress(OSError):
            (workdir / _SIGNS).mkdir(parents=True, exist_ok=True)
            (workdir / _SIGNS / str(jax.process_index())).touch()


@contextlib.contextmanager
def taking_part(workdir: Path) -> Iterator[None]:
    """Shows life until this process ends, however it does; the first one forgets what earlier runs have left."""
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
            (workdir / _SIGNS).rmdir()  # by the last one


def wait(workdir: Path, finished: Callable[[], bool], stopped: Callable[[], bool]) -> None:
    """Has the first process wait for the others, which would die with it: it is the one that knows of all.

    It ends when no other process shows life any more, or one is silent for too long: it was killed, then, or its host
    is lost. What the others have not done is not done; the next start goes on with it.

    Args:
        workdir: that all see.
        finished: whether all cells are done; asked again and again.
        stopped: whether somebody asked this process to stop.
    """
    if not is_first() or jax.process_count() == 1:
        return
    seen: Any = None
    since = time.monotonic()
    while not stopped():
        signs = {sign.name: sign.stat().st_mtime_ns for sign in (workdir / _SIGNS).glob("*")}
        news = (finished(), signs)
        if news != seen:
            seen, since = news, time.monotonic()
        if time.monotonic() - since > (SILENCE if signs else GRACE):
            return
        time.sleep(_LOOK_EVERY)
