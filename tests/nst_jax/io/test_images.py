"""Pictures: their sizes, their transparency, where they can be written."""

import errno
import os
import stat

import numpy as np
import pytest
from image_files import (
    DEEP,
    RED,
    SUFFIXES,
    error_of,
    smooth,
)
from PIL import Image

from nst_jax.io import images

pytestmark = pytest.mark.quick


def test_hidden_colours_do_not_bleed(tmp_path):
    samples = np.zeros((80, 80, 4), np.uint8)
    samples[:, :40] = (255, 0, 0, 255)
    samples[:, 40:] = (0, 255, 0, 0)  # green that nobody is to see
    Image.fromarray(samples).save(tmp_path / "picture.png")
    picture = images.read(tmp_path / "picture.png", size=33)
    assert 0 < picture.alpha[16, 16] < 1  # the edge goes through this pixel
    np.testing.assert_allclose(picture.pixels[picture.alpha > 0.01] - RED[0, 0], 0, atol=1e-4)
    np.testing.assert_array_equal(picture.pixels[picture.alpha == 0], 1)
    assert picture.pixels[:, 25:].min() == 1


def test_opaque_alpha_is_none(tmp_path):
    Image.new("RGBA", (40, 40), (9, 8, 7, 255)).save(tmp_path / "picture.png")
    assert images.read(tmp_path / "picture.png").alpha is None


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((300, 400), 100, (75, 100)),
        ((400, 301), 100, (100, 75)),
        ((40, 50), 100, (80, 100)),
        ((40, 50), None, (40, 50)),
        ((1000, 333), 100, (100, 33)),
    ],
)
def test_size_is_the_long_side(tmp_path, shape, size, expected):
    Image.new("RGB", shape[::-1]).save(tmp_path / "picture.png")
    assert images.read(tmp_path / "picture.png", size=size).pixels.shape == (*expected, 3)


@pytest.mark.parametrize("shape", [(60, 80), (300, 400), (149, 97)])
def test_resize_is_lanczos(shape):
    pixels = smooth(150, 200)
    image = Image.fromarray(np.uint8(np.rint(255 * pixels)))
    expected = np.asarray(image.resize(shape[::-1], Image.Resampling.LANCZOS)) / 255
    resized = images.resize(pixels, shape)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(np.clip(resized, 0, 1), expected, atol=2 / 255)
    np.testing.assert_array_equal(images.resize(pixels[..., 1], shape), resized[..., 1])


def test_resize_is_antialiased():
    checkers = np.indices((256, 256)).sum(axis=0) % 2
    np.testing.assert_allclose(images.resize(checkers, (32, 32))[4:-4, 4:-4], 0.5, atol=1e-3)


def test_resized_values_stay_in_range(tmp_path):
    edge = np.zeros((64, 64), np.uint8)
    edge[:, 32:] = 255
    Image.fromarray(edge).save(tmp_path / "picture.png")
    pixels = images.read(tmp_path / "picture.png", size=100).pixels
    assert (pixels.min(), pixels.max()) == (0, 1)
    assert images.resize(edge, (100, 100)).max() > 256  # where the filter overshoots


@pytest.mark.parametrize(
    ("shape", "size", "found", "advice"),
    [
        ((40, 20000), 2000, "2000 × 4", "16000"),
        ((64, 64), 0, "1 × 1", "32"),
        ((64, 64), -5, "1 × 1", "32"),
    ],
)
def test_strips_are_refused(tmp_path, shape, size, found, advice):
    Image.new("L", shape[::-1]).save(tmp_path / "strip.png")
    message = error_of(images.read, tmp_path / "strip.png", size=size)
    assert found in message
    assert f"a long side of {advice} px or more" in message
    assert min(images.read(tmp_path / "strip.png", size=int(advice)).pixels.shape[:2]) == images.MIN_SIDE


@pytest.mark.parametrize(("shape", "size"), [((10, 20000), None), ((10, 20000), 512), ((1, 1), None), ((1, 1), 512)])
def test_too_little_is_refused_at_any_size(tmp_path, shape, size):
    Image.new("L", shape[::-1]).save(tmp_path / "little.png")
    message = error_of(images.read, tmp_path / "little.png", size=size)
    assert f"expected a short side of 32 px or more, found {shape[0]} px" in message


def test_enormous_result_is_refused(tmp_path):
    Image.new("L", (40, 40)).save(tmp_path / "picture.png")
    assert "give a smaller size" in error_of(images.read, tmp_path / "picture.png", size=10**9)


def test_values_are_rounded_and_clipped(tmp_path):
    pixels = np.zeros((40, 40, 3), np.float32)
    pixels[0, :6, 0] = (0.5 / 255 + 1e-4, 0.5 / 255 - 1e-4, 0.999, -1, 2, np.inf)
    images.write(tmp_path / "picture.png", images.Picture(pixels))
    with Image.open(tmp_path / "picture.png") as image:
        assert [image.getpixel((x, 0))[0] for x in range(6)] == [1, 0, 255, 0, 255, 255]


def test_half_is_rounded_up(tmp_path):
    images.write(tmp_path / "picture.png", images.Picture(np.full((40, 40, 3), 0.5, np.float32)))
    with Image.open(tmp_path / "picture.png") as image:
        assert image.getpixel((0, 0)) == (128, 128, 128)


def test_nan_is_not_written(tmp_path):
    assert "NaN" in error_of(images.write, tmp_path / "a.png", images.Picture(np.full((40, 40, 3), np.nan)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("check", [images.check_output, lambda path, **o: images.write(path, images.Picture(RED), **o)])
def test_unusable_outputs(tmp_path, check, monkeypatch):
    assert "suffixes .jpeg, .jpg" in error_of(check, tmp_path / "a.jpe")
    assert "found none" in error_of(check, tmp_path / "a")
    assert "found 16: .png, .tif, .tiff" in error_of(check, tmp_path / "a.jpg", bits=16)
    assert "expected 8 or 16 bits, found 12" in error_of(check, tmp_path / "a.png", bits=12)
    assert "found none: create it" in error_of(check, tmp_path / "no" / "a.png")
    (tmp_path / "file").touch()
    assert "found none: create it" in error_of(check, tmp_path / "file" / "a.png")
    (tmp_path / "folder.png").mkdir()
    assert "found a folder or device" in error_of(check, tmp_path / "folder.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert "found a folder or device" in error_of(check, tmp_path / "pipe.png")
    error_of(check, tmp_path / f"{'x' * 300}.png")
    error_of(check, "a\0b.png")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert "no permission" in error_of(check, tmp_path / "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png", "pipe.png"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_usable_outputs(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    images.check_output(f"new{suffix}")
    images.check_output(tmp_path / f"NEW{suffix.upper()}", bits=16 if suffix in DEEP else 8)
    assert not list(tmp_path.iterdir())


def test_permissions_and_links_are_those_of_open(tmp_path):
    old = os.umask(0o027)
    try:
        images.write(tmp_path / "a.png", images.Picture(RED))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640
    (tmp_path / "link.png").symlink_to("a.png")
    images.write(tmp_path / "link.png", images.Picture(1 - RED))
    assert (tmp_path / "link.png").is_symlink()
    np.testing.assert_array_equal(images.read(tmp_path / "a.png").pixels, 1 - RED)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch, function):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(os, function, full)
    assert "No space left" in error_of(images.write, tmp_path / "a.png", images.Picture(RED))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
