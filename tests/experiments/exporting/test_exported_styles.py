"""Which style an export has, by its flags."""

import numpy as np
import pytest
import tiny
from PIL import Image

from experiments.exporting import styles
from experiments.one_pass import choice as one_pass
from experiments.one_pass.flags import InstantFlags
from nst_jax.applications.feedforward import painting
from nst_jax.errors import UserError
from nst_jax.io import images


def choice(**given):
    return styles.Choice(**given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"style_weights": (1, 3, 0)}, [0.25, 0.75, 0]),
        ({"styles": ("dawn",)}, [0, 1, 0]),
        ({"styles": ("3", "dusk"), "style_weights": (3, 1)}, [0.25, 0, 0.75]),
        ({"styles": ("1", "noon")}, [0.5, 0, 0.5]),
    ],
)
def test_shares_of_styles(given, expected):
    np.testing.assert_allclose(
        styles.fixed_code(tiny.trained("several styles"), "mine", choice(**given)), expected, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("several styles", {"styles": ("night",)}, "unknown style 'night'"),
        ("several styles", {"style_weights": (1, 2)}, "--style_weights: expected one for each of 3 styles"),
        ("several styles", {"style_weights": (0, 0, 0)}, "shares of which one or more are above 0"),
        ("several styles", {"style": ("a.png",)}, "--style: expected none, as mine has its own 3 styles"),
        ("one style", {"styles": ("1",)}, "--styles: expected none, as mine has a single style"),
        ("predicted", {"styles": ("1",)}, "--styles: expected none, as mine has no styles in it"),
        ("predicted", {"blend_weights": (1,)}, "name them with --style"),
    ],
)
def test_wrong_styles(name, given, message):
    with pytest.raises(UserError, match=message):
        styles.fixed_code(tiny.trained(name), "mine", choice(**given))


def saved(path, image):
    Image.fromarray(np.uint8(np.rint(255 * image))).save(path)
    return np.rint(255 * image).astype(np.float32) / 255


def test_squares_of_a_long_style_image(tmp_path, monkeypatch):
    """A predictor sees as few squares as cover the image, and the code is their mean; images blend by their shares."""
    monkeypatch.setattr(images, "MIN_SIDE", 16)
    trained = tiny.trained("predicted")
    paths = [str(tmp_path / name) for name in ("wide.png", "high.png")]
    wide, high = (saved(path, tiny.image(*shape)) for path, shape in zip(paths, ((16, 48), (48, 16)), strict=True))
    starts = (0, 16, 32)
    squares = [[wide[:, start : start + 16] for start in starts], [high[start : start + 16] for start in starts]]
    each = [
        np.mean([painting.encode(trained.network, trained.params, square) for square in seen], axis=0)
        for seen in squares
    ]
    found = styles.fixed_code(trained, "mine", choice(style=tuple(paths), blend_weights=(3, 1)))
    np.testing.assert_allclose(found, 0.75 * each[0] + 0.25 * each[1], atol=1e-5)


def test_style_images_have_the_size_of_instant(tmp_path):
    """A network that sees them as they are is given 1024 px of them, by both."""
    path = tmp_path / "large.png"
    saved(path, tiny.image(300, 1500, seed=2))
    trained = tiny.trained("moments")
    found = styles.fixed_code(trained, "mine", choice(style=(str(path),)))
    flags = InstantFlags(style=str(path))
    for own, other in zip(found, one_pass.painter(flags, one_pass.chosen(flags, trained)).code, strict=True):
        np.testing.assert_array_equal(own, other)
    expected = painting.encode(trained.network, trained.params, images.read(path, size=1024).pixels)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)


@pytest.mark.parametrize("name", ["predicted", "several styles", "one style"])
def test_styles_that_are_left_open(name):
    assert styles.fixed_code(tiny.trained(name), "mine", choice()) is None
