"""Tasks: how cells are divided among them, what a worker gets of its machine, and a grid whose tasks ran elsewhere."""

import json
import os
from pathlib import Path

import pytest
from sweeps import config, manifest

from experiments import sweep
from experiments.cli.flags import arguments_of, parsed
from experiments.engines import giving, tasks
from experiments.engines.tasks import Work
from experiments.sweeping import runner
from experiments.sweeping.cells import prepare
from nst_jax.errors import UserError
from nst_jax.io import files


def test_equal_parts_of_a_program_and_the_longest_first():
    small = [(f"small{index}", 1) for index in range(7)]
    large = [(f"large{index}", 10) for index in range(2)]
    found = tasks.split([small, large], 3)
    assert found[0].parts == ("large0", "large1")
    assert [len(share.parts) for share in found[1:]] == [3, 2, 2]
    assert {name for share in found for name in share.parts} == {name for name, _ in small + large}
    # Side by side they are 27 long.
    assert [round(27 * share.place, 6) for share in found] == [10, 21.5, 24, 26]
    assert tasks.split([], 3) == []
    assert all(0 < share.place < 1 for share in tasks.split([[("unreadable", 0)], small], 3))


def test_flags_are_parsed_as_they_were_given(pictures, tmp_path):
    given = config(pictures, tmp_path, style_weight=(10.0, 300.0), engine="dask", engine_options=("a=1", "b=x,y"))
    assert parsed(sweep.Config, arguments_of(given)) == given
    with pytest.raises(UserError, match="workers"):
        parsed(sweep.Config, ["--workers=0.5"])


@pytest.mark.parametrize(("worker", "expected"), [(0, {0, 3}), (1, {1}), (2, {2}), (3, {3})])
def test_cores_are_divided_and_sums_are_not(worker, expected, monkeypatch):
    cores = []
    monkeypatch.setattr(tasks.glob, "glob", lambda _: [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, chosen: cores.append(set(chosen)), raising=False)
    monkeypatch.setattr(os, "environ", {})
    tasks.place(worker, 3)
    assert cores == [expected]
    assert os.environ == {"NPROC": "4"}


def test_a_worker_for_each_gpu(monkeypatch):
    monkeypatch.setattr(tasks.glob, "glob", lambda _: ["/dev/nvidia0", "/dev/nvidia1"])
    monkeypatch.setattr(os, "environ", {})
    tasks.place(3, 4)
    assert os.environ == {"CUDA_VISIBLE_DEVICES": "1"}


def shared(pictures, folder, **changes):
    return config(pictures, folder, engine="here", cells_per_task=2, style_weight=(10.0, 300.0), **changes)


def test_a_grid_given_out_is_the_grid(engine, pictures, tmp_path, capfd):
    alone = sweep.run(config(pictures, tmp_path / "alone", style_weight=(10.0, 300.0)))
    engine.fails = {1}
    outcome = sweep.run(shared(pictures, tmp_path / "shared"))
    assert (outcome.finished, outcome.missing, outcome.complete) == (2, 2, False)
    assert "task 1, " in capfd.readouterr().err
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "shared" / "cells").iterdir()}

    engine.fails = set()
    outcome = sweep.run(shared(pictures, tmp_path / "shared"))
    assert outcome.complete
    assert [work.tasks for work in engine.given] == [(0, 1), (1,)]
    assert {path: path.stat().st_mtime_ns for path in done} == done
    for cell in manifest(tmp_path / "alone")["cells"]:
        assert (tmp_path / "shared" / cell["picture"]).read_bytes() == (alone.workdir / cell["picture"]).read_bytes()
    (log,) = (tmp_path / "shared" / "logs").iterdir()
    assert "2 of 4 cells, 0 of these done already" in log.read_text()
    sweep.run(shared(pictures, tmp_path / "shared"))
    assert len(engine.given) == 2  # nothing was left


def test_a_worker_of_another_version_is_refused(engine, pictures, tmp_path):
    engine.fails = {0, 1}
    sweep.run(shared(pictures, tmp_path))
    path = tmp_path / "tasks.json"
    text = json.loads(path.read_text())
    text["versions"]["jax"] = "0.1"
    path.write_text(json.dumps(text))
    with pytest.raises(UserError, match=r"expected the versions with which the run was begun, found jax 0\.1 there, "):
        tasks.run(engine.given[0], 0)


