"""EXIF and settings: what is carried along, what is left behind."""

import json
import struct

import numpy as np
import pytest
from image_files import LOSSLESS, RED, SUFFIXES, exif_block, smooth, tiff
from PIL import ExifTags, Image

from nst_jax.io import images
from nst_jax.io.image_metadata import as_block, with_known_types

pytestmark = pytest.mark.quick


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


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_texts_of_exif_keep_their_bytes(tmp_path, suffix, encoding):
    """Cameras and editors write UTF-8, which EXIF 2 forbids; Pillow reads every byte as a character of Latin-1."""
    main = {ExifTags.Base.Artist: "Jürgen Müller", ExifTags.Base.Copyright: "© été\0ñ", ExifTags.Base.Software: "ö"}
    within = {ExifTags.Base.CameraOwnerName: "Renée", ExifTags.Base.LensModel: "Größe"}

    def read_as_latin(texts):
        return {tag: text.encode(encoding).decode("latin-1") for tag, text in texts.items()}

    exif = Image.Exif()
    exif.update(read_as_latin(main))
    exif[ExifTags.IFD.Exif] = read_as_latin(within)
    images.write(tmp_path / "first.jpg", images.Picture(RED, None, as_block(exif)))
    images.write(tmp_path / f"second{suffix}", images.read(tmp_path / "first.jpg"), settings={"a": 1})
    with Image.open(tmp_path / f"second{suffix}") as image:
        found = image.getexif()
        assert {tag: found[tag] for tag in main} == read_as_latin(main)
        assert dict(found.get_ifd(ExifTags.IFD.Exif)) == read_as_latin(within)
    for text in (*main.values(), *within.values()):
        assert text.encode(encoding) in (tmp_path / f"second{suffix}").read_bytes()


def directory(order, start, *entries):
    """A directory of EXIF that begins at `start`: (tag, type, bytes or number), with the bytes behind it."""
    head, body = struct.pack(f"{order}H", len(entries)), b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        place = value if isinstance(value, int) else behind + len(body)
        head += struct.pack(f"{order}HHII", tag, kind, 1 if isinstance(value, int) else len(value), place)
        body += b"" if isinstance(value, int) else value
    return head + bytes(4) + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_utf8_texts_of_exif_3(tmp_path, order, format_):
    artist, owner = "Jürgen Müller\0".encode(), "Renée Ü\0".encode()
    second = directory(order, 200, (ExifTags.Base.CameraOwnerName, 129, owner))
    first = directory(order, 8, (ExifTags.Base.Artist, 129, artist), (ExifTags.IFD.Exif, 4, 200))
    mark = {"<": b"II", ">": b"MM"}[order]
    block = mark + struct.pack(f"{order}HI", 42, 8) + first
    Image.new("RGB", (40, 40)).save(tmp_path / "a", format_, exif=b"Exif\0\0" + block.ljust(200, b"\0") + second)
    images.write(tmp_path / "b.jpg", images.read(tmp_path / "a"))
    with Image.open(tmp_path / "b.jpg") as image:
        exif = image.getexif()
        assert exif[ExifTags.Base.Artist].encode("latin-1") + b"\0" == artist
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.CameraOwnerName].encode("latin-1") + b"\0" == owner


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 13, 20, 30])
def test_cut_blocks_of_exif_3(length):
    block = b"II*\0\x08\0\0\0" + directory("<", 8, (ExifTags.IFD.Exif, 4, 8), (ExifTags.Base.Artist, 129, b"abcdef"))
    assert len(with_known_types(block[:length])) == length
    assert with_known_types(block)[24] == 2  # and a directory that leads to itself ends
