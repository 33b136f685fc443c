"""Sweeps as a person runs them: what they leave, death at any moment, bad input."""

import dataclasses
import gc
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from sweeps import ROOT, command, config, manifest, records, rows, start, wait_for

from experiments import sweep
from experiments.running.checkpoints import Checkpoints
from experiments.sweeping import cells, runner
from experiments.sweeping.outcome import finish_script
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.scaled_batches import ScaledGroup

ASIDE = ("manifest.json", "cells.csv", "sheet.png", "tradeoff.png", "index.html")


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    """A sweep over paintings and weights."""
    workdir = tmp_path_factory.mktemp("whole")
    return sweep.run(config(pictures, workdir, style_weight=(10.0, 300.0)))


def test_what_a_sweep_leaves(whole, pictures):
    workdir = whole.workdir
    assert (whole.finished, whole.failed, whole.stopped) == (4, {}, False)
    assert sorted(path.name for path in workdir.iterdir()) == sorted([*ASIDE, "cells"])
    found = manifest(workdir)
    assert found["axes"] == [
        {"name": "style", "values": ["first", "second"]},
        {"name": "style_weight", "values": ["10", "300"]},
    ]
    assert [cell["place"] for cell in found["cells"]] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    for cell in found["cells"]:
        picture = workdir / cell["picture"]
        assert hashlib.sha256(picture.read_bytes()).hexdigest() == cell["sha256"]
        assert images.read(picture).pixels.shape == (36, 48, 3) == (cell["height"], cell["width"], 3)
        assert images.read_settings(picture)["style_weight"] == cell["settings"]["style_weight"]
        losses = cell["losses"]
        weights = cell["settings"]
        weighted = weights["style_weight"] * losses["style"] + weights["tv_weight"] * losses["total_variation"]
        assert losses["loss"] == pytest.approx(losses["content"] + weighted, rel=1e-5)
        assert cell["seconds"] > 0
        steps = rows(workdir / f"cells/{cell['name']}.csv")
        assert [row["step"] for row in steps] == ["0", "1", "2", "3"]
        assert float(steps[-1]["loss"]) == pytest.approx(losses["loss"], rel=1e-6)
    table = rows(workdir / "cells.csv")
    assert [(row["axis/style"], row["style_weight"]) for row in table] == [
        *(("first", "10.0"), ("first", "300.0"), ("second", "10.0"), ("second", "300.0"))
    ]
    assert [float(row["loss/style"]) for row in table] == [cell["losses"]["style"] for cell in found["cells"]]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_cells_from_coarse_to_fine_are_their_single_runs_and_go_on_when_stopped(
    optimizer, pictures, tmp_path, monkeypatch
):
    scales = {"scales": ((24, 36, 48), (0,)), "scale_steps": ((4,),), "optimizer": (optimizer,), "save_every": 1}
    whole = sweep.run(config(pictures, tmp_path / "whole", style_weight=(10.0,), **scales))
    assert (whole.finished, whole.failed) == (4, {})
    found = manifest(whole.workdir)["cells"]
    assert [cell["settings"]["scales"] for cell in found] == [[24, 36, 48], [48]] * 2
    assert [cell["settings"]["steps"] for cell in found] == [12, 4] * 2
    steps = rows(whole.workdir / f"cells/{found[0]['name']}.csv")
    assert [row["scale"] for row in steps] == ["24"] * 5 + ["36"] * 5 + ["48"] * 5
    words = found[2]["command"].replace("python", sys.executable, 1)
    subprocess.run(f"{words} --workdir={tmp_path / 'single'}", shell=True, cwd=ROOT, check=True, capture_output=True)
    single = images.read(tmp_path / "single" / "picture.png").pixels
    difference = np.abs(single - images.read(whole.workdir / found[2]["picture"]).pixels)
    assert np.quantile(difference, 0.99) <= 1 / 255
    save = Checkpoints.save

    def save_and_stop(checkpoints, state, history):
        save(checkpoints, state, history)
        if int(state.step) == 6:  # inside the second scale
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(config(pictures, tmp_path / "cut", style_weight=(10.0,), **scales))
    monkeypatch.setattr(Checkpoints, "save", save)
    again = sweep.run(config(pictures, tmp_path / "cut", style_weight=(10.0,), **scales))
    for one, other in zip(found, manifest(again.workdir)["cells"], strict=True):
        assert (one["name"], one["sha256"]) == (other["name"], other["sha256"])


