"""Images that were uploaded."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from experiments.studios import uploads
from experiments.studios.uploads import Uploads, shown_name
from nst_jax.errors import UserError
from nst_jax.io import files


@pytest.fixture
def kept(tmp_path):
    return Uploads(tmp_path / "images")


def png(seed=0, shape=(40, 60), **options):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def keep(into, data, name="picture.png", *, is_map=False, used=()):
    with into.part() as part:
        part.write(data)
        return into.keep(part, name, is_map=is_map, used=used)


def names(into):
    return sorted(path.name for path in into._folder.iterdir())


def test_an_image_is_kept_by_what_it_holds(kept):
    first, again = keep(kept, png()), keep(kept, png(), "other.png")
    assert first.id == again.id
    assert (again.name, again.width, again.height) == ("other.png", 60, 40)
    assert kept.path(first.id).read_bytes() == png()
    assert keep(kept, png(1)).id != first.id
    with Image.open(io.BytesIO(kept.view(first.id, 100))) as view:
        assert view.size == (60, 40)
    # Another server finds the same.
    assert Uploads(kept._folder).image(first.id) == again


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\x.png", "/abs/olute.png", "a\x00b\n.png", "", "x" * 5000, "CON", "<script>"]
)
def test_no_name_becomes_a_path(name, kept):
    image = keep(kept, png(), name)
    assert all(re.fullmatch(r"[0-9a-f]{24}(\.json|-\d+\.jpg)?", found) for found in names(kept))
    assert "/" not in image.name
    assert image.name.isprintable()
    assert 0 < len(image.name) <= uploads.LONGEST_NAME + 1
    assert shown_name(name) == image.name


def test_an_image_is_upright(kept):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image = keep(kept, png(exif=exif))
    assert (image.width, image.height) == (40, 60)


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", png()[:-40], b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", png(shape=(20, 60))],
    ids=range(6),
)
def test_what_is_no_picture_leaves_nothing(data, kept):
    with pytest.raises(UserError) as refused:
        keep(kept, data)
    assert str(kept._folder) not in str(refused.value), "folders are nobody's business"
    assert names(kept) == []


def test_pixels_are_counted_before_they_are_decoded(kept, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_PIXELS", 40 * 60 - 1)
    monkeypatch.setattr(uploads.images, "read", None)
    monkeypatch.setattr(uploads.region_maps, "read", None)
    for is_map in (False, True):
        with pytest.raises(UserError, match="pixels at most"):
            keep(kept, png(), is_map=is_map)


def test_a_map_says_its_colours(kept):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :15] = (255, 128, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    found = keep(kept, buffer.getvalue(), is_map=True)
    assert found.colours == [("#ff8000", 0.25), ("#000000", 0.75)]
    assert keep(kept, buffer.getvalue()).id != found.id, "the same file as a photograph is another image"
    with pytest.raises(UserError, match="16"):
        keep(kept, png(), is_map=True)


@pytest.mark.parametrize("identity", ["", "..", "../images", "0" * 24, "0" * 23 + "/", "sample-contents-x", "g" * 24])
def test_unknown_images_are_not_there(identity, kept):
    for ask in (kept.path, kept.image, lambda identity: kept.view(identity, 256)):
        with pytest.raises(LookupError):
            ask(identity)


def test_samples_are_there(kept):
    found = kept.samples()
    assert found["contents"][0].width == 512
    assert len(found["styles"]) >= 4
    assert kept.view(found["styles"][0].id, 256)[:2] == b"\xff\xd8"


def test_a_thousand_uploads_leave_what_there_is_room_for(kept, monkeypatch):
    """The oldest go, but those that a run has; and what has no room beside these is refused."""
    monkeypatch.setattr(files.os, "fsync", lambda _: None)
    monkeypatch.setattr(uploads, "MOST_STORED", 20 * len(png(shape=(32, 32))))
    first = keep(kept, png(shape=(32, 32)))
    for seed in range(1, 1000):
        image = keep(kept, png(seed, (32, 32)), used=[first.id])
    pictures = [name for name in names(kept) if "." not in name]
    assert len(pictures) <= 20
    assert {first.id, image.id} <= set(pictures)
    assert len(names(kept)) <= 20 * 3
    with pytest.raises(UserError, match="remove some runs"):
        keep(kept, png(2000), used=pictures)


def test_what_was_on_its_way_is_gone(kept):
    with kept.part() as part:
        part.write(b"of a browser that has gone")
    (kept._folder / "left.part").write_bytes(b"of a server that was killed")
    Uploads(kept._folder)
    assert names(kept) == []
