"""The script as a person runs it: pictures, records, interruption, death and resumption, bad input."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import stylize
from experiments.cli import samples
from experiments.cli.transfer_flags import resolve
from experiments.running import job
from nst_jax.errors import UserError
from nst_jax.io import images

ROOT = Path(__file__).parents[2]
SMALL = ("--size=48", "--style_layers=conv1,fire2/concat", "--content_layers=fire2/concat", "--backbone=squeezenet1_1")
RATES = {"adam": 0.02, "lbfgs": 1.0}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, shape in (("photo", (60, 80)), ("painting", (70, 50))):
        Image.fromarray(random.integers(0, 256, (*shape, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def config(pictures, workdir, **changes):
    return stylize.Config(
        **{
            "content": str(pictures / "photo.png"),
            "style": str(pictures / "painting.png"),
            "workdir": str(workdir),
            "backbone": "squeezenet1_1",
            "size": 48,
            "steps": 2,
            "style_layers": ("conv1", "fire2/concat"),
            "content_layers": ("fire2/concat",),
            **changes,
        }
    )


def command(pictures, workdir, *flags):
    return [
        *(sys.executable, "-m", "experiments.stylize", *SMALL, f"--workdir={workdir}"),
        *(f"--content={pictures / 'photo.png'}", f"--style={pictures / 'painting.png'}", *flags),
    ]


def start(pictures, workdir, *flags):
    return subprocess.Popen(
        command(pictures, workdir, *flags), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_a_run_leaves(pictures, tmp_path):
    result = stylize.run(config(pictures, tmp_path / "run", save_every=1, style_weight=12.5))
    assert result.finished
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *(
            "picture.png",
            "run.json",
            "losses.csv",
            "losses.png",
            "stylize-checkpoints",
            "step00001.png",
            "step00002.png",
        )
    }
    with Image.open(result.output) as image:
        assert image.size == (48, 36)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["style_weight"] == 12.5
    assert record["settings"]["optimizer"]
    assert len(record["settings"]["weights_sha256"]) == 64
    assert record["versions"]["jax"]
    assert record["seconds"]["compile"] > 0
    assert images.read_settings(result.output) == record["settings"]
    rows = list(csv.DictReader((tmp_path / "run" / "losses.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert float(rows[-1]["loss"]) == pytest.approx(result.history.loss[-1])
    assert "style/conv1" in rows[0]


def test_without_any_flags_there_are_samples():
    nothing = stylize.Config()
    assert nothing.content is None
    for path in (samples.content_image(), samples.style_image()):
        assert images.read(path, size=64).pixels.shape == (64, 64, 3)


def test_several_paintings(pictures, tmp_path):
    styles = ",".join(str(pictures / f"{name}.png") for name in ("painting", "photo"))
    for workdir, changes in {"both": {"blend_weights": (0.25, 0.75)}, "second": {"blend_weights": (0.0, 1.0)}}.items():
        result = stylize.run(config(pictures, tmp_path / workdir, style=styles, style_size=(46,), **changes))
        record = json.loads((tmp_path / workdir / "run.json").read_text())["settings"]
        assert (record["style2"], record["style_size"]) == (str(pictures / "photo.png"), 46)
        assert record["blend_weights"] == list(changes["blend_weights"])
        assert {"style_sha256", "style2_sha256"} <= record.keys()
    alone = stylize.run(config(pictures, tmp_path / "alone", style=str(pictures / "photo.png"), style_size=(46,)))
    np.testing.assert_allclose(result.history.loss, alone.history.loss, rtol=1e-5)


def test_a_comma_in_a_name_is_no_second_painting(pictures, tmp_path):
    path = tmp_path / "one, two.png"
    path.write_bytes((pictures / "painting.png").read_bytes())
    assert stylize.run(config(pictures, tmp_path / "run", style=str(path))).finished
    with pytest.raises(UserError, match="--style: expected a style image, found none in ' , '"):
        stylize.run(config(pictures, tmp_path / "none", style=" , "))
    with pytest.raises(UserError, match="blend_weights: expected none with one style image, which has"):
        stylize.run(config(pictures, tmp_path / "none", blend_weights=(0.5, 0.5)))
    assert not (tmp_path / "none").exists()


def test_output_and_settings_of_other_kinds(pictures, tmp_path):
    transparent = np.full((60, 80, 4), 128, np.uint8)
    transparent[:, :40, 3] = 0
    Image.fromarray(transparent).save(tmp_path / "photo.png")
    output = tmp_path / "out.tiff"
    stylize.run(
        config(
            pictures,
            tmp_path / "run",
            content=str(tmp_path / "photo.png"),
            init=str(pictures / "painting.png"),
            output=str(output),
            bits=16,
            preset="ng",
            save_every=0,
        )
    )
    made = images.read(output)
    assert made.alpha[:, :16].max() == 0
    assert not (tmp_path / "run" / "stylize-checkpoints").exists()
    settings = images.read_settings(output)
    assert settings["content_loss"] == "quarter_mean_squared_error"
    assert settings["init"] == str(pictures / "painting.png")
    assert len(settings["init_sha256"]) == 64


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_killed_and_resumed_is_the_same_to_the_bit(optimizer, pictures, tmp_path, capsys):
    flags = (f"--optimizer={optimizer}", f"--learning_rate={RATES[optimizer]}", "--steps=4000", "--save_every=5")
    with start(pictures, tmp_path / "killed", *flags) as process:
        wait_for(tmp_path / "killed" / "step00010.png", process)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "killed" / "picture.png").exists()
    checkpoints = tmp_path / "killed" / "stylize-checkpoints"
    reached = max(int(path.stem.removeprefix("step")) for path in checkpoints.glob("step*.safetensors"))
    same = {"optimizer": optimizer, "learning_rate": RATES[optimizer], "save_every": 5, "steps": reached + 7}
    resumed = stylize.run(config(pictures, tmp_path / "killed", resume=True, **same))
    assert f"resuming after step {reached}\n" in capsys.readouterr().out
    whole = stylize.run(config(pictures, tmp_path / "whole", **same))
    assert resumed.output.read_bytes() == whole.output.read_bytes()
    losses = [(tmp_path / name / "losses.csv").read_text() for name in ("killed", "whole")]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        (signal.SIGHUP, 129),
    ],
)
def test_interrupted_saves_the_picture_so_far(number, status, pictures, tmp_path):
    with start(pictures, tmp_path, "--steps=100000", "--save_every=5") as process:
        wait_for(tmp_path / "step00005.png", process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == status
    assert "picture so far" in output
    assert "Traceback" not in output
    done = json.loads((tmp_path / "run.json").read_text())["steps_done"]
    assert done >= 5
    assert images.read(tmp_path / "picture.png").pixels.shape == (36, 48, 3)
    assert (tmp_path / "stylize-checkpoints" / f"step{done:05d}.safetensors").is_file()


def test_another_optimizer_has_its_own_learning_rate(pictures, tmp_path):
    assert resolve(config(pictures, tmp_path, optimizer="adam"), "squeezenet1_1").learning_rate == 0.02
    assert resolve(config(pictures, tmp_path, preset="ng"), "vgg19").learning_rate == 2 / 255
    given = config(pictures, tmp_path, optimizer="adam", learning_rate=0.5)
    assert resolve(given, "squeezenet1_1").learning_rate == 0.5


@pytest.mark.parametrize(
    ("given", "scale_steps"),
    [
        ({}, (600, 200, 66, 30)),
        ({"steps": 90}, ()),  # shares of it at every scale
        ({"steps": 90, "scale_steps": (7,)}, (7,)),
        ({"scales": (0,)}, (600,)),
        ({"scales": (256, 0)}, (600, 200)),
        ({"scales": (256, 0), "scale_steps": (7,)}, (7,)),
    ],
    ids=str,
)
def test_steps_and_scales_of_a_preset_give_way_to_flags(given, scale_steps, pictures, tmp_path):
    settings = resolve(config(pictures, tmp_path, preset="spst", **{"steps": None, **given}), "vgg19")
    assert settings.scale_steps == scale_steps


def test_a_workdir_that_cannot_be_is_refused(pictures, tmp_path):
    (tmp_path / "file").touch()
    for workdir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="expected a folder or room for a new one"):
            stylize.run(config(pictures, workdir))


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_killed_inside_the_second_scale_and_resumed_is_the_same_to_the_bit(optimizer, pictures, tmp_path, capsys):
    flags = ("--scales=24,36,48", "--scale_steps=8,200,3", f"--optimizer={optimizer}", "--save_every=3")
    with start(pictures, tmp_path / "killed", *flags) as process:
        wait_for(tmp_path / "killed" / "step00015.png", process)
        os.kill(process.pid, signal.SIGKILL)
    assert images.read(tmp_path / "killed" / "step00015.png").pixels.shape == (36, 48, 3)
    newest = max(path.name for path in (tmp_path / "killed" / "stylize-checkpoints").iterdir())
    assert "step00012" < newest < "step00208"
    same = {"scales": (24, 36, 48), "scale_steps": (8, 200, 3), "optimizer": optimizer, "save_every": 3}
    resumed = stylize.run(config(pictures, tmp_path / "killed", resume=True, **same))
    whole = stylize.run(config(pictures, tmp_path / "whole", **same))
    assert "resuming after step" in capsys.readouterr().out
    assert (resumed.finished, whole.finished) == (True, True)
    assert resumed.output.read_bytes() == whole.output.read_bytes()
    losses = [(tmp_path / name / "losses.csv").read_text() for name in ("killed", "whole")]
    assert losses[0] == losses[1]
    rows = list(csv.DictReader(losses[0].splitlines()))
    assert [row["step"] for row in rows] == [*map(str, range(9)), *map(str, range(8, 209)), "208", "209", "210", "211"]
    assert [row["scale"] for row in rows] == ["24"] * 9 + ["36"] * 201 + ["48"] * 4


def test_colours_are_finished_at_the_end_alone(pictures, tmp_path):
    """The picture has other colours, the run is the same: also one that is resumed only to finish them."""
    plain = stylize.run(config(pictures, tmp_path, save_every=1))
    left = plain.output.read_bytes()
    finished = stylize.run(config(pictures, tmp_path, save_every=1, resume=True, colour_finish="oklab"))
    assert finished.output.read_bytes() != left
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["colour_finish"] == "oklab"
    stylize.run(config(pictures, tmp_path, save_every=1, resume=True))
    assert plain.output.read_bytes() == left


@pytest.mark.slow
def test_a_finishing_pass_is_killed_and_resumed_to_the_bit(pictures, tmp_path):
    same = {"scales": (24, 48), "scale_steps": (2,), "finish_steps": 200, "optimizer": "adam", "save_every": 3}
    same["finish_loss"] = "hypercolumns"
    flags = ["--scales=24,48", "--scale_steps=2", *(f"--{name}={same[name]}" for name in list(same)[2:])]
    with start(pictures, tmp_path / "killed", *flags) as process:
        wait_for(tmp_path / "killed" / "step00012.png", process)
        os.kill(process.pid, signal.SIGKILL)
    resumed = stylize.run(config(pictures, tmp_path / "killed", resume=True, **same))
    whole = stylize.run(config(pictures, tmp_path / "whole", **same))
    assert resumed.output.read_bytes() == whole.output.read_bytes()
    assert resumed.history.step[-1] == 204


@pytest.mark.slow
def test_killed_in_tiles_and_resumed_is_the_same_to_the_bit_whatever_is_free_then(
    pictures, tmp_path, capsys, monkeypatch
):
    flags = ("--size=160", "--scales=80,160", "--scale_steps=3,200", "--save_every=3", "--margin=8")
    with start(pictures, tmp_path / "killed", *flags, "--tile=48") as process:
        wait_for(tmp_path / "killed" / "step00006.png", process)
        os.kill(process.pid, signal.SIGKILL)
    reached = max(
        int(path.stem.removeprefix("step"))
        for path in (tmp_path / "killed" / "stylize-checkpoints").glob("step*.safetensors")
    )
    same = {"size": 160, "scales": (80, 160), "scale_steps": (3, reached), "save_every": 3, "margin": 8}
    resumed = stylize.run(config(pictures, tmp_path / "killed", resume=True, tile=48, **same))
    assert f"resuming after step {reached}\n" in capsys.readouterr().out
    whole = stylize.run(config(pictures, tmp_path / "whole", tile=48, **same))
    assert resumed.output.read_bytes() == whole.output.read_bytes()

    # What was chosen is kept: with the memory that is free now there would be no tiles.
    little = same | {"scale_steps": (3, 3), "steps": 6}
    monkeypatch.setattr(job, "free_bytes", lambda: 1 << 20)
    stylize.run(config(pictures, tmp_path / "auto", **little))
    printed = capsys.readouterr().out
    assert "tiles of about 256 px" in printed
    assert "lbfgs remembers 3 steps, as memory does not hold 10" in printed
    monkeypatch.undo()
    stylize.run(config(pictures, tmp_path / "auto", resume=True, **little | {"scale_steps": (3, 6), "steps": 9}))
    record = json.loads((tmp_path / "auto" / "run.json").read_text())
    assert record["settings"]["lbfgs_pairs"] == 3
    assert (record["settings"]["tile"], record["steps_done"], record["steps_asked"]) == (256, 9, 9)


@pytest.mark.slow
def test_stopped_in_a_coarse_scale_leaves_a_picture_of_the_final_size(pictures, tmp_path):
    with start(pictures, tmp_path, "--scales=24,48", "--scale_steps=100000,2", "--save_every=5") as process:
        wait_for(tmp_path / "step00005.png", process)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert images.read(tmp_path / "picture.png").pixels.shape == (36, 48, 3)


def test_resuming_another_run_is_refused(pictures, tmp_path):
    stylize.run(config(pictures, tmp_path, save_every=2))
    with pytest.raises(
        UserError,
        match=r"--resume: .* expected a run with content_weight = 3.0 as now, found one with 1.0; set it back, or",
    ):
        stylize.run(config(pictures, tmp_path, resume=True, content_weight=3.0))
    # Also where the state would be another one.
    with pytest.raises(
        UserError, match=r"expected a run with dream_layers = \['fire9/concat'\] as now, found one with"
    ):
        stylize.run(config(pictures, tmp_path, resume=True, dream_layers=("fire9/concat",)))


def test_resuming_without_the_picture_that_the_run_began_with_is_refused(pictures, tmp_path):
    stylize.run(config(pictures, tmp_path, save_every=2, init=str(pictures / "painting.png")))
    with pytest.raises(UserError, match=r"expected a run with init_sha256 = None as now, found one with"):
        stylize.run(config(pictures, tmp_path, resume=True))


def test_resuming_nothing_begins_anew(pictures, tmp_path, capsys):
    assert stylize.run(config(pictures, tmp_path, resume=True)).finished
    assert "nothing to resume" in capsys.readouterr().out


def test_resuming_with_fewer_steps_is_refused(pictures, tmp_path):
    stylize.run(config(pictures, tmp_path, steps=4))
    with pytest.raises(UserError, match="the run is at step 4 already; give 4 or more"):
        stylize.run(config(pictures, tmp_path, steps=2, resume=True))
    assert stylize.run(config(pictures, tmp_path, steps=4, resume=True)).history.step[-1] == 4


@pytest.mark.parametrize(
    ("changes", "damaged", "resumable"),
    [
        ({"steps": 4}, False, True),
        ({"steps": 2}, False, False),  # it was finished
        ({"steps": 1}, False, False),
        ({"steps": 4, "content_weight": 3.0}, False, False),
        ({"steps": 4}, True, False),
    ],
)
def test_a_discarded_run_names_resume_only_if_that_would_have_continued_it(
    changes, damaged, resumable, pictures, tmp_path, capsys
):
    stylize.run(config(pictures, tmp_path, steps=2, save_every=2))
    if damaged:
        for path in (tmp_path / "stylize-checkpoints").iterdir():
            path.write_bytes(b"x" * 100)
    capsys.readouterr()
    stylize.run(config(pictures, tmp_path, **changes))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("discarded")]
    advice = " (--resume would have continued it)" if resumable else ""
    assert line == f"discarded the run in {tmp_path}, which was at step 2{advice}"


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, pictures, tmp_path, capsys):
    stylize.run(config(pictures, tmp_path, steps=4, save_every=2))
    whole = (tmp_path / "picture.png").read_bytes()
    newest = tmp_path / "stylize-checkpoints" / "step00004.safetensors"
    data = newest.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    newest.write_bytes({"empty": b"", "cut": data[:-100], "flipped": flipped}[damage])
    stylize.run(config(pictures, tmp_path, steps=4, save_every=2, resume=True))
    assert "resuming after step 2\n" in capsys.readouterr().out
    assert (tmp_path / "picture.png").read_bytes() == whole


def test_no_checkpoint_left_that_can_be_read(pictures, tmp_path):
    stylize.run(config(pictures, tmp_path, steps=4, save_every=2))
    for path in (tmp_path / "stylize-checkpoints").iterdir():
        path.write_bytes(b"x" * 100)
    with pytest.raises(UserError, match=r"no checkpoint can be read: .*, or leave --resume out to start again"):
        stylize.run(config(pictures, tmp_path, steps=4, save_every=2, resume=True))


@pytest.mark.quick
def test_only_the_last_two_checkpoints_stay(pictures, tmp_path):
    stylize.run(config(pictures, tmp_path, steps=4, save_every=1))
    names = sorted(path.name for path in (tmp_path / "stylize-checkpoints").iterdir())
    assert names == ["step00003.safetensors", "step00004.safetensors"]


@pytest.fixture
def room_for_small_files():
    """Lets no file become larger than 100 kB: what a picture needs here, and a checkpoint does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_the_picture(pictures, tmp_path, room_for_small_files):
    message = r"step00002.safetensors: cannot be written \(.*\): make room .*; the picture of step 2 is saved as"
    with pytest.raises(UserError, match=message):
        stylize.run(config(pictures, tmp_path, steps=4, save_every=2))
    assert images.read_settings(tmp_path / "picture.png")["steps"] == 4
    assert json.loads((tmp_path / "run.json").read_text())["steps_done"] == 2
    assert (tmp_path / "losses.csv").exists()
    assert list((tmp_path / "stylize-checkpoints").iterdir()) == []


