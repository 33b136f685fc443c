"""Blends as a person makes them: a path between two paintings, a triangle of three."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import blend
from nst_jax.errors import UserError
from nst_jax.io import images


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)).save(folder / "photo.png")
    for name, colour in (("red", (220, 30, 30)), ("green", (30, 220, 30)), ("blue", (30, 30, 220))):
        noise = random.integers(-30, 30, (48, 48, 3))
        Image.fromarray(np.clip(noise + colour, 0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def config(pictures, workdir, *styles, **changes):
    return blend.Config(
        **{
            "content": str(pictures / "photo.png"),
            "style": ",".join(str(pictures / f"{name}.png") for name in styles),
            "workdir": str(workdir),
            "backbone": "squeezenet1_1",
            "size": 48,
            "steps": 30,
            "style_layers": ("conv1",),
            "content_layers": ("fire2/concat",),
            "style_weight": 1000.0,
            **changes,
        }
    )


def colours(workdir):
    """The mean colour of every cell."""
    found = json.loads((workdir / "manifest.json").read_text())
    return [images.read(workdir / cell["picture"]).pixels.mean((0, 1)) for cell in found["cells"]], found


def test_a_path_goes_from_one_painting_to_the_other_and_back(pictures, tmp_path):
    outcome = blend.run(
        config(pictures, tmp_path, "red", "blue", blend_steps=4, cross_fade=0.0, output=str(tmp_path / "way.gif"))
    )
    assert outcome.finished == 4
    means, manifest = colours(tmp_path)
    shares = [cell["settings"]["blend_weights"] for cell in manifest["cells"]]
    np.testing.assert_allclose(shares, [(1, 0), (2 / 3, 1 / 3), (1 / 3, 2 / 3), (0, 1)])
    assert manifest["axes"][0]["values"] == ["100% red", "67% red, 33% blue", "33% red, 67% blue", "100% blue"]
    assert means[0].argmax() == 0
    assert means[-1].argmax() == 2
    with Image.open(tmp_path / "way.gif") as film:
        assert (film.n_frames, film.size) == (6, (48, 36))


def test_a_triangle_has_the_paintings_at_its_corners(pictures, tmp_path):
    outcome = blend.run(config(pictures, tmp_path, "red", "green", "blue", blend_steps=3, cross_fade=0.0))
    assert outcome.finished == 6
    means, manifest = colours(tmp_path)
    places = {tuple(cell["at"]): (cell["caption"], mean) for cell, mean in zip(manifest["cells"], means, strict=True)}
    assert set(places) == {(1.0, 0.0), (0.5, 1.0), (1.5, 1.0), (0.0, 2.0), (1.0, 2.0), (2.0, 2.0)}
    for place, caption, channel in (
        ((1.0, 0.0), "100% red", 0),
        ((0.0, 2.0), "100% green", 1),
        ((2.0, 2.0), "100% blue", 2),
    ):
        assert places[place][0] == caption
        assert places[place][1].argmax() == channel
    assert places[1.0, 2.0][0] == "50% green, 50% blue"
    with Image.open(tmp_path / "blend.webp") as film:
        assert film.n_frames == 6  # around the triangle, which here has nothing within


def test_the_way_around_a_triangle_of_many(pictures, tmp_path):
    tour = blend.tour(blend.make_grid(config(pictures, tmp_path, "red", "green", "blue", blend_steps=4)))
    shares = [tuple(round(3 * share) for share in cell.flags.blend_weights) for cell in tour]
    assert shares == [
        *((3, 0, 0), (2, 1, 0), (1, 2, 0)),
        *((0, 3, 0), (0, 2, 1), (0, 1, 2)),
        *((0, 0, 3), (1, 0, 2), (2, 0, 1)),
    ]


def test_the_samples_are_a_path(tmp_path):
    grid = blend.make_grid(blend.Config())
    assert grid.title == "astronaut: flow – woodblock"
    assert len(grid.cells) == 5


def test_the_inputs_are_not_overwritten(pictures, tmp_path):
    photo = tmp_path / "photo.gif"
    Image.open(pictures / "photo.png").save(photo)
    before = photo.read_bytes()
    with pytest.raises(UserError, match="--output: expected a file of its own, found the content image"):
        blend.run(config(pictures, tmp_path / "run", "red", "blue", content=str(photo), output=str(photo)))
    assert photo.read_bytes() == before


@pytest.mark.parametrize(
    ("styles", "changes", "message"),
    [
        (("red",), {}, "--style: expected two or three style images, found 1"),
        (("red", "green", "blue", "red"), {}, "--style: expected two or three style images, found 4"),
        (("red", "red"), {}, "--style: expected each image once, found twice"),
        (("red", "blue"), {"blend_weights": (0.5, 0.5)}, "--blend_weights: expected none"),
        (("red", "blue"), {"output": "film.mp4"}, "expected one of the suffixes .gif, .webp, found .mp4"),
        (("red", "blue"), {"output": "no/such/film.gif"}, "expected the folder .*such, found none"),
        (("red", "blue"), {"blend_steps": 1}, "--blend_steps: expected 2 or more, found 1"),
    ],
    ids=str,
)
def test_what_is_refused(styles, changes, message, pictures, tmp_path):
    with pytest.raises(UserError, match=message):
        blend.run(config(pictures, tmp_path / "run", *styles, **changes))
    assert not (tmp_path / "run").exists()
