"""How far a sweep is, told from its folder alone."""

import json
import os

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
    (workdir / "logs").mkdir()
    (workdir / "logs" / "host-7.log").touch()
    (workdir / "logs" / "host-1.log").touch()
    os.utime(workdir / "logs" / "host-1.log", (1000, 1000))
    found = status.run(status.Config(workdir=str(workdir)))
    assert (found.cells, found.finished, found.failed) == (4, 2, {first.stem: "its loss is no number"})
    assert found.begun == [second.stem]
    assert (found.cells_per_hour, found.hours_left) == (60.0, 0.02)
    status.main(status.Config(workdir=str(workdir)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["2 of 4 cells finished, 1 failed, 1 begun", "60 cells an hour: 0.02 hours left"]
    assert lines[2].startswith("worker host-7: last seen ")
    assert lines[3:] == [
        "1 workers of earlier runs, or silent for 300 s and more",
        f"failed: {first.stem}: its loss is no number",
    ]
    status.main(status.Config(workdir=str(workdir), json=True))
    assert json.loads(capsys.readouterr().out)["finished"] == 2


def test_failed_cells_once_more(workdir, pictures):
    flags = {"style_weight": (10.0, 300.0)}
    assert len(sweep.run(config(pictures, workdir, **flags)).failed) == 1
    outcome = sweep.run(config(pictures, workdir, retry_failed=True, **flags))
    assert outcome.complete
    assert {record["status"] for record in records(workdir).values()} == {"finished"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected the manifest of a sweep: No such file"),
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
