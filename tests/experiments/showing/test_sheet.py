"""Sheets as anyone sees them: which picture is where, found by its colour, and that nothing covers it."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from experiments.showing import sheet as sheets
from experiments.showing import thumbnails as reading
from experiments.showing.sheet import Heading, Tile, draw_freely, draw_grid, write_sheet
from experiments.showing.text import typeset
from experiments.showing.thumbnails import Thumbnails
from nst_jax.errors import UserError, one_line
from nst_jax.io import files

pytestmark = pytest.mark.quick

SIZE = (48, 32)
GREY = (236, 236, 236)
HOSTILE = (
    *(
        "",
        " ",
        "a" * 5000,
        "word " * 500,
        "/a/path/with/many/folders/" * 20,
        "new\nline\tand\0null",
        "\ud800",
        "<b>&$x_1$",
    ),
    *("Z" + "̴̷͑̈" * 60, "שלום عليكم", "\u202eright to left", "日本語", "🎨", "10⁻⁵ × ½…", "e" + "́" * 900),
)


def colour(number: int) -> tuple[int, int, int]:
    """A colour for each number below 216, none of them a grey of the sheet."""
    return tuple(20 + 40 * (number // 6**channel % 6) + channel for channel in range(3))


@pytest.fixture
def picture(tmp_path):
    """Makes a picture of one colour."""

    def make(number, size=SIZE):
        path = tmp_path / f"{number}-{size[0]}x{size[1]}.png"
        if not path.exists():
            Image.new("RGB", size, colour(number)).save(path)
        return path

    return make


@pytest.fixture
def cell(picture):
    def make(number, place, size=SIZE, status="finished", **more):
        finished = status == "finished"
        path = picture(number, size)
        return {
            "name": f"{number:03d}",
            "place": list(place),
            "status": status,
            "picture": path.name if finished else None,
            "sha256": files.sha256(path) if finished else None,
            "width": size[0],
            "height": size[1],
            **more,
        }

    return make


def manifest(cells, axes, rows=(), cols=(), title=""):
    named = [{"name": name, "values": list(values)} for name, values in axes.items()]
    return {"title": title, "axes": named, "rows": list(rows), "cols": list(cols), "cells": cells}


def grid(cell, axes, size=SIZE):
    places = itertools.product(*(range(len(values)) for values in axes.values()))
    return [cell(number, place, size) for number, place in enumerate(places)]


def pixels(path):
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def box(sheet, wanted):
    """The (left, top, width, height) of all pixels of a colour, which must be a full rectangle."""
    y, x = np.nonzero((sheet == wanted).all(axis=-1))
    assert y.size, f"no {wanted}"
    left, top, width, height = x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1
    assert y.size == width * height, f"{wanted} is covered in part"
    return int(left), int(top), int(width), int(height)


def ink(sheet, left, top, width, height):
    return int((sheet[top : top + height, left : left + width].max(axis=-1) < 100).sum())


def test_every_picture_is_at_its_place(cell, tmp_path):
    axes = {"style_weight": ["1", "10", "50", "250"], "style": ["starry_night", "scream", "flow"]}
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(grid(cell, axes), axes, ["style"], ["style_weight"], "Tübingen × 3"))
    sheet = pixels(path)
    boxes = {place: box(sheet, colour(3 * place[0] + place[1])) for place in itertools.product(range(4), range(3))}
    assert {found[2:] for found in boxes.values()} == {SIZE}
    lefts = [boxes[column, 0][0] for column in range(4)]
    tops = [boxes[0, row][1] for row in range(3)]
    assert all(boxes[column, row][:2] == (lefts[column], tops[row]) for column, row in boxes)
    assert len({*np.diff(lefts) - SIZE[0], *np.diff(tops) - SIZE[1]}) == 1
    assert 0 < lefts[1] - lefts[0] - SIZE[0] < 6
    for column in range(4):
        assert ink(sheet, lefts[column], tops[0] - 20, SIZE[0], 20)
    for row in range(3):
        assert ink(sheet, 0, tops[row], lefts[0], SIZE[1])
    assert (sheet[:5] == 255).all()
    assert (sheet[-5:] == 255).all()


def test_axes_in_no_list_become_rows(cell, tmp_path):
    axes = {"init": ["content", "noise"], "style_weight": ["1", "2", "3"], "pooling": ["max", "average"], "seed": ["7"]}
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(grid(cell, axes), axes, ["pooling"], ["style_weight"]))
    sheet = pixels(path)
    found = {}
    for number, place in enumerate(itertools.product(range(2), range(3), range(2), range(1))):
        left, top, *size = box(sheet, colour(number))
        assert tuple(size) == SIZE
        found[place] = left, top
    for init, weight, pooling, _ in found:
        assert found[init, weight, pooling, 0] == (found[0, weight, 0, 0][0], found[init, 0, pooling, 0][1])
    tops = [found[init, 0, pooling, 0][1] for pooling in range(2) for init in range(2)]
    assert tops == sorted(tops)
    between, groups, _ = np.diff(tops) - SIZE[1]
    assert groups == 3 * between > 0  # those with equal `pooling` are nearer to each other
    assert ink(sheet, 0, tops[-1] + SIZE[1], sheet.shape[1], 100)  # seed = 7


def test_columns_of_two_axes(cell, tmp_path):
    axes = {"style": ["a", "b"], "weight": ["1", "2", "3"]}
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(grid(cell, axes), axes, cols=["style", "weight"]))
    boxes = [box(pixels(path), colour(number)) for number in range(6)]
    assert len({top for _, top, *_ in boxes}) == 1
    gaps = np.diff([left for left, *_ in boxes]) - SIZE[0]
    assert (gaps == gaps[0] * np.array([1, 1, 3, 1, 1])).all()


def test_without_axes_there_is_one_picture(cell, tmp_path):
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest([cell(7, [])], {}))
    height, width, _ = pixels(path).shape
    left, top, *size = box(pixels(path), colour(7))
    assert tuple(size) == SIZE
    assert (2 * left + SIZE[0], 2 * top + SIZE[1]) == (width, height)
    assert ink(pixels(path), 0, 0, width, top) == 0
    write_sheet(path, manifest([cell(7, [])], {}, title="A title"))
    left, top, *_ = box(pixels(path), colour(7))
    assert ink(pixels(path), 0, 0, width, top)


def test_a_sweep_of_nothing(tmp_path):
    write_sheet(tmp_path / "sheet.png", manifest([], {}, title="nothing yet"))
    assert (pixels(tmp_path / "sheet.png") != GREY).any()


@pytest.mark.parametrize(("width", "height"), [(640, 400), (300, 720)])
@pytest.mark.parametrize("longest", [300, 999])
def test_a_sheet_is_no_longer_than_wanted(cell, tmp_path, width, height, longest):
    axes = {"one": list("abcd"), "two": list("abc")}
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(grid(cell, axes, (width, height)), axes, ["one"], ["two"], "A title"), longest=longest)
    sheet = pixels(path)
    assert 0.9 * longest < max(sheet.shape) <= longest
    sizes = {box(sheet, colour(number))[2:] for number in range(12)}
    ((found_width, found_height),) = sizes
    assert found_width < width
    assert found_height == pytest.approx(found_width * height / width, abs=1)


def test_other_sizes_are_neither_distorted_nor_enlarged(cell, tmp_path):
    sizes = [(120, 80), (60, 100), (40, 40)]
    axes = {"size": ["wide", "high", "small"]}
    cells = [cell(number, [number], size) for number, size in enumerate(sizes)]
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(cells, axes, cols=["size"]))
    boxes = [box(pixels(path), colour(number)) for number in range(3)]
    assert [found[2:] for found in boxes] == sizes
    middles = [(left + width / 2, top + height / 2) for left, top, width, height in boxes]
    assert {y for _, y in middles} == {middles[0][1]}
    steps = np.diff([x for x, _ in middles])
    assert steps[0] == steps[1] > 120
    write_sheet(path, manifest(cells, axes, cols=["size"]), longest=250)
    for number, (width, height) in enumerate(sizes):
        *_, found_width, found_height = box(pixels(path), colour(number))
        assert found_width <= width
        assert found_width / found_height == pytest.approx(width / height, abs=0.1)


def test_details_are_averaged_not_dropped(picture, tmp_path):
    lines = np.zeros((400, 400, 3), np.uint8)
    lines[::2] = 255
    Image.fromarray(lines).save(tmp_path / "lines.png")
    draw_freely(tmp_path / "sheet.png", [((0, 0), Tile(tmp_path / "lines.png"))], longest=120)
    sheet = pixels(tmp_path / "sheet.png").astype(int)
    middle = sheet[len(sheet) // 2 - 20 :][:40, len(sheet) // 2 - 20 :][:, :40]
    assert abs(middle - 127.5).max() < 3


def test_what_is_not_finished(cell, tmp_path):
    axes = {"one": list("abc"), "two": list("ab")}
    cells = [
        cell(0, (0, 0)),
        cell(1, (1, 0), (200, 130), status="unfinished", width=None, height=None),
        cell(2, (2, 0), (200, 130), status="failed", error="diverged"),
        cell(3, (0, 1), (200, 130)),
        cell(4, (2, 1), (200, 130)),
    ]
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(cells, axes, ["two"], ["one"]))
    sheet = pixels(path)
    third, fourth = box(sheet, colour(3)), box(sheet, colour(4))
    left, top, *_ = box(sheet, colour(0))
    assert (left + 24, top + 16) == (third[0] + 100, top + 16)  # in the middle of its tile
    across, up = (fourth[0] - third[0]) // 2, third[1] - (top + 16 - 65)
    unfinished = sheet[third[1] - up :][:130, third[0] + across :][:, :200]
    assert (unfinished == GREY).all()
    failed = sheet[third[1] - up :][:130, fourth[0] :][:, :200]
    assert (failed[[0, -1]] == GREY).all()
    assert (failed[:, [0, -1]] == GREY).all()
    assert 50 < (failed.max(axis=-1) < 160).sum() < 2000  # a word
    missing = sheet[third[1] :][:130, third[0] + across :][:, :200]
    assert (missing == 255).all()


@pytest.mark.parametrize("size", [(150, 100), (None, None)])
def test_what_cannot_be_read(cell, tmp_path, size):
    cells = [cell(number, [number], (150, 100)) for number in range(3)]
    (tmp_path / cells[1]["picture"]).write_bytes(b"no picture")
    cells[1] |= {"width": size[0], "height": size[1], "sha256": "1" * 64}
    cells[2] |= {"picture": "none.png", "sha256": "2" * 64}
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(cells, {"one": list("abc")}, cols=["one"]))
    sheet = pixels(path)
    left, top, *_ = box(sheet, colour(0))
    for column in (1, 2):
        tile = sheet[top:][:100, left + column * (150 + 4) :][:, :150]
        assert (tile[[0, -1]] == GREY).all()
        assert (tile[:, [0, -1]] == GREY).all()
        assert 50 < (tile.max(axis=-1) < 160).sum() < 2000  # a word
    with pytest.raises(UserError, match=r"1-150x100\.png: expected a whole picture"):
        draw_grid(path, {(0, 0): Tile(tmp_path / "1-150x100.png")})


def test_nothing_is_finished(cell, tmp_path):
    axes = {"one": list("abc")}
    cells = [cell(n, [n], status="unfinished", width=None, height=None) for n in range(3)]
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(cells, axes, cols=["one"]))
    grey = (pixels(path) == GREY).all(axis=-1).sum() - 3 * math.prod(sheets._UNKNOWN)
    assert 0 <= grey < 10  # borders of letters


def test_thousands_of_cells(cell, tmp_path):
    axes = {
        "style_weight": [f"{1.1**n:.4g}" for n in range(50)],
        "content_weight": [f"{1.2**n:.4g}" for n in range(40)],
    }
    cells = [cell((3 * row + 5 * column) % 20, (row, column)) for row in range(50) for column in range(40)]
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(cells, axes, ["style_weight"], ["content_weight"], "many"), longest=1300)
    sheet = pixels(path)
    assert 1200 < max(sheet.shape) <= 1300
    numbers = np.full(sheet.shape[:2], -1)
    for number in range(20):
        numbers[(sheet == colour(number)).all(axis=-1)] = number
    assert (numbers >= 0).mean() > 0.6
    # Along a row and a column the colours follow in the order of the cells.
    row = numbers[np.nonzero((numbers >= 0).sum(axis=1) > 700)[0][3]]
    column = numbers[:, np.nonzero((numbers >= 0).sum(axis=0) > 600)[0][3]]
    assert [number for number, _ in itertools.groupby(row[row >= 0])] == [5 * index % 20 for index in range(40)]
    assert [number for number, _ in itertools.groupby(column[column >= 0])] == [3 * index % 20 for index in range(50)]


@pytest.mark.parametrize("side", ["rows", "cols"])
def test_thousands_in_one_line(cell, tmp_path, side):
    axes = {"style_weight": [f"{1.01**n:.4g}" for n in range(2000)]}
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest([cell(n % 7, [n]) for n in range(2000)], axes, **{side: ["style_weight"]}))
    sheet = pixels(path)
    assert 2000 < max(sheet.shape) <= 6000
    assert sum((sheet == colour(number)).all(axis=-1).sum() for number in range(7)) >= 2000
    with pytest.raises(UserError, match=r"at most 1500 px, found .* pictures with their headings: draw fewer"):
        write_sheet(tmp_path / "no.png", manifest([], axes, **{side: ["style_weight"]}), longest=1500)
    assert not (tmp_path / "no.png").exists()


@pytest.mark.parametrize("side", ["rows", "cols"])
@pytest.mark.parametrize("longest", [400, 3000])
def test_no_label_covers_a_picture(cell, tmp_path, side, longest):
    axes = {f"axis {HOSTILE[3]}": HOSTILE}
    path = tmp_path / "sheet.png"
    cells = [cell(number, [number], (150, 100)) for number in range(len(HOSTILE))]
    write_sheet(path, manifest(cells, axes, **{side: list(axes)}, title=HOSTILE[2]), longest=longest)
    sheet = pixels(path)
    assert max(sheet.shape) <= longest
    assert len({box(sheet, colour(number))[2:] for number in range(len(HOSTILE))}) == 1
    assert (sheet[[0, -1]] == 255).all()
    assert (sheet[:, [0, -1]] == 255).all()


@given(
    text=st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs", "Cc"]), max_size=120)
    | st.sampled_from(HOSTILE),
    width=st.integers(30, 400),
    most=st.integers(1, 4),
)
def test_lines_fit(text, width, most):
    found = typeset(text, width, size=12, most_lines=most)
    assert len(found.lines) <= most
    assert found.extent <= width
    whole, shown = ("".join(part.split()) for part in (one_line(text, longest=1000), "".join(found.lines)))
    cuts = [index for index, sign in enumerate(shown) if sign == "…"]
    assert shown == whole or len(found.lines) == most
    assert shown == whole or any(whole.startswith(shown[:at]) and whole.endswith(shown[at + 1 :]) for at in cuts)


def test_lines_break_where_words_do():
    assert typeset("a starry_night for style_layer_weights", 90, size=12, most_lines=9).lines == (
        "a starry_night",
        "for style_",
        "layer_weights",
    )


@pytest.fixture
def triangle(cell):
    cells = []
    for row in range(5):
        for index in range(row + 1):
            at = [index - row / 2 + 7, 0.9 * row - 3]
            caption = f"{row - index} starry_night {index} the_scream {4 - row} a wave"
            cells.append(cell(len(cells), [len(cells)], (128, 96), at=at, caption=caption))
    return manifest(cells, {"blend": [str(number) for number in range(15)]}, cols=["blend"], title="Blends")


@pytest.mark.parametrize("longest", [500, 6000])
def test_free_positions(triangle, tmp_path, longest):
    path = tmp_path / "sheet.png"
    write_sheet(path, triangle, longest=longest)
    sheet = pixels(path)
    assert max(sheet.shape) <= longest
    boxes = [box(sheet, colour(number)) for number in range(15)]
    ((width, height),) = {found[2:] for found in boxes}
    assert (width == 128) == (longest == 6000)
    across = boxes[2][0] - boxes[1][0]
    down = (boxes[10][1] - boxes[0][1]) / 3.6
    assert 0 < across - width < 10
    assert down > height + 10
    for found, made in zip(boxes, triangle["cells"], strict=True):
        x, y = np.subtract(made["at"], triangle["cells"][0]["at"])
        assert found[0] - boxes[0][0] == pytest.approx(x * across, abs=2)
        assert found[1] - boxes[0][1] == pytest.approx(y * down, abs=2)
        assert ink(sheet, found[0], found[1] + height, width, 20)


def test_a_position_for_some_is_a_position_for_none(triangle, tmp_path):
    del triangle["cells"][3]["at"]
    write_sheet(tmp_path / "sheet.png", triangle)
    tops = {box(pixels(tmp_path / "sheet.png"), colour(number))[1] for number in range(15)}
    assert len(tops) == 1


def test_a_figure_with_headings_of_its_own(picture, tmp_path):
    path = tmp_path / "figure.png"
    tiles = {(row, column): Tile(picture(4 * row + column)) for row in range(2) for column in range(4)}
    rows = [Heading("", ["A  conv1_1", "B  conv2_1"])]
    columns = [Heading("α/β", ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"])]
    draw_grid(path, tiles, rows=rows, columns=columns, title="Figure 3", caption="What to see here. " * 30)
    sheet = pixels(path)
    boxes = {place: box(sheet, colour(4 * place[0] + place[1])) for place in tiles}
    assert all(found[2:] == SIZE for found in boxes.values())
    assert boxes[0, 0][0] == boxes[1, 0][0] < boxes[0, 3][0]
    assert boxes[0, 0][1] == boxes[0, 3][1] < boxes[1, 0][1]
    below = boxes[1, 0][1] + SIZE[1]
    assert ink(sheet, 0, below, sheet.shape[1], sheet.shape[0] - below) > 500
    bare = tmp_path / "bare.png"
    blank = [[Heading("", [""] * count)] for count in (2, 4)]
    draw_grid(bare, tiles, rows=blank[0], columns=blank[1])
    left, top, *_ = box(pixels(bare), colour(0))
    assert left == top == sheets._LEGIBLE  # the margin alone
    with pytest.raises(ValueError, match=r"a tile at \(2, 0\), in a grid of 2 × 4"):
        draw_grid(path, {(2, 0): Tile()}, rows=rows, columns=columns)


def test_transparent_pictures_are_on_white(tmp_path):
    glass = np.full((40, 60, 4), (200, 0, 0, 255), np.uint8)
    glass[:, :30, 3] = 128
    Image.fromarray(glass).save(tmp_path / "glass.png")
    draw_freely(tmp_path / "sheet.png", [((0, 0), Tile(tmp_path / "glass.png"))])
    sheet = pixels(tmp_path / "sheet.png")
    assert box(sheet, (200, 0, 0))[2:] == (30, 40)
    assert box(sheet, (227, 127, 127))[2:] == (30, 40)


def test_only_new_pictures_are_read_again(cell, tmp_path, monkeypatch):
    opened = []
    open_picture = reading.open_picture
    monkeypatch.setattr(reading, "open_picture", lambda path: opened.append(path.name) or open_picture(path))
    monkeypatch.setattr(sheets, "_THUMBNAILS", Thumbnails(most_pixels=10**6))
    axes = {"one": list("abc")}
    cells = [cell(0, [0], (300, 200)), cell(1, [1], (300, 200)), cell(2, [2], (300, 200), status="unfinished")]
    path = tmp_path / "sheet.png"
    write_sheet(path, manifest(cells, axes, cols=["one"]), longest=500)
    first = path.read_bytes()
    write_sheet(path, manifest(cells, axes, cols=["one"]), longest=500)
    assert path.read_bytes() == first
    assert opened == ["0-300x200.png", "1-300x200.png"]
    cells[2] = cell(2, [2], (300, 200))
    write_sheet(path, manifest(cells, axes, cols=["one"]), longest=500)
    assert opened[2:] == ["2-300x200.png"]
    box(pixels(path), colour(2))
    write_sheet(path, manifest(cells, axes, cols=["one"]), longest=400)
    assert len(opened) == 6


def test_what_is_remembered_is_bounded(cell, tmp_path, monkeypatch):
    thumbnails = Thumbnails(most_pixels=5 * math.prod(SIZE))
    monkeypatch.setattr(sheets, "_THUMBNAILS", thumbnails)
    axes = {"one": list("abcdefgh")}
    write_sheet(tmp_path / "sheet.png", manifest(grid(cell, axes), axes, cols=["one"]))
    assert len(thumbnails._remembered) == 5
    assert thumbnails._pixels == 5 * math.prod(SIZE)
    for number in range(8):
        box(pixels(tmp_path / "sheet.png"), colour(number))


def test_a_sheet_is_written_whole_or_not_at_all(cell, tmp_path, full_disk):
    axes = {"one": list("ab")}
    cells = grid(cell, axes)
    with pytest.raises(UserError, match=r"sheet\.png: expected the folder"):
        draw_grid(tmp_path / "out" / "sheet.png", {})
    path = tmp_path / "sheet.png"
    path.write_text("old")
    before = {*tmp_path.iterdir()}

    with full_disk(), pytest.raises(UserError, match=r"sheet\.png: cannot be written \(No space left on device\)"):
        write_sheet(path, manifest(cells, axes, cols=["one"]))
    with pytest.raises(UserError, match=r"none\.png: no such file"):
        draw_freely(path, [((0, 0), Tile(tmp_path / "none.png", SIZE))])
    assert path.read_text() == "old"
    assert {*tmp_path.iterdir()} == before
