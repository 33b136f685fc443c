"""Ray: workers on this machine, or those of a cluster that runs already (its autoscaler, KubeRay).

Options are those of a task, such as num_gpus=1 and num_cpus=4; with num_gpus, Ray shows each worker its own GPU.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from nst_jax.errors import UserError, one_line

from . import tasks
from .tasks import ATTEMPTS, Ended, Work

_MOMENT = 0.5


class _Tasks(NamedTuple):
    ray: Any
    waiting: dict[Any, int]
    dashboard: str

    def ended(self) -> Iterable[Ended]:
        ready, _ = self.ray.wait(list(self.waiting), timeout=_MOMENT)
        for found in ready:
            problem = None
            try:
                self.ray.get(found)
            except self.ray.exceptions.RayError as error:
                problem = one_line(getattr(error, "cause", None) or error)
            yield Ended(self.waiting.pop(found), problem)

    def say(self) -> str:
        return f"Ray: {self.dashboard or 'ray status'}"


@contextlib.contextmanager
def start(work: Work) -> Iterator[_Tasks]:
    """Gives out the tasks; see `tasks.Engine`. Tasks that have not begun are cancelled with the context."""
    with tasks.package("ray"):
        import ray
    own = {"num_cpus": work.workers} if work.address is None else {}
    # It starts its processes by fork and exec, which touch nothing of JAX's threads.
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
    try:
        context = ray.init(work.address, log_to_driver=False, logging_level=logging.ERROR, namespace="nst_jax", **own)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        raise work.absent("ray", "a Ray cluster", error) from error
    try:
        try:
            run = ray.remote(tasks.run).options(max_retries=ATTEMPTS, **dict(work.options))
        except (ValueError, TypeError) as error:
            raise UserError(f"--engine_options: expected those of a task of Ray, found: {one_line(error)}") from error
        waiting = {run.remote(work.of_worker, task): task for task in work.tasks}
        yield _Tasks(ray, waiting, context.dashboard_url)
        for left in waiting:
            ray.cancel(left)
    finally:
        ray.shutdown()
