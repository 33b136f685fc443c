"""From maps to regions: whose style each takes, what stays, and maps that do not suit the images or each other."""

from pathlib import Path

import numpy as np
import pytest

from nst_jax.errors import UserError
from nst_jax.io.region_maps import RegionMap
from nst_jax.regions import Regions, from_maps, kind_of

pytestmark = pytest.mark.quick

RED, BLUE, GREEN, WHITE = (255, 0, 0), (0, 0, 255), (0, 160, 0), (255, 255, 255)
SHAPE = (40, 60)


def stripes(*colours, shape=SHAPE, name="map.png"):
    """A map of upright stripes of equal width."""
    labels = np.arange(shape[1]) * len(colours) // shape[1] * np.ones((shape[0], 1), int)
    return RegionMap(Path(name), labels.astype(np.uint8), colours)


def test_regions_take_style_images_one_after_the_other():
    found = from_maps(stripes(BLUE, RED), [], SHAPE, [(20, 30), (50, 50)])
    assert found.names == ("#0000ff", "#ff0000")
    np.testing.assert_array_equal(found.content[0, :, 0], np.arange(60) < 30)
    assert [guide.shape for guide in found.styles] == [(20, 30, 2), (50, 50, 2)]
    np.testing.assert_array_equal(found.shares((0.3, 0.7)), np.eye(2))
    np.testing.assert_allclose(found.areas, 0.5)
    assert found.keep is None
    assert kind_of(found) == (2, False)


def test_regions_take_the_style_images_that_they_are_told_to():
    found = from_maps(stripes(BLUE, RED, GREEN), [], SHAPE, [SHAPE, SHAPE], region_styles=(2, 1, 2))
    np.testing.assert_array_equal(found.shares((0.5, 0.5)), [[0, 1], [1, 0], [0, 1]])


def test_equal_colours_belong_together():
    found = from_maps(stripes(BLUE, RED), [stripes(RED, BLUE), stripes(BLUE)], SHAPE, [SHAPE, SHAPE])
    np.testing.assert_array_equal(found.styles[0], found.content[:, ::-1])
    np.testing.assert_allclose(found.shares((0.5, 0.5)), [[0.5, 0.5], [1, 0]])


def test_swapped_colours_change_nothing():
    one = from_maps(stripes(BLUE, RED), [stripes(RED, BLUE)], SHAPE, [SHAPE])
    another = from_maps(stripes(RED, BLUE), [stripes(BLUE, RED)], SHAPE, [SHAPE])
    np.testing.assert_array_equal(one.content, another.content)
    np.testing.assert_array_equal(one.styles[0], another.styles[0])


def test_a_single_region_is_none():
    assert from_maps(stripes(BLUE), [], SHAPE, [SHAPE]) is None
    assert from_maps(stripes(BLUE), [stripes(BLUE)], SHAPE, [SHAPE]) is None
    assert kind_of(None) == (0, False)


def test_what_is_kept_is_no_region():
    content = np.random.default_rng(0).uniform(size=(*SHAPE, 3))
    for styles, count in (((stripes(BLUE),), 1), ((), 1), ((), 2)):
        found = from_maps(stripes(RED, BLUE), styles, SHAPE, [SHAPE] * count, keep=[(250, 3, 0)])
        assert found.names == ("#0000ff",)
        np.testing.assert_array_equal(found.keep[0], np.arange(60) < 30)
        np.testing.assert_allclose(found.shares((1.0,) * count), 1 / count)
        picture = found.put_back(np.zeros((*SHAPE, 3)), content)
        np.testing.assert_array_equal(picture, np.where(np.arange(60)[:, None] < 30, content, 0))
    assert kind_of(found) == (1, True)


def test_a_map_may_have_another_size_than_its_image():
    found = from_maps(stripes(BLUE, RED, shape=(100, 150)), [], SHAPE, [SHAPE, SHAPE])
    np.testing.assert_array_equal(found.content[0, :, 0], np.arange(60) < 30)
    reduced = found.at_scale((20, 30), [(10, 15), (10, 15)])
    np.testing.assert_array_equal(reduced.content[0, :, 0], np.arange(30) < 15)
    assert [guide.shape for guide in reduced.styles] == [(10, 15, 2), (10, 15, 2)]


