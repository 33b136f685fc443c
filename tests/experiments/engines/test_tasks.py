"""Tasks: how cells are divided among them, what a worker gets of its machine, and a grid whose tasks ran elsewhere."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sweeps import config, manifest, records

from experiments import sweep
from experiments.cli.flags import arguments_of, parsed
from experiments.engines import giving, tasks
from experiments.engines.tasks import Work
from experiments.sweeping import cells, runner, shares
from experiments.sweeping.grid import make_grid
from nst_jax import memory, pyramid
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError
from nst_jax.io import files
from nst_jax.presets import PRESETS


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


@pytest.fixture
def programs(monkeypatch):
    """What the programs of cells are made of, by the names of the cells, as they are run."""
    found = {}
    run = runner._Runner._run_group

    def noted(self, cells, own):
        group = self._group(cells).finest
        for index in own:
            assert cells[index].name not in found
            found[cells[index].name] = (group._layers, group._most_styles, group.recipes[0].settings.tile)
        run(self, cells, own)

    monkeypatch.setattr(runner._Runner, "_run_group", noted)
    return found


PROGRAMS = {
    "layers": {
        "style_layers": (("conv1",), ("fire2/concat", "conv1")),
        "content_layers": (("fire2/concat",), ("fire3/concat",)),
        "seed": (0, 1, 2),
    },
    "terms": {"laplacian_weight": (0.0, 100.0), "seed": (0, 1)},
    "tiles": {"style_layers": (("conv1",), ("fire2/concat",)), "style_size": ((48,), (1000,))},
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_task_makes_ready_what_its_program_needs(kind, engine, programs, pictures, tmp_path, monkeypatch):
    """Layers that other cells have are in the program, so that the numbers are those of the whole grid."""
    flags = {"init": ("noise",), "steps": (2,), **PROGRAMS[kind]}
    free = None
    if kind == "tiles":  # large style images need them, small ones do not
        settings = dataclasses.replace(PRESETS["squeezenet"], style_layers=("conv1",), optimizer="adam", tile="off")
        small, large = (
            memory.needed(settings, BACKBONES["squeezenet1_1"], [(48, 48), (side, side)]) for side in (48, 700)
        )
        free = (small + large) // 2
    monkeypatch.setattr(cells, "free_bytes", lambda: free)
    alone = sweep.run(config(pictures, tmp_path / "alone", **flags))
    expected = dict(programs)
    counts, prepare = [], runner.prepare

    def counted(grid, *args, **named):
        counts.append(len(grid.cells))
        return prepare(grid, *args, **named)

    monkeypatch.setattr(runner, "prepare", counted)
    programs.clear()
    monkeypatch.setattr(cells, "free_bytes", lambda: None)  # of the driver, which paints nothing
    run = tasks.run

    def elsewhere(work, task):
        with monkeypatch.context() as patch:
            patch.setattr(cells, "free_bytes", lambda: free)
            run(work, task)

    monkeypatch.setattr(tasks, "run", elsewhere)
    outcome = sweep.run(config(pictures, tmp_path / "shared", engine="here", cells_per_task=1, **flags))
    assert outcome.complete
    assert programs == expected
    assert len(set(map(str, expected.values()))) == (2 if kind == "tiles" else 1)
    whole, *each = counts
    assert len(each) == whole == len(expected)
    assert max(each) < whole
    losses = ({name: of["losses"] for name, of in records(tmp_path / run).items()} for run in ("alone", "shared"))
    assert next(losses) == next(losses)
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
    with pytest.raises(UserError, match=r"whose cell 000_.* has content_weight = .*, in this one it is 3\.0"):
        tasks.run(others, 0)
    whole = (tmp_path / "tasks.json").read_text()
    texts = [whole.replace('"000_', f'"{name}') for name in ("../../000_", "a\\u0000", "\\ud800")]
    for text in ("{}", "[]", '{"versions": {}, "tasks": 3}', "\0", *texts):
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
        ({"engine": "kubernetes"}, r"--engine_options: expected image=\.\.\., claim=\.\.\., perhaps account"),
    ],
    ids=str,
)
def test_what_is_refused(changes, message, engine, pictures, tmp_path):
    with pytest.raises(UserError, match=message):
        sweep.run(config(pictures, tmp_path, **changes))


def test_what_stands_for_a_program_has_to_be_there(engine, pictures, tmp_path):
    photo = tmp_path / "photo.png"
    shutil.copy(pictures / "photo.png", photo)
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(tmp_path / "other.png")
    flags = {"contents": (str(photo), str(tmp_path / "other.png")), "styles": (str(pictures / "first.png"),)}
    engine.fails = {0, 1}
    for count in (1, 2):
        folder = tmp_path / str(count)
        sweep.run(config(pictures, folder, keep_going=True, engine="here", cells_per_task=count, **flags))
    photo.unlink()
    with pytest.raises(UserError, match=r"photo.png: no such file"):
        tasks.run(engine.given[0], 1)  # whose own cell is there
    with pytest.raises(UserError, match=r"photo.png: no such file"):
        tasks.run(engine.given[1], 0)
    shutil.copy(pictures / "photo.png", photo)
    (tmp_path / "other.png").unlink()
    tasks.run(engine.given[1], 0)
    assert list(records(tmp_path / "2")) == ["000_photo"]
    (log,) = (tmp_path / "2" / "logs").iterdir()
    assert "left out: 001_other: " in log.read_text()


def test_workers_of_another_platform_have_the_scales_of_the_command(engine, pictures, tmp_path, monkeypatch):
    engine.fails = {0, 1}
    flags = {"coarsest": (24,), "size": (48,), "style_weight": (50.0,)}
    sweep.run(config(pictures, tmp_path, engine="here", cells_per_task=1, **flags))
    with monkeypatch.context() as patch:
        patch.setattr(pyramid, "FACTORS", {})
        for task in (0, 1):
            tasks.run(engine.given[0], task)
    assert sweep.run(config(pictures, tmp_path, **flags)).finished == 2
    assert manifest(tmp_path)["cells"][0]["settings"]["scales"] == [24, 48]


@pytest.mark.parametrize(
    "flags",
    [
        {"steps": None},
        {"steps": None, "coarsest": (20,)},
        {"coarsest": (20,), "scale_steps": ((3, 2, 1, 1),)},
        {"scales": ((24, 0),), "finish_steps": (2,), "finish_loss": ("mean_variance_error",)},
        {"coarsest": (20,), "finish_steps": (2,), "finish_loss": ("mean_variance_error",)},
        {"scales": ((0,),), "scale_steps": ((4,),)},
    ],
    ids=str,
)
def test_what_is_written_down_of_scales_means_the_same(flags, pictures, tmp_path):
    grid = make_grid(config(pictures, tmp_path, **flags))
    found = cells.prepare(grid, cells.Pictures(), keep_going=False)
    listed = {cell.name: shares.Listed(cell.name, shares._digest(cell), shares._flags(cell)) for cell in found}
    task = shares.Task(listed, {})
    again, mine = task.named(tmp_path, cells.prepare(task.part_of(grid), cells.Pictures(), keep_going=False))
    assert mine == set(listed)
    assert [cell.scales for cell in again] == [cell.scales for cell in found]
    assert [cell.settings for cell in again] == [cell.settings for cell in found]


def test_a_cell_that_is_done_keeps_no_checkpoint(engine, pictures, tmp_path):
    sweep.run(shared(pictures, tmp_path))
    (name, *_) = records(tmp_path)
    (tmp_path / "checkpoints" / name).mkdir(parents=True)  # as of a worker that was killed after the record
    sweep.run(shared(pictures, tmp_path))
    assert not (tmp_path / "checkpoints").exists()


def test_there_is_no_such_task(engine, pictures, tmp_path):
    engine.fails = {0, 1}
    sweep.run(shared(pictures, tmp_path))
    with pytest.raises(UserError, match="--task: expected the number of one of 2 tasks, from 0, found 2"):
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
