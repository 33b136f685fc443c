"""The painters: the same picture for the same seed, and a picture all over."""

import numpy as np
import pytest
from PIL import Image

from experiments import make_styles


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("styles")
    return folder, make_styles.run(make_styles.Config(workdir=str(folder), size=64))


@pytest.mark.parametrize("name", make_styles.STYLES)
def test_a_style_covers_its_canvas(name, painted):
    folder, pictures = painted
    picture = pictures[name]
    assert picture.shape == (64, 64, 3)
    assert picture.min() >= 0
    assert picture.max() <= 1
    # Texture everywhere: no quarter of the canvas is flat.
    for quarter in (picture[:32, :32], picture[:32, 32:], picture[32:, :32], picture[32:, 32:]):
        assert quarter.std(axis=(0, 1)).max() > 0.05
    with Image.open(folder / f"{name}.jpg") as image:
        assert image.size == (64, 64)


def test_a_seed_is_a_picture(painted):
    _, pictures = painted
    for name, style in make_styles.STYLES.items():
        np.testing.assert_array_equal(style(np.random.default_rng(0), 64), pictures[name])
        assert not np.array_equal(style(np.random.default_rng(1), 64), pictures[name])
