"""Colour profiles against Pillow, and against their formulas."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from image_files import ADOBE_RGB, saved, smooth, tiff
from PIL import Image, ImageCms

from nst_jax.io import images

pytestmark = pytest.mark.quick


def cmyk_profile():
    """An ICC profile with a table of 2^4 inks, by hand, since no library makes one."""
    inks = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    cyan, magenta, yellow, black = inks.T
    lightness = 255 * (1 - black) * (1 - 0.3 * (cyan + magenta + yellow) / 3)
    lab = np.stack([lightness, 128 + 40 * (magenta - cyan), 128 + 50 * (yellow - 0.5 * (cyan + magenta))], axis=-1)
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", *np.eye(3, dtype=int).ravel() << 16)
    lut += identity * 4 + lab.clip(0, 255).astype(np.uint8).tobytes() + identity * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"A2B0": lut, b"wtpt": white, b"cprt": b"text" + bytes(4) + b"none\0"}
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab ")
    header += bytes(12) + b"acsp" + bytes(28) + white[8:]
    return header.ljust(128, b"\0") + table + body


def by_pillow(image, profile, mode="RGB"):
    """Convert to sRGB with Pillow, [H, W, 3] in [0, 1]."""
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(image, source, target, outputMode=mode)) / 255


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_adobe_rgb_is_converted(tmp_path, format_):
    image = Image.fromarray(np.uint8(40 + 150 * smooth(40, 50)))
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(format_, {})
    (tmp_path / "picture").write_bytes(saved(image, format_, icc_profile=ADOBE_RGB, **options))
    with Image.open(tmp_path / "picture") as image:
        expected = by_pillow(image, ADOBE_RGB)
    pixels = images.read(tmp_path / "picture").pixels
    np.testing.assert_allclose(pixels, expected, atol=1.1 / 255)
    assert np.abs(pixels - np.asarray(image) / 255).max() > 0.05


def test_known_colour_of_adobe_rgb(tmp_path):
    # Its green primary is out of sRGB's gamut; (0.5, 0.5, 0.5) differs by the curve alone, 2.19921875 against sRGB's.
    samples = np.full((40, 40, 3), 32768, np.uint16)
    (tmp_path / "picture.tif").write_bytes(tiff(samples, photometric="rgb", iccprofile=ADOBE_RGB))
    linear = (32768 / 65535) ** 2.19921875
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(images.read(tmp_path / "picture.tif").pixels, expected, atol=2e-4)


def test_grey_profile(tmp_path):
    image = Image.fromarray(np.uint8(255 * smooth(40, 50, 1)[..., 0]))
    profile = imagecodecs.cms_profile("gray", gamma=1.0)
    image.save(tmp_path / "picture.png", icc_profile=profile)
    linear = np.asarray(image) / 255
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    pixels = images.read(tmp_path / "picture.png").pixels
    np.testing.assert_allclose(pixels, np.repeat(expected[..., None], 3, axis=-1), atol=1e-3)


def test_grey_picture_with_rgb_profile(tmp_path):
    image = Image.fromarray(np.uint8(255 * smooth(40, 50, 1)[..., 0]))
    image.save(tmp_path / "picture.png", icc_profile=ADOBE_RGB)
    expected = by_pillow(image.convert("RGB"), ADOBE_RGB)
    np.testing.assert_allclose(images.read(tmp_path / "picture.png").pixels, expected, atol=1.1 / 255)


@pytest.mark.parametrize("profile", [None, cmyk_profile()], ids=["plain", "profile"])
def test_cmyk_jpeg(tmp_path, profile):
    image = Image.frombytes("CMYK", (50, 40), np.uint8(255 * (smooth(40, 50, 4) > 0.5)).tobytes())
    image.save(tmp_path / "picture.jpg", quality=100, subsampling=0, icc_profile=profile)
    with Image.open(tmp_path / "picture.jpg") as image:
        expected = by_pillow(image, profile) if profile else np.asarray(image.convert("RGB")) / 255
    np.testing.assert_allclose(images.read(tmp_path / "picture.jpg").pixels, expected, atol=3 / 255)


@pytest.mark.parametrize(
    "profile", [b"nonsense" * 20, ADOBE_RGB[:300], imagecodecs.cms_profile("gray", gamma=2.2)], ids=len
)
def test_unusable_profile_is_logged_and_ignored(tmp_path, caplog, profile):
    image = Image.fromarray(np.uint8(255 * smooth(40, 50)))
    image.save(tmp_path / "picture.png", icc_profile=profile)
    pixels = images.read(tmp_path / "picture.png").pixels
    np.testing.assert_allclose(pixels, np.asarray(image) / 255, atol=1e-6)
    assert "ICC profile" in caplog.text