def test_a_cell_that_goes_on_keeps_its_tiles_whatever_is_free_then(pictures, tmp_path, monkeypatch):
    styles, found = (str(pictures / "first.png"),), []
    flags = config(pictures, tmp_path, styles=styles, optimizer=("adam",), margin=(8,), steps=(2,), save_every=1)
    save, monkey = Checkpoints.save, monkeypatch

    def save_and_stop(checkpoints, state, history):
        save(checkpoints, state, history)
        raise KeyboardInterrupt

    def noting(network, recipes, read, *, mesh):
        found.append(recipes[0].settings.tile)
        return ScaledGroup(network, recipes, read, mesh=mesh)

    monkey.setattr(runner, "ScaledGroup", noting)
    monkey.setattr(cells, "free_bytes", lambda: 1 << 20)
    monkey.setattr(Checkpoints, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(flags)
    monkey.setattr(cells, "free_bytes", lambda: 1 << 40)
    monkey.setattr(Checkpoints, "save", save)
    assert sweep.run(flags).finished == 1
    assert found == [256, 256]


def test_a_cell_is_the_picture_that_its_command_makes(whole, tmp_path):
    cell = manifest(whole.workdir)["cells"][3]
    words = cell["command"].replace("python", sys.executable, 1)
    subprocess.run(f"{words} --workdir={tmp_path}", shell=True, cwd=ROOT, check=True, capture_output=True)
    single = images.read(tmp_path / "picture.png").pixels
    # A step of Adam is 0.02 long; where there is no slope, sums in another order change its direction.
    difference = np.abs(single - images.read(whole.workdir / cell["picture"]).pixels)
    assert np.quantile(difference, 0.99) <= 1 / 255
    assert difference.mean() < 1e-4


def test_the_same_command_again_computes_nothing(whole, pictures, count_compilations, capsys):
    before = {path: path.stat().st_mtime_ns for path in (whole.workdir / "cells").iterdir()}
    with count_compilations() as compiled:
        again = sweep.run(config(pictures, whole.workdir, style_weight=(10.0, 300.0)))
    assert again == whole
    assert "4 cells, 4 done already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (whole.workdir / "cells").iterdir()} == before
    assert not [name for name in compiled if "chunk" in name or "_init" in name]


def test_pictures_that_are_gone_or_changed_are_made_again(whole, pictures, capsys):
    paths = [whole.workdir / cell["picture"] for cell in manifest(whole.workdir)["cells"][1:]]
    before = [path.read_bytes() for path in paths]
    paths[0].unlink()
    paths[2].write_bytes(before[1])
    sweep.run(config(pictures, whole.workdir, style_weight=(10.0, 300.0)))
    assert "4 cells, 2 done already" in capsys.readouterr().out
    assert [path.read_bytes() for path in paths] == before


def test_each_program_is_compiled_once(pictures, tmp_path, count_compilations):
    contents = (str(pictures / "photo.png"), str(pictures / "wide.png"))
    with count_compilations() as compiled:
        outcome = sweep.run(
            config(pictures, tmp_path, contents=contents, size=(52, 68), style_weight=(10.0, 20.0), steps=(1, 2))
        )
    assert outcome.finished == 32
    shapes = {(cell["height"], cell["width"]) for cell in manifest(tmp_path)["cells"]}
    assert shapes == {(39, 52), (36, 52), (51, 68), (48, 68)}
    assert sum("chunk" in name for name in compiled) == 4


def test_batches_and_their_halves(pictures, tmp_path, whole, monkeypatch, capsys):
    sizes = []
    honest = ScaledGroup.run

    def small_memory(group, indices, size, **options):
        sizes.append(size)
        if size > 2:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
        return honest(group, indices, size, **options)

    monkeypatch.setattr(ScaledGroup, "run", small_memory)
    outcome = sweep.run(config(pictures, tmp_path, style_weight=(10.0, 300.0), cells_per_batch=4))
    assert outcome.finished == 4
    assert sizes == [4, 2, 2]
    assert "not enough memory for 4 cells at once: continuing with 2" in capsys.readouterr().err
    for name, record in records(tmp_path).items():
        assert record["cells_in_batch"] == 2
        assert record["losses"]["loss"] == pytest.approx(records(whole.workdir)[name]["losses"]["loss"], rel=1e-3)


def test_killed_at_any_moment_and_started_again(pictures, tmp_path):
    flags = ("--style_weight=10,300", "--steps=60", "--save_every=4")
    first = tmp_path / "killed" / "cells" / "000_first_style_weight=10.json"
    with start(pictures, tmp_path / "killed", *flags) as process:
        wait_for(lambda: first.exists() and any((tmp_path / "killed" / "checkpoints").glob("001*/*")), process)
        os.kill(process.pid, signal.SIGKILL)
    done = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "cells").iterdir() if path.suffix == ".png"
    }
    assert 1 <= len(done) < 4
    if (tmp_path / "killed" / "manifest.json").exists():
        assert len(manifest(tmp_path / "killed")["cells"]) == 4
    with start(pictures, tmp_path / "killed", *flags) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert f"4 cells, {len(done)} done already" in output
    assert {path: path.stat().st_mtime_ns for path in done} == done
    with start(pictures, tmp_path / "whole", *flags) as process:
        process.communicate(timeout=120)
    for name, record in records(tmp_path / "whole").items():
        assert records(tmp_path / "killed")[name]["sha256"] == record["sha256"], name
        histories = [(tmp_path / run / "cells" / f"{name}.csv").read_text() for run in ("killed", "whole")]
        assert histories[0] == histories[1]
    assert not (tmp_path / "killed" / "checkpoints").exists()


