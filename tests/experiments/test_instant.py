"""`experiments.instant` as a person runs it, with tiny networks of random numbers."""

import contextlib
import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import instant, stylize
from experiments.one_pass import folder, shares
from experiments.one_pass.flags import InstantFlags
from nst_jax.applications.feedforward import instant as library
from nst_jax.applications.feedforward import networks, trained
from nst_jax.applications.feedforward.networks import Matched, Predicted, Transformer, network_parameters
from nst_jax.applications.feedforward.steps import Conv, Mean, Norm
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.presets import PRESETS
from nst_jax.regions import Regions
from nst_jax.rendering.colour_matching import matched


def last(norm=None):
    return Conv("last", 3, kernel=3, bias=norm is None, norm=norm, activation="sigmoid")


NETWORKS = {
    "any": Predicted((Conv("see", 2, kernel=3, stride=2, bias=True), Mean()), (last(Norm(code=2)),), side=16),
    "three": Transformer((last(Norm(code=3)),), styles=3),
    "one": Transformer((last(),)),
    "matching": Matched((Conv("in", 4, kernel=1, bias=True),), (last(),), "moments", networks.UNIT),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Paths of weight files by name."""
    random = np.random.default_rng(0)
    paths = {}
    for name, network in NETWORKS.items():
        paths[name] = tmp_path_factory.mktemp("networks") / f"{name}.safetensors"
        shapes = network_parameters(network)
        numbers = {key: random.standard_normal(shape, np.float32) for key, shape in shapes.items()}
        styles = ("calm", "loud", "odd") if name == "three" else ()
        trained.write(paths[name], numbers, network, styles=styles, record={})
    return paths


@pytest.fixture
def run(weights, pictures, tmp_path):
    def run(network="any", **changes):
        flags = {"content": str(pictures / "photo.png"), "size": 48, "workdir": str(tmp_path / "out")} | changes
        return instant.run(instant.Config(network=str(weights[network]), **flags))

    return run


def pixels(result):
    return images.read(result.output).pixels


def test_a_picture(run, pictures, tmp_path):
    style = str(pictures / "first.png")
    result = run(style=style)
    assert pixels(result).shape == (36, 48, 3)
    settings = images.read_settings(result.output)
    assert settings == json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    assert settings["style"] == style
    weaker = run(style=style, strength=0.5, output=str(tmp_path / "weaker.tif"), bits=16)
    assert weaker.output == tmp_path / "weaker.tif"
    assert abs(pixels(weaker) - pixels(result)).max() > 1 / 255
    assert result.said() == [f"picture: {result.output}"]
    tiled = run(style=style, tile=64, size=80, output=str(tmp_path / "tiled.png"))
    whole = run(style=style, size=80, output=str(tmp_path / "whole.png"))
    np.testing.assert_allclose(pixels(tiled), pixels(whole), atol=1.01 / 255)
    assert tiled.said() == [f"picture: {tiled.output}, in tiles of 64 px"]


def test_several_style_images(run, pictures):
    """All of one is that one alone."""
    first, second = (str(pictures / f"{name}.png") for name in ("first", "second"))
    both = pixels(run(style=f"{first},{second}"))
    assert abs(both - pixels(run(style=first))).max() > 1 / 255
    np.testing.assert_array_equal(
        pixels(run(style=f"{first},{second}", blend_weights=(0.0, 2.0))), pixels(run(style=second))
    )
    matched = run("matching", style=f"{first},{second}", style_size=48, strength=0.7)
    assert pixels(matched).shape == (36, 48, 3)


def test_styles_in_the_network(run):
    by_name = pixels(run("three", styles=("loud", "odd"), style_weights=(1.0, 3.0)))
    np.testing.assert_array_equal(by_name, pixels(run("three", styles=("2", "3"), style_weights=(0.5, 1.5))))
    np.testing.assert_array_equal(by_name, pixels(run("three", style_weights=(0.0, 1.0, 3.0))))
    assert abs(by_name - pixels(run("three"))).max() > 1 / 255
    assert pixels(run("one")).shape == (36, 48, 3)


@pytest.mark.parametrize(
    ("network", "flags", "problem"),
    [
        ("any", {"styles": ("1",)}, "--styles: expected none, as .* sees style images"),
        ("any", {"blend_weights": (1.0, 2.0)}, "--blend_weights: expected one for each of 1 style images, found 2"),
        ("any", {"style_size": 64}, "--style_size: expected none, as .* sees style images at one size"),
        ("three", {"style": "a.png"}, "--style: expected none, as .* has its own 3 styles"),
        ("three", {"styles": ("lod",)}, "unknown style 'lod'; expected one of: loud"),
        ("three", {"style_weights": (1.0,)}, "--style_weights: expected one for each of 3 styles, found 1"),
        ("three", {"style_weights": (0.0, 0.0, 0.0)}, "--style_weights: expected shares of which one"),
        ("three", {"strength": 0.5}, "--strength: expected 1 with .*, which has its own 3 styles"),
        ("one", {"styles": ("1",)}, "--styles: expected none, as .* has a single style"),
        ("one", {"contents": "a", "content": "b"}, "--contents: expected no --content with it"),
        ("one", {"output": "picture.xyz"}, "picture.xyz"),
        ("one", {"content": "missing.png"}, "missing.png"),
    ],
)
def test_flags_that_do_not_fit(network, flags, problem, run, tmp_path):
    with pytest.raises(UserError, match=problem) as found:
        run(network, **flags)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def halves(tmp_path):
    """A map of the photograph: white above, red below."""
    colours = np.full((60, 80, 3), 255, np.uint8)
    colours[30:] = (255, 0, 0)
    Image.fromarray(colours).save(tmp_path / "halves.png")
    return str(tmp_path / "halves.png")


def test_each_region_has_its_own_style(run, pictures, halves, tmp_path):
    """Far from their border the last layer, which sees three pixels, paints as with the style of the region alone."""
    both = ",".join(str(pictures / f"{name}.png") for name in ("first", "second"))
    first, second = (pixels(run(style=str(pictures / f"{name}.png"))) for name in ("first", "second"))
    result = run(style=both, regions=halves)
    found = pixels(result)
    np.testing.assert_array_equal(found[:16], first[:16])
    np.testing.assert_array_equal(found[20:], second[20:])
    assert "resized from 80×60 to 48×36 px" in result.said()[0]
    assert result.said()[1:3] == [
        "region 1, #ffffff, 50.0% of the picture: as first.png",
        "region 2, #ff0000, 50.0% of the picture: as second.png",
    ]
    settings = images.read_settings(result.output)
    assert settings["regions"] == halves
    assert "regions_sha256" in settings
    turned = pixels(run(style=both, regions=halves, region_styles=(2, 1)))
    np.testing.assert_array_equal(turned[:16], second[:16])
    tiled, whole = (pixels(run(style=both, regions=halves, size=160, tile=tile)) for tile in (64, "off"))
    np.testing.assert_allclose(tiled, whole, atol=1.01 / 255)


def test_styles_by_number_in_regions(run, halves):
    found = pixels(run("three", styles=("odd", "calm"), regions=halves))
    np.testing.assert_array_equal(found[:16], pixels(run("three", styles=("odd",)))[:16])
    np.testing.assert_array_equal(found[20:], pixels(run("three", styles=("calm",)))[20:])


def test_statistics_of_regions(run, pictures, halves):
    """Matched region by region: at strength 0 each has its own statistics, and so at any size the picture of one."""
    both = ",".join(str(pictures / f"{name}.png") for name in ("first", "second"))
    found, weak = (pixels(run("matching", style=both, regions=halves, strength=s)) for s in (1.0, 0.0))
    own = pixels(run("matching", style=str(pictures / "first.png"), strength=0.0))
    np.testing.assert_allclose(weak, own, atol=1.01 / 255)
    assert abs(found - weak).max() > 2 / 255


def test_what_is_kept_stays_bit_for_bit(run, pictures, halves):
    found = pixels(run(style=str(pictures / "first.png"), regions=halves, keep=("red",)))
    photo = images.read(pictures / "photo.png", size=48).pixels
    np.testing.assert_allclose(found[18:], photo[18:], atol=0.51 / 255)
    np.testing.assert_array_equal(found[:16], pixels(run(style=str(pictures / "first.png")))[:16])


@pytest.mark.parametrize(
    ("network", "flags", "problem"),
    [
        ("any", {}, "expected a style image for each of 2 regions, .*, found 1"),
        ("any", {"keep": ("blue",)}, "keep: expected a colour of"),
        ("any", {"regions": None, "keep": ("red",)}, "--keep: expected --regions with it"),
        ("any", {"seed": 3}, "--seed: expected none with"),
        ("three", {"styles": ("1", "2"), "style_weights": (1.0, 2.0)}, "--style_weights: expected none with regions"),
        ("one", {}, "--regions: expected none, as .* has a single style"),
        ("three", {"content": None, "contents": "folder"}, "--regions: expected none with a folder"),
    ],
)
def test_regions_that_do_not_fit(network, flags, problem, run, halves, tmp_path):
    with pytest.raises(UserError, match=problem):
        run(network, **{"regions": halves} | flags)
    assert not (tmp_path / "out").exists()


def test_the_format_of_a_single_picture(run, tmp_path):
    assert run("three", format="jpg").output == tmp_path / "out" / "picture.jpg"
    with pytest.raises(UserError, match="--format: expected none with the file of --output"):
        run("three", format="jpg", output=str(tmp_path / "a.png"))


def test_a_picture_that_its_format_cannot_hold(run, tmp_path):
    """WebP has sides of 16,383 pixels at most: the others of the folder are painted."""
    contents = tmp_path / "contents"
    contents.mkdir()
    Image.new("RGB", (16_400, 33), "green").save(contents / "a.png")
    Image.new("RGB", (48, 40), "red").save(contents / "b.png")
    result = run("three", content=None, contents=str(contents), format="webp", size=0)
    assert (result.painted, list(result.left_out)) == (1, ["a.png"])
    assert "do not fit this format" in result.said()[-1]
    assert (tmp_path / "out" / "b.webp").is_file()


def test_squares_of_a_very_long_style_image():
    """A predictor sees some of it, from end to end, and not thousands."""
    strip = np.random.default_rng(0).uniform(size=(32, 3000, 3)).astype(np.float32)
    squares = library._squares(strip, 32)
    assert len(squares) == 8
    np.testing.assert_array_equal(squares[0], strip[:, :32])
    np.testing.assert_array_equal(squares[-1], strip[:, -32:])


def test_a_style_image_that_memory_does_not_hold(weights, monkeypatch):
    """It is seen in tiles, by the same statistics."""
    style = np.random.default_rng(0).uniform(size=(300, 410, 3)).astype(np.float32)
    found = trained.read(weights["matching"])
    whole = library.code_of(found, found.params, style)
    monkeypatch.setattr(library, "free_bytes", lambda: 1)
    for own, other in zip(library.code_of(found, found.params, style), whole, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5)


@pytest.fixture
def frames(tmp_path):
    """Frames of five shapes, which so share programs, and what is no picture."""
    contents = tmp_path / "frames"
    contents.mkdir()
    random = np.random.default_rng(1)
    for number in (1, 2, 10, 11, 12):
        shape = (32 + number, 48, 3)
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(contents / f"f{number}.png")
    (contents / "f3.png").write_text("no picture")
    return contents


def test_a_folder(run, frames, tmp_path, monkeypatch):
    painted = []
    own = library.InstantPainter.paint

    def paint(self, content, **options):
        painted.append((content.shape[0], options["room"]))
        return own(self, content, **options)

    monkeypatch.setattr(library.InstantPainter, "paint", paint)
    out = tmp_path / "out"
    result = run("three", content=str(frames))
    assert painted == [(33, True), (34, True), (42, True), (43, True), (44, True)]
    assert (result.painted, result.found, list(result.left_out)) == (5, 0, ["f3.png"])
    assert "f3.png" in result.said()[-1]
    assert images.read(out / "f10.png").pixels.shape == (42, 48, 3)
    (out / "f10.png").unlink()
    again = run("three", content=None, contents=str(frames))
    assert (again.painted, again.found) == (1, 4)
    assert run("three", content=None, contents=str(frames), style_weights=(1.0, 0.0, 0.0)).painted == 5
    with pytest.raises(UserError, match="another folder than that of the content images"):
        run("three", content=None, contents=str(frames), output=str(frames))


def test_a_folder_that_is_stopped(run, frames, monkeypatch, tmp_path):
    class Interrupt:
        @property
        def requested(self):
            return (tmp_path / "out" / "f2.png").exists()

    monkeypatch.setattr(folder, "graceful_interrupt", lambda: contextlib.nullcontext(Interrupt()))
    result = run("three", content=str(frames))
    assert (result.painted, result.left, result.stopped) == (2, 4, True)
    assert result.said()[-1] == "stopped with 4 pictures left; the same command goes on"


def test_a_folder_given_out_is_the_folder(run, engine, frames, tmp_path, capfd):
    """Each picture once, by whichever worker; what one leaves, the same command goes on with."""
    flags = {"content": str(frames), "workers": 2, "pictures_per_task": 2}
    alone = run("three", content=str(frames), workdir=str(tmp_path / "alone"))
    engine.fails = {1}
    with pytest.raises(UserError, match="expected all pictures to be painted, found 2 left by workers that ended"):
        run("three", engine="here", **flags)
    assert "task 1, " in capfd.readouterr().err
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    assert len(done) == 3
    engine.fails = set()
    result = run("three", engine="here", **flags)
    assert (result.painted, result.found, list(result.left_out)) == (2, 3, ["f3.png"])
    assert {path: path.stat().st_mtime_ns for path in done} == done
    pictures = {path.name: path.read_bytes() for path in alone.output.glob("*.png")}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")} == pictures
    assert json.loads((tmp_path / "out" / "run.json").read_text())["left_out"].keys() == {"f3.png"}
    with pytest.raises(UserError, match="expected the settings with which the folder was begun, found another bits"):
        run("three", content=str(frames), task=0, bits=16)
    with pytest.raises(UserError, match="--task: expected the number of one of "):
        run("three", content=str(frames), task=9)
    with pytest.raises(UserError, match="--task: expected a folder that the command without it has begun"):
        run("three", content=str(frames), task=0, workdir=str(tmp_path / "none"))
    for flag, value in (("engine", "here"), ("task", 0)):
        with pytest.raises(UserError, match=f"--{flag}: expected it with a folder of --contents, found a single"):
            run("three", **{flag: value})


def test_pictures_of_a_program_are_side_by_side():
    shapes = [(48, 33), (48, 33), (40, 40), (48, 33), (0, 0)]
    pictures = [shares.Pictured(Path(f"{number}"), Path(), shape) for number, shape in enumerate(shapes)]
    found = [(picture.path.name, cost) for picture, cost in shares.by_program(pictures)]
    assert found == [("4", 0), ("2", 1600), ("0", 1584), ("1", 1584), ("3", 1584)]


def test_stylize_starts_from_it(run, weights, pictures, tmp_path, monkeypatch):
    style = str(pictures / "first.png")
    expected = pixels(run(style=style))
    monkeypatch.setattr(trained, "find", lambda _: weights["any"])
    flags = {"content": str(pictures / "photo.png"), "size": 48, "backbone": "squeezenet1_1", "steps": 0}
    flags |= {"content_layers": ("conv1",), "shifts": 1}
    found = stylize.run(
        stylize.Config(style=style, style_layers=("conv1",), init="instant", workdir=str(tmp_path / "run"), **flags)
    )
    np.testing.assert_allclose(pixels(found), expected, atol=1.01 / 255)
    settings = images.read_settings(found.output)
    assert settings["init"] == "instant"
    assert settings["init_network_sha256"] == trained.read(weights["any"]).sha256
    with pytest.raises(UserError, match="--init: expected a style image with instant, found none"):
        stylize.run(stylize.Config(style_layers=(), init="instant", workdir=str(tmp_path / "none"), **flags))


def test_stylize_starts_from_matched_colours(weights, pictures, tmp_path, monkeypatch):
    """What the network paints has the palette that the transfer goes on to."""
    monkeypatch.setattr(trained, "find", lambda _: weights["any"])
    photo, style = (images.read(pictures / f"{name}.png", size=48).pixels for name in ("photo", "first"))
    style = 0.3 * style  # another palette than that of noise
    images.write(tmp_path / "dark.png", images.Picture(style))
    style = images.read(tmp_path / "dark.png", size=48).pixels
    settings = dataclasses.replace(PRESETS["squeezenet"], colour_match="symmetric")
    _, (moved,) = matched(settings, photo, [style])
    expected = library.painter(trained.read(weights["any"]), [moved]).paint(photo)
    flags = {"content": str(pictures / "photo.png"), "size": 48, "backbone": "squeezenet1_1", "steps": 0}
    flags |= {"content_layers": ("conv1",), "style_layers": ("conv1",), "shifts": 1, "colour_match": "symmetric"}
    found = stylize.run(
        stylize.Config(style=str(tmp_path / "dark.png"), init="instant", workdir=str(tmp_path / "run"), **flags)
    )
    np.testing.assert_allclose(pixels(found), expected, atol=1.01 / 255)


def test_a_full_disk(run, full_disk, tmp_path):
    with full_disk(), pytest.raises(UserError, match="No space left"):
        run("three")


def test_names():
    assert sorted(["f10.png", "f2.png", "F1.png", "a.png"], key=folder.natural) == [
        "a.png",
        "F1.png",
        "f2.png",
        "f10.png",
    ]
    files = [Path(name) for name in ("a.jpg", "a.png", "b.jpg")]
    assert [path.name for path in folder.named(files, Path(), "png")] == ["a.jpg.png", "a.png.png", "b.png"]


def test_rooms():
    network = NETWORKS["one"]
    assert library.with_room(network, (1024, 683, 3)) == (1024, 704)
    lengths = {library.with_room(network, (side, 1024))[0] for side in range(512, 1025)}
    assert len(lengths) <= 13
    assert all(own <= library.with_room(network, (own, 64))[0] <= 1.1 * own for own in range(32, 2000))


def test_tiles_where_memory_is_short(weights, monkeypatch):
    found = trained.read(weights["one"])
    painter = library.painter(found)
    needs = library.tiles.needed(found.network, 5000, 5000)
    for free, side in ((2 * needs, "off"), (needs // 2, 2048), (1, 256), (None, "off")):
        monkeypatch.setattr(library, "free_bytes", lambda free=free: free)
        assert painter.tile((5000, 5000)) == side
    with pytest.raises(UserError, match="tile: expected 64 px or more, found 8"):
        painter.tile((5000, 5000), 8)


@pytest.mark.parametrize("network", ["any", "matching"])
def test_what_a_user_has_set_in_jax_changes_nothing(network, weights):
    random = np.random.default_rng(0)
    content, style = (random.uniform(size=shape).astype(np.float32) for shape in ((40, 70, 3), (33, 50, 3)))

    guides = np.stack([np.tri(40, 70, dtype=np.float32), 1 - np.tri(40, 70, dtype=np.float32)], axis=-1)
    of_styles = tuple(np.eye(2, dtype=np.float32)[:, None, None])
    regions = Regions(guides, of_styles)

    def painted():
        painter = library.painter(trained.read(weights[network]), [style], strength=0.5)
        found = [painter.paint(content), painter.paint(content, room=True), painter.paint(content, tile=64)]
        split = library.painter(trained.read(weights[network]), [style, content], strength=0.5, regions=regions)
        return [*found, split.paint(content), split.paint(content, tile=64)]

    before = painted()
    with (
        jax.transfer_guard("disallow"),
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        jax.enable_x64(True),
    ):
        found = painted()
    for own, other in zip(before, found, strict=True):
        assert other.dtype == np.float32
        np.testing.assert_array_equal(own, other)


def test_a_record_is_of_what_the_task_was(tmp_path):
    """A worker of a killed command, which ends late, does not count as having done another task of that number."""

    def given(count, **settings):
        pictures = [
            shares.Pictured(tmp_path / f"{number}", tmp_path / f"{number}.png", (8, 8)) for number in range(count)
        ]
        flags = InstantFlags(pictures_per_task=2, workers=1, task=0)
        return flags, shares.Given(flags, tmp_path, pictures, settings, room=False, is_done=lambda _: False)

    flags, _ = given(1, bits=8)
    late = shares.of_task(flags, tmp_path, {"bits": 8}).record
    for count, bits in ((1, 16), (2, 8)):
        flags, command = given(count, bits=bits)
        shares.write_record(late, 1, 0, {})
        assert command.ended().missing == count
        shares.write_record(shares.of_task(flags, tmp_path, {"bits": bits}).record, count, 0, {})
        assert (command.ended().painted, command.ended().missing) == (count, 0)
