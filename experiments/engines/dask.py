"""Dask: workers on this machine, or those of any scheduler that runs already (dask-jobqueue, Kubernetes, SSH, Coiled).

A worker that dies is started again by its nanny, and its task given to another one. Options: cluster, a class such as
dask_jobqueue.SLURMCluster, which Dask's own configuration files describe; and those of its `adapt`, such as minimum and
maximum: then workers come and go with the work. --workers is the maximum unless that is given.
"""

import contextlib
import functools
import importlib
import logging
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

from nst_jax.errors import UserError, one_line

from . import tasks
from .tasks import ATTEMPTS, Ended, Work

_PATIENCE = 30
"""Seconds in which a scheduler has to answer."""
_MOMENT = 0.5
_ANY_PORT = "127.0.0.1:0"
_CLUSTER = "cluster"
_OPTIONS = {_CLUSTER, "minimum", "maximum", "interval", "wait_count", "target_duration"}


class _Tasks(NamedTuple):
    client: Any
    futures: dict[Any, int]

    def ended(self) -> Iterable[Ended]:
        from distributed import wait

        if self.futures:
            with contextlib.suppress(TimeoutError, CancelledError):  # as all are whose scheduler has gone
                wait(list(self.futures), timeout=_MOMENT, return_when="FIRST_COMPLETED")
        if self.client.status != "running":
            raise UserError("--engine=dask: expected the scheduler to stay, found it gone; the same command continues")
        for future in [future for future in self.futures if future.done()]:
            error = "cancelled" if future.cancelled() else future.exception()
            yield Ended(self.futures.pop(future), error and one_line(error))

    def say(self) -> str:
        return f"Dask: {self.client.dashboard_link}"


@contextlib.contextmanager
def start(work: Work) -> Iterator[_Tasks]:
    """Gives out the tasks to a scheduler at an address, or to workers of its own; see `tasks.Engine`."""
    if work.address and work.options:
        raise UserError(
            "--engine_options: expected none with --engine_address, whose cluster has its own; leave it out"
        )
    with tasks.package("dask"):
        import dask
        from distributed import Client
    dask.config.set({"distributed.scheduler.allowed-failures": ATTEMPTS})
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what happens to a task, `ended` tells
    with contextlib.ExitStack() as stack:
        cluster = work.address or stack.enter_context(_cluster(work))
        try:
            client = stack.enter_context(Client(cluster, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            raise work.absent("dask", "a scheduler", error) from error
        futures = _submitted(client, work)
        stack.callback(lambda: client.cancel(list(futures)))
        yield _Tasks(client, futures)


def _cluster(work: Work) -> Any:
    """Returns workers on this machine, or the cluster that options name, as many as there is work for if so asked."""
    from distributed import LocalCluster

    options = work.chosen(_OPTIONS)
    kind = options.pop(_CLUSTER, None)
    with contextlib.ExitStack() as failing:
        try:
            if kind is not None:
                module, _, name = str(kind).rpartition(".")
                cluster = getattr(importlib.import_module(module), name)()
            else:
                local = {"n_workers": 0, "threads_per_worker": 1, "dashboard_address": _ANY_PORT}
                cluster = LocalCluster(**local, silence_logs=logging.CRITICAL)
            failing.callback(cluster.close)
            if options:
                cluster.adapt(**{"maximum": work.workers, **options})
            else:
                cluster.scale(work.workers)
        except (ImportError, AttributeError, TypeError, ValueError, OSError) as error:
            wanted = "_options: expected those of a cluster of Dask" if work.options else "=dask: expected workers here"
            raise UserError(f"--engine{wanted}, found: {one_line(error)}") from error
        failing.pop_all()
    return cluster


def _submitted(client: Any, work: Work) -> dict[Any, int]:
    """Submits the tasks, neighbours to one worker, which has their program compiled.

    Neighbours need one small result, and Dask runs a task where what it needs is; a worker that is idle takes over
    tasks of others, as those do that come later: Dask's work stealing. Were tasks to name their worker, they would wait
    for it for ever if all were lost at once.
    """
    if work.address is None and not work.options:
        with contextlib.suppress(TimeoutError):
            client.wait_for_workers(work.workers, timeout=_PATIENCE)
    count = len(client.ncores()) or work.workers
    needed = client.map(int, range(count), pure=False)  # given out at once, each to another worker that is idle
    futures = {}
    # The first of each worker first, so that none is idle, and takes over another's, while they are submitted.
    order = sorted(zip(work.tasks, work.places, strict=True), key=lambda of: of[1] * count % 1)
    for rank, (task, place) in enumerate(order):
        # Each a group of its own: those of a large one Dask gives to any worker, wherever what they need is.
        key = f"{_run.__name__}-{uuid.uuid4().hex}", task
        of = needed[int(place * count)]
        futures[client.submit(_run, work.of_worker, task, of, key=key, retries=ATTEMPTS, priority=-rank)] = task
    return futures


@functools.cache
def _placed(workers: int) -> None:
    from distributed import get_worker

    tasks.place(int(get_worker().name), workers)


def _run(work: Work, task: int, _: int) -> None:
    """Runs a task in a worker's process, given what its neighbours need, too."""
    if work.address is None and _CLUSTER not in dict(work.options):
        _placed(work.workers)
    tasks.run(work, task)