def test_other_things_in_the_workdir_stay(pictures, tmp_path):
    stylize.run(config(pictures, tmp_path, save_every=1))
    (tmp_path / "stylize-checkpoints" / "note.txt").write_text("mine")
    stylize.run(config(pictures, tmp_path, save_every=1, steps=1))
    assert (tmp_path / "stylize-checkpoints" / "note.txt").read_text() == "mine"
    assert not (tmp_path / "stylize-checkpoints" / "step00002.safetensors").exists()


@pytest.mark.parametrize("role", ["content", "style"])
def test_the_inputs_are_not_overwritten(role, pictures, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes((pictures / "photo.png").read_bytes())
    for where in ({"output": str(path)}, {"workdir": str(tmp_path)}):
        with pytest.raises(UserError, match=f"found the {role} image"):
            stylize.run(config(pictures, **{"workdir": tmp_path / "run", role: str(path), **where}))
    assert path.read_bytes() == (pictures / "photo.png").read_bytes()


@pytest.mark.quick
def test_a_run_that_diverges_keeps_its_last_good_picture(pictures, tmp_path):
    # The content image has next to no content loss until a step moves it; then 1e38 times that is too much. Not by
    # Adam: it would square a gradient of rounding, 1e38 times as large, and not move.
    still = {"preset": "ng", "init": "content", "style_weight": 0.0, "tv_weight": 1.0, "steps": 9}
    still["optimizer"] = "gradient"
    huge = config(pictures, tmp_path, content_weight=1e38, learning_rate=0.5, **still)
    with pytest.raises(
        UserError, match=r"step 1: expected numbers, .*; the picture of step 0 is saved as .*picture.png"
    ):
        stylize.run(huge)
    assert np.isfinite(images.read(tmp_path / "picture.png").pixels).all()


def _strip(path):
    Image.new("RGB", (20_000, 10)).save(path)


BAD_PICTURES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>not found</html>"),
    "truncated": lambda path: path.write_bytes((ROOT / "experiments" / "samples" / "flow.jpg").read_bytes()[:30_000]),
    "bomb": lambda path: Image.new("1", (20_000, 20_000)).save(path, "png"),
    "pixel": lambda path: Image.new("RGB", (1, 1)).save(path, "png"),
    "strip": _strip,
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
@pytest.mark.parametrize("role", ["content", "style"])
def test_bad_pictures_write_nothing(kind, role, pictures, tmp_path):
    path = tmp_path / f"{kind}.png"
    BAD_PICTURES[kind](path)
    with pytest.raises(UserError) as caught:
        stylize.run(config(pictures, tmp_path / "run", **{role: str(path)}))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": "picture.gif"}, "gif"),
        ({"output": "picture.jpg", "bits": 16}, "16"),
        ({"output": "missing/picture.png"}, "missing"),
        ({"backbone": "vgg18"}, "unknown backbone 'vgg18'"),
        *(
            ({"style_layers": None, "preset": name}, f"--preset={name}: its layer {layer} is not one of squeezenet1_1")
            for name, layer in {"gatys": "conv4_2", "crowson": "relu4_2", "spst": "relu4_2"}.items()
        ),
        (
            {"style_layers": ("conv11",)},
            "unknown style layer of squeezenet1_1 'conv11'; expected one of 86, such as: ",
        ),
        ({"init": "nosuch.png"}, "nosuch.png"),
        ({"size": 0}, "size"),
        ({"steps": -1}, "steps"),
        ({"save_every": -1}, "save_every"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"colour_finish": "oklab", "colours": "grey"}, "colour_finish: expected none with colours grey"),
        ({"colour_finish": "oklab", "colours": "luminance"}, "colour_finish: expected none with colours luminance"),
        ({"style_layers": None, "preset": "nnst"}, "--preset=nnst: its layer relu1_1 is not one of squeezenet1_1"),
    ],
)
def test_bad_settings_write_nothing(changes, message, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        stylize.run(config(pictures, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_the_command_says_one_line_and_exits_with_1(pictures, tmp_path):
    arguments = [*command(pictures, tmp_path / "run", "--steps=1"), "--content=nosuch.png"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nosuch.png: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
