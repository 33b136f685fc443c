"""A sweep whose style images are made first, of two others each."""

import numpy as np
import pytest
import sweeps

from experiments import stylize, sweep
from experiments.cli.run_flags import SingleFlags
from experiments.sweeping import cells, runner
from experiments.sweeping.grid import make_grid
from nst_jax.errors import UserError
from nst_jax.io import images

QUICK = {
    "size": 48,
    "style_size": (48,),
    "steps": 3,
    "backbone": "squeezenet1_1",
    "style_layers": ("conv1", "fire2/concat"),
    "content_layers": ("fire2/concat",),
    "optimizer": "adam",
    "shifts": 1,
}


def config(pictures, workdir, **changes):
    return sweep.Config(
        **{
            **{name: (value,) for name, value in QUICK.items()},
            "contents": (str(pictures / "photo.png"),),
            "style_fine": (str(pictures / "first.png"),),
            "style_coarse": (str(pictures / "second.png"),),
            "fine_until": ("conv1",),
            "workdir": str(workdir),
            **changes,
        }
    )


def test_a_style_image_is_that_of_a_single_transfer_and_made_once(pictures, tmp_path, capsys):
    folder, contents = tmp_path / "sweep", tuple(str(pictures / name) for name in ("photo.png", "wide.png"))
    flags = config(pictures, folder, contents=contents)
    found = sweep.run(flags)
    assert (found.finished, found.failed, found.stopped) == (2, {}, False)
    (made,) = (folder / "strokes" / "cells").glob("*.png")
    cells = sweeps.manifest(folder)["cells"]
    assert [cell["settings"]["style"] for cell in cells] == [str(made)] * 2
    assert "style_fine" not in cells[0]["command"]
    pair = {"style_fine": str(pictures / "first.png"), "style_coarse": str(pictures / "second.png")}
    single = stylize.run(
        SingleFlags(**QUICK, **pair, content=contents[0], workdir=str(tmp_path / "single"), fine_until="conv1")
    )
    style = images.read(tmp_path / "single" / "strokes" / "style.png").pixels
    # Of the same program on the same machine, in 16 bits: as cells of a batch of one are.
    np.testing.assert_array_equal(images.read(made).pixels, style)
    assert np.abs(style * 255 - np.round(style * 255)).max() > 0.1
    np.testing.assert_array_equal(images.read(folder / cells[0]["picture"]).pixels, images.read(single.output).pixels)

    before = made.stat().st_mtime_ns
    capsys.readouterr()
    sweep.run(flags)
    printed = capsys.readouterr().out
    assert "1 cell, 1 done already" in printed
    assert "2 cells, 2 done already" in printed
    assert made.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"styles": ("first.png",)}, "--styles: expected none with --style_fine, --style_coarse and --fine_until"),
        ({"style": "first.png"}, "--style: expected none with --style_fine and --style_coarse, of which"),
        ({"style_fine": None}, "--style_fine: expected an image, as --style_fine and --style_coarse go together"),
        ({"style_fine": None, "style_coarse": None}, "--fine_until: expected --style_fine and --style_coarse with it"),
        ({"fine_until": ("relu2_1",)}, "unknown layer in fine_until of squeezenet1_1 'relu2_1'"),
        ({"style_fine": ("missing.png",)}, "missing.png: "),
        ({"style_coarse": ("missing.png",)}, "missing.png: "),
        ({"contents": ("missing.png",)}, "missing.png: "),
        ({"content_layers": (("conv9",),)}, "unknown content layer of squeezenet1_1 'conv9'"),
    ],
)
def test_bad_input_is_said_before_anything_is_written(changes, message, pictures, tmp_path):
    with pytest.raises(UserError, match=message):
        sweep.run(config(pictures, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_images_that_cannot_be_read_are_left_out_with_their_cells(pictures, tmp_path):
    fine = (str(pictures / "first.png"), "missing.png")
    found = sweep.run(config(pictures, tmp_path, style_fine=fine, steps=(1,), keep_going=True))
    assert (found.finished, len(found.failed)) == (1, 1)


def test_a_task_has_the_style_images_that_the_command_made(engine, pictures, tmp_path, monkeypatch):
    flags = {"style_weight": (10.0, 300.0)}
    alone = sweep.run(config(pictures, tmp_path / "alone", **flags))
    counts, prepare = [], cells.prepare

    def counted(grid, *args, **named):
        counts.append((grid.title, len(grid.cells)))
        return prepare(grid, *args, **named)

    for module in (cells, runner):
        monkeypatch.setattr(module, "prepare", counted)
    outcome = sweep.run(config(pictures, tmp_path / "shared", engine="here", cells_per_task=1, **flags))
    assert outcome.complete
    of_strokes = [number for number, (title, _) in enumerate(counts) if title == "style images"]
    assert of_strokes == [1]  # after the check of what is to be made, and in no task
    for name in alone.names:
        found, expected = (images.read(of.path(name)).pixels for of in (outcome, alone))
        np.testing.assert_array_equal(found, expected)


def test_axes_of_strokes(pictures, tmp_path):
    fine = (str(pictures / "first.png"), str(pictures / "second.png"))
    grid = make_grid(config(pictures, tmp_path, style_fine=fine, fine_until=("conv1", "fire2/concat")))
    assert [axis.name for axis in grid.axes] == ["style_fine", "fine_until"]
    assert {(cell.flags.style_fine, cell.flags.fine_until, cell.flags.style) for cell in grid.cells} == {
        (path, until, None) for path in fine for until in ("conv1", "fire2/concat")
    }
