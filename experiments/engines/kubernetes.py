"""Kubernetes: the manifest of an Indexed Job, which begins each index again on its own where its pod is lost.

Options: image, which has nst_jax installed; claim, of the volume that holds the folders of pictures and results; mount,
where it is mounted, by default the folder of the command; gpus, a number for each pod; name, of the job.

Nothing here talks to a cluster: `kubectl apply -f` does, and this process watches the records that the pods write.
"""

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nst_jax.errors import UserError
from nst_jax.io.files import atomic_write

from .tasks import ATTEMPTS, Ended, Work

MANIFEST = "job.json"
_MOMENT = 2.0
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_NEEDED, _OPTIONAL = {"image", "claim"}, {"mount", "gpus", "name"}


class _Watched:
    def __init__(self, path: Path) -> None:
        self._path = path

    def ended(self) -> Iterable[Ended]:
        time.sleep(_MOMENT)
        return ()

    def say(self) -> str:
        return f"start them with: kubectl apply -f {self._path} (Ctrl-C ends the watching, not the pods)"


@contextlib.contextmanager
def start(work: Work) -> Iterator[_Watched]:
    """Writes the manifest; see `tasks.Engine`."""
    path = Path(work.logs).parent / MANIFEST
    with atomic_write(path, encoding="utf-8") as file:
        file.write(json.dumps(manifest(work), indent=2) + "\n")
    yield _Watched(path)


def manifest(work: Work) -> dict[str, Any]:
    """Returns the manifest of the job, whose indices are the numbers of tasks; those that are done end at once.

    Raises:
        UserError: an option is missing, or unknown.
    """
    options = dict(work.options)
    if not _NEEDED <= options.keys() <= _NEEDED | _OPTIONAL:
        raise UserError(
            f"--engine_options: expected image=..., claim=... for kubernetes, perhaps {', '.join(sorted(_OPTIONAL))}, "
            f"found {', '.join(sorted(options)) or 'none'}"
        )
    container: dict[str, Any] = {
        "name": "worker",
        "image": str(options["image"]),
        "workingDir": work.here,
        "command": ["nst-jax", work.script.rpartition(".")[2], *work.arguments, "--task=$(INDEX)"],
        "env": [{"name": "INDEX", "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}}],
        "volumeMounts": [{"name": "work", "mountPath": str(options.get("mount", work.here))}],
    }
    if gpus := options.get("gpus"):
        container["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "work", "persistentVolumeClaim": {"claimName": str(options["claim"])}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": str(options.get("name", "nst-jax"))},
        "spec": {
            "completionMode": "Indexed",
            "completions": max(work.tasks) + 1,
            "parallelism": work.workers,
            "backoffLimitPerIndex": ATTEMPTS,
            "template": {"spec": pod},
        },
    }
