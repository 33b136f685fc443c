"""Regions as a person gives them: maps beside images, in single transfers, sweeps and doodles."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import sweeps
from PIL import Image
from scipy import ndimage

from experiments import doodle, regions, stylize
from experiments.cli import samples
from experiments.cli.transfer_flags import TransferFlags, inputs, style_images, styles
from experiments.running import job
from experiments.running.regions import regions_of
from experiments.sweeping import blank_canvas, cells, grid
from nst_jax.errors import UserError
from nst_jax.io import images, region_maps

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 160, 0)


def draw(path, size, *colours):
    """Draws a map of upright stripes of equal width."""
    image = Image.new("RGB", size)
    for index, colour in enumerate(colours):
        image.paste(colour, (index * size[0] // len(colours), 0, size[0], size[1]))
    image.save(path)
    return str(path)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    return {
        "halves": draw(folder / "halves.png", (80, 60), BLUE, RED),
        "swapped": draw(folder / "swapped.png", (80, 60), RED, BLUE),
        "first": draw(folder / "first.png", (50, 70), RED, BLUE),
        "first swapped": draw(folder / "first_swapped.png", (50, 70), BLUE, RED),
        "one": draw(folder / "one.png", (80, 60), GREEN),
        "three": draw(folder / "three.png", (80, 60), BLUE, RED, GREEN),
        "square": draw(folder / "square.png", (60, 60), BLUE, RED),
    }


def config(pictures, workdir, **changes):
    return stylize.Config(
        **{
            "content": str(pictures / "photo.png"),
            "style": str(pictures / "first.png"),
            "workdir": str(workdir),
            "backbone": "squeezenet1_1",
            "size": 80,
            "steps": 2,
            "shifts": 1,
            "optimizer": "adam",
            "scales": (0,),
            "style_layers": ("conv1",),
            "content_layers": ("conv1",),
            "save_every": 0,
            **changes,
        }
    )


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_map_with_a_single_region_is_no_map(pictures, maps, tmp_path, capsys):
    plain = job.prepare(config(pictures, tmp_path))
    single = job.prepare(config(pictures, tmp_path, regions=maps["one"]))
    assert "#00a000 is the whole picture, which is painted without regions" in capsys.readouterr().out
    assert single.regions is None
    assert (single.paths, single.identity) == (plain.paths, plain.identity)


def test_swapped_colours_change_no_byte(pictures, maps, tmp_path, capsys):
    one = config(pictures, tmp_path, regions=maps["halves"], style_regions=(maps["first"],))
    another = config(pictures, tmp_path, regions=maps["swapped"], style_regions=(maps["first swapped"],))
    jobs = job.prepare(one), job.prepare(another)
    for leaves in zip(*(jax.tree.leaves(each.transfer(0).replace(key=None)) for each in jobs), strict=True):
        np.testing.assert_array_equal(*leaves)
    assert "region 1, #0000ff, 50.0% of the picture: as first.png" in capsys.readouterr().out
    assert jobs[0].paths["regions_style"] == Path(maps["first"])
    assert len(jobs[0].identity["regions_style_sha256"]) == 64


def test_what_is_kept_is_the_file_s_to_the_sample(pictures, maps, tmp_path, capsys):
    kept = stylize.run(
        config(pictures, tmp_path / "run", regions=maps["halves"], keep=("red",), colour_finish="oklab", init="noise")
    )
    assert "kept as it is: 50.0% of the picture" in capsys.readouterr().out
    photo = pixels(pictures / "photo.png")
    np.testing.assert_array_equal(pixels(kept.output)[:, 40:], photo[:, 40:])
    assert (pixels(kept.output)[:, :40] != photo[:, :40]).mean() > 0.5
    record = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert record["regions"] == maps["halves"]
    assert record["keep"] == ["red"]


def test_a_map_beside_the_content_image_is_offered(maps, pictures, tmp_path, capsys):
    for source, name in ((pictures / "photo.png", "photo.png"), (maps["halves"], "photo_regions.png")):
        with Image.open(source) as image:
            image.save(tmp_path / name)
    found = job.prepare(config(pictures, tmp_path, content=str(tmp_path / "photo.png")))
    assert found.regions is None
    beside = tmp_path / "photo_regions.png"
    assert f"{beside} is not used; --regions={beside} takes it as the map of regions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"regions": "square"},
            r"square.png: expected a map with the proportions of the content image, 80×60 px here, f",
        ),
        (
            {"regions": "halves"},
            "style: expected a style image for each of 2 regions, #0000ff .*, found 1; give as many",
        ),
        (
            {"regions": "halves", "region_styles": (1,)},
            "region_styles: expected one for each of 2 regions, .*, found 1",
        ),
        (
            {"regions": "three", "style_regions": ("first",)},
            r"style_regions: expected every .*, found none of #00a000 \(33",
        ),
        ({"regions": "halves", "keep": ("blue", "red")}, "keep: expected a part of the picture, found all of it"),
        ({"regions": "halves", "keep": ("#12",)}, "--keep: expected a colour, as #ff8000 or red, found '#12'"),
        ({"regions": "halves", "keep": ("yellow",)}, "keep: expected a colour of .*halves.png, .*, found #ffff00"),
        (
            {"regions": "halves", "region_styles": (1, 1), "region_weights": (1.0, 2.0, 3.0)},
            "region_weights: expected one for each of 2 regions, found 3",
        ),
        ({"regions": "missing.png"}, "missing.png: no such file"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(changes, message, pictures, maps, tmp_path):
    named = {
        name: tuple(maps.get(each, each) for each in value)
        if name == "style_regions"
        else maps.get(value, str(tmp_path / value))
        if name == "regions"
        else value
        for name, value in changes.items()
    }
    with pytest.raises(UserError, match=message):
        stylize.run(config(pictures, tmp_path / "run", **named))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["keep", "region_guides", "region_styles", "style_regions"])
def test_flags_about_regions_need_a_map(name, pictures):
    with pytest.raises(
        UserError, match=f"--{name}: expected --regions with it, a map of the content image, found none"
    ):
        inputs(TransferFlags(content=str(pictures / "photo.png"), **{name: (1,)}))


def test_regions_are_axes_of_sweeps(pictures, maps, tmp_path):
    flags = sweeps.config(
        pictures,
        tmp_path,
        styles=None,
        style=f"{pictures / 'first.png'},{pictures / 'second.png'}",
        regions=(maps["halves"], maps["swapped"], maps["one"]),
        keep=None,
        region_styles=None,
    )
    found = cells.prepare(grid.make_grid(flags), cells.Pictures(), keep_going=False)
    assert [cell.regions and cell.regions.names for cell in found] == [
        ("#0000ff", "#ff0000"),
        ("#ff0000", "#0000ff"),
        None,
    ]
    assert found[0].program == found[1].program != found[2].program
    assert [cell.description.get("regions") for cell in found] == [maps["halves"], maps["swapped"], None]
    with pytest.raises(
        UserError, match=r"style: expected a style image for each of 3 regions, .*, found 2; give as many"
    ):
        cells.prepare(
            grid.make_grid(dataclasses.replace(flags, regions=(maps["three"],))), cells.Pictures(), keep_going=False
        )


def test_doodles(pictures, maps, tmp_path):
    flags = doodle.Config(
        regions=maps["halves"],
        style=str(pictures / "first.png"),
        style_regions=(maps["first"],),
        size=48,
        backbone="squeezenet1_1",
        seeds=(1, 2),
        region_weights=(1.0, 2.0),
    )
    made = blank_canvas.on_blank(doodle.make_grid(flags), tmp_path, height=36, width=48)
    first, second = cells.prepare(made, cells.Pictures(), keep_going=False)
    assert first.shape == (36, 48)
    assert first.regions is second.regions
    assert first.program == second.program
    assert (first.settings.content_layers, first.settings.init) == ((), "noise")
    assert first.settings.region_weights == (1.0, 2.0)
    alike = doodle.make_grid(dataclasses.replace(flags, region_weights=None))
    assert alike.cells[0].flags.region_weights == (1.0, 1.0)
    assert alike.cells[0].flags.style_layers == ("conv1",)  # a unit of the next one sees 15 px
    larger = doodle.make_grid(dataclasses.replace(flags, size=256))
    assert larger.cells[0].flags.style_layers[-1] == "fire5/concat"
    with pytest.raises(
        UserError, match="--style_regions: expected it with the other maps and images of a doodle, found"
    ):
        doodle.run(dataclasses.replace(flags, style_regions=None))
    nothing = dataclasses.replace(flags, workdir=str(tmp_path / "nothing"))
    for changes, message in (
        ({"size": 20, "style_size": 70}, "size: expected 32 px or more a side, found 20 × 15; choose more"),
        ({"style_regions": (maps["first"], maps["first"])}, "style_regions: expected a map for each of 1 style imag"),
    ):
        with pytest.raises(UserError, match=message):
            doodle.run(dataclasses.replace(nothing, **changes))
        assert not (tmp_path / "nothing").exists()
    with pytest.raises(UserError, match="--seeds: expected one or more, each once, found 1,1"):
        doodle.run(dataclasses.replace(flags, seeds=(1, 1)))


def test_maps_of_style_images_are_turned_with_them(pictures, maps):
    flags = TransferFlags(
        style=str(pictures / "first.png"), regions=maps["halves"], style_regions=(maps["first"],), size=70
    )

    def found(**changes):
        given = dataclasses.replace(flags, **changes)
        paths = inputs(given)
        (shown,) = style_images(given, styles(paths))
        return shown, regions_of(given, paths, (60, 80), [shown], [shown.read().shape]).styles[0]

    (_, upright), (shown, turned) = found(), found(style_rotate=(90,), style_flip=True)
    assert upright.shape[:2] != turned.shape[:2]
    np.testing.assert_array_equal(turned, shown.placed(upright))


def test_the_sample_doodle_has_maps_that_fit():
    flags = TransferFlags(**samples.doodle())
    paths = inputs(flags)
    shown = tuple(style_images(flags, styles(paths)))
    found = cells.Pictures().regions(flags, paths, (96, 128, 3), shown, [(128, 128, 3)])
    assert found.count == 3
    np.testing.assert_allclose(found.content.sum(axis=-1), 1, rtol=1e-5)


def test_a_first_map_can_be_used_as_it_is(tmp_path):
    image = np.zeros((48, 64, 3), np.float32)
    image[:, :40], image[30:, 40:] = (0.9, 0.8, 0.2), (0.1, 0.4, 0.9)
    images.write(tmp_path / "photo.png", images.Picture(image))
    flags = regions.Config(
        content=str(tmp_path / "photo.png"), count=3, size=64, workdir=str(tmp_path), backbone="squeezenet1_1"
    )
    result = regions.run(flags)
    found = region_maps.read(result.output)
    assert [region_maps.hexadecimal(colour) for colour in found.colours] == [name for name, _ in result.regions]
    borders = ndimage.maximum_filter(image, (9, 9, 1)) != ndimage.minimum_filter(image, (9, 9, 1))
    expected = np.where(image[..., 0] == np.float32(0.9), 0, np.where(image[..., 2] == np.float32(0.9), 2, 1))
    assert (found.labels == expected)[~borders.any(axis=-1)].mean() > 0.95
    with Image.open(result.overlay) as overlay:
        assert overlay.size == (64, 48)
    with pytest.raises(UserError, match="--count: expected 2 to 16, found 17"):
        dataclasses.replace(flags, count=17)


def test_an_image_of_one_colour_has_no_regions(tmp_path):
    Image.new("RGB", (64, 48), (0, 0, 0)).save(tmp_path / "black.png")
    flags = regions.Config(content=str(tmp_path / "black.png"), size=64, workdir=str(tmp_path / "run"))
    with pytest.raises(UserError, match="image: expected parts to tell apart, found #000000 everywhere; draw the map"):
        regions.run(flags)
    assert not (tmp_path / "run").exists()
