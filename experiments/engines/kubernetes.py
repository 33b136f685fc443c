"""Kubernetes: the manifest of an Indexed Job, which begins each index again on its own where its pod is lost.

Options: image, which has nst_jax installed; claim, of the volume that holds the folders of pictures and results, which
are else all at a store; mount, where it is mounted, by default the folder of the command; account and secret, the
service account of the pods and a secret with variables for them, as a store's keys; gpus, a number for each pod; name,
of the job. Pods that compute together find the first of them by its name, for which a headless Service is in the
manifest; if one is lost, the others end, and all begin again at the last checkpoint. A pod that has to make room for
others does not count as failed.

Nothing here talks to a cluster: `kubectl apply -f` does, and this process watches the records that the pods write.
"""

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.io.files import atomic_write, make_folder
from nst_jax.io.stores import is_address

from .tasks import ATTEMPTS, Ended, Work

MANIFEST = "job.json"
_MOMENT = 2.0
_INDEX, _ANNOTATION = "INDEX", "batch.kubernetes.io/job-completion-index"
_PORT = 55527
_DISRUPTED = {"type": "DisruptionTarget", "status": "True"}
_OPTIONS = {"image", "claim", "mount", "account", "secret", "gpus", "name"}


class _Watched(NamedTuple):
    path: Path

    def ended(self) -> Iterable[Ended]:
        time.sleep(_MOMENT)
        return ()

    def say(self) -> str:
        return f"start them with: kubectl apply -f {self.path} (Ctrl-C ends the watching, not the pods)"


@contextlib.contextmanager
def start(work: Work) -> Iterator[_Watched]:
    """Writes the manifest; see `tasks.Engine`."""
    text, path = json.dumps(manifest(work), indent=2), work.folder / MANIFEST
    make_folder(path.parent)
    with atomic_write(path, encoding="utf-8") as file:
        file.write(f"{text}\n")
    yield _Watched(path)


def manifest(work: Work) -> dict[str, Any]:
    """Returns the manifest: a job whose indices are the numbers of tasks, of which those that are done end at once.

    For pods that compute together it is a list of that job, whose indices are those of processes, and their Service.

    Raises:
        UserError: an option is missing, or unknown.
    """
    found = work.chosen(_OPTIONS, ["image"] if is_address(work.logs) else ["image", "claim"])
    options = {name: str(value) for name, value in found.items()}
    name = options.get("name", "nst-jax")
    pod = _pod(work, options, [f"--task=$({_INDEX})"])
    if work.together:
        which = [f"--num_processes={work.workers}", f"--process_id=$({_INDEX})"]
        pod = _pod(work, options, ["--distributed", f"--coordinator_address={name}-0.{name}:{_PORT}", *which])
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "completionMode": "Indexed",
            "completions": work.workers if work.together else max(work.tasks) + 1,
            "parallelism": work.workers,
            "backoffLimitPerIndex": ATTEMPTS,
            "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [_DISRUPTED]}]},
            "template": {"spec": pod},
        },
    }
    if not work.together:
        return job
    pod["subdomain"] = name
    selector = {"batch.kubernetes.io/job-name": name}
    headless = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector, "ports": [{"port": _PORT}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": headless}
    return {"apiVersion": "v1", "kind": "List", "items": [service, job]}


def _pod(work: Work, options: Mapping[str, str], own: Sequence[str]) -> dict[str, Any]:
    """Returns what a pod is: the script with these arguments of its own beside those of all."""
    container: dict[str, Any] = {
        "name": "worker",
        "image": options["image"],
        "command": ["nst-jax", work.script.rpartition(".")[2], *work.arguments, *own],
        "env": [{"name": _INDEX, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{_ANNOTATION}']"}}}],
    }
    pod: dict[str, Any] = {"restartPolicy": "Never", "containers": [container]}
    if "gpus" in options:
        container["resources"] = {"limits": {"nvidia.com/gpu": options["gpus"]}}
    if "claim" in options:
        container["workingDir"] = work.here
        container["volumeMounts"] = [{"name": "work", "mountPath": options.get("mount", work.here)}]
        pod["volumes"] = [{"name": "work", "persistentVolumeClaim": {"claimName": options["claim"]}}]
    if "secret" in options:
        container["envFrom"] = [{"secretRef": {"name": options["secret"]}}]
    if "account" in options:
        pod["serviceAccountName"] = options["account"]
    return pod
