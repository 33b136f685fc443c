"""A style image that is made first, of two: what is left, death in either part and resumption, bad input."""

import contextlib
import json

import numpy as np
import pytest
from PIL import Image

from experiments import stylize
from experiments.running.progress import Interrupt
from nst_jax.errors import UserError
from nst_jax.io import images


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, shape in (("photo", (36, 48)), ("forms", (40, 40)), ("strokes", (48, 44))):
        Image.fromarray(random.integers(0, 256, (*shape, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def config(pictures, workdir, **changes):
    return stylize.Config(
        **{
            "content": str(pictures / "photo.png"),
            "style_fine": str(pictures / "strokes.png"),
            "style_coarse": str(pictures / "forms.png"),
            "workdir": str(workdir),
            "backbone": "squeezenet1_1",
            "size": 48,
            "style_size": (40,),
            "steps": 4,
            "save_every": 1,
            "style_layers": ("conv1", "fire2/concat"),
            "fine_until": "conv1",
            "content_layers": ("conv1",),
            "optimizer": "adam",
            "shifts": 1,
            **changes,
        }
    )


@contextlib.contextmanager
def dying_at(picture):
    """Ends a run when it comes to write this picture, with nothing said or saved."""
    write = images.write

    def die(path, *rest, **named):
        if path == picture:
            raise SystemExit
        write(path, *rest, **named)

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
        patch.setattr(images, "write", die)
        yield
        pytest.fail("it never came to write it")


@pytest.mark.slow
def test_killed_in_either_part_and_resumed_is_the_same(pictures, tmp_path, capsys):
    whole = stylize.run(config(pictures, tmp_path / "whole"))
    killed = tmp_path / "killed"
    for folder, last in ((killed / "strokes", 2), (killed, 1)):
        with dying_at(folder / f"step{last + 1:05d}.png"):
            stylize.run(config(pictures, killed, resume=True))
        assert (folder / "stylize-checkpoints" / f"step{last:05d}.safetensors").exists()
    resumed = stylize.run(config(pictures, killed, resume=True))
    printed = capsys.readouterr().out
    assert "resuming after step 2" in printed
    assert "resuming after step 1" in printed
    np.testing.assert_array_equal(images.read(resumed.output).pixels, images.read(whole.output).pixels)
    np.testing.assert_array_equal(resumed.history.loss, whole.history.loss)

    record = json.loads((killed / "run.json").read_text())["settings"]
    assert record["style"] == str(killed / "strokes" / "style.png")
    assert record["style_coarse"] == str(pictures / "forms.png")
    assert record["style_fine"] == str(pictures / "strokes.png")
    assert record["fine_until"] == "conv1"
    first = json.loads((killed / "strokes" / "run.json").read_text())["settings"]
    assert (first["content"], first["style"]) == (record["style_coarse"], record["style_fine"])
    assert (first["style_layers"], first["content_layers"]) == (["conv1"], [])
    assert images.read(killed / "strokes" / "style.png").pixels.shape == (40, 40, 3)

    # With more steps it goes on, with the style image that it has.
    longer = stylize.run(config(pictures, killed, resume=True, steps=5))
    assert longer.history.step[-1] == 5


def test_stopped_in_the_first_part_is_not_finished(pictures, tmp_path, monkeypatch):
    begun = tmp_path / "strokes" / "step00001.png"
    monkeypatch.setattr(Interrupt, "requested", property(lambda self: begun.exists()))
    result = stylize.run(config(pictures, tmp_path))
    assert (result.finished, result.output) == (False, tmp_path / "strokes" / "style.png")
    assert {path.name for path in tmp_path.iterdir()} == {"strokes"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"style_fine": None},
            "--style_fine: expected an image, as --style_fine and --style_coarse go together",
        ),
        ({"style_coarse": ""}, "--style_coarse: expected an image, as --style_fine and --style_coarse go together"),
        (
            {"style": "photo.png"},
            "--style: expected none with --style_fine and --style_coarse, of which the style",
        ),
        (
            {"style_fine": None, "style_coarse": None},
            "--fine_until: expected --style_fine and --style_coarse with it, found neither",
        ),
        ({"fine_until": "relu2_1"}, "unknown layer in fine_until of squeezenet1_1 'relu2_1'"),
        ({"style_layers": ("fire2/concat",)}, "fine_until: expected a layer with a style layer at it or before it"),
        ({"style_size": (40, 30)}, "--style_size: expected one value for the style image, found 40,30"),
        ({"style_coarse": "missing.png"}, "missing.png: "),
        ({"content": "missing.png"}, "missing.png: "),
        ({"content_layers": ("conv9",)}, "unknown content layer of squeezenet1_1 'conv9'"),
    ],
)
def test_bad_input_is_said_before_anything_is_written(changes, message, pictures, tmp_path):
    with pytest.raises(UserError, match=message):
        stylize.run(config(pictures, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()
