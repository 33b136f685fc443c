"""Training by its script: what it writes, and that neither kills nor devices nor broken files change it."""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_training
from PIL import Image

from experiments import instant, train
from experiments.engines import tasks
from experiments.training import running
from nst_jax.applications.feedforward import painting, recipes, trained
from nst_jax.errors import UserError
from nst_jax.io import images

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Photographs of noise, one of them smaller than the squares, one cut off."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for index in range(12):
        shape = (36, 33, 3) if index == 3 else (50 + index, 60, 3)
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(folder / f"{index:02d}.png")
    whole = (folder / "05.png").read_bytes()
    (folder / "05.png").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(recipes, "ours", tiny_training.recipe)


@pytest.fixture
def flags(photographs, pictures):
    return {
        "contents": str(photographs),
        "style": f"{pictures / 'first.png'},{pictures / 'second.png'}",
        "backbone": "squeezenet1_1",
        "size": 40,
        "style_size": 48,
        "show_every": 4,
        "save_every": 2,
    }


@pytest.fixture(scope="module")
def finished(photographs, pictures, tmp_path_factory):
    """A training from beginning to end, in this process, on one device."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "ours", tiny_training.recipe)
        style = f"{pictures / 'first.png'},{pictures / 'second.png'}"
        return train.run(
            train.Config(
                contents=str(photographs),
                style=style,
                backbone="squeezenet1_1",
                size=40,
                style_size=48,
                show_every=4,
                save_every=2,
                workdir=str(folder),
            )
        )


def losses_of(folder):
    with (folder / "losses.csv").open() as file:
        header, *rows = csv.reader(file)
    return header, np.array(rows, float)


def start(flags, folder, **environment):
    """The same training in another process."""
    given = [f"--{name}={value}" for name, value in {**flags, "workdir": folder}.items()]
    return subprocess.Popen(
        [sys.executable, HERE / "tiny_training.py", *given],
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_files_of_a_training(finished):
    folder = finished.output.parent
    header, rows = losses_of(folder)
    assert header == ["step", "loss", "content", "style", "total_variation", "style/first", "style/second"]
    assert rows[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert rows[-1, 1] < rows[0, 1]
    record = json.loads((folder / "run.json").read_text())
    assert record["steps_done"] == 6
    assert list(record["skipped"]) == ["05.png"]
    assert "skipped" not in record["settings"]
    names = {path.name.split("_", 1)[0] for path in (folder / "samples").glob("step*")}
    assert names == {"step000004", "step000006"}
    page = finished.page.read_text()
    assert page.count("data:image/jpeg") == 2 * 3 * 3  # steps, photographs, and these in two styles
    assert page.count("data:image/png") == 1  # the curves
    assert (folder / "sheet.png").is_file()


def test_the_network_is_one_that_paints(finished):
    network, params, styles, _, record = trained.read(finished.output)
    assert styles == ("first", "second")
    assert record["steps"] == 6
    paint = jax.jit(painting.paint, static_argnums=0)
    picture = paint(network, params, np.full((21, 30, 3), 0.5, np.float32), np.float32([0.5, 0.5]))
    assert picture.shape == (21, 30, 3)


def test_the_same_command_has_nothing_left_to_do(finished, flags):
    before = finished.output.read_bytes()
    assert train.run(train.Config(**flags, workdir=str(finished.output.parent))).finished
    assert finished.output.read_bytes() == before


def test_a_killed_training_goes_on_to_the_same_bytes(finished, flags, tmp_path):
    # It would go on for long, and until step 4 with the same learning rate; painting takes a while after step 2.
    process = start({**flags, "steps": 100_000, "show_every": 2}, tmp_path)
    checkpoints = tmp_path / "training-checkpoints"
    deadline = time.monotonic() + 300
    while not list(checkpoints.glob("*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    output = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL, output
    assert {path.name for path in checkpoints.glob("step*.safetensors")} <= {"step00002.safetensors"}
    result = train.run(train.Config(**flags, workdir=str(tmp_path)))
    assert result.output.read_bytes() == finished.output.read_bytes()
    np.testing.assert_array_equal(losses_of(tmp_path)[1], losses_of(finished.output.parent)[1])


def test_other_samples_change_nothing_but_what_is_shown(finished, flags, pictures, tmp_path):
    """The training goes on in its folder, and no picture of one photograph is shown as another's."""
    folder, shown = tmp_path / "run", tmp_path / "shown"
    shutil.copytree(finished.output.parent, folder)
    shown.mkdir()
    shutil.copy(pictures / "wide.png", shown / "00.png")  # of a name that one of the others has
    before = {path.name for path in (folder / "samples").iterdir()}
    result = train.run(train.Config(**flags, workdir=str(folder), samples=str(shown)))
    assert result.output.read_bytes() == finished.output.read_bytes()
    new = {path.name for path in (folder / "samples").iterdir()} - before
    assert len(new) == 1 + 2  # the photograph, and in two styles
    page = result.page.read_text()
    assert page.count("data:image/jpeg") == 3 + 1  # of the earlier step there is nothing but the photograph


