"""The colours of a PNG without an ICC profile: which of its chunks counts, and what it means."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from image_files import ADOBE_RGB, png_with, smooth
from PIL import Image

from nst_jax.io import images

SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3 = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
SAMPLES = np.uint8(255 * smooth(40, 50))


def gamma(value):
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chromaticities(numbers):
    return b"cHRM", struct.pack(">8I", *(round(number * 100_000) for number in numbers))


def icc(profile):
    return b"iCCP", b"x\0\0" + zlib.compress(profile)


def curve(light):
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def light_of(samples):
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


def matrix(numbers):
    """The matrix from these primaries to CIE XYZ."""
    white, *primaries = [np.array([x / y, 1, (1 - x - y) / y]) for x, y in np.reshape(numbers, (4, 2))]
    columns = np.stack(primaries, axis=-1)
    return columns * np.linalg.solve(columns, white)


def read(tmp_path, *chunks, samples=SAMPLES):
    (tmp_path / "picture.png").write_bytes(png_with(imagecodecs.png_encode(samples), *chunks))
    return images.read(tmp_path / "picture.png").pixels


@pytest.mark.parametrize("value", [1.0, 1 / 1.8, 1 / 2.6])
@pytest.mark.parametrize("numbers", [None, SRGB])
def test_gamma(tmp_path, value, numbers):
    chunks = [gamma(value), *([chromaticities(numbers)] if numbers else [])]
    expected = curve((SAMPLES / 255) ** (1 / value))
    np.testing.assert_allclose(read(tmp_path, *chunks), expected, atol=2e-3)


def test_gamma_of_a_known_colour(tmp_path):
    """Chromium 150 shows 200, 40, 40 under gAMA 1.0 as 229, 110, 110."""
    pixels = read(tmp_path, gamma(1.0), samples=np.full((40, 40, 3), (200, 40, 40), np.uint8))
    np.testing.assert_allclose(pixels[0, 0] * 255, (229, 110, 110), atol=0.5)


def test_gamma_of_grey(tmp_path):
    samples = SAMPLES[..., 0].copy()
    expected = curve(samples / 255)[..., None].repeat(3, axis=-1)
    np.testing.assert_allclose(read(tmp_path, gamma(1.0), samples=samples), expected, atol=2e-3)


@pytest.mark.parametrize(
    "chunks",
    [
        (gamma(0.45455),),
        (gamma(0.45455), chromaticities(SRGB)),
        (b"sRGB", b"\0"),
        ((b"sRGB", b"\0"), gamma(1.0), chromaticities(P3)),
        ((b"cICP", b"\1\x0d\0\1"), gamma(1.0), icc(ADOBE_RGB)),
    ],
    ids=["gAMA", "gAMA and cHRM", "sRGB", "sRGB before gAMA", "cICP before iCCP"],
)
def test_srgb_stays_as_it_is(tmp_path, chunks):
    chunks = chunks if isinstance(chunks[0], tuple) else (chunks,)
    np.testing.assert_allclose(read(tmp_path, *chunks), SAMPLES / 255, atol=1e-6)


@pytest.mark.parametrize("chunks", [(chromaticities(P3), gamma(0.45455)), ((b"cICP", b"\x0c\x0d\0\1"),)], ids=len)
def test_other_primaries(tmp_path, chunks):
    light = light_of(SAMPLES / 255) @ (np.linalg.inv(matrix(SRGB)) @ matrix(P3)).T
    np.testing.assert_allclose(read(tmp_path, *chunks), curve(np.clip(light, 0, 1)), atol=3e-3)


def test_profile_comes_before_gamma(tmp_path):
    expected = read(tmp_path, icc(ADOBE_RGB))
    assert np.abs(expected - SAMPLES / 255).max() > 0.05
    np.testing.assert_array_equal(read(tmp_path, icc(ADOBE_RGB), gamma(1.0)), expected)


@pytest.mark.parametrize(
    "chunk",
    [gamma(0), gamma(0.00001), (b"gAMA", b"\xff\xff\xff\xff"), chromaticities([0] * 8), chromaticities([0.3] * 8)]
    + [(b"cICP", content) for content in (b"", b"\x09\x10\0\1", b"\1\x0d\0\0", b"\1\x0d\1\1\1", b"\xff" * 4)],
)
def test_what_makes_no_sense_is_logged_and_ignored(tmp_path, caplog, chunk):
    np.testing.assert_allclose(read(tmp_path, chunk), SAMPLES / 255, atol=1e-6)
    assert "colours" in caplog.text


def test_a_chunk_of_the_wrong_length(tmp_path):
    """Pillow refuses some of them itself; whatever it lets through costs the chunk alone."""
    for name, length in ((b"gAMA", 3), (b"cHRM", 31)):
        (tmp_path / "picture.png").write_bytes(png_with(imagecodecs.png_encode(SAMPLES), (name, bytes(length))))
        try:
            with Image.open(tmp_path / "picture.png") as image:
                image.load()
        except Exception:
            continue
        np.testing.assert_allclose(images.read(tmp_path / "picture.png").pixels, SAMPLES / 255, atol=1e-6)
