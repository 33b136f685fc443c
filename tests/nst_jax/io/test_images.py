import errno
import io
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import skimage.metrics
import tifffile
from PIL import ExifTags, Image, ImageCms, ImageOps, JpegImagePlugin

from nst_jax.errors import UserError
from nst_jax.io import images

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
LOSSLESS = (".png", ".webp", ".tif", ".tiff")
DEEP = (".png", ".tif", ".tiff")
ADOBE_RGB = imagecodecs.cms_profile("adobergb")
RED = np.full((40, 40, 3), (1, 0, 0), np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def smooth(height, width, channels=3):
    """A picture without noise, [H, W, C] in [0, 1]."""
    y, x = np.mgrid[:height, :width]
    waves = [0.5 + 0.5 * np.sin(0.11 * x * (c + 1) + 0.07 * y + c) for c in range(channels)]
    return np.stack(waves, axis=-1).astype(np.float32)


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


def png_chunks(png):
    chunks, position = [], 8
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        chunks.append((png[position + 4 : position + 8], png[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def png_with(png, *new):
    """Insert chunks behind the header of a PNG, or replace the header itself."""
    header, *others = png_chunks(png)
    return png_of([*new, *others] if new[0][0] == b"IHDR" else [header, *new, *others])


def png_of(chunks):
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def saved(image, format_, **options):
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def tiff(samples, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def error_of(function, *args, **kwargs):
    """Call, and return the message of the UserError it must raise: one printable line."""
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert message.isprintable()
    return message


# ---- modes and depths


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


# ---- orientation, colour, alpha


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


# ---- sizes


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
    assert f"size of {advice} or more" in message
    assert min(images.read(tmp_path / "strip.png", size=int(advice)).pixels.shape[:2]) == images.MIN_SIDE


@pytest.mark.parametrize(("shape", "size"), [((10, 20000), None), ((10, 20000), 512), ((1, 1), None), ((1, 1), 512)])
def test_too_little_is_refused_at_any_size(tmp_path, shape, size):
    Image.new("L", shape[::-1]).save(tmp_path / "little.png")
    message = error_of(images.read, tmp_path / "little.png", size=size)
    assert f"expected a short side of 32 px or more, found {shape[0]} px" in message


def test_enormous_result_is_refused(tmp_path):
    Image.new("L", (40, 40)).save(tmp_path / "picture.png")
    assert "give a smaller size" in error_of(images.read, tmp_path / "picture.png", size=10**9)


# ---- what cannot be read


def test_missing_file_suggests_its_neighbours(tmp_path):
    (tmp_path / "tuebingen.jpg").touch()
    assert "did you mean tuebingen.jpg?" in error_of(images.read, tmp_path / "tubingen.jpg")
    assert "no such file" in error_of(images.read, tmp_path / "folder" / "tubingen.jpg")


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
    assert all(format_ in message for format_ in images.READABLE)


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


def exif_block():
    exif = Image.Exif()
    exif.update({ExifTags.Base.Make: "Maker", ExifTags.Base.Orientation: 6, ExifTags.Base.ImageDescription: "A view"})
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ExposureTime: 0.01, ExifTags.Base.DateTimeOriginal: "2020:01:01 00:00:00"}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (48.0, 31.0, 12.0)}
    return exif.tobytes()


def encoded(suffix, picture):
    exif = Image.Exif()
    exif.load(picture.exif)
    rgba = np.dstack([picture.pixels, picture.alpha])
    encode, _ = images._ENCODERS[suffix]
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


def test_oversized_file_is_not_opened(tmp_path):
    with (tmp_path / "picture.png").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    assert f"{images.MAX_BYTES + 1:,} bytes" in error_of(images.read, tmp_path / "picture.png")


# ---- EXIF


@pytest.mark.parametrize("source", [*LOSSLESS, ".jpg", "deep .tif"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exif_is_carried_along(tmp_path, source, suffix):
    original = tmp_path / f"original{source.split()[-1]}"
    images.write(original, images.Picture(RED, None, exif_block()), bits=16 if "deep" in source else 8)
    picture = images.read(original)
    images.write(tmp_path / f"copy{suffix}", picture)
    with Image.open(tmp_path / f"copy{suffix}") as image:
        exif = image.getexif()
        assert exif[ExifTags.Base.Make] == "Maker"
        assert exif[ExifTags.Base.ImageDescription] == "A view"
        assert exif.get(ExifTags.Base.Orientation, 1) == 1
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] == pytest.approx(0.01)
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (48, 31, 12)


def test_exif_leaves_behind_what_is_outdated(tmp_path):
    exif = Image.Exif()
    exif.load(exif_block())
    exif[ExifTags.Base.XResolution] = 300.0
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.MakerNote: b"note" * 99, ExifTags.Base.ExifImageWidth: 40}
    block = exif.tobytes()
    thumbnail = struct.pack(">HHHII", 1, 0x0201, 4, 1, 0) + bytes(4)
    (count,) = struct.unpack_from(">H", block, 14)
    link = 16 + 12 * count
    block = block[:link] + struct.pack(">I", len(block) - 6) + block[link + 4 :] + thumbnail
    Image.new("RGB", (40, 40)).save(tmp_path / "picture.jpg", exif=block)
    with Image.open(tmp_path / "picture.jpg") as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)
    read = Image.Exif()
    read.load(images.read(tmp_path / "picture.jpg").exif)
    assert ExifTags.Base.XResolution not in read
    assert ExifTags.Base.Make in read
    assert not read.get_ifd(ExifTags.IFD.Exif)
    assert not read.get_ifd(ExifTags.IFD.IFD1)


@pytest.mark.filterwarnings("ignore:Truncated", "ignore:Corrupt")
@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0nonsense", exif_block()[:40], b"Exif\0\0MM\0*\xff\xff\xff\xff"]
)
def test_broken_exif_is_ignored(tmp_path, block):
    Image.new("RGB", (40, 40)).save(tmp_path / "picture.jpg", exif=block)
    assert images.read(tmp_path / "picture.jpg").pixels.shape == (40, 40, 3)


def test_giant_exif_is_left_out(tmp_path, caplog):
    exif = Image.Exif()
    exif.update({ExifTags.Base.Artist: "x" * 50_000, ExifTags.Base.Orientation: 6})
    Image.new("RGB", (40, 60)).save(tmp_path / "picture.jpg", exif=exif)
    picture = images.read(tmp_path / "picture.jpg")
    assert picture.exif == b""
    assert picture.pixels.shape == (40, 60, 3)  # the orientation counts none the less
    assert "EXIF" in caplog.text


def test_no_exif_is_empty(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "picture.png")
    assert images.read(tmp_path / "picture.png").exif == b""


# ---- writing


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("alpha", [None, smooth(40, 50, 1)[..., 0]], ids=["opaque", "alpha"])
def test_pillow_reads_what_is_written(tmp_path, suffix, alpha):
    pixels = smooth(40, 50)
    images.write(tmp_path / f"picture{suffix}", images.Picture(pixels, alpha))
    with Image.open(tmp_path / f"picture{suffix}") as image:
        read = np.asarray(image)
        assert image.info["icc_profile"] == images.SRGB_PROFILE
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
        assert image.info["icc_profile"] == images.SRGB_PROFILE


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


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("settings", [{"style": "Tübingen ★\n\0", "weights": [1e-3, None, True]}, {}])
def test_settings(tmp_path, suffix, settings):
    path = tmp_path / f"picture{suffix}"
    images.write(path, images.Picture(RED, None, exif_block()), settings=settings)
    assert images.read_settings(path) == settings
    with Image.open(path) as image:
        exif = image.getexif()
        assert json.dumps(settings) in exif[ExifTags.Base.ImageDescription]
        assert exif[ExifTags.Base.Make] == "Maker"
        if suffix == ".png":
            assert json.loads(image.text["nst_jax"]) == settings


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_settings(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    images.write(path, images.Picture(RED, None, exif_block()))
    assert images.read_settings(path) is None
    images.write(path, images.Picture(RED), settings={"a": 1})
    images.write(path, images.read(path))
    assert images.read_settings(path) is None  # those of the source are not those of its copy


def test_settings_of_others_are_not_ours(tmp_path):
    for samples in (np.zeros((40, 40, 3), np.uint8), smooth(40, 40)):
        (tmp_path / "picture.tif").write_bytes(tiff(samples, photometric="rgb"))  # describes the shape in JSON
        assert images.read_settings(tmp_path / "picture.tif") is None


def test_settings_too_long_for_jpeg(tmp_path):
    message = error_of(images.write, tmp_path / "a.jpg", images.Picture(RED), settings={"a": "x" * 70_000})
    assert ".png" in message
    images.write(tmp_path / "a.png", images.Picture(RED), settings={"a": "x" * 70_000})
    assert not (tmp_path / "a.jpg").exists()


def test_picture_too_wide_for_webp(tmp_path):
    message = error_of(images.write, tmp_path / "a.webp", images.Picture(np.zeros((1, 16384, 3), np.float32)))
    assert "16384 × 1" in message


def test_nan_is_not_written(tmp_path):
    assert "NaN" in error_of(images.write, tmp_path / "a.png", images.Picture(np.full((40, 40, 3), np.nan)))
    assert not list(tmp_path.iterdir())


# ---- where to write


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


def test_atomic_write_of_text(tmp_path):
    with images.atomic_write(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        file.write("a,ü\r\n")
        assert not (tmp_path / "a.csv").exists()
    assert (tmp_path / "a.csv").read_bytes() == "a,ü\r\n".encode()


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch, function):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(os, function, full)
    assert "No space left" in error_of(images.write, tmp_path / "a.png", images.Picture(RED))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_interruption_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    writing = images.atomic_write(tmp_path / "a.txt")
    writing.__enter__().write(b"new")
    assert writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is not True
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def run_writer(path, body):
    script = f"import os, resource, signal, sys\nfrom nst_jax.io import images\n{body}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", script, path], env=environment, capture_output=True, text=True)


def test_file_that_cannot_grow_leaves_the_old_one(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    limited = run_writer(
        tmp_path / "a.txt",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "with images.atomic_write(sys.argv[1]) as file:\n"
        "    file.write(bytes(1_000_000))\n",
    )
    assert "UserError" in limited.stderr.splitlines()[-1]
    assert "File too large" in limited.stderr.splitlines()[-1]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_killed_writer_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    killed = run_writer(
        tmp_path / "a.txt",
        "with images.atomic_write(sys.argv[1]) as file:\n"
        "    file.write(bytes(1_000_000))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "a.txt").read_bytes() == b"old"
