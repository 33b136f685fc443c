"""Quilts as a person makes them, beside the neural picture of the same pair."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import quilting, stylize
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.terms import CONTENT, STYLE, VARIATION

SMALL = {
    "backbone": "squeezenet1_1",
    "size": 48,
    "steps": 2,
    "style_layers": ("conv1", "fire2/concat"),
    "content_layers": ("fire2/concat",),
}


def config(pictures, workdir, **changes):
    given = {"content": str(pictures / "photo.png"), "style": str(pictures / "first.png"), "workdir": str(workdir)}
    return quilting.Config(**{**given, **SMALL, "patch": 8, "iterations": 2, **changes})


@pytest.fixture(scope="module")
def compared(pictures, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("compared")
    return workdir, quilting.run(config(pictures, workdir))


def test_what_a_comparison_leaves(compared):
    workdir, result = compared
    assert {path.name for path in workdir.iterdir()} == {"quilting.png", "neural.png", "quilting.json", "sheet.png"}
    assert (result.output, result.sheet) == (workdir / "quilting.png", workdir / "sheet.png")
    record = json.loads((workdir / "quilting.json").read_text())
    assert record["losses"] == result.losses
    assert set(record["losses"]) == {"content_image", "quilting", "neural"}
    assert set(record["seconds"]) == {"quilting", "neural"}
    assert record["versions"]["scipy"]
    for name, settings in record["settings"].items():
        path = workdir / f"{name}.png"
        assert images.read_settings(path) == settings
        assert images.read(path).pixels.shape == (36, 48, 3)
    assert (record["settings"]["quilting"]["patch"], record["settings"]["neural"]["steps"]) == (8, 2)
    with Image.open(result.sheet) as sheet:
        assert sheet.width > 4 * 48


def test_the_neural_picture_is_that_of_stylize(compared, pictures, tmp_path):
    given = {"content": str(pictures / "photo.png"), "style": str(pictures / "first.png"), "workdir": str(tmp_path)}
    painted = stylize.run(stylize.Config(**given, **SMALL, save_every=0))
    np.testing.assert_array_equal(images.read(painted.output).pixels, images.read(compared[0] / "neural.png").pixels)


def test_the_losses_are_those_of_one_objective(compared):
    losses = compared[1].losses
    for found in losses.values():
        # The weights of the preset that suits SqueezeNet.
        weighted = found[CONTENT] + 140 * found[STYLE] + 5 * found[VARIATION]
        assert found["loss"] == pytest.approx(weighted, rel=1e-5)
    assert losses["content_image"][CONTENT] == pytest.approx(0, abs=1e-9)
    assert losses["quilting"][CONTENT] > losses["neural"][CONTENT] > 0
    assert losses["neural"]["loss"] < losses["content_image"]["loss"]


def test_the_table_has_a_row_a_picture(pictures, tmp_path, capsys):
    losses = quilting.run(config(pictures, tmp_path, steps=0)).losses
    lines = capsys.readouterr().out.replace("content image", "content_image").splitlines()
    for name, found in losses.items():
        (row,) = [line.split() for line in lines if line.strip().startswith(name)]
        assert row[1:5] == [f"{found[column]:.4g}" for column in (CONTENT, STYLE, VARIATION, "loss")]


def test_more_of_a_painting(pictures, tmp_path):
    result = quilting.run(config(pictures, tmp_path, mode="texture", enlarge=1.5, overlap=3))
    assert {path.name for path in tmp_path.iterdir()} == {"texture.png", "quilting.json", "sheet.png"}
    painting, texture = images.read(pictures / "first.png", size=48).pixels, images.read(result.output).pixels
    assert texture.shape == (72, 51, 3)
    windows = np.lib.stride_tricks.sliding_window_view(np.rint(255 * painting), (2, 2, 3))
    corner = np.rint(255 * texture[3:5, 3:5])  # of the first block, where none overlaps it
    assert (windows == corner).all(axis=(-3, -2, -1)).any()
    settings = json.loads((tmp_path / "quilting.json").read_text())["settings"]["quilting"]
    assert (settings["uniformity"], settings["enlarge"], settings["iterations"]) == (0.3, 1.5, 1)
    assert "content" not in settings


def test_the_seed_decides(pictures, tmp_path):
    made = [
        images.read(quilting.run(config(pictures, tmp_path, mode="texture", seed=seed)).output).pixels
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (3, 1)),  # 1/32 of 48 is less than the smallest block
        ({"style_size": (160,)}, (5, 2)),
        ({"style_size": (1300,)}, (36, 3)),  # 1/32 is 41: more than the photograph is high
        ({"mode": "texture"}, (6, 1)),
        ({"style_size": (400,), "mode": "texture", "enlarge": 0.12}, (34, 1)),  # 1/8 is 50: more than the quilt is wide
    ],
    ids=str,
)
def test_what_no_flag_gives_fits_the_pictures(changes, expected, pictures, tmp_path):
    quilting.run(config(pictures, tmp_path, patch=None, iterations=None, **changes))
    settings = json.loads((tmp_path / "quilting.json").read_text())["settings"]["quilting"]
    assert (settings["patch"], settings["iterations"]) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": None, "iterations": 3}, "iterations: expected 1 to 1, found 3; more than 1 need blocks"),
        (
            {"mode": "texture", "enlarge": 0.5},
            "--enlarge: expected a short side of 32 px or more, found 17 × 24 px; choose",
        ),
        ({"patch": 40}, "patch: expected 3 to 34, found 40"),
        ({"overlap": 8}, "overlap: expected 1 to 7, found 8"),
        ({"iterations": 9}, "iterations: expected 1 to 3, found 9"),
        ({"alpha": (0.5,)}, "--alpha: expected two numbers, first and last pass, found 1"),
        ({"alpha": (0.5, 2.0)}, "alpha: expected 0 to 1, found 2.0"),
        ({"patch": 0}, "--patch: expected 1 or more, found 0"),
        ({"patch": 40, "mode": "texture"}, "patch: expected 3 to 34, found 40"),
        ({"style": "one.png,two.png"}, "--style: expected one style image to take blocks from, found 2"),
        ({"output": "quilt.gif"}, "gif"),
    ],
    ids=str,
)
def test_what_is_refused(changes, message, pictures, tmp_path):
    with pytest.raises(UserError, match=message):
        quilting.run(config(pictures, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["quilting.png", "neural.png"])
def test_the_inputs_are_not_overwritten(name, pictures, tmp_path):
    photo = tmp_path / name
    photo.write_bytes((pictures / "photo.png").read_bytes())
    with pytest.raises(UserError, match="--output: expected a file of its own, found the content image"):
        quilting.run(config(pictures, tmp_path, content=str(photo)))
    assert photo.read_bytes() == (pictures / "photo.png").read_bytes()
