"""Dask: workers on this machine, or those of any scheduler that runs already (dask-jobqueue, Kubernetes, SSH, Coiled).

A worker that dies is started again by its nanny, and its task given to another one.
"""

import contextlib
import functools
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from nst_jax.errors import UserError, one_line

from . import tasks
from .tasks import ATTEMPTS, Ended, Work

_PATIENCE = 30
"""Seconds in which a scheduler has to answer."""
_MOMENT = 0.5


class _Tasks:
    def __init__(self, client: Any, futures: dict[Any, int]) -> None:
        self._client = client
        self._futures = futures

    def ended(self) -> Iterable[Ended]:
        from distributed import wait

        if self._client.status != "running":
            raise UserError("--engine=dask: expected the scheduler to stay, found it gone; the same command continues")
        if not self._futures:
            return
        with contextlib.suppress(TimeoutError):
            wait(list(self._futures), timeout=_MOMENT, return_when="FIRST_COMPLETED")
        for future in [future for future in self._futures if future.done()]:
            error = None if future.cancelled() else future.exception()
            yield Ended(
                self._futures.pop(future), one_line(error or "cancelled") if future.status != "finished" else None
            )

    def say(self) -> str:
        return f"Dask: {self._client.dashboard_link}"


@contextlib.contextmanager
def start(work: Work) -> Iterator[_Tasks]:
    """Gives out the tasks to a scheduler at an address, or to workers of this machine; see `tasks.Engine`."""
    with tasks.package("dask"):
        import dask
        from distributed import Client, LocalCluster
    dask.config.set({"distributed.scheduler.allowed-failures": ATTEMPTS})
    logging.getLogger("distributed").setLevel(logging.ERROR)  # what happens to a task, `ended` tells
    with contextlib.ExitStack() as stack:
        if work.address is None:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=work.workers,
                    threads_per_worker=1,
                    processes=True,
                    silence_logs=logging.ERROR,
                    dashboard_address="127.0.0.1:0",
                )
            )
        try:
            client = stack.enter_context(Client(work.address or cluster, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            raise UserError(
                f"--engine_address: expected a scheduler at {one_line(work.address)}, found none ({one_line(error)})"
            ) from error
        futures = {
            client.submit(_run, work.of_worker, task, pure=False, retries=ATTEMPTS, priority=-place): task
            for place, task in enumerate(work.tasks)
        }
        try:
            yield _Tasks(client, futures)
        finally:
            client.cancel(list(futures))


@functools.cache
def _placed(workers: int) -> None:
    from distributed import get_worker

    tasks.place(int(get_worker().name), workers)


def _run(work: Work, task: int) -> None:
    """Runs a task in a worker's process."""
    if work.address is None:
        _placed(work.workers)
    tasks.run(work, task)
