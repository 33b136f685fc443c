"""Decoding: every mode and depth against Pillow and NumPy, and whatever is no whole picture."""

import io
import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from image_files import (
    ADOBE_RGB,
    RED,
    error_of,
    exif_block,
    png_chunks,
    png_of,
    png_with,
    saved,
    smooth,
    tiff,
)
from PIL import ExifTags, Image, ImageOps

from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.image_decoding import MAX_BYTES, READABLE
from nst_jax.io.image_encoding import ENCODERS

pytestmark = pytest.mark.quick

MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA"),
    "GIF": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("L", "P", "RGB", "RGBA"),
}


@pytest.mark.parametrize(("format_", "mode"), [(format_, mode) for format_, modes in MODES.items() for mode in modes])
def test_eight_bit_modes_are_read_as_pillow_reads_them(tmp_path, format_, mode):
    image = Image.fromarray(np.uint8(255 * smooth(40, 50, 4))).convert(mode)
    path = tmp_path / "picture"
    image.save(path, format_, **({"lossless": True, "exact": True} if format_ == "WEBP" else {}))
    picture = images.read(path)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGBA")) / 255
    assert picture.pixels.dtype == np.float32
    alpha = np.ones((40, 50)) if picture.alpha is None else picture.alpha
    np.testing.assert_allclose(alpha, expected[..., 3], atol=1e-6)
    np.testing.assert_allclose(picture.pixels[alpha > 0], expected[..., :3][alpha > 0], atol=1e-6)


