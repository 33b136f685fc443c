"""Sheets of patches: which is where, found by its colour."""

import numpy as np
import pytest
from PIL import Image

from experiments.units.sheets import draw_patch_sheets
from nst_jax.applications.top_patches import Patch, Unit
from nst_jax.backbones.receptive_field import Box
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 200), "gold": (200, 160, 10)}
UNITS = [Unit("fire2/concat", 3), Unit("fire2/concat", 40), Unit("conv1", 7)]


def patch(colour, activation, side=5):
    pixels = np.full((side, side, 3), np.float32(COLOURS[colour]) / 255)
    return Patch(activation, f"{colour}.png", (0, 0), Box(0, 0, side, side), pixels)


def opened(path):
    with Image.open(path) as picture:
        picture.load()
    return picture


def where(sheet, colour):
    """The rows and columns of a colour, which must be a full rectangle."""
    same = (np.abs(np.asarray(sheet).astype(int) - COLOURS[colour]) <= 1).all(axis=-1)
    rows, columns = same.any(axis=1).nonzero()[0], same.any(axis=0).nonzero()[0]
    assert same[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    return rows[0], columns[0], rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]


@pytest.fixture
def found():
    first, second, third = UNITS
    return {first: [patch("red", 1234.5), patch("green", 2.0)], second: [patch("blue", 0.51)], third: []}


def test_rows_are_units_and_columns_their_patches(found, tmp_path):
    optimised = tmp_path / "best.png"
    Image.new("RGB", (64, 64), COLOURS["gold"]).save(optimised)
    sheets = draw_patch_sheets(
        tmp_path / "new", found, optimised={UNITS[1]: optimised}, labels={UNITS[0]: "stripes"}, title="test"
    )
    assert {layer: path.name for layer, path in sheets.items()} == {
        "fire2/concat": "patches_fire2-concat.png",
        "conv1": "patches_conv1.png",
    }
    assert sorted(path.name for path in (tmp_path / "new" / "patches").iterdir()) == [
        "fire2-concat_0003_1.png",
        "fire2-concat_0003_2.png",
        "fire2-concat_0040_1.png",
    ]
    places = {colour: where(opened(sheets["fire2/concat"]), colour) for colour in COLOURS}
    assert all(place[2:] == (64, 64) for place in places.values())
    assert places["red"][0] == places["green"][0] < places["blue"][0] == places["gold"][0]
    assert places["gold"][1] < places["blue"][1] == places["red"][1] < places["green"][1]
    grey = (np.asarray(opened(sheets["conv1"])) == 236).all(axis=-1)
    assert grey.sum() > 64 * 64 / 2  # the place of what is not there


def test_without_optimised_pictures_the_best_patch_comes_first(found, tmp_path):
    sheet = opened(draw_patch_sheets(tmp_path, found, side=48)["fire2/concat"])
    rows = {colour: where(sheet, colour) for colour in ("red", "green", "blue")}
    assert rows["red"][1] == rows["blue"][1] < rows["green"][1]


def test_large_patches_keep_their_pixels(tmp_path):
    draw_patch_sheets(tmp_path, {UNITS[2]: [patch("red", 1.0, side=70)]}, side=48)
    assert opened(tmp_path / "patches" / "conv1_0007_1.png").size == (70, 70)


def test_an_optimised_picture_that_is_lost_is_told(found, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        draw_patch_sheets(tmp_path, found, optimised={UNITS[0]: tmp_path / "lost.png"}, side=48)


def test_what_cannot_be_written(found, tmp_path, full_disk):
    with full_disk(), pytest.raises(UserError, match="No space left"):
        draw_patch_sheets(tmp_path, found)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        draw_patch_sheets(tmp_path / "file", found)
