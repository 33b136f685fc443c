"""The manifest of a Kubernetes job against the schema of its API."""

import json

import pytest

from experiments.engines import kubernetes
from experiments.engines.tasks import Work
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

WORK = Work(
    script="experiments.sweep",
    arguments=("--size=96,112", "--workdir=/pictures/sweep"),
    tasks=(2, 5, 7),
    here="/pictures",
    logs="/pictures/sweep/logs",
    workers=4,
    address=None,
    options=(("image", "me/nst_jax:1"), ("claim", "pictures"), ("gpus", 1)),
)


def test_an_index_is_a_task():
    job = kubernetes.manifest(WORK)["spec"]
    assert (job["completions"], job["parallelism"], job["backoffLimitPerIndex"]) == (8, 4, 3)
    (container,) = job["template"]["spec"]["containers"]
    assert container["command"] == ["nst-jax", "sweep", *WORK.arguments, "--task=$(INDEX)"]
    assert container["resources"] == {"limits": {"nvidia.com/gpu": "1"}}


TOGETHER = WORK._replace(
    script="experiments.train",
    arguments=("--steps=9",),
    tasks=(0,),
    options=(*WORK.options, ("name", "t")),
    together=True,
)


def test_processes_that_compute_together_find_the_first_by_name():
    service, job = kubernetes.manifest(TOGETHER)["items"]
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (4, 4)
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"] == "t"
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    *_, first, count, index = pod["containers"][0]["command"]
    assert [first, count, index] == [
        f"--coordinator_address=t-0.t:{service['spec']['ports'][0]['port']}",
        "--num_processes=4",
        "--process_id=$(INDEX)",
    ]


STORED = WORK._replace(
    logs="s3://art/sweep/logs", options=(("image", "me/nst_jax:1"), ("account", "painter"), ("secret", "keys"))
)


def test_a_store_needs_no_volume():
    pod = kubernetes.manifest(STORED)["spec"]["template"]["spec"]
    assert "volumes" not in pod
    assert pod["serviceAccountName"] == "painter"
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "keys"}}]
    with pytest.raises(UserError, match=r"expected image=\.\.\., claim=\.\.\., perhaps account"):
        kubernetes.manifest(STORED._replace(logs="/pictures/sweep/logs"))


def test_what_engines_read_is_on_disk(tmp_path):
    with kubernetes.start(STORED._replace(here=str(tmp_path))) as running:
        (path,) = tmp_path.rglob("job.json")
        assert path.is_relative_to(tmp_path / "results" / "engines")
        assert str(path) in running.say()
    with kubernetes.start(STORED._replace(here=str(tmp_path), logs="s3://other/sweep/logs")):
        assert len(list(tmp_path.rglob("job.json"))) == 2


@pytest.mark.parametrize("version", ["1.29", "1.33"])  # backoffLimitPerIndex is beta since the first of them
def test_the_schema(version):
    schema = pytest.importorskip("kubernetes_validate", reason="holds manifests to the API's schema; no dependency")
    for part in (kubernetes.manifest(WORK), kubernetes.manifest(STORED), *kubernetes.manifest(TOGETHER)["items"]):
        schema.validate(part, version, strict=True)


def test_it_is_written_and_says_what_to_do(tmp_path):
    with kubernetes.start(WORK._replace(logs=str(tmp_path / "logs"))) as running:
        assert running.say().startswith(f"start them with: kubectl apply -f {tmp_path / 'job.json'} ")
    assert json.loads((tmp_path / "job.json").read_text()) == kubernetes.manifest(WORK)