DOODLE = [([0, 0, 255], slice(0, 20)), ([255, 0, 0], slice(20, None))]


@pytest.fixture(scope="module")
def style_map(tmp_path_factory, pictures):
    """A map of the first style image, of two regions."""
    colours = np.zeros((70, 50, 3), np.uint8)
    for colour, rows in DOODLE:
        colours[rows] = colour
    path = tmp_path_factory.mktemp("map") / "map.png"
    Image.fromarray(colours).save(path)
    return path


def stopped_after(count):
    """What asks a training to stop after so many steps."""

    class Interrupt:
        looks = 0

        @property
        def requested(self):
            self.looks += 1
            return self.looks >= count

    return lambda: contextlib.nullcontext(Interrupt())


@pytest.fixture
def kinds(flags, pictures, style_map):
    """The flags of trainings of other kinds."""
    few = {"batch_size": 2, "steps": 4, "width": 0.1, "style_layers": ("conv1",), "save_every": 0}
    doodle = {"contents": None, "style": str(pictures / "first.png"), "style_regions": str(style_map)}
    return {
        "doodle": {**flags, **few, **doodle},
        "any style": {**flags, **few, "style": None, "styles": str(pictures), "style_size": 32},
    }


def test_a_doodle(kinds, style_map, tmp_path):
    result = train.run(train.Config(**kinds["doodle"], workdir=str(tmp_path / "run")))
    network, _, styles, _, record = trained.read(result.output)
    assert network.regions == ((0, 0, 255), (255, 0, 0))
    assert (styles, record["training"]["content_layers"]) == ((), [])
    header, rows = losses_of(tmp_path / "run")
    assert header[-1] == "style/first"
    assert rows[:, 0].tolist() == [1, 2, 3, 4]
    given = {"network": str(result.output), "regions": str(style_map), "size": 64}
    painted = [
        images.read(instant.run(instant.Config(**given, workdir=str(tmp_path / "out"), seed=seed)).output).pixels
        for seed in (None, 0, 1)
    ]
    assert painted[0].shape == (64, 46, 3)
    np.testing.assert_array_equal(painted[0], painted[1])
    assert abs(painted[2] - painted[1]).max() > 2 / 255
    other = ("content", "x.png"), ("styles", ("1",)), ("keep", ("red",)), ("strength", 0.5), ("regions", None)
    for name, value in other:
        with pytest.raises(UserError, match=f"--{name}: expected"):
            instant.run(instant.Config(**given | {name: value}))


@pytest.mark.slow
def test_any_style(kinds, pictures, tmp_path):
    result = train.run(train.Config(**kinds["any style"], workdir=str(tmp_path / "run")))
    assert trained.read(result.output).network.side == 32
    photo, style = (str(pictures / f"{name}.png") for name in ("photo", "first"))
    given = {"network": str(result.output), "content": photo, "style": style, "size": 64}
    painted = instant.run(instant.Config(**given, workdir=str(tmp_path / "out")))
    assert images.read(painted.output).pixels.shape == (48, 64, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["doodle", "any style"])
def test_other_kinds_go_on_to_the_same_bytes(kind, kinds, tmp_path, monkeypatch):
    whole = train.run(train.Config(**kinds[kind], workdir=str(tmp_path / "whole")))
    with monkeypatch.context() as patch:
        patch.setattr(running, "graceful_interrupt", stopped_after(3))
        part = train.run(train.Config(**kinds[kind], workdir=str(tmp_path / "part")))
    assert (part.steps, part.finished) == (3, False)
    rest = train.run(train.Config(**kinds[kind], workdir=str(tmp_path / "part")))
    assert rest.output.read_bytes() == whole.output.read_bytes()