@pytest.mark.parametrize("transparency", [5, bytes(range(256))])
def test_palette_with_transparency(tmp_path, transparency):
    image = Image.fromarray(np.uint8(255 * smooth(40, 50))).quantize(256)
    image.save(tmp_path / "picture.png", transparency=transparency)
    picture = images.read(tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as image:
        expected = np.asarray(image.convert("RGBA")) / 255
    np.testing.assert_allclose(picture.alpha, expected[..., 3], atol=1e-6)
    visible = expected[..., 3] > 0
    np.testing.assert_allclose(picture.pixels[visible], expected[visible, :3], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["png", "tiff", "planar tiff", "tiled bigtiff", "big-endian tiff"])
def test_sixteen_bits_are_kept(tmp_path, rng, channels, kind):
    samples = rng.integers(0, 65536, (40, 50, channels), np.uint16)
    if channels in (2, 4):
        samples[..., -1] = np.maximum(samples[..., -1], 1)  # colours under 0 are not kept
    options = {"photometric": "rgb" if channels > 2 else "minisblack", "planarconfig": "contig"}
    options |= {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
    options |= {"tile": (16, 16), "compression": "zlib", "bigtiff": True} if kind == "tiled bigtiff" else {}
    options |= {"byteorder": ">"} if kind == "big-endian tiff" else {}
    if kind == "planar tiff" and channels > 1:
        options["planarconfig"] = "separate"
    planar = options["planarconfig"] == "separate"
    data = (
        imagecodecs.png_encode(samples.squeeze())
        if kind == "png"
        else tiff(np.moveaxis(samples, -1, 0) if planar else samples.squeeze(), **options)
    )
    path = tmp_path / "picture"
    path.write_bytes(data)
    picture = images.read(path)
    colours = samples[..., :1] if channels < 3 else samples[..., :3]
    read = np.rint(picture.pixels * 65535).astype(int)
    np.testing.assert_array_equal(read, np.broadcast_to(colours, read.shape))
    if channels in (2, 4):
        np.testing.assert_array_equal(np.rint(picture.alpha * 65535), samples[..., -1])


def test_sixteen_bit_colour_key(tmp_path, rng):
    samples = rng.integers(0, 65536, (40, 50, 3), np.uint16)
    png = png_with(imagecodecs.png_encode(samples), (b"tRNS", samples[3, 4].astype(">u2").tobytes()))
    (tmp_path / "picture.png").write_bytes(png)
    picture = images.read(tmp_path / "picture.png")
    assert picture.alpha[3, 4] == 0
    assert picture.alpha.sum() == picture.alpha.size - 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_interlaced_png(tmp_path, rng, dtype):
    samples = rng.integers(0, np.iinfo(dtype).max + 1, (40, 50, 3)).astype(dtype)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    reduced = (samples[y::dy, x::dx] for y, x, dy, dx in passes)
    rows = b"".join(b"\0" + row.astype(samples.dtype.newbyteorder(">")).tobytes() for part in reduced for row in part)
    header = struct.pack(">IIBBBBB", 50, 40, 8 * samples.itemsize, 2, 0, 0, 1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    (tmp_path / "picture.png").write_bytes(png_of(chunks))
    read = images.read(tmp_path / "picture.png").pixels
    np.testing.assert_array_equal(np.rint(read * np.iinfo(dtype).max), samples)


@pytest.mark.parametrize(
    ("samples", "options", "scale"),
    [
        (np.uint16(4095 * smooth(40, 50)), {"photometric": "rgb", "bitspersample": 12}, 4095),
        (np.uint32((2**32 - 1) * smooth(40, 50, 1)[..., 0].astype(float)), {}, 2**32 - 1),
        (smooth(40, 50, 1)[..., 0], {}, 1),
        (smooth(40, 50), {"photometric": "rgb"}, 1),
        (smooth(40, 50).astype(np.float16), {"photometric": "rgb", "compression": "zlib"}, 1),
    ],
    ids=["12 bit", "32 bit", "float grey", "float RGB", "half RGB"],
)
def test_unusual_depths(tmp_path, samples, options, scale):
    (tmp_path / "picture.tif").write_bytes(tiff(samples, **options))
    pixels = images.read(tmp_path / "picture.tif").pixels
    expected = samples.reshape(40, 50, -1) / scale
    np.testing.assert_allclose(pixels, np.broadcast_to(expected, pixels.shape), atol=1e-6)


def test_white_is_zero(tmp_path):
    samples = np.uint16(65535 * smooth(40, 50, 1)[..., 0])
    (tmp_path / "picture.tif").write_bytes(tiff(samples, photometric="miniswhite"))
    pixels = images.read(tmp_path / "picture.tif").pixels
    np.testing.assert_allclose(pixels[..., 0], 1 - samples / 65535, atol=1e-6)


def test_sixteen_bit_cmyk_without_profile_is_ink_coverage(tmp_path):
    samples = np.uint16(65535 * smooth(40, 50, 4))
    (tmp_path / "picture.tif").write_bytes(tiff(samples, photometric="separated"))
    ink = samples / 65535
    expected = (1 - ink[..., :3]) * (1 - ink[..., 3:])
    np.testing.assert_allclose(images.read(tmp_path / "picture.tif").pixels, expected, atol=1e-6)


@pytest.mark.parametrize("extra", [["assocalpha"], ["assocalpha", "unspecified"], ["unspecified"]])
def test_extra_channels_of_a_deep_tiff(tmp_path, extra):
    alpha = np.full((40, 50, 1), 0.25 if "assocalpha" in extra else 1, np.float32)
    channels = [smooth(40, 50) * alpha, *[alpha] * len(extra)]
    samples = np.uint16(np.rint(65535 * np.concatenate(channels, axis=-1)))
    (tmp_path / "picture.tif").write_bytes(tiff(samples, photometric="rgb", extrasamples=extra))
    picture = images.read(tmp_path / "picture.tif")
    np.testing.assert_allclose(picture.pixels, smooth(40, 50), atol=4 / 65535)
    if "assocalpha" in extra:
        np.testing.assert_allclose(picture.alpha, 0.25, atol=1 / 65535)
    else:
        assert picture.alpha is None


@pytest.mark.parametrize(("format_", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_first_frame(tmp_path, format_, options):
    red, blue = (Image.new("RGB", (40, 40), color) for color in ("red", "blue"))
    red.save(tmp_path / "picture", format_, save_all=True, append_images=[blue], **options)
    np.testing.assert_array_equal(images.read(tmp_path / "picture").pixels, RED)


def test_first_page_of_a_deep_tiff(tmp_path):
    samples = np.zeros((3, 40, 40), np.uint16)
    samples[0] = 65535
    (tmp_path / "picture.tif").write_bytes(tiff(samples, photometric="minisblack"))
    assert images.read(tmp_path / "picture.tif").pixels.min() == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "deep PNG", "deep TIFF"])
def test_orientation(tmp_path, orientation, kind):
    image = Image.fromarray(np.uint8(255 * smooth(40, 50)))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(saved(image, "PNG", exif=exif))))
    deep = np.asarray(image).astype(np.uint16) * 257
    data = {
        "PNG": lambda: saved(image, "PNG", exif=exif),
        "TIFF": lambda: saved(image, "TIFF", exif=exif),
        "deep PNG": lambda: png_with(imagecodecs.png_encode(deep), (b"eXIf", exif.tobytes()[6:])),
        "deep TIFF": lambda: tiff(deep, photometric="rgb", extratags=[(274, "H", 1, orientation, True)]),
    }[kind]()
    (tmp_path / "picture").write_bytes(data)
    picture = images.read(tmp_path / "picture")
    np.testing.assert_allclose(picture.pixels, np.asarray(expected) / 255, atol=1e-6)
    written = Image.Exif()
    written.load(picture.exif)
    assert written.get(ExifTags.Base.Orientation, 1) == 1


def test_missing_file_suggests_its_neighbours(tmp_path):
    (tmp_path / "tuebingen.jpg").touch()
    assert "did you mean tuebingen.jpg?" in error_of(images.read, tmp_path / "tubingen.jpg")
    assert "no such file" in error_of(images.read, tmp_path / "folder" / "tubingen.jpg")


def test_a_name_that_its_comma_has_divided(tmp_path):
    (tmp_path / "sea, evening.jpg").touch()
    expected = r"sea: no such file, did you mean sea, evening.jpg? (in a list of files, \, is a comma in a name)"
    assert error_of(images.read, tmp_path / "sea").endswith(expected)


@pytest.mark.parametrize("reader", [images.read, images.read_settings])
def test_what_is_not_a_file(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket"))
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")):
        assert "found: a folder, pipe or device" in error_of(reader, path)
    server.close()
    for path in ("a\0b", "x" * 300, tmp_path / "pipe" / "x"):
        error_of(reader, path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "0 bytes"),
        (b"hello\n", "unknown"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"  <svg/>", "markup"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\0\0\0\x18ftypheic" + bytes(80), "HEIC"),
        (b"%PDF-1.4", "unknown"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "unknown"),
        (b"\x89HDF\r\n\x1a\n" + bytes(80), "unknown"),
        (b"SIMPLE  =                    T" + bytes(80), "unknown"),
        (b"II*\0", ""),
        (b"\xff\xd8\xff", ""),
    ],
)
def test_what_is_not_a_picture(tmp_path, content, found):
    (tmp_path / "picture.jpg").write_bytes(content)
    message = error_of(images.read, tmp_path / "picture.jpg")
    assert found in message
    assert all(format_ in message for format_ in READABLE)


def test_no_program_is_ever_started(tmp_path, monkeypatch):
    (tmp_path / "picture.eps").write_bytes(saved(Image.new("RGB", (40, 40)), "EPS"))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started a program"))
    error_of(images.read, tmp_path / "picture.eps")


def test_unprintable_names_are_escaped(tmp_path):
    name = "a\nb\x1b[31m\udcff.png"
    assert r"a\nb\x1b[31m\udcff.png" in error_of(images.read, tmp_path / name)


def small_files():
    image = Image.fromarray(np.uint8(255 * smooth(32, 33)))
    deep = np.uint16(65535 * smooth(32, 32))
    picture = images.Picture(smooth(32, 32), smooth(32, 32, 1)[..., 0], exif_block())
    return {
        "png": saved(image.quantize(8), "PNG"),
        "rgba.png": saved(image.convert("RGBA").quantize(8), "PNG"),
        "deep.png": imagecodecs.png_encode(deep[..., 0].copy()),
        "jpg": saved(image, "JPEG", quality=20, exif=exif_block(), icc_profile=ADOBE_RGB),
        "progressive.jpg": saved(image, "JPEG", quality=20, progressive=True),
        "webp": saved(image, "WEBP", quality=20, exif=exif_block()),
        "lossless.webp": saved(image.quantize(4).convert("RGB"), "WEBP", lossless=True),
        "gif": saved(image.quantize(8), "GIF"),
        "bmp": saved(image.convert("1"), "BMP"),
        "avif": saved(image, "AVIF", quality=20),
        "tif": saved(image.quantize(8), "TIFF", compression="tiff_lzw"),
        "jpeg.tif": saved(image, "TIFF", compression="jpeg", quality=20),
        "deep.tif": tiff(deep[..., 0] // 4096 * 4096, compression="zlib", rowsperstrip=8, predictor=True),
        "tiled.tif": tiff(smooth(32, 32, 1)[..., 0].astype(np.float16), compression="lzw", tile=(16, 16)),
        "written.tif": encoded(".tif", picture),
        "written.png": encoded(".png", picture),
    }


def encoded(suffix, picture):
    exif = Image.Exif()
    exif.load(picture.exif)
    rgba = np.dstack([picture.pixels, picture.alpha])
    encode, _ = ENCODERS[suffix]
    return encode(np.uint8(255 * rgba), exif)


SMALL_FILES = small_files()


@pytest.mark.parametrize("name", SMALL_FILES)
def test_truncated_anywhere(tmp_path, name):
    whole, path = SMALL_FILES[name], tmp_path / f"picture.{name}"
    path.write_bytes(whole)
    expected = images.read(path)
    for length in range(0, len(whole), 1 + len(whole) // 250):
        path.write_bytes(whole[:length])
        try:
            picture = images.read(path)
        except UserError as error:
            assert str(error).isprintable()  # noqa: PT017 - not raising is as good
        else:  # what was cut off was behind the pixels: never a grey rest
            np.testing.assert_array_equal(picture.pixels, expected.pixels)


@pytest.mark.parametrize("name", SMALL_FILES)
def test_flipped_bytes(tmp_path, name, rng):
    whole, path = np.frombuffer(SMALL_FILES[name], np.uint8), tmp_path / f"picture.{name}"
    for _ in range(150):
        damaged = whole.copy()
        head = min(len(whole), 300) if rng.random() < 0.5 else len(whole)
        damaged[rng.integers(0, head, rng.integers(1, 4))] = rng.choice([0, 1, 127, 128, 255])
        path.write_bytes(damaged.tobytes())
        started = time.perf_counter()
        for reader in (images.read, images.read_settings):
            try:
                picture = reader(path)
            except UserError as error:
                assert str(error).isprintable()  # noqa: PT017 - not raising is as good
            else:
                assert reader is images.read_settings or (picture.pixels >= 0).all() & (picture.pixels <= 1).all()
        assert time.perf_counter() - started < 5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"compression": "zlib", "tile": (16, 16)}])