def test_ctrl_c_stops_and_the_same_command_goes_on(pictures, tmp_path):
    with start(pictures, tmp_path, "--steps=100000", "--save_every=1000000") as process:
        wait_for((tmp_path / "manifest.json").exists, process)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stopped; the same command continues" in output
    assert "Traceback" not in output
    assert [path.parent.name for path in tmp_path.glob("checkpoints/*/*")] == ["000_first"]
    assert {cell["status"] for cell in manifest(tmp_path)["cells"]} == {"unfinished"}


def test_a_cell_that_diverges_leaves_the_others_alone(pictures, tmp_path, capsys):
    weights = ((1.0,), (1e38,))
    outcome = sweep.run(
        config(pictures, tmp_path, style_weight=(1000.0,), style_layer_weights=weights, cells_per_batch=4)
    )
    assert outcome.finished == 2
    assert list(outcome.failed) == ["001_first_style_layer_weights=1e+38", "003_second_style_layer_weights=1e+38"]
    with pytest.raises(SystemExit) as ended:
        finish_script(outcome)
    assert ended.value.code == 1
    message = "failed: 001_first_style_layer_weights=1e+38: step 0: expected numbers, the loss is inf"
    assert message in capsys.readouterr().out
    assert [cell["status"] for cell in manifest(tmp_path)["cells"]] == ["finished", "failed"] * 2


@pytest.mark.slow
def test_a_preview_comes_first(pictures, tmp_path):
    outcome = sweep.run(config(pictures, tmp_path, size=(200,), steps=(1,), preview=True))
    assert outcome.finished == 2
    assert [manifest(folder)["cells"][0]["width"] for folder in (tmp_path / "preview", tmp_path)] == [160, 200]


@pytest.fixture
def broken(pictures):
    path = pictures / "broken.png"
    path.write_bytes((pictures / "first.png").read_bytes()[:200])
    yield path
    path.unlink()


def test_a_painting_that_cannot_be_read(pictures, broken, tmp_path, capsys):
    styles = (str(pictures / "first.png"), str(broken), str(pictures / "absent.png"))
    with pytest.raises(UserError, match=r"broken.png: .*; .*absent.png: .*; --keep_going leaves out the cells"):
        sweep.run(config(pictures, tmp_path / "strict", styles=styles))
    assert not (tmp_path / "strict").exists()
    outcome = sweep.run(config(pictures, tmp_path, styles=styles, keep_going=True))
    assert (outcome.finished, list(outcome.failed)) == (1, ["001_broken", "002_absent"])
    assert "left out: 001_broken: " in capsys.readouterr().out
    # Repaired, only what was left out is computed.
    broken.write_bytes((pictures / "second.png").read_bytes())
    outcome = sweep.run(config(pictures, tmp_path, styles=styles, keep_going=True))
    assert (outcome.finished, list(outcome.failed)) == (2, ["002_absent"])


def test_nothing_is_left_to_go_on_with(pictures, tmp_path):
    with pytest.raises(UserError, match=r"absent.png"):
        sweep.run(config(pictures, tmp_path, styles=(str(pictures / "absent.png"),), keep_going=True))


