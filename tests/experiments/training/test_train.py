"""Training by its script: what it writes, and that neither kills nor devices nor broken files change it."""

import csv
import json
import os
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

from experiments import train
from nst_jax.applications.feedforward import painting, recipes, trained
from nst_jax.errors import UserError

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
    monkeypatch.setitem(recipes.RECIPES, "squeezenet", tiny_training.RECIPE)


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
        patch.setitem(recipes.RECIPES, "squeezenet", tiny_training.RECIPE)
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
    ],
)
def test_flags_that_cannot_be_used(flags, tmp_path, change, problem):
    with pytest.raises(UserError, match=problem):
        train.run(train.Config(**{**flags, "workdir": str(tmp_path / "new"), **change}))
    assert not (tmp_path / "new").exists()


def test_a_folder_of_another_training_is_refused(finished, flags):
    with pytest.raises(UserError, match="expected a run with style_weight"):
        train.run(train.Config(**flags, style_weight=1.0, workdir=str(finished.output.parent)))


def test_a_batch_that_devices_cannot_share(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: jax.local_devices() * 3)
    with pytest.raises(UserError, match="--batch_size: expected a multiple of 3"):
        train.run(train.Config(**flags, workdir=str(tmp_path)))
