"""Grey images make a grey picture, in every way to make one; a single coloured one makes a coloured picture."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from image_files import smooth

from nst_jax import stylize, transfer
from nst_jax.applications import texture
from nst_jax.backbones.pretrained import load
from nst_jax.batches import Recipe
from nst_jax.presets import PRESETS
from nst_jax.rendering.grey import is_grey, paints_grey
from nst_jax.rendering.parameterization import PARAMETERIZATIONS
from nst_jax.settings import Settings
from nst_jax.sweeping import sweep

QUICK = dataclasses.replace(
    PRESETS["squeezenet"], style_layers=("conv1",), content_layers=("fire2/concat",), steps=3, margin=8
)
COLOURED = smooth(48, 40)
PAINTING = smooth(40, 44)
GREY = np.repeat(smooth(48, 40, 2)[..., 1:], 3, axis=-1)
OTHER = np.repeat(np.float32(np.random.default_rng(0).random((40, 44, 1))), 3, axis=-1)


def chroma(picture):
    return float(np.ptp(np.asarray(picture), axis=-1).max())


@pytest.mark.parametrize(
    ("colours", "content", "style", "grey"),
    [
        ("auto", GREY, OTHER, True),
        ("auto", GREY, PAINTING, False),
        ("auto", COLOURED, OTHER, False),
        ("free", GREY, OTHER, False),
        ("grey", COLOURED, PAINTING, True),
    ],
    ids=["both grey", "grey content", "grey style", "free", "grey"],
)
def test_stylize(colours, content, style, grey):
    picture = stylize(content, style, settings=dataclasses.replace(QUICK, colours=colours))
    assert (chroma(picture) == 0) == grey
    assert np.abs(picture - content).max() > 0.02


@pytest.mark.slow
@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
def test_every_parameterization(parameterization):
    settings = dataclasses.replace(
        QUICK, parameterization=parameterization, init="noise", optimizer="adam", learning_rate=0.02
    )
    assert chroma(stylize(GREY, OTHER, settings=settings)) == 0


def test_sweep_of_grey_and_coloured_images_is_one_program():
    recipes = [
        Recipe(QUICK, GREY, (OTHER,)),
        Recipe(QUICK, COLOURED, (OTHER,)),
        Recipe(dataclasses.replace(QUICK, colours="free"), GREY, (OTHER,)),
        Recipe(dataclasses.replace(QUICK, colours="grey"), COLOURED, (PAINTING,)),
    ]
    cells = sweep(recipes)
    assert [chroma(cell.picture) == 0 for cell in cells] == [True, False, False, True]
    alone = stylize(GREY, OTHER, settings=QUICK)
    np.testing.assert_allclose(cells[0].picture, alone, atol=2e-3)  # as of other batches, see WORKSPACE.md


@pytest.mark.slow
def test_texture():
    settings = dataclasses.replace(texture.texture_settings("squeezenet1_1"), steps=2)
    assert chroma(texture.synthesize(OTHER, height=40, width=40, settings=settings)) == 0
    assert chroma(texture.synthesize(PAINTING, height=40, width=40, settings=settings)) > 0


@pytest.mark.slow
def test_projection_minimises_the_loss_of_grey_pictures():
    """A picture that is painted in colours and made grey at the end has a higher loss."""
    settings = dataclasses.replace(QUICK, steps=30)
    free = stylize(GREY, OTHER, settings=dataclasses.replace(settings, colours="free"))
    converted = np.repeat(free.mean(axis=-1, keepdims=True), 3, axis=-1)
    made = transfer.prepare(load(), settings, GREY, OTHER)

    def loss(picture):
        return float(made.step(made.init(jnp.asarray(picture)))[1].loss)

    assert loss(stylize(GREY, OTHER, settings=settings)) < 0.8 * loss(converted)


def test_dreams_have_colours():
    settings = Settings(style_layers=(), content_layers=())
    assert not paints_grey(settings, iter([True]))
    assert paints_grey(dataclasses.replace(settings, colours="grey"), iter([False]))


def test_a_style_image_without_a_share_does_not_count():
    ends = [Settings(blend_weights=weights) for weights in ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0))]
    assert [paints_grey(end, iter([True, True, False])) for end in ends] == [True, False, False]
    assert not paints_grey(Settings(), iter([True, True, False]))


def test_levels_of_a_lossy_file_are_grey():
    lossy = GREY.copy()
    lossy[::3, ::2, 1] += 2 / 255
    assert is_grey(np.clip(lossy, 0, 1))
    lossy[5, 5, 2] += 4 / 255
    assert not is_grey(lossy)
    assert is_grey(jnp.asarray(GREY))
