"""Random squares by number: which photographs, which squares, in which order."""

import threading

import numpy as np
import pytest
from PIL import Image

from experiments.training.crops import Crops, ahead, style_of
from nst_jax.errors import UserError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures whose red says which one it is, and whose green and blue are ramps."""
    folder = tmp_path_factory.mktemp("ramps")
    across, down = np.meshgrid(np.arange(80), np.arange(64))
    for index in range(5):
        pixels = np.stack([np.full_like(across, 40 * index), across * 3, down * 3], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


def test_every_picture_comes_once_in_a_round(files):
    crops = Crops(files, size=32, seed=0)
    reds = [round(float(crops.read(number)[..., 0].mean()) * 255 / 40) for number in range(15)]
    assert [sorted(reds[start : start + 5]) for start in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3
    assert reds[:5] != reds[5:10]


def test_a_number_says_all(files):
    one, other = Crops(files, size=32, seed=1), Crops(files, size=32, seed=1)
    later = [one.read(number) for number in range(7)][6]
    np.testing.assert_array_equal(other.read(6), later)
    assert (Crops(files, size=32, seed=2).read(6) != later).any()


def test_squares_differ_in_place_size_and_side(files):
    crops = Crops(files, size=32, seed=0)
    squares = [crops.read(number) for number in range(40)]
    mirrored = [square[0, 0, 1] > square[0, -1, 1] for square in squares]
    spans = [abs(float(square[0, -1, 1] - square[0, 0, 1])) * 255 / 3 for square in squares]
    assert 8 < sum(mirrored) < 32
    assert min(spans) >= 29  # a square of 32 pixels at least, antialiased
    assert max(spans) > 55  # and up to all 64 of the short side
    assert all(square.shape == (32, 32, 3) and square.dtype == np.float32 for square in squares)


def test_small_pictures_are_enlarged(files):
    assert Crops(files, size=128, seed=0).read(0).shape == (128, 128, 3)


def test_the_next_picture_comes_in_the_place_of_a_broken_one(files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    crops = Crops([*files[:2], broken], size=32, seed=0)
    reds = {round(float(crops.read(number)[..., 0].mean()) * 255 / 40) for number in range(6)}
    assert reds == {0, 1}
    assert list(crops.unreadable) == ["broken.png"]
    with pytest.raises(UserError, match="found 1 files of which none can be read"):
        Crops([broken], size=32, seed=0).read(0)


def test_styles_are_equally_many():
    styles = [style_of(number, 3, 0) for number in range(30)]
    assert [sorted(styles[start : start + 3]) for start in range(0, 30, 3)] == [[0, 1, 2]] * 10
    assert len({tuple(styles[start : start + 3]) for start in range(0, 30, 3)}) > 1


def test_batches_come_in_order_and_are_made_ahead():
    made, lock = [], threading.Lock()

    def make(number):
        with lock:
            made.append(number)
        return number * 10

    found = ahead(make, iter([range(2), range(2, 4), range(4, 6), range(6, 8), range(8, 10), range(10, 12)]))
    assert next(found) == [0, 10]
    assert list(found) == [[20, 30], [40, 50], [60, 70], [80, 90], [100, 110]]
    assert sorted(made) == list(range(12))