@pytest.mark.parametrize(
    ("content", "styles", "options", "message"),
    [
        (
            stripes(BLUE, RED, shape=(40, 40)),
            [],
            {},
            "map.png: expected a map with the proportions of the content image, 60×40 px here, found 40×40 px",
        ),
        (
            stripes(BLUE, RED),
            [stripes(BLUE, RED, shape=(41, 90), name="other.png")] * 2,
            {},
            "other.png: expected a map with the proportions of the style image, 60×40 px here, found 90×41 px",
        ),
        (
            stripes(BLUE, RED),
            [stripes(BLUE, WHITE, name="other.png")] * 2,
            {},
            r"other.png: expected colours of map.png, #0000ff \(50.0%\), #ff0000 \(50.0%\), found #ffffff \(50.0%\) as",
        ),
        (
            stripes(BLUE, RED),
            [stripes(BLUE)] * 2,
            {},
            r"style_regions: expected every colour of map.png in a map of a style image, found none of #ff0000 \(50",
        ),
        (
            stripes(BLUE, RED),
            [stripes(BLUE, RED)],
            {},
            "style_regions: expected a map for each of 2 style images, found 1",
        ),
        (
            stripes(BLUE, RED),
            [stripes(BLUE, RED)] * 2,
            {"region_styles": (1, 2)},
            "region_styles: expected none with style_regions, whose colours say the same; choose one",
        ),
        (
            stripes(BLUE, RED, GREEN),
            [],
            {},
            r"style: expected a style image for each of 3 regions, #0000ff \(33.3%\), #ff0000 .*, found 2; give as",
        ),
        (
            stripes(BLUE, RED, GREEN),
            [],
            {"region_styles": (1, 2)},
            r"region_styles: expected one for each of 3 regions, #0000ff \(33.3%\), .*, found 2",
        ),
        (
            stripes(BLUE, RED),
            [],
            {"region_styles": (1, 3)},
            "region_styles: expected each of style images 1 to 2, found 1, 3",
        ),
        (
            stripes(BLUE, RED),
            [],
            {"keep": [WHITE]},
            r"keep: expected a colour of map.png, #0000ff \(50.0%\), #ff0000 \(50.0%\), found #ffffff",
        ),
        (
            stripes(BLUE, RED),
            [],
            {"keep": [BLUE, RED]},
            "keep: expected a part of the picture, found all of it; leave a region to be painted",
        ),
    ],
    ids=str,
)
def test_maps_that_do_not_fit(content, styles, options, message):
    with pytest.raises(UserError, match=message):
        from_maps(content, styles, SHAPE, [SHAPE, SHAPE], **options)


def test_what_is_no_map_is_said():
    with pytest.raises(UserError, match=r"maps: expected nst_jax.io.region_maps.RegionMap, .* found PosixPath"):
        from_maps(Path("map.png"), [], SHAPE, [SHAPE])
    with pytest.raises(UserError, match=r"found ndarray"):
        from_maps(stripes(BLUE, RED), [np.zeros((4, 4, 3))], SHAPE, [SHAPE])


def test_what_stays_of_a_recoloured_picture():
    keep = np.float32([[0, 0.25, 1]])
    regions = Regions(np.ones((1, 3, 1), np.float32), (), keep)
    content, picture = np.full((1, 3, 3), 0.8, np.float32), np.full((1, 3, 3), 0.4, np.float32)
    np.testing.assert_allclose(regions.put_back(picture, content)[0, :, 0], [0.4, 0.4, 0.8])
    np.testing.assert_allclose(regions.put_back(picture, content, recoloured=True)[0, :, 0], [0.4, 0.5, 0.8])


def test_a_region_whose_style_images_have_no_share():
    regions = Regions(np.ones((4, 4, 1), np.float32), (np.ones((4, 4, 1), np.float32),))
    with pytest.raises(UserError, match="blend_weights: expected a style image with a share above 0 for region 1"):
        regions.shares((0.0,))
