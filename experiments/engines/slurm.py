"""Slurm, by submitit: an array of jobs, which are queued again where their time runs out or others go before them.

What computes together is one job of as many processes, which Slurm queues again as a whole.
Options are those of `submitit.AutoExecutor.update_parameters`, such as timeout_min, slurm_partition, gpus_per_node and
cpus_per_task; and cluster, `slurm` by default, which is `local` for processes on this machine.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterable, Iterator
from typing import Any

from nst_jax.errors import UserError, one_line

from . import tasks
from .tasks import LOGS, Ended, Work

_MOMENT, _PATIENCE = 0.5, 15.0
_TERMINATED = 128 + signal.SIGTERM
_LOOK_EVERY = 5.0
"""Seconds between two questions to Slurm's accounting, which many users have to share."""


class _Task:
    """A task as submitit calls it, and asks before it is taken off its machine."""

    def __call__(self, work: Work, task: int) -> None:
        try:
            tasks.run(work, task)
        except (InterruptedError, KeyboardInterrupt):
            os._exit(_TERMINATED)  # without a result: Slurm queues again what it has taken off a machine for others

    def checkpoint(self, work: Work, task: int) -> Any:
        """Returns the same task, which goes on from the checkpoints of its cells."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, work, task)


class _Tasks:
    def __init__(self, jobs: dict[Any, int]) -> None:
        self._jobs = jobs
        self._next = 0.0

    def ended(self) -> Iterable[Ended]:
        time.sleep(_MOMENT)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LOOK_EVERY
        for job in [job for job in self._jobs if job.done()]:
            error = job.exception()
            yield Ended(self._jobs.pop(job), error and f"{_cause(error)}; see {job.paths.stderr}")

    def say(self) -> str:
        first = next(iter(self._jobs))
        return f"jobs {first.job_id} and following: squeue, {first.paths.folder}"


def _cause(error: BaseException) -> str:
    """Returns the last line of the traceback in submitit's message, which ends with paths of files."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.lstrip().startswith(("- ", "-" * 9))]
    return one_line(lines[-1] if lines else error)


@contextlib.contextmanager
def start(work: Work) -> Iterator[_Tasks]:
    """Submits the tasks as an array; see `tasks.Engine`. The jobs are cancelled with the context."""
    options = dict(work.options)
    own: dict[str, Any] = {"slurm_array_parallelism": work.workers}
    if work.together:
        own = {"tasks_per_node": _each(work.workers, options.get("nodes", 1)), **_alone(work)}
    with tasks.package("slurm"):
        import submitit
    logging.getLogger("submitit").setLevel(logging.ERROR)  # it warns at every look where there is no accounting
    try:
        executor = submitit.AutoExecutor(work.folder / LOGS / "slurm", cluster=options.pop("cluster", "slurm"))
        executor.update_parameters(**{**own, **options})
        if work.together:
            jobs = [executor.submit(_Task(), work.of_worker, task) for task in work.tasks]
        else:
            jobs = executor.map_array(_Task(), [work.of_worker] * len(work.tasks), work.tasks)
    except (RuntimeError, NameError, TypeError, ValueError, OSError, submitit.core.utils.FailedJobError) as error:
        raise UserError(f"--engine=slurm: expected jobs to be taken, found: {one_line(error)}") from error
    waiting = dict(zip(jobs, work.tasks, strict=True))
    try:
        yield _Tasks(waiting)
        _wait(waiting)
    finally:
        for job in waiting:
            job.cancel(check=False)


def _each(workers: int, nodes: object) -> int:
    """Returns the number of processes of each node; raises UserError if it is not the same for all."""
    if isinstance(nodes, int) and nodes > 0 and workers % nodes == 0:
        return workers // nodes
    raise UserError(f"--engine_options: expected nodes that share {workers} --workers equally, found nodes={nodes}")


def _alone(work: Work) -> dict[str, str]:
    """Returns parameters by which Slurm begins a job only when none of the same folder is left, of a killed command."""
    return {"name": f"nst_jax-{work.digest}", "slurm_dependency": "singleton"}


def _wait(jobs: Iterable[Any]) -> None:
    """Waits a little for jobs that have written their last record and are about to end."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and not all(job.done() for job in jobs):
        time.sleep(_MOMENT)