def test_the_folder_of_another_sweep(whole, pictures, tmp_path):
    before = {path: path.read_bytes() for path in whole.workdir.rglob("*") if path.is_file()}
    for changes, message in (
        ({"style_weight": (10.0, 300.0), "steps": (4,)}, "whose cell 000_first_style_weight=10 has steps = 3, in this"),
        ({"style_weight": (10.0, 400.0)}, "belongs to another sweep, which has"),
        ({"style_weight": (10.0, 300.0), "seed": (1,)}, "whose cell 000_first_style_weight=10 has seed = 0, in this"),
        ({"style_weight": (10.0, 400.0, 500.0)}, "belongs to another sweep, which has the cell 001_first_style_weight"),
    ):
        with pytest.raises(UserError, match=message):
            sweep.run(config(pictures, whole.workdir, **changes))
    assert {path: path.read_bytes() for path in before} == before
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "cells").symlink_to(whole.workdir / "cells")  # as if the manifest had been lost
    with pytest.raises(UserError, match="whose cell 000_first_style_weight=10 has steps = 3, in this one it is 4"):
        sweep.run(config(pictures, tmp_path / "copy", style_weight=(10.0, 300.0), steps=(4,)))
    (tmp_path / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(UserError, match=r"manifest.json: expected the manifest of a sweep, found something else"):
        sweep.run(config(pictures, tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "manifest.json"]


def test_a_sweep_grows(pictures, tmp_path, capsys):
    small = {"styles": (str(pictures / "first.png"),), "steps": (1,)}
    first = sweep.run(config(pictures, tmp_path, style_weight=(10.0, 300.0), **small))
    before = {path: path.read_bytes() for path in (tmp_path / "cells").iterdir()}
    # In front and behind, and along another axis: the numbers of all cells but the first are others.
    small["styles"] = (str(pictures / "second.png"), *small["styles"])
    grown = sweep.run(config(pictures, tmp_path, style_weight=(5.0, 10.0, 300.0), **small))
    assert (first.finished, grown.finished) == (2, 6)
    assert "6 cells, 2 done already" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((tmp_path / "cells").glob("*.png"))) == 6
    entries = manifest(tmp_path)["cells"]
    shown = [(Path(entry["settings"]["style"]).stem, entry["settings"]["style_weight"]) for entry in entries]
    assert shown == [(style, weight) for style in ("second", "first") for weight in (5.0, 10.0, 300.0)]
    assert [entry["place"] for entry in entries] == [[style, weight] for style in (0, 1) for weight in (0, 1, 2)]
    for entry in entries:
        assert images.read_settings(tmp_path / entry["picture"])["style_weight"] == entry["settings"]["style_weight"]
    assert grown.path("005_first_style_weight=300") == tmp_path / "cells" / "001_style_weight=300.png"
    again = sweep.run(config(pictures, tmp_path, style_weight=(5.0, 10.0, 300.0), **small))
    assert again == grown
    assert "6 cells, 6 done already" in capsys.readouterr().out


@pytest.mark.slow
def test_what_was_compiled_for_a_finished_size_is_freed(pictures, tmp_path):
    def kept():
        gc.collect()
        programs = jax.devices()[0].client.live_executables()
        return [module.name for program in programs for module in program.hlo_modules()]

    counts = []
    for count in (1, 4):
        sizes = tuple(range(48, 48 + count))
        outcome = sweep.run(config(pictures, tmp_path / str(count), size=sizes, steps=(1,)))
        assert outcome.finished == 2 * count
        counts.append(len(kept()))
        assert kept().count("jit_chunk") == 1  # that of the last size, which the next task of a worker may have
    assert counts[1] <= counts[0] + 5  # not what each size needs


def test_a_sweep_into_the_folder_of_its_images(pictures, tmp_path, capsys):
    for name in ("photo", "wide"):
        shutil.copy(pictures / f"{name}.png", tmp_path)
    for done in (0, 2):
        flags = config(pictures, tmp_path, contents=(str(tmp_path),), styles=(str(pictures / "first.png"),), steps=(1,))
        assert sweep.run(flags).finished == 2
        assert f"2 cells, {done} done already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"style_weight": (1.0, float("nan"))}, "--style_weight: expected a finite number, found nan"),
        ({"style_layers": (("conv1",), ("conv9",))}, "unknown style layer of squeezenet1_1 'conv9'"),
        ({"style_layer_weights": ((1.0,), (1.0, 2.0, 3.0))}, "expected one number for all or one for each of"),
        ({"backbone": ("squeezenet1_1", "vgg99")}, "unknown backbone 'vgg99'"),
        ({"margin": (0, 36)}, "margin: expected less than the short side of 36 px, found 36"),
        ({"blend_weights": ((0.5, 0.5),)}, "blend_weights: expected none with one style image, which has"),
    ],
    ids=str,
)
def test_bad_settings_compute_nothing(changes, message, pictures, tmp_path):
    with pytest.raises(UserError, match=message):
        sweep.run(config(pictures, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_a_full_disk_loses_nothing_that_is_done(pictures, tmp_path, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    flags = config(pictures, tmp_path, seed=(0, 1), init=("noise",), save_every=2)
    assert sweep.run(flags).finished == 4
    lost = sorted(tmp_path.glob("cells/*seed=1.png"))[1]
    lost.unlink()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.png")}
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match=r"checkpoints/003_second_seed=1/step00002.safetensors: cannot be written"):
            sweep.run(flags)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.rglob("*.tmp"))
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert manifest(tmp_path)["cells"][0]["status"] == "finished"
    assert sweep.run(flags).finished == 4
    assert "3 done already" in capsys.readouterr().out


def test_batches_go_on_where_their_cells_stood(pictures, tmp_path, monkeypatch):
    """Cells that stand at different steps, and fewer than a batch has."""
    flags = config(pictures, tmp_path / "whole", seed=(0, 1, 2), init=("noise",), steps=(6,), cells_per_batch=4)
    sweep.run(flags)
    honest = Checkpoints.save

    def die_at_the_fifth(checkpoints, state, history):
        honest(checkpoints, state, history)
        if len(list(tmp_path.glob("dead/checkpoints/*/step00004*"))) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", die_at_the_fifth)
    dead = dataclasses.replace(flags, workdir=str(tmp_path / "dead"), save_every=2)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(dead)
    monkeypatch.undo()
    assert sweep.run(dead).finished == 6
    for name, record in records(tmp_path / "whole").items():
        losses = [rows(tmp_path / run / "cells" / f"{name}.csv") for run in ("whole", "dead")]
        assert [row["step"] for row in losses[1]] == [str(step) for step in range(7)]
        assert records(tmp_path / "dead")[name]["losses"]["loss"] == pytest.approx(record["losses"]["loss"], rel=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        '{"status": "finished", "identity": {}}',
        '{"status": "finished", "losses": {}, "identity": {"size": 48}}',
        "[1]",
        "[" * 100_000,
        '{"status": "finished", "losses": [1], "sha256": 1, "seconds": "x", "identity": [1]}',
        "\xff\xfe",
    ],
    ids=range(6),
)
def test_records_and_manifests_that_are_none(text, whole, pictures):
    (cell, *_), path = manifest(whole.workdir)["cells"], whole.workdir / "manifest.json"
    record, kept = whole.workdir / f"cells/{cell['name']}.json", path.read_bytes()
    record.write_bytes(text.encode("latin-1"))
    flags = config(pictures, whole.workdir, style_weight=(10.0, 300.0))
    assert sweep.run(flags).finished == 4
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="expected the manifest of a sweep, found something else"):
        sweep.run(flags)
    path.write_bytes(kept)


