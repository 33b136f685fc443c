"""Grids: what is an axis, which cells there are, what they are called, and what is refused."""

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from experiments import sweep
from experiments.cli.flags import arguments_of, command_line, parsed
from experiments.cli.transfer_flags import TransferFlags
from experiments.sweeping.grid import Axis, GridFlags, file_name, make_grid, preview, product, unique_labels, workdir
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "other").mkdir()
    for name in ("a.png", "b.jpg", "other/a.png"):
        Image.new("RGB", (40, 40)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture")
    return folder


def test_every_combination_in_order(folder):
    grid = make_grid(
        GridFlags(styles=(str(folder),), style_weight=(10.0, 0.5), style_layers=(("conv1",), ("conv1", "fire2/concat")))
    )
    assert [(axis.name, axis.labels) for axis in grid.axes] == [
        ("style", ("a", "b")),
        ("style_layers", ("conv1", "conv1,fire2/concat")),
        ("style_weight", ("10", "0.5")),
    ]
    assert [cell.place for cell in grid.cells] == [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    cell = grid.cells[6]
    assert cell.place == (1, 1, 0)
    assert (cell.flags.style, cell.flags.style_weight) == (str(folder / "b.jpg"), 10.0)
    assert cell.flags.style_layers == ("conv1", "fire2/concat")
    assert cell.name == "006_b_style_layers=conv1,fire2-concat_style_weight=10"
    assert len({cell.name for cell in grid.cells}) == 8


@pytest.mark.parametrize("maps", [(("a_map.png",), ("b_map.png",)), (("a_map.png", "b_map.png"),)])
def test_images_go_with_their_maps(maps, folder):
    """However they are separated: a map belongs to the image that it was drawn on."""
    both = (str(folder / "a.png"), str(folder / "b.jpg"))
    grid = make_grid(
        GridFlags(contents=both, regions=("1.png", "2.png"), styles=both, style_regions=maps, keep=(("red",),))
    )
    assert [axis.name for axis in grid.axes] == ["content", "style"]
    found = {(c.flags.content, c.flags.regions, c.flags.style, c.flags.style_regions) for c in grid.cells}
    content, style = (
        [*zip(both, ("1.png", "2.png"), strict=True)],
        [*zip(both, ("a_map.png", "b_map.png"), strict=True)],
    )
    assert found == {(*one, other, (own,)) for one in content for other, own in style}


def test_maps_of_one_image_are_an_axis_and_one_map_serves_all(folder):
    grid = make_grid(GridFlags(regions=("1.png", "2.png"), styles=(str(folder),), style_regions=(("map.png",),)))
    assert [axis.name for axis in grid.axes] == ["style", "regions"]
    assert {cell.flags.style_regions for cell in grid.cells} == {("map.png",)}


def test_a_single_value_is_no_axis(folder):
    grid = make_grid(GridFlags(styles=(str(folder / "a.png"),), size=(64,), seed=(1, 2, 3)))
    assert [axis.name for axis in grid.axes] == ["seed"]
    assert [(cell.flags.size, cell.flags.seed) for cell in grid.cells] == [(64, 1), (64, 2), (64, 3)]
    assert grid.title == "astronaut in the style of a"


def test_without_flags_there_is_one_cell():
    (cell,) = make_grid(GridFlags()).cells
    assert (cell.name, cell.place) == ("000", ())


def test_paintings_blended_in_every_cell(folder):
    both = f"{folder / 'a.png'},{folder / 'b.jpg'}"
    grid = make_grid(GridFlags(style=both, blend_weights=((1.0, 0.0), (0.5, 0.5))))
    assert [cell.flags.style for cell in grid.cells] == [both, both]
    assert grid.axes[0].labels == ("1.0,0.0", "0.5,0.5")


@pytest.mark.parametrize(
    ("rows", "cols", "expected"),
    [
        (None, None, (("style", "style_weight"), ("tv_weight",))),
        (("tv_weight",), None, (("tv_weight",), ("style",))),
        (None, ("style", "style_weight"), (("tv_weight",), ("style", "style_weight"))),
        (("style",), ("tv_weight",), (("style",), ("tv_weight",))),
    ],
)
def test_the_longest_axis_goes_across_if_nothing_is_said(rows, cols, expected, folder):
    flags = GridFlags(styles=(str(folder),), style_weight=(1.0, 2.0), tv_weight=(1.0, 2.0, 3.0), rows=rows, cols=cols)
    grid = make_grid(flags)
    assert (grid.rows, grid.cols) == expected


def test_what_follows_from_the_rest_is_a_value_like_others():
    flags = GridFlags(scales=((0,), (), (32, 64)), seed=(0,))
    assert [axis.labels for axis in make_grid(flags).axes] == [("0", "auto", "32,64")]
    assert parsed(sweep.Config, ["--scales=0;auto;32,64"]).scales == flags.scales
    given = sweep.Config(scales=flags.scales)
    assert parsed(sweep.Config, arguments_of(given)) == given


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"style_weight": ()}, "--style_weight: expected one value or more, found none"),
        ({"style_weight": (1.0, 2.0, 1.0)}, "--style_weight: expected each value once, found 1.0 twice"),
        ({"styles": ()}, "--styles: expected one image or more, found none"),
        ({"rows": ("style_weight",)}, "unknown axis in --rows .* 'style_weight'; expected one of: seed"),
        ({"rows": ("seed",), "cols": ("seed",)}, "--rows: expected other axes than in --cols, found in both: seed"),
        ({"rows": ("seed", "seed")}, "--rows: expected each axis once, found seed, seed"),
        ({"style_layers": (("conv1",), ())}, "--style_layers: expected no empty list, found one"),
        ({"style": "a.png", "styles": ("b.png",)}, "--style: expected it .* or --styles .*, found both"),
        ({"size": (64, 0)}, "--size: expected 1 or more, found 0"),
        (
            {"styles": ("a.png", "b.png", "c.png"), "style_regions": (("1.png",), ("2.png",))},
            "--style_regions: expected a map for each of 3 images in their order, a, b, c, or one for all, found 2",
        ),
    ],
    ids=str,
)
def test_what_is_refused(flags, message):
    with pytest.raises(UserError, match=message):
        make_grid(GridFlags(**{"seed": (0, 1)} | flags))


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(UserError, match="expected pictures in the folder, found none"):
        make_grid(GridFlags(contents=(str(tmp_path),)))


