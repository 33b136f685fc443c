"""Animations, decoded again: which frames, how long, in what order, and what is refused."""

import weakref

import numpy as np
import pytest
from PIL import Image, ImageSequence

from experiments.showing import animation
from experiments.showing.animation import check_animation, there_and_back, write_animation
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

COLOURS = [(200, 30, 30), (30, 160, 40), (40, 50, 210), (230, 220, 40)]
SUFFIXES = pytest.mark.parametrize("suffix", [".gif", ".webp", ".GIF"])


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(len(COLOURS))]
    for path, colour in zip(paths, COLOURS, strict=True):
        Image.new("RGB", (64, 40), colour).save(path)
    return paths


def frames(path):
    """The mean colour and the milliseconds of each frame, and how often all are shown (0: for ever)."""
    with Image.open(path) as image:
        assert image.format == path.suffix[1:].upper()
        assert image.size == (64, 40)
        shown = []
        for frame in ImageSequence.Iterator(image):
            colour = np.asarray(frame.convert("RGB")).mean(axis=(0, 1))
            shown.append((colour, frame.info["duration"]))
        return [colour for colour, _ in shown], [duration for _, duration in shown], image.info["loop"]


@SUFFIXES
def test_pictures_follow_each_other(pictures, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_animation(path, there_and_back(pictures), seconds_per_picture=0.35)
    colours, durations, loop = frames(path)
    np.testing.assert_allclose(colours, [COLOURS[index] for index in (0, 1, 2, 3, 2, 1)], atol=4)
    assert durations == [350] * 6
    assert loop == 0


@SUFFIXES
def test_cross_fades(pictures, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_animation(path, pictures[:3], seconds_per_picture=0.5, cross_fade=0.12)
    colours, durations, _ = frames(path)
    assert durations == [500, 40, 40, 40] * 3
    shares = np.array([[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    expected = np.concatenate([shares @ [COLOURS[index], COLOURS[(index + 1) % 3]] for index in range(3)])
    np.testing.assert_allclose(colours, expected, atol=4)


def test_there_and_back():
    assert [there_and_back("abcd"[:count]) for count in range(5)] == [
        [],
        ["a"],
        ["a", "b"],
        ["a", "b", "c", "b"],
        ["a", "b", "c", "d", "c", "b"],
    ]


@SUFFIXES
def test_one_picture(pictures, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_animation(path, pictures[1:2], cross_fade=1.0)
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 1
        np.testing.assert_allclose(np.asarray(image.convert("RGB")).mean(axis=(0, 1)), COLOURS[1], atol=4)


@pytest.fixture
def gradients(tmp_path):
    """Pictures of many colours, the upper half the same in all."""
    x, y = np.meshgrid(np.linspace(0, 1, 160), np.linspace(0, 1, 120))
    sky = np.stack([0.3 + 0.2 * x, 0.5 + 0.2 * y, 0.9 - 0.3 * x * y], axis=-1)
    paths = []
    for number in range(6):
        pixels = sky.copy()
        pixels[60:] = np.stack([x, y, np.full_like(x, number / 5)], axis=-1)[60:]
        paths.append(tmp_path / f"gradient{number}.png")
        Image.fromarray((pixels * 255).astype(np.uint8)).save(paths[-1])
    return paths


def test_a_gif_neither_flickers_nor_has_bands(gradients, tmp_path):
    path = tmp_path / "out.gif"
    write_animation(path, gradients, seconds_per_picture=0.1)
    with Image.open(path) as image:
        shown = [np.asarray(frame.convert("RGB"), float) for frame in ImageSequence.Iterator(image)]
    assert len(shown) == 6
    for frame, source in zip(shown, gradients, strict=True):
        np.testing.assert_array_equal(frame[:60], shown[0][:60])  # not a dot changes where nothing does
        with Image.open(source) as image:
            wanted = np.asarray(image, float)
        # From where dots cannot be told apart, its colours are right.
        blurred = [part.reshape(15, 8, 20, 8, 3).mean(axis=(1, 3)) for part in (frame, wanted)]
        assert np.sqrt(np.mean((blurred[0] - blurred[1]) ** 2)) < 4


def test_webp_is_close(gradients, tmp_path):
    path = tmp_path / "out.webp"
    write_animation(path, gradients, seconds_per_picture=0.1)
    with Image.open(path) as image, Image.open(gradients[0]) as first:
        difference = np.asarray(image.convert("RGB"), float) - np.asarray(first, float)
    assert np.sqrt(np.mean(difference**2)) < 4


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_few_pictures_are_in_memory(pictures, tmp_path, monkeypatch, suffix):
    open_picture = animation.open_picture
    made, alive = [], []

    def counted(path):
        alive.append(sum(reference() is not None for reference in made))
        picture = open_picture(path)
        made.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr(animation, "open_picture", counted)
    write_animation(tmp_path / f"out{suffix}", pictures * 5, seconds_per_picture=0.1, cross_fade=0.1)
    assert len(made) > 20
    assert max(alive) <= 3


def test_unknown_suffixes_are_told_before_anything_is_read(tmp_path):
    for name in ("out.mp4", "out", "gif"):
        with pytest.raises(UserError, match=r"expected one of the suffixes \.gif, \.webp, found (\.mp4|none)"):
            write_animation(tmp_path / name, [tmp_path / "none.png"])
        with pytest.raises(UserError, match="expected one of the suffixes"):
            check_animation(tmp_path / name)
    check_animation(tmp_path / "a folder to come" / "out.WebP")


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_what_is_refused(pictures, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    path.write_text("old")
    Image.new("RGB", (64, 41)).save(tmp_path / "high.png")
    with pytest.raises(UserError, match=r"high\.png: expected 64 × 40 px like .*0\.png, found 64 × 41 px"):
        write_animation(path, [*pictures, tmp_path / "high.png"])
    with pytest.raises(UserError, match="found none"):
        write_animation(path, [])
    with pytest.raises(UserError, match=r"none\.png: no such file"):
        write_animation(path, [*pictures, tmp_path / "none.png"])
    for seconds in (0.0, -1.0, 0.004, 655.36, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"expected seconds from 0\.01 to 655\.35, found"):
            write_animation(path, pictures, seconds_per_picture=seconds)
    for seconds in (-0.1, float("nan"), 1e9):
        with pytest.raises(UserError, match=r"expected seconds from 0 to 655\.35, found"):
            write_animation(path, pictures, cross_fade=seconds)
    with pytest.raises(UserError, match="expected the folder"):
        write_animation(tmp_path / "none" / path.name, pictures)
    assert path.read_text() == "old"


@pytest.mark.parametrize(("suffix", "width"), [(".gif", 65_600), (".webp", 16_400)])
def test_pictures_too_large_for_the_format(tmp_path, suffix, width):
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        Image.new("L", (width, 32), 100 * number).save(path)
    with pytest.raises(UserError, match=rf"2 frames of {width} × 32 px do not fit this format .*: choose another of"):
        write_animation(tmp_path / f"out{suffix}", paths)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_is_written_whole_or_not_at_all(pictures, tmp_path, full_disk, suffix):
    path = tmp_path / f"out{suffix}"
    path.write_text("old")
    before = {*tmp_path.iterdir()}

    with full_disk(), pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        write_animation(path, pictures)
    assert path.read_text() == "old"
    assert {*tmp_path.iterdir()} == before
    write_animation(path, pictures)
    assert {*tmp_path.iterdir()} == before
    assert path.read_bytes()[:4] in (b"GIF8", b"RIFF")
