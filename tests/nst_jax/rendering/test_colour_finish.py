"""OKLab against published colours, and the palette of finished pictures."""

import numpy as np
import pytest

from nst_jax.rendering import colour_finish, oklab

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(0)


def smooth(seed, shape=(40, 48)):
    random = np.random.default_rng(seed)
    down, across = np.meshgrid(*(np.linspace(0, 3, side) for side in shape), indexing="ij")
    waves = [np.sin(random.uniform(1, 3) * down + random.uniform(1, 3) * across + phase) for phase in (0, 1, 4)]
    return np.float32(0.5 + 0.3 * np.stack(waves, axis=-1))


def chroma(picture):
    return oklab.from_rgb(picture)[..., 1:].reshape(-1, 2)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        # The examples of CSS Color Module Level 4 and of Ottosson's page, to three places.
        ((1, 1, 1), (1.000, 0.000, 0.000)),
        ((1, 0, 0), (0.628, 0.225, 0.126)),
        ((0, 1, 0), (0.866, -0.234, 0.179)),
        ((0, 0, 1), (0.452, -0.032, -0.312)),
    ],
)
def test_oklab(rgb, lab):
    np.testing.assert_allclose(oklab.from_rgb(np.array(rgb)), lab, atol=1e-3)


def test_oklab_and_back():
    colours = RANDOM.uniform(size=(50, 60, 3))
    np.testing.assert_allclose(oklab.to_rgb(oklab.from_rgb(colours)), colours, atol=1e-6)


def test_the_palette_is_that_of_the_style_image():
    content, style = smooth(0), smooth(1, (30, 50)) * np.float32([1, 0.8, 0.5])
    found = colour_finish.finish(content, content, [style])
    assert found.dtype == np.float32
    # not quite: the ridge, the filter, and colours that sRGB does not have
    np.testing.assert_allclose(chroma(found).mean(axis=0), chroma(style).mean(axis=0), atol=5e-3)
    np.testing.assert_allclose(np.cov(chroma(found).T), np.cov(chroma(style).T), atol=1e-3)
    least, most = chroma(style).min(axis=0), chroma(style).max(axis=0)
    assert (chroma(found) > least - 0.02).all()
    assert (chroma(found) < most + 0.02).all()


def test_the_lightness_stays_and_fine_differences_too():
    content, style = smooth(0), smooth(1)
    found = colour_finish.finish(content, content, [style])
    before, after = oklab.from_rgb(content)[..., 0], oklab.from_rgb(found)[..., 0]
    assert np.abs(before - after).mean() < 0.02  # but for colours that sRGB does not have


def test_a_picture_that_has_its_colours_keeps_them():
    content = smooth(0)
    np.testing.assert_allclose(colour_finish.finish(content, content, [content]), content, atol=1e-3)


def test_mottles_of_equal_lightness_go():
    content = smooth(0)
    lab = oklab.from_rgb(content)
    lab[10, 10, 1:] += 0.05
    mottled = oklab.to_rgb(lab)
    finished = colour_finish.finish(mottled, content, [content])
    np.testing.assert_allclose(finished[30:], content[30:], atol=5e-3)


def test_a_painting_of_one_colour_gives_one_colour():
    style = np.full((8, 8, 3), np.float32([0.6, 0.5, 0.4]))
    found = colour_finish.finish(smooth(0), smooth(1), [style])
    np.testing.assert_allclose(chroma(found).mean(axis=0), chroma(style).mean(axis=0), atol=1e-2)
    assert chroma(found).std(axis=0).max() < 0.02


def test_several_style_images_by_their_shares():
    styles = [smooth(1), smooth(2)]
    whole = colour_finish.finish(smooth(0), smooth(0), styles, shares=(1.0, 0.0))
    alone = colour_finish.finish(smooth(0), smooth(0), styles[:1])
    np.testing.assert_allclose(chroma(whole).mean(axis=0), chroma(alone).mean(axis=0), atol=2e-2)
