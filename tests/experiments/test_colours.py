"""The colours of the content image in files of every kind: 16 bits, alpha, a profile, greys; and in sweeps."""

import numpy as np
import pytest
import sweeps
from image_files import ADOBE_RGB, smooth, tiff
from PIL import Image
from skimage.color import rgb2yiq

from experiments import stylize, sweep
from nst_jax.io import images
from nst_jax.rendering.luminance import chroma, luminance

QUICK = {
    "backbone": "squeezenet1_1",
    "size": 48,
    "steps": 2,
    "style_layers": ("conv1",),
    "content_layers": ("fire2/concat",),
    "optimizer": "adam",
    "learning_rate": 0.1,
    "shifts": 1,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A photograph of 16 bits with alpha in another colour space, and a grey one."""
    folder = tmp_path_factory.mktemp("photos")
    colours, alpha = 0.2 + 0.6 * smooth(60, 80), np.linspace(0, 1, 80, dtype=np.float32)
    samples = np.dstack([colours, np.broadcast_to(alpha, (60, 80))])
    deep = np.uint16(np.round(samples * 65_535))
    (folder / "deep.tif").write_bytes(tiff(deep, photometric="rgb", extrasamples=["unassalpha"], iccprofile=ADOBE_RGB))
    Image.fromarray(np.uint8(255 * smooth(60, 80, 1)[..., 0])).save(folder / "grey.png")
    return folder


def run(pictures, workdir, content, **changes):
    flags = {**QUICK, "content": str(content), "style": str(pictures / "first.png"), "workdir": str(workdir)}
    return stylize.run(stylize.Config(**{**flags, **changes})).output


def assert_colours_of(content, path, atol):
    found, wanted = images.read(path).pixels, images.read(content, size=48).pixels
    fits = luminance(found) + np.asarray(chroma(wanted))
    where = ((fits > 0.01) & (fits < 0.99)).all(axis=-1)
    assert where.mean() > 0.4
    np.testing.assert_allclose(rgb2yiq(found)[where][:, 1:], rgb2yiq(wanted)[where][:, 1:], atol=atol)
    assert np.abs(luminance(found) - luminance(wanted)).max() > 0.02


def test_of_16_bits_with_alpha_and_a_profile(pictures, photos, tmp_path):
    picture = tmp_path / "picture.tiff"
    run(
        pictures, tmp_path / "run", photos / "deep.tif", colours="luminance", save_every=1, output=str(picture), bits=16
    )
    assert_colours_of(photos / "deep.tif", picture, 1e-4)
    assert_colours_of(photos / "deep.tif", tmp_path / "run" / "step00001.png", 1 / 255)
    np.testing.assert_allclose(images.read(picture).alpha, images.read(photos / "deep.tif", size=48).alpha, atol=1e-4)


def test_a_grey_file_stays_one_whatever_the_style(pictures, photos, tmp_path):
    """With luminance, and with colours matched to it; but not if it takes on colours itself."""
    ways = (
        {"colours": "luminance"},
        {"colour_match": "pca"},
        {"colour_match": "symmetric", "colour_match_to": "style"},
    )
    found = [run(pictures, tmp_path / str(way), photos / "grey.png", **changes) for way, changes in enumerate(ways)]
    assert [images.read(path).grey for path in found] == [True, True, False]


def test_the_finish_has_the_palette_of_the_matched_style(pictures, photos, tmp_path):
    """So that it does not bring back colours that were moved away."""
    same = {"colour_match": "symmetric", "colour_finish": "oklab", "steps": 0}
    content = images.read(photos / "deep.tif", size=48).pixels
    picture = images.read(run(pictures, tmp_path, photos / "deep.tif", **same)).pixels
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), content.mean(axis=(0, 1)), atol=0.05)


@pytest.mark.slow
def test_in_a_sweep(pictures, photos, tmp_path):
    flags = {name: (value,) for name, value in QUICK.items()}
    flags |= {"colours": ("luminance",), "colour_match": ("none", "histogram"), "size": (48,)}
    config = sweeps.config(pictures, tmp_path, contents=(str(photos / "deep.tif"),), **flags)
    sweep.run(sweep.Config(**{**vars(config), "styles": (str(pictures / "first.png"),)}))
    paths = sorted((tmp_path / "cells").glob("*.png"))
    assert len(paths) == 2
    for path in paths:
        assert_colours_of(photos / "deep.tif", path, 1 / 255)
    assert np.abs(np.subtract(*(images.read(path).pixels for path in paths))).max() > 1 / 255