def test_a_folder_with_other_things_is_left_alone(pictures, tmp_path):
    (tmp_path / "index.html").write_text("my home page")
    with pytest.raises(UserError, match=r"expected the folder of a sweep, found only a file index\.html"):
        sweep.run(config(pictures, tmp_path))
    assert (tmp_path / "index.html").read_text() == "my home page"


def test_what_cannot_be_shown_ends_nothing(pictures, tmp_path, capsys):
    (tmp_path / "cells").mkdir()
    (tmp_path / "sheet.png").mkdir()
    with pytest.raises(UserError, match=r"sheet.png: expected a file"):
        sweep.run(config(pictures, tmp_path))
    assert "sheet and page are not updated now: " in capsys.readouterr().err
    assert len(records(tmp_path)) == 2


def test_damaged_checkpoints_and_records_begin_anew(pictures, tmp_path, capsys):
    flags = config(pictures, tmp_path)
    folder = tmp_path / "checkpoints" / "000_first"
    folder.mkdir(parents=True)
    (folder / "step00002.safetensors").write_bytes(b"nonsense" * 10)
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "001_second.json").write_text('{"status": "fini')
    assert sweep.run(flags).finished == 2
    assert "000_first starts again: " in capsys.readouterr().err


def test_the_command_says_one_line_and_exits_with_1(pictures, tmp_path):
    result = subprocess.run(
        command(pictures, tmp_path / "run", "--tv_weight=1,x"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: flag --tv_weight=1,x: expected a number, found 'x'\n"
