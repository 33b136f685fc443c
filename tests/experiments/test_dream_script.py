"""`experiments.dream` as a person runs it."""

import contextlib
import json

import numpy as np
import pytest
from PIL import Image

from experiments import dream
from experiments.running import progress
from nst_jax.errors import UserError
from nst_jax.io import images


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("dream") / "photo.png"
    pixels = np.random.default_rng(0).uniform(size=(6, 8, 3)).astype(np.float32)
    images.write(path, images.Picture(np.clip(images.resize(pixels, (48, 64)), 0, 1)))
    return path


def config(photograph, workdir, **changes):
    flags = {
        "layers": ("fire2/concat",),
        "size": 64,
        "octaves": 2,
        "steps": 2,
        "jitter": 2,
        "backbone": "squeezenet1_1",
    }
    return dream.Config(content=str(photograph), workdir=str(workdir), **{**flags, **changes})


def test_a_dream_leaves_picture_octaves_and_sheet(photograph, tmp_path):
    result = dream.run(config(photograph, tmp_path))
    assert result.finished
    assert images.read(result.output).pixels.shape == (48, 64, 3)
    assert images.read(tmp_path / "octave1.png").pixels.shape == (34, 46, 3)
    assert images.read(tmp_path / "sheet.png").pixels.shape[1] > 3 * 46
    assert images.read_settings(result.output)["dream_layers"] == ["fire2/concat"]
    assert json.loads((tmp_path / "run.json").read_text())["identity"]["octaves"] == 2


@pytest.mark.parametrize(("size", "octaves"), [(48, 1), (64, 2), (96, 3)])
def test_octaves_by_default_fit_small_pictures(size, octaves, photograph, tmp_path):
    result = dream.run(config(photograph, tmp_path, size=size, octaves=None, steps=0))
    assert result.finished
    assert len(list(tmp_path.glob("octave*.png"))) == octaves
    assert json.loads((tmp_path / "run.json").read_text())["identity"]["octaves"] == octaves


def test_a_zoom_goes_on_to_the_same_frames(photograph, tmp_path):
    whole = dream.run(config(photograph, tmp_path / "whole", frames=3, zoom=1.1, frame_steps=1))
    with Image.open(whole.animation) as film:
        assert film.n_frames == 4
    dream.run(config(photograph, tmp_path / "parts", frames=1, zoom=1.1, frame_steps=1))
    first = (tmp_path / "parts" / "frame00001.png").stat().st_mtime_ns
    dream.run(config(photograph, tmp_path / "parts", frames=3, zoom=1.1, frame_steps=1))
    assert (tmp_path / "parts" / "frame00001.png").stat().st_mtime_ns == first
    for index in range(4):
        name = f"frame{index:05d}.png"
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    dream.run(config(photograph, tmp_path / "parts", frames=1, zoom=1.2, frame_steps=1))
    assert not (tmp_path / "parts" / "frame00002.png").exists()


@pytest.mark.parametrize("steps_before", [1, 4])
def test_a_dream_that_is_stopped_keeps_the_picture_so_far(steps_before, photograph, tmp_path, monkeypatch):
    seen = []

    class Interrupt:
        @property
        def requested(self):
            return len(seen) > steps_before

    class Bar:
        def update(self, steps, text):
            seen.append((steps, text))

    monkeypatch.setattr(progress, "graceful_interrupt", lambda: contextlib.nullcontext(Interrupt()))
    monkeypatch.setattr(progress, "progress_bar", lambda steps, done: contextlib.nullcontext(Bar()))
    # One step is a chunk at first, so that the octaves are watched at steps 0 and 1, and as they go on.
    result = dream.run(config(photograph, tmp_path, steps=2))
    assert not result.finished
    assert seen[-1] == {1: (1, "octave 1 of 2"), 4: (3, "octave 2 of 2")}[steps_before]
    assert len(list(tmp_path.glob("octave*.png"))) == {1: 0, 4: 1}[steps_before]
    picture = images.read(result.output).pixels
    assert picture.shape == (48, 64, 3)
    assert 0.001 < np.abs(picture - images.read(photograph).pixels).mean() < 0.1


def test_a_dream_without_steps_is_the_picture(photograph, tmp_path):
    result = dream.run(config(photograph, tmp_path, octaves=1, steps=0, frames=1, frame_steps=0))
    np.testing.assert_allclose(images.read(result.output).pixels, images.read(photograph).pixels, atol=1 / 255)
    assert result.animation.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ("fire2/concaat",)}, "unknown dream layer.*expected one of 86, such as: fire2/concat"),
        ({"layers": ()}, "--layers: expected one or more, found none"),
        ({"channels": (128,)}, "channel of fire2/concat: expected 0 to 127, found 128"),
        ({"animation": "zoom.avi", "frames": 1}, "expected one of the suffixes .gif, .webp"),
        ({"guide": "missing.png"}, "missing.png"),
        ({"octaves": 20, "octave_scale": 2.0}, "--octaves: expected at most 1 for this picture, .* 32 px, found 20"),
    ],
)
def test_bad_input_writes_nothing(changes, message, photograph, tmp_path):
    with pytest.raises(UserError, match=message):
        dream.run(config(photograph, tmp_path / "out", **changes))
    assert not list(tmp_path.glob("out/*"))
