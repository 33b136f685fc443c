"""Which style an export has, by its flags."""

import numpy as np
import pytest
import tiny
from PIL import Image

from experiments.exporting import styles
from nst_jax.applications.feedforward import painting
from nst_jax.errors import UserError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("1", "3"), [0.25, 0.75]),
        (("dawn",), [0, 1]),
        (("dusk:1", "dawn:3"), [0.25, 0.75]),
        (("dawn:0.5", "dusk"), [2 / 3, 1 / 3]),
    ],
)
def test_weights(given, expected):
    np.testing.assert_allclose(styles.weights_by_name(given, ("dusk", "dawn")), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("noon",), "unknown style 'noon'"),
        (("1", "2", "3"), "unknown style '1'"),
        (("dawn:much",), "a number behind dawn:, found 'much'"),
        (("dawn:nan",), "a number behind dawn:"),
        (("0", "0"), "one above it"),
        (("dawn:-1",), "at least 0"),
    ],
)
def test_wrong_weights(given, message):
    with pytest.raises(UserError, match=message):
        styles.weights_by_name(given, ("dusk", "dawn"))


def saved(path, image):
    Image.fromarray(np.uint8(np.rint(255 * image))).save(path)
    return np.rint(255 * image).astype(np.float32) / 255


def test_squares_of_a_long_style_image(tmp_path, monkeypatch):
    """A predictor sees as few squares as cover the image, and the code is their mean; images blend by their shares."""
    monkeypatch.setattr(styles.images, "MIN_SIDE", 16)
    trained = tiny.trained("predicted")
    paths = [str(tmp_path / name) for name in ("wide.png", "high.png")]
    wide, high = (saved(path, tiny.image(*shape)) for path, shape in zip(paths, ((16, 40), (24, 16)), strict=True))
    squares = [[wide[:, start : start + 16] for start in (0, 12, 24)], [high[:16], high[8:]]]
    each = [
        np.mean([painting.encode(trained.network, trained.params, square) for square in seen], axis=0)
        for seen in squares
    ]
    found = styles.fixed_code(trained, paths, ["3", "1"])
    np.testing.assert_allclose(found, 0.75 * each[0] + 0.25 * each[1], atol=1e-5)


def test_styles_that_are_left_open():
    assert styles.fixed_code(tiny.trained("predicted"), [], []) is None
    assert styles.fixed_code(tiny.trained("several styles"), [], []) is None
    with pytest.raises(UserError, match="name them with --style"):
        styles.fixed_code(tiny.trained("predicted"), [], ["1"])
    with pytest.raises(UserError, match="a single style"):
        styles.fixed_code(tiny.trained("one style"), [], ["1"])
