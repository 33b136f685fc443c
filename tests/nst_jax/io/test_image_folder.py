"""Folders of pictures: what counts as one, and how they are read."""

import numpy as np
import pytest
from PIL import Image

from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.image_folder import check_readable, list_pictures, read_squares

pytestmark = pytest.mark.quick


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deeper").mkdir()
    for name in ("b.JPG", "a.png", "c.webp", "deeper/d.png"):
        Image.new("RGB", (40, 50), "red").save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    # macOS writes the second beside a.png on disks that are not its own, Windows the third.
    for name in (".hidden.png", "._a.png", "Thumbs.db"):
        (tmp_path / name).write_text("no picture")
    return tmp_path


def test_pictures_in_order(folder):
    assert [path.name for path in list_pictures(folder)] == ["a.png", "b.JPG", "c.webp"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deeper/none", "deeper/none: expected a folder of pictures, found: No such file or directory; choose another"),
        ("a.png", "a.png: expected a folder of pictures, found: Not a directory"),
        ("nul\0l", "expected a folder of pictures, found: (scandir: )?embedded null "),
        ("empty", r"empty: expected pictures in the folder, found none: put some there \(.*\.jpg.*\.png"),
    ],
)
def test_what_is_no_folder_of_pictures(folder, name, message):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=message) as caught:
        list_pictures(folder / name)
    assert "\n" not in str(caught.value)


def test_middle_squares(folder):
    pixels = np.zeros((60, 90, 3), np.float32)
    pixels[:, :15, 0], pixels[:, 15:75, 1], pixels[:, 75:, 2] = 1, 1, 1
    images.write(folder / "wide.png", images.Picture(pixels))
    alpha = np.zeros((40, 40), np.float32)
    images.write(folder / "clear.png", images.Picture(np.zeros((40, 40, 3), np.float32), alpha))
    found = dict(read_squares([folder / "wide.png", folder / "clear.png", folder / "b.JPG"], 48))
    assert list(found) == ["wide.png", "clear.png", "b.JPG"]
    for square in found.values():
        assert (square.shape, square.dtype) == ((48, 48, 3), np.float32)
        assert 0 <= square.min() <= square.max() <= 1
    np.testing.assert_allclose(found["wide.png"], np.broadcast_to([0, 1, 0], (48, 48, 3)), atol=1e-6)
    np.testing.assert_allclose(found["clear.png"], 1, atol=1e-6)
    # The same as all at once.
    whole = images.read(folder / "b.JPG").pixels[5:45]
    np.testing.assert_allclose(found["b.JPG"], np.clip(images.resize(whole, (48, 48)), 0, 1), atol=1e-6)


def test_pictures_are_read_one_by_one(folder):
    (folder / "broken.png").write_bytes(b"no picture")
    squares = read_squares([folder / "a.png", folder / "broken.png"], 32)
    assert next(squares)[0] == "a.png"
    with pytest.raises(UserError, match=r"broken\.png: expected a whole picture"):
        next(squares)


def test_pictures_that_cannot_be_read_are_left_out_or_an_error(folder):
    (folder / "a.png").write_bytes(b"no picture")
    paths = list_pictures(folder)
    readable, problems = check_readable(paths, keep_going=True)
    assert readable == paths[1:]
    assert [str(problem).partition(":")[0] for problem in problems] == [str(paths[0])]
    with pytest.raises(UserError, match=r"a\.png"):
        check_readable(paths, keep_going=False)
    with pytest.raises(UserError, match=r"a\.png"):
        check_readable(paths[:1], keep_going=True)