@pytest.mark.slow
def test_eight_devices_of_one_process_train_as_one(finished, flags, tmp_path):
    process = start({**flags, "show_every": 0}, tmp_path, JAX_NUM_CPU_DEVICES="8", JAX_PLATFORMS="cpu")
    output = process.communicate(timeout=550)[0]
    assert process.returncode == 0, output
    assert json.loads((tmp_path / "run.json").read_text())["devices"] == 8
    # Sums over the batch in another order, see below.
    np.testing.assert_allclose(losses_of(tmp_path)[1], losses_of(finished.output.parent)[1], rtol=1e-4)


@pytest.mark.slow
def test_two_processes_of_four_devices_train_as_one_device(finished, flags, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    shared = {**flags, "distributed": True, "coordinator_address": address, "num_processes": 2, "show_every": 0}
    processes = [start({**shared, "process_id": index}, tmp_path, JAX_NUM_CPU_DEVICES="4") for index in range(2)]
    outputs = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    assert json.loads((tmp_path / "run.json").read_text())["devices"] == 8
    # Sums over the batch in another order; each step multiplies what they make, so that the rate is a low one.
    np.testing.assert_allclose(losses_of(tmp_path)[1], losses_of(finished.output.parent)[1], rtol=1e-4)


def test_a_full_disk_ends_nothing_but_the_writing(finished, flags, tmp_path, full_disk, capfd):
    with full_disk(), pytest.raises(UserError, match="No space left on device"):
        train.run(train.Config(**flags, workdir=str(tmp_path)))
    assert "the training goes on" in capfd.readouterr().err
    result = train.run(train.Config(**flags, workdir=str(tmp_path)))
    assert result.output.read_bytes() == finished.output.read_bytes()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"contents": None}, "--contents: expected a folder of photographs"),
        ({"style": ","}, "--style: expected a style image"),
        ({"output": "network.bin"}, "--output: expected a file that ends in .safetensors"),
        ({"preset": "magenta"}, "--preset=magenta: its layer relu3_3 is not one of squeezenet1_1"),
        ({"style_layers": ()}, "--style_layers, --content_layers: expected one or more of each"),
        ({"finetune": "none.safetensors"}, "none.safetensors"),
        ({"styles": "folder"}, "--style: expected none beside --styles"),
        ({"style": None, "styles": "nowhere"}, "nowhere: expected a folder of pictures"),
        ({"style_regions": "map.png"}, "--contents: expected none beside --style_regions"),
        ({"style_regions": "map.png", "contents": None}, "--style: expected one style image with --style_regions"),
        (
            {"style_regions": "map.png", "content_layers": ("conv1",)},
            "--content_layers: expected none with --style_regions",
        ),
    ],
)
def test_flags_that_cannot_be_used(flags, tmp_path, change, problem):
    with pytest.raises(UserError, match=problem):
        train.run(train.Config(**{**flags, "workdir": str(tmp_path / "new"), **change}))
    assert not (tmp_path / "new").exists()


def test_a_folder_of_another_training_is_refused(finished, flags):
    with pytest.raises(UserError, match="expected a run with style_weight"):
        train.run(train.Config(**flags, style_weight=1.0, workdir=str(finished.output.parent)))


@pytest.mark.parametrize("written", [(), ("other.safetensors",), ("index.html",), ("other.safetensors", "index.html")])
def test_an_engine_ends_when_this_network_and_page_are_written(written, flags, engine, tmp_path, monkeypatch):
    """A folder with a training that has ended is not asked alone: it may be another one, and so may the network."""
    for name, text in (("run.json", '{"steps_done": 6}'), ("index.html", ""), ("other.safetensors", "")):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (1000, 1000))
    monkeypatch.setattr(tasks, "run", lambda *_: [(tmp_path / name).write_text("new") for name in written])
    given = {**flags, "workdir": str(tmp_path), "output": str(tmp_path / "other.safetensors"), "engine": "here"}
    if len(written) == 2:
        assert train.run(train.Config(**given)).finished
    else:
        with pytest.raises(UserError, match="expected the training to end, found its processes gone after step 6"):
            train.run(train.Config(**given))
    assert len(engine.given) == 1


def test_a_batch_that_devices_cannot_share(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: jax.local_devices() * 3)
    with pytest.raises(UserError, match="--batch_size: expected a multiple of 3"):
        train.run(train.Config(**flags, workdir=str(tmp_path)))
