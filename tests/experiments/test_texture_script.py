"""Textures as a person makes them: sizes, seeds, tiles, and sizes that make none."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import texture
from nst_jax.errors import UserError
from nst_jax.io import images

ROOT = Path(__file__).parents[2]


def config(pictures, workdir, **changes):
    return texture.Config(
        **{
            "style": str(pictures / "first.png"),
            "backbone": "squeezenet1_1",
            "style_layers": ("conv1", "fire2/concat"),
            "size": 48,
            "steps": 2,
            "workdir": str(workdir),
            **changes,
        }
    )


@pytest.fixture(scope="module")
def tiles(pictures, tmp_path_factory):
    """Two tiles."""
    given = config(pictures, tmp_path_factory.mktemp("tiles"), tileable=True, width=64, height=48, seeds=(0, 7))
    return given, texture.run(given)


def test_what_it_leaves(tiles):
    _, (workdir, finished, *_) = tiles
    assert finished == 2
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert manifest["axes"] == [{"name": "seed", "values": ["0", "7"]}]
    assert manifest["title"] == "Tile of first, 64×48, squeezenet1_1"
    made = [images.read(workdir / cell["picture"]).pixels for cell in manifest["cells"]]
    assert {picture.shape for picture in made} == {(48, 64, 3)}
    assert np.abs(made[0] - made[1]).mean() > 0.01
    settings = images.read_settings(workdir / manifest["cells"][1]["picture"])
    assert (settings["padding"], settings["content_layers"], settings["seed"]) == ("circular", [], 7)
    assert settings["style_size"] == 48
    tiled = images.read(workdir / "tiled.png").pixels
    np.testing.assert_array_equal(tiled[48:, :64], made[0])
    np.testing.assert_array_equal(tiled[:48, 64:], made[0])


def test_from_coarse_to_fine(pictures, tmp_path):
    (cell,) = texture.make_grid(config(pictures, tmp_path, scales=(32, 48), scale_steps=(1, 2))).cells
    assert (cell.flags.scales, cell.flags.scale_steps) == ((32, 48), (1, 2))
    assert texture.make_grid(config(pictures, tmp_path)).cells[0].flags.scales == (0,)


def test_the_same_command_again_computes_nothing(tiles, capsys):
    given, outcome = tiles
    assert texture.run(given) == outcome
    assert "2 cells, 2 done already" in capsys.readouterr().out


def test_the_command_on_the_page_makes_the_same_picture(tiles, tmp_path):
    _, outcome = tiles
    cell = json.loads((outcome.workdir / "manifest.json").read_text())["cells"][1]
    words = cell["command"].replace("python", sys.executable, 1)
    subprocess.run(f"{words} --workdir={tmp_path}", shell=True, cwd=ROOT, check=True, capture_output=True)
    single = images.read(tmp_path / "picture.png").pixels
    np.testing.assert_array_equal(single, images.read(outcome.workdir / cell["picture"]).pixels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tileable": True, "width": 50},
            "width: expected a multiple of 4, the stride of fire2/concat, .*: choose 48 or 52",
        ),
        ({"seeds": ()}, "--seeds: expected one or more, each once, found none"),
        ({"seeds": (1, 1)}, "--seeds: expected one or more, each once, found 1,1"),
        (
            {"style_layers": ("conv2",)},
            "unknown style layer of squeezenet1_1 'conv2'; expected one of 90, such as: ",
        ),
    ],
)
def test_what_makes_no_texture(changes, message, pictures, tmp_path):
    with pytest.raises(UserError, match=message):
        texture.run(config(pictures, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()
