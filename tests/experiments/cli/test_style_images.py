"""Style images: their size, one value for all or one for each, turned and mirrored."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.cli.transfer_flags import StyleImage, TransferFlags, recorded, style_images
from experiments.sweeping import cells
from experiments.sweeping.grid import GridFlags, make_grid
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

FILES = [Path("a.jpg"), Path("b.jpg")]


def test_one_value_for_all_or_one_for_each():
    assert style_images(TransferFlags(size=300), FILES) == [StyleImage(path, 300) for path in FILES]
    several = TransferFlags(size=300, style_scale=(0.5, 2.0), style_rotate=(0, 270), style_flip=True)
    found = style_images(several, FILES)
    assert found == [StyleImage(FILES[0], 150, 0, flip=True), StyleImage(FILES[1], 600, 3, flip=True)]
    assert recorded(found) == {"style_size": [150, 600], "style_rotate": [0, 270], "style_flip": True}
    sized = TransferFlags(style_size=(200, 100), style_scale=(0.5,), style_rotate=(90,))
    assert recorded(style_images(sized, FILES)) == {"style_size": [100, 50], "style_rotate": 90, "style_flip": False}


@pytest.mark.parametrize(
    ("changes", "files", "message"),
    [
        (
            {"style_size": (200, 400)},
            FILES[:1],
            "expected one value for the style image, found 200,400; in",
        ),
        (
            {"style_scale": (1.0, 2.0, 3.0)},
            FILES,
            "expected one value for each of 2 style images, found 1",
        ),
        ({"style_rotate": (45,)}, FILES, "--style_rotate: expected 0, 90, 180 or 270 degrees, found 45"),
    ],
    ids=str,
)
def test_values_that_do_not_fit(changes, files, message):
    with pytest.raises(UserError, match=message):
        style_images(TransferFlags(**changes), files)


def test_a_size_below_nothing():
    with pytest.raises(UserError, match=r"--style_scale: expected 0.01 to 100, found 0.0"):
        TransferFlags(style_scale=(1.0, 0.0))


def test_an_image_is_mirrored_and_then_turned_to_the_left(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "style.png")
    shown = StyleImage(tmp_path / "style.png", 50, turns=1, flip=True)
    found = shown.read()
    assert found.shape == shown.shape((40, 50, 3)) == (50, 40, 3)
    # Turned to the left, the first row has the last column, which mirrored was the first, from the top.
    np.testing.assert_allclose(found[0], pixels[:, 0] / 255, atol=1e-6)


def test_cells_of_a_sweep(tmp_path):
    for name in ("photo", "painting"):
        Image.fromarray(np.full((48, 64, 3), 128, np.uint8)).save(tmp_path / f"{name}.png")
    flags = GridFlags(
        contents=(str(tmp_path / "photo.png"),),
        styles=(str(tmp_path / "painting.png"),),
        backbone=("squeezenet1_1",),
        size=(64,),
        style_scale=((1.0,), (2.0,)),
        style_rotate=((90,),),
        scales=((0,),),
    )
    found = cells.prepare(make_grid(flags), cells.Pictures(), keep_going=False)
    assert [cell.identity["style_size"] for cell in found] == [64, 128]
    assert len(cells.groups(found)) == 1