def test_a_task_makes_ready_what_its_program_needs(engine, pictures, tmp_path, monkeypatch):
    """Layers that other cells have are in the program, so that the bytes are those of the whole grid."""
    flags = {
        "style_layers": (("conv1",), ("fire2/concat", "conv1")),
        "content_layers": (("fire2/concat",), ("fire3/concat",)),
        "seed": (0, 1, 2),
        "init": ("noise",),
        "steps": (2,),
    }
    alone = sweep.run(config(pictures, tmp_path / "alone", **flags))
    counts = []

    def counted(grid, *args, **named):
        counts.append(len(grid.cells))
        return prepare(grid, *args, **named)

    monkeypatch.setattr(runner, "prepare", counted)
    outcome = sweep.run(config(pictures, tmp_path / "shared", engine="here", cells_per_task=1, **flags))
    assert outcome.complete
    whole, *each = counts
    assert (whole, len(each)) == (24, 24)
    assert set(each) <= {3, 4}  # its own, and the first cells with each of the layers
    for cell in manifest(tmp_path / "alone")["cells"]:
        assert (tmp_path / "shared" / cell["picture"]).read_bytes() == (alone.workdir / cell["picture"]).read_bytes()


def test_a_worker_with_another_grid_is_refused(engine, pictures, tmp_path):
    engine.fails = {0, 1}
    sweep.run(shared(pictures, tmp_path))
    work = engine.given[0]
    stale = work._replace(arguments=tuple(argument.replace("10.0,", "20.0,") for argument in work.arguments))
    assert stale != work
    with pytest.raises(UserError, match="--task: expected the cells with which the sweep was given out, found others"):
        tasks.run(stale, 0)
    others = work._replace(arguments=(*work.arguments, "--content_weight=3"))
    with pytest.raises(UserError, match=r"expected the settings or images of 000_.* with which the sweep was"):
        tasks.run(others, 0)
    for text in ("{}", "[]", '{"versions": {}, "tasks": 3}', "\0"):
        (tmp_path / "tasks.json").write_text(text)
        with pytest.raises(UserError, match=r"tasks.json: expected the tasks of a run, found something else"):
            tasks.run(work, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": 0}, "--task: expected a folder that the command without it has begun"),
        ({"engine": "slurm", "engine_options": ("a",)}, "--engine_options: expected name=value, found 'a'"),
        (
            {"engine_options": ("a=1",)},
            r"--engine_options: expected it with --engine=..., found --engine=none",
        ),
        ({"engine": "slurm", "engine_address": "x"}, r"--engine_address: expected it with --engine=dask\|ray, found"),
        ({"engine": "kubernetes"}, r"--engine_options: expected image=\.\.\., claim=\.\.\., account"),
    ],
    ids=str,
)
def test_what_is_refused(changes, message, engine, pictures, tmp_path):
    with pytest.raises(UserError, match=message):
        sweep.run(config(pictures, tmp_path, **changes))


def test_there_is_no_such_task(engine, pictures, tmp_path):
    engine.fails = {0, 1}
    sweep.run(shared(pictures, tmp_path))
    with pytest.raises(UserError, match="--task: expected 0 to 1, found 2"):
        tasks.run(engine.given[0], 2)


def test_a_disk_that_is_away_for_a_while_ends_nothing(engine, monkeypatch):
    monkeypatch.setattr(tasks, "run", lambda *_: None)
    clock, said, looks = [0.0], [], []
    monkeypatch.setattr(giving.time, "monotonic", lambda: clock[0])

    def follow(count, away, error):
        def done(left):
            looks.append(left)
            if away <= clock[0]:
                return ()
            raise error

        looks.clear(), said.clear()
        work = Work("", (), tuple(range(count)), "", "", 1, None, ())
        given = giving.given_out("here", work, say=said.append, done=done, about=str, stopping=lambda: False)
        clock[0] = 0.0
        for _ in given:
            clock[0] += 100

    lost = files.file_error(Path("records"), "cannot be listed")
    lost.__cause__ = OSError(5, "Input/output error")
    follow(8, 500, lost)
    assert len(looks) == 8
    assert said == ["here", "note: records: cannot be listed; looking again for 10 minutes"]
    with pytest.raises(UserError, match="records: cannot be listed"):
        follow(12, 5000, lost)
    assert len(looks) == 8
    with pytest.raises(UserError, match="belongs to another sweep"):
        follow(8, 500, UserError("belongs to another sweep"))
    assert len(looks) == 1
