"""Maps of regions from files: flat colours, fringes, soft masks, and what is none."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from nst_jax.errors import UserError
from nst_jax.io import region_maps

pytestmark = pytest.mark.quick

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 160, 0)


def drawing(*, scale=1):
    """A red disc and a green corner on blue."""
    image = Image.new("RGB", (96 * scale, 64 * scale), BLUE)
    draw = ImageDraw.Draw(image)
    draw.ellipse([scale * place for place in (20, 10, 60, 50)], fill=RED)
    draw.rectangle([scale * place for place in (70, 40, 96, 64)], fill=GREEN)
    return image


def read(tmp_path, image, name="map.png", **options):
    image.save(tmp_path / name, **options)
    return region_maps.read(tmp_path / name)


def test_equal_colours_are_a_region_and_the_first_is_the_upper_left(tmp_path):
    found = read(tmp_path, drawing())
    assert found.colours == (BLUE, RED, GREEN)
    assert found.labels[0, 0] == 0
    assert found.labels[30, 40] == 1
    assert found.labels[60, 90] == 2
    np.testing.assert_allclose(found.areas, [(found.labels == region).mean() for region in range(3)])
    assert not found.specks


def test_indexed_colours(tmp_path):
    found = read(tmp_path, drawing().quantize(8))
    assert len(found.colours) == 3
    np.testing.assert_array_equal(found.labels, read(tmp_path, drawing()).labels)


@pytest.mark.parametrize("quality", [30, 75])
def test_fringes_of_jpeg_go_to_the_colour_that_they_were(tmp_path, quality):
    found = read(tmp_path, drawing(scale=3), "map.jpg", quality=quality)
    expected = read(tmp_path, drawing(scale=3))
    assert np.abs(np.subtract(found.colours, expected.colours)).max() <= 8
    # JPEG has the colours of two by two pixels in one, and waves around edges.
    inner = ndimage.maximum_filter(expected.labels, 7) == ndimage.minimum_filter(expected.labels, 7)
    np.testing.assert_array_equal(found.labels[inner], expected.labels[inner])


def test_smooth_edges_between_two_colours_make_no_third_region(tmp_path):
    # Between red and blue there is the purple of a region elsewhere.
    large = drawing(scale=8)
    ImageDraw.Draw(large).rectangle((0, 440, 99, 512), fill=(128, 0, 128))
    found = read(tmp_path, large.resize((192, 128), Image.Resampling.BOX))
    assert set(found.colours) == {RED, BLUE, GREEN, (128, 0, 128)}
    purple = found.labels == found.colours.index((128, 0, 128))
    assert purple[111:, :24].all()
    assert not purple[:109].any()
    assert not purple[:, 26:].any()


def test_an_animation_is_no_map(tmp_path):
    for name in ("map.gif", "map.png", "map.tiff"):
        drawing().save(tmp_path / name, save_all=True, append_images=[drawing().rotate(180)])
        with pytest.raises(UserError, match=rf"{name}: expected one picture as a map, found 2, an animation or pages"):
            region_maps.read(tmp_path / name)


def test_specks_are_named_and_belong_to_their_surroundings(tmp_path):
    image = drawing()
    image.putpixel((40, 30), (1, 2, 3))
    found = read(tmp_path, image)
    assert found.colours == (BLUE, RED, GREEN)
    assert found.labels[30, 40] == 1
    assert found.specks == (((1, 2, 3), pytest.approx(1 / (96 * 64))),)


def test_colours_that_are_nearly_equal_are_two_where_a_map_has_few(tmp_path):
    image = Image.new("RGB", (64, 64), (1, 1, 1))
    ImageDraw.Draw(image).rectangle((32, 0, 64, 64), fill=(2, 2, 2))
    found = read(tmp_path, image)
    assert found.colours == ((1, 1, 1), (2, 2, 2))
    assert [found.find((level,) * 3) for level in range(4)] == [None, 0, 1, None]
    assert read(tmp_path, image.convert("L")).colours == ((1, 1, 1), (2, 2, 2))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_grey_picture_of_many_levels_is_a_soft_mask(tmp_path, depth):
    ramp = np.tile(np.linspace(0, 1, 64), (48, 1))
    samples = np.round(ramp * (2**depth - 1)).astype(f"uint{depth}")
    found = read(tmp_path, Image.fromarray(samples))
    assert found.colours == ((0, 0, 0), (255, 255, 255))
    np.testing.assert_allclose(found.guide(1, (48, 64)), ramp, atol=1 / 255)
    np.testing.assert_allclose(found.guide(0, (48, 64)) + found.guide(1, (48, 64)), 1, rtol=1e-6)


def test_transparency_is_a_soft_mask(tmp_path):
    image = Image.new("RGB", (64, 64), RED)
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, 20:], alpha[:, 19] = 255, 100
    image.putalpha(Image.fromarray(alpha))
    found = read(tmp_path, image)
    assert found.colours == ((0, 0, 0), (255, 255, 255))
    np.testing.assert_allclose(found.guide(1, (64, 64))[0, 18:21], [0, 100 / 255, 1], rtol=1e-6)


def test_guides_of_another_size_have_the_means_of_what_they_cover(tmp_path):
    found = read(tmp_path, drawing())
    whole = np.stack([found.guide(region, (64, 96)) for region in range(3)], axis=-1)
    reduced = np.stack([found.guide(region, (32, 48)) for region in range(3)], axis=-1)
    np.testing.assert_allclose(reduced, whole.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3)), atol=1e-6)


@pytest.mark.parametrize(
    ("colour", "region"), [(BLUE, 0), ((250, 8, 5), 1), ((0, 152, 0), 2), ((0, 150, 0), None), ((255, 255, 255), None)]
)
def test_a_colour_is_found_where_it_is_nearly_that(tmp_path, colour, region):
    assert read(tmp_path, drawing()).find(colour) == region


def stripes(count):
    colours = [(12 * (index % 20), 25 * (index // 20), 200 - index // 2) for index in range(count)]
    return Image.fromarray(np.repeat(np.uint8(colours)[None], 40, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (stripes(20), r"map\.png: expected at most 16 regions in flat colours, found 20; draw fewer"),
        (stripes(200), r"map\.png: expected at most 16 regions in flat colours, found 200; draw fewer"),
        (
            Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)),
            r"map\.png: expected a map in at most 16 flat colours, found 4,0.. colours and 100% of the pixels in none",
        ),
        (
            Image.merge("RGBA", (*drawing().split(), Image.linear_gradient("L").resize((96, 64)))),
            r"map\.png: expected flat colours or transparency, found both",
        ),
    ],
    ids=["twenty", "two hundred", "noise", "both"],
)
def test_what_is_no_map(tmp_path, image, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, image)


def test_what_is_no_picture(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(UserError, match=r"empty\.png: expected a whole picture"):
        region_maps.read(tmp_path / "empty.png")
    drawing().convert("CMYK").save(tmp_path / "map.jpg")
    with pytest.raises(UserError, match=r"map\.jpg: expected a map in RGB, indexed colours or grey, found CMYK"):
        region_maps.read(tmp_path / "map.jpg")
