"""Encoding: what is written is what other programs read."""

import io
import os
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import skimage.metrics
import tifffile
from image_files import DEEP, LOSSLESS, RED, SUFFIXES, error_of, exif_block, smooth
from PIL import Image, ImageCms, JpegImagePlugin

from nst_jax.io import images
from nst_jax.io.colour_profile import GREY_PROFILE, SRGB_PROFILE

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("alpha", [None, smooth(40, 50, 1)[..., 0]], ids=["opaque", "alpha"])
def test_pillow_reads_what_is_written(tmp_path, suffix, alpha):
    pixels = smooth(40, 50)
    images.write(tmp_path / f"picture{suffix}", images.Picture(pixels, alpha))
    with Image.open(tmp_path / f"picture{suffix}") as image:
        read = np.asarray(image)
        assert image.info["icc_profile"] == SRGB_PROFILE
    if suffix in LOSSLESS:
        expected = pixels if alpha is None else np.dstack([pixels, alpha])
        np.testing.assert_array_equal(read, np.floor(255 * expected + np.float32(0.5)))
    else:
        expected = pixels if alpha is None else 1 - (1 - pixels) * alpha[..., None]  # on white
        assert skimage.metrics.peak_signal_noise_ratio(expected, (read / 255).astype(np.float32), data_range=1) > 42


@pytest.mark.parametrize("suffix", DEEP)
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_are_written(tmp_path, rng, suffix, channels):
    samples = rng.integers(0, 65536, (40, 50, channels), np.uint16)
    alpha = np.float32(samples[..., 3] / 65535) if channels == 4 else None
    path = tmp_path / f"picture{suffix}"
    images.write(path, images.Picture(np.float32(samples[..., :3] / 65535), alpha), bits=16)
    data = path.read_bytes()
    decoded = imagecodecs.png_decode(data) if suffix == ".png" else tifffile.imread(path)
    np.testing.assert_array_equal(decoded, samples)
    if suffix != ".png":
        np.testing.assert_array_equal(imagecodecs.tiff_decode(data), samples)  # libtiff
    with Image.open(path) as image:
        assert image.info["icc_profile"] == SRGB_PROFILE


@pytest.mark.parametrize(("suffix", "bits"), [*((s, 8) for s in LOSSLESS), *((s, 16) for s in DEEP)])
def test_round_trip_is_exact(tmp_path, rng, suffix, bits):
    levels = 2**bits - 1
    pixels = rng.integers(0, levels + 1, (40, 50, 3)).astype(np.float32) / levels
    alpha = rng.integers(1, levels + 1, (40, 50)).astype(np.float32) / levels
    images.write(tmp_path / f"a{suffix}", images.Picture(pixels, alpha), bits=bits)
    picture = images.read(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(picture.pixels, pixels, atol=1e-6)
    np.testing.assert_allclose(picture.alpha, alpha, atol=1e-6)
    images.write(tmp_path / f"b{suffix}", picture, bits=bits)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_jpeg_keeps_the_resolution_of_colour(tmp_path):
    images.write(tmp_path / "picture.jpg", images.Picture(smooth(40, 50)))
    with Image.open(tmp_path / "picture.jpg") as image:
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_pictures_make_equal_files(tmp_path, suffix):
    script = (
        "import sys, numpy as np\nfrom nst_jax.io import images\n"
        "picture = images.Picture(np.full((40, 40, 3), 0.3, np.float32), None, bytes.fromhex(sys.argv[2]))\n"
        "images.write(sys.argv[1], picture, settings={'b': 1, 'a': [2]})\n"
    )
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    picture = images.Picture(np.full((40, 40, 3), 0.3, np.float32), None, exif_block())
    images.write(first, picture, settings={"b": 1, "a": [2]})
    command = [sys.executable, "-c", script, second, exif_block().hex()]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert first.read_bytes() == second.read_bytes()


def test_settings_too_long_for_jpeg(tmp_path):
    message = error_of(images.write, tmp_path / "a.jpg", images.Picture(RED), settings={"a": "x" * 70_000})
    assert ".png" in message
    images.write(tmp_path / "a.png", images.Picture(RED), settings={"a": "x" * 70_000})
    assert not (tmp_path / "a.jpg").exists()


def test_picture_too_wide_for_webp(tmp_path):
    message = error_of(images.write, tmp_path / "a.webp", images.Picture(np.zeros((1, 16384, 3), np.float32)))
    assert "16384 × 1" in message


@pytest.mark.parametrize("alpha", [None, smooth(40, 50, 1)[..., 0]], ids=["opaque", "translucent"])
@pytest.mark.parametrize(("suffix", "bits"), [(suffix, 8) for suffix in SUFFIXES] + [(suffix, 16) for suffix in DEEP])
def test_grey_file_stays_grey(tmp_path, suffix, bits, alpha):
    """Where the format has grey, which WebP has not; and other programs see the same greys."""
    pixels = np.repeat(smooth(40, 50, 1), 3, axis=-1)
    images.write(tmp_path / f"a{suffix}", images.Picture(pixels, alpha, grey=True), bits=bits)
    picture = images.read(tmp_path / f"a{suffix}")
    assert picture.grey == (suffix != ".webp")
    shown = pixels if alpha is None or "jp" not in suffix else 1 - (1 - pixels) * alpha[..., None]
    visible = alpha is None or picture.alpha is None or picture.alpha > 0.5
    most = 0.02 if "jp" in suffix else 1.1 / (2**bits - 1)
    np.testing.assert_allclose(picture.pixels[visible], shown[visible], atol=most)
    assert (picture.alpha is None) == (alpha is None or "jp" in suffix)
    if bits == 8:
        with Image.open(tmp_path / f"a{suffix}") as image:
            opaque, translucent = ("RGB", "RGBA") if suffix == ".webp" else ("L", "L" if "jp" in suffix else "LA")
            assert image.mode == (opaque if alpha is None else translucent)
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            assert profile.profile.xcolor_space.strip() == ("RGB" if suffix == ".webp" else "GRAY")
    coloured = images.Picture(smooth(40, 50), alpha, grey=True)
    images.write(tmp_path / f"b{suffix}", coloured, bits=bits)
    assert not images.read(tmp_path / f"b{suffix}").grey
    images.write(tmp_path / f"c{suffix}", coloured._replace(pixels=pixels, grey=False), bits=bits)
    assert not images.read(tmp_path / f"c{suffix}").grey


def test_grey_profile_is_srgbs_grey():
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16, 1)
    srgb = imagecodecs.cms_profile("srgb")
    shown = imagecodecs.cms_transform(
        ramp, GREY_PROFILE, srgb, colorspace="gray", outcolorspace="rgb", outdtype="float32"
    )
    np.testing.assert_allclose(shown.reshape(16, 16, 3), ramp.repeat(3, axis=-1), atol=0.1 / 255)