def test_equal_names_are_told_apart_by_their_folders(folder):
    paths = [folder / "a.png", folder / "b.jpg", folder / "other" / "a.png"]
    assert unique_labels("--styles", paths) == (f"{folder.name}/a.png", "b", "other/a.png")
    with pytest.raises(UserError, match="--styles: expected each image once, found twice"):
        unique_labels("--styles", [paths[0], paths[1], folder / "other" / ".." / "a.png"])


def test_file_names_are_unique_sorted_and_plain():
    names = [file_name(index, 1200, ["x" * 300, "../../etc/passwd\n", "α/β=10⁻⁵"]) for index in range(1200)]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    assert all(len(name) < 140 for name in names)
    assert len(file_name(3, 5, ["油絵" * 100]).encode()) < 140
    assert file_name(3, 5, ["../a b", "α/β=10⁻⁵"]) == "003_a-b_α-β=10-5"
    assert file_name(3, 5, []) == "003"


def test_each_grid_has_a_folder_of_its_own():
    grids = [make_grid(GridFlags(seed=seeds)) for seeds in ((1, 2), (1, 2), (1, 3))]
    folders = [workdir(None, "sweep", grid) for grid in grids]
    assert folders[0] == folders[1] != folders[2]
    assert re.fullmatch(r"results/sweep/astronaut-in-the-style-of-flow-[0-9a-f]{8}", folders[0].as_posix())
    assert workdir("mine", "sweep", grids[0]) == Path("mine")


def test_the_command_of_a_cell_makes_that_cell(folder):
    axes = [Axis("seed", ("1", "2"), ({"seed": 1}, {"seed": 2}))]
    cells = product(TransferFlags(style="it's a.png", style_layers=("conv1", "fire2/concat")), axes)
    assert command_line("experiments.stylize", cells[1].flags) == (
        """python -m experiments.stylize --seed=2 '--style=it'"'"'s a.png' --style_layers=conv1,fire2/concat"""
    )


def test_a_preview_is_smaller_and_shorter(folder):
    grid = make_grid(GridFlags(size=(64, 400), style_size=((200, 100),), steps=(30,)))
    small = preview(grid, size=100, steps=20)
    assert [(cell.flags.size, cell.flags.style_size, cell.flags.steps) for cell in small.cells] == [
        (64, (200, 100), 20),
        (100, (50, 25), 20),
    ]
    assert preview(make_grid(GridFlags(steps=(0,))), size=100, steps=20).cells[0].flags.steps == 0


def test_names_that_are_no_names(tmp_path):
    many = ",".join(f"painting{index}.jpg" for index in range(30))  # more than the name of a file may have
    assert len(make_grid(GridFlags(styles=tuple(many.split(",")))).cells) == 30
    assert make_grid(GridFlags(styles=("x" * 300,))).cells[0].flags.style == "x" * 300
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    assert unique_labels("--styles", [path]) == (r"caf\udce9",)