def test_missing_strips_of_a_tiff(tmp_path, dtype, options):
    path = tmp_path / "picture.tif"
    tifffile.imwrite(path, (255 * smooth(64, 64)).astype(dtype), photometric="rgb", **options)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["ImageLength"].overwrite(128)
    assert "strips or tiles are missing" in error_of(images.read, path)


@pytest.mark.parametrize("depth", [8, 16])
def test_missing_rows_of_a_png(tmp_path, depth):
    chunks = png_chunks(imagecodecs.png_encode((255 * smooth(40, 40)).astype(f"uint{depth}")))
    chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", 40, 80, depth, 2, 0, 0, 0))
    (tmp_path / "picture.png").write_bytes(png_of(chunks))
    error_of(images.read, tmp_path / "picture.png")


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 255])
def test_float_outside_the_range(tmp_path, value):
    samples = smooth(40, 40, 1)[..., 0]
    samples[3, 4] = value
    (tmp_path / "picture.tif").write_bytes(tiff(samples))
    assert "not in [0, 1]" in error_of(images.read, tmp_path / "picture.tif")


def bombs():
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    png = saved(Image.new("RGB", (40, 40)), "PNG")
    zeros = zlib.compress(bytes(50_000_000), 9)
    deep = io.BytesIO(tiff(np.zeros((64, 64), np.uint16), compression="zlib"))
    with tifffile.TiffFile(deep, mode="r+") as file:
        file.pages.first.tags["ImageLength"].overwrite(100_000)
        file.pages.first.tags["ImageWidth"].overwrite(60_000)
    return {
        "pixels": png_with(png, (b"IHDR", header)),
        "no pixels": png_with(png, (b"IHDR", struct.pack(">IIBBBBB", 0, 40, 8, 2, 0, 0, 0))),
        "profile": png_with(png, (b"iCCP", b"x\0\0" + zeros)),
        "text": png_with(png, (b"zTXt", b"x\0\0" + zeros)),
        "texts": png_with(png, *[(b"zTXt", b"x%d\0\0" % n + zlib.compress(bytes(1_000_000))) for n in range(80)]),
        "tiff": deep.getvalue(),
    }


