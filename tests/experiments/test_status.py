"""How far a sweep is, told from its folder alone."""

import json
import os
import subprocess
import sys
import time

import pytest
from sweeps import config, records

from experiments import status, sweep
from nst_jax.errors import UserError


@pytest.fixture(scope="module")
def workdir(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    sweep.run(config(pictures, folder, style_weight=(10.0, 300.0)))
    return folder


def test_a_sweep_of_which_one_cell_failed_and_one_is_not_done(workdir, capsys):
    first, second, *others = sorted((workdir / "cells").glob("*.json"))
    failed = json.loads(first.read_text()) | {"status": "failed", "error": "its loss is no number"}
    first.write_text(json.dumps(failed))
    second.unlink()
    (workdir / "checkpoints" / second.stem).mkdir(parents=True)
    for index, path in enumerate(others):
        os.utime(path, (1000 + 60 * index, 1000 + 60 * index))
    logs = workdir / "logs"
    logs.mkdir()
    says(logs / "host-7.jsonl", event="said", text="007_third, step 5 of 10")
    says(logs / "host-1.jsonl", event="said", text="step 1")
    os.utime(logs / "host-1.jsonl", (1000, 1000))
    says(logs / "host-2.jsonl", event="done", text="")
    found = status.run(status.Config(workdir=str(workdir)))
    assert (found.cells, found.finished, found.failed) == (4, 2, {first.stem: "its loss is no number"})
    assert found.begun == [second.stem]
    assert (found.cells_per_hour, found.hours_left) == (60.0, 0.02)
    status.main(status.Config(workdir=str(workdir)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["2 of 4 cells finished, 1 failed, 1 begun", "60 cells an hour: 0.02 hours left"]
    assert lines[2].startswith("worker host-7: task 3, 007_third, step 5 of 10, last seen ")
    assert lines[3:] == [
        "2 workers that are done, or silent for too long",
        f"failed: {first.stem}: its loss is no number",
    ]
    status.main(status.Config(workdir=str(workdir), json=True))
    told = json.loads(capsys.readouterr().out)
    assert told["finished"] == 2
    assert told["workers"]["host-7"]["task"] == 3


def says(path, **line):
    path.write_text(json.dumps({"time": "2026-01-01T00:00:00+00:00", "task": 3, **line}) + "\n")


def test_for_prometheus(workdir, tmp_path):
    parser = pytest.importorskip("prometheus_client.parser")
    says(workdir / "logs" / 'a "host".jsonl', event="said", text="")
    status.run(status.Config(workdir=str(workdir), prometheus_file=str(tmp_path / "sweep.prom")))
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.prom"]
    families = {
        family.name: family for family in parser.text_string_to_metric_families((tmp_path / "sweep.prom").read_text())
    }
    cells = {sample.labels["status"]: sample.value for sample in families["nst_jax_cells"].samples}
    assert cells == {"finished": 2, "failed": 1, "left": 1}
    assert families["nst_jax_workers_alive"].samples[0].value == 2
    assert families["nst_jax_cells_per_hour"].samples[0].value == 60
    silent = families["nst_jax_worker_silent_seconds"].samples
    assert {sample.labels["worker"] for sample in silent} == {"host-7", 'a "host"'}
    assert all(family.type == "gauge" and family.documentation for family in families.values())


@pytest.mark.parametrize("hours", [-5, 5])
def test_clocks_that_differ(hours, workdir, monkeypatch):
    """Whoever looks may have another clock than the machine that stamps the files."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600 * hours)
    workers = status.run(status.Config(workdir=str(workdir))).workers
    assert workers["host-7"].alive
    assert not workers["host-1"].alive


def test_status_starts_without_jax(workdir):
    code = "import sys; sys.modules['jax'] = None; from experiments import status"
    code += "; status.run(status.Config(workdir=sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, workdir], check=True)


def test_failed_cells_once_more(workdir, pictures):
    flags = {"style_weight": (10.0, 300.0)}
    assert len(sweep.run(config(pictures, workdir, **flags)).failed) == 1
    outcome = sweep.run(config(pictures, workdir, retry_failed=True, **flags))
    assert outcome.complete
    assert {record["status"] for record in records(workdir).values()} == {"finished"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected the manifest of a sweep, found none"),
        ("{", "found something else"),
        ("[1]", "something else"),
    ],
)
def test_folders_of_something_else(text, message, tmp_path):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=message):
        status.run(status.Config(workdir=str(tmp_path)))
    with pytest.raises(UserError, match="--workdir: expected the folder of a sweep"):
        status.run(status.Config())