@pytest.mark.parametrize(("name", "data"), bombs().items())
def test_bombs(tmp_path, name, data):
    (tmp_path / "picture").write_bytes(data)
    error_of(images.read, tmp_path / "picture")


def test_too_many_pixels_are_no_attack(tmp_path):
    (tmp_path / "picture.png").write_bytes(bombs()["pixels"])
    message = error_of(images.read, tmp_path / "picture.png")
    assert "of at most 178,956,970 pixels, found: 900,000,000; replace" in message


def test_oversized_file_is_not_opened(tmp_path):
    with (tmp_path / "picture.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert f"{MAX_BYTES + 1:,} bytes" in error_of(images.read, tmp_path / "picture.png")


def test_large_picture_needs_no_warning_and_little_memory(tmp_path):
    """100 megapixels: Pillow warns of an attack there, and their float samples alone would be 400 MB a channel."""
    Image.new("L", (10_000, 10_000), 128).save(tmp_path / "large.png", compress_level=1)
    code = (
        "import resource, sys\nfrom nst_jax.io import images\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(images.read(sys.argv[1], size=100).pixels.shape)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, tmp_path / "large.png"], capture_output=True, text=True, check=True
    )
    shape, grown = done.stdout.splitlines()
    assert shape == "(100, 100, 3)"
    assert done.stderr == ""
    assert int(grown) < 300_000  # kB: the samples, 100 MB, and a few bands of rows
