"""Textures: nothing but style, of any size, and tiles without a seam."""

import dataclasses

import jax
import numpy as np
import pytest
from runs import finish

from nst_jax import stacking, transfer
from nst_jax.applications import texture
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import layers, parameter_shapes
from nst_jax.errors import UserError
from nst_jax.presets import PRESETS
from nst_jax.terms import CONTENT, STYLE

LAYERS = ("conv1", "fire2/concat", "fire4/concat")


@pytest.fixture(scope="module")
def network():
    return pretrained.load("squeezenet1_1")


@pytest.fixture(scope="module")
def style():
    """Oblique stripes and dots of some colours, which do not fit the sides of a tile."""
    y, x = np.mgrid[:75, :90].astype(np.float32)
    stripes = np.stack([np.sin(0.5 * x + 0.31 * y), np.sin(0.23 * x - 0.4 * y), np.cos(0.7 * y)], axis=-1)
    return np.float32(0.5 + 0.4 * stripes * np.random.default_rng(0).uniform(0.6, 1, stripes.shape))


def settings_of(backbone, *, tileable, **changes):
    options = texture.texture_settings(backbone, tileable=tileable)
    return dataclasses.replace(options, style_layers=LAYERS, **changes)


def steps_across(picture, axis):
    """Returns the mean absolute difference from each row (or column) to the next, the last one to the first."""
    return np.abs(np.roll(picture, -1, axis) - picture).mean(axis=(1 - axis, 2))


@pytest.mark.slow
def test_a_tile_has_no_seam(network, style):
    pictures = {}
    for tileable in (False, True):
        options = settings_of("squeezenet1_1", tileable=tileable, steps=120, margin=0)
        pictures[tileable] = texture.synthesize(style, network, height=64, width=80, settings=options)
        assert pictures[tileable].shape == (64, 80, 3)
    for axis in (0, 1):
        *inside, seam = steps_across(pictures[True], axis)
        assert np.min(inside) <= seam <= np.max(inside)
        assert seam < 1.2 * np.mean(inside)
        *inside, seam = steps_across(pictures[False], axis)
        assert seam > np.max(inside), "the measure sees no seam where there is one"


@pytest.mark.parametrize("backbone", ["squeezenet1_1", pytest.param("vgg19", marks=pytest.mark.slow)])
def test_a_rolled_tile_is_the_same_tile(backbone, style, network):
    random = np.random.default_rng(1)
    options = texture.texture_settings(backbone, tileable=True)
    if backbone == "vgg19":  # random weights: whatever they are
        network = pretrained.Pretrained(BACKBONES[backbone], {"params": random_vgg(random)}, "")
    options = dataclasses.replace(options, tv_weight=10.0)
    y, x = np.mgrid[:48, :64] / 64  # rolled, it has an edge within
    tile = np.stack([y, x, (x + y) / 2], axis=-1).astype(np.float32)
    problem = transfer.prepare(network, options, texture.blank(48, 64), style)
    loss = jax.jit(lambda problem, picture: problem.evaluate(picture, 0).loss)
    at_rest = loss(problem, tile)
    for shift in ((16, 0), (0, 32), (32, 48)):
        np.testing.assert_allclose(loss(problem, np.roll(tile, shift, (0, 1))), at_rest, rtol=1e-5)
    assert abs(loss(problem, np.roll(tile, (5, 0), (0, 1))) / at_rest - 1) > 1e-4  # the strides have their places
    plain = dataclasses.replace(options, padding="zeros")
    problem = transfer.prepare(network, plain, texture.blank(48, 64), style)
    assert abs(loss(problem, np.roll(tile, (16, 0), (0, 1))) / loss(problem, tile) - 1) > 1e-4


def random_vgg(random):
    # He et al. 2015: activations keep their size from layer to layer.
    return {
        name: random.normal(size=shape).astype(np.float32) * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        for name, shape in parameter_shapes(BACKBONES["vgg19"]).items()
    }


def test_a_texture_is_all_style(network, style):
    options = settings_of("squeezenet1_1", tileable=False, steps=3)
    blank = texture.blank(40, 56)
    problem = transfer.prepare(network, options, blank, style)
    assert problem.targets[CONTENT] == {}
    last, history = finish(problem, transfer.initial_image(options, blank, seed=4), steps=3)
    assert (history.terms[CONTENT] == 0).all()
    assert history.terms[STYLE][-1] < 0.9 * history.terms[STYLE][0]
    made = texture.synthesize(style, network, height=40, width=56, settings=options, seed=4)
    np.testing.assert_array_equal(made, last.result)


@pytest.mark.slow
def test_textures_in_a_sweep_beside_transfers(network, style):
    content = np.random.default_rng(2).uniform(size=(40, 56, 3)).astype(np.float32)
    only_style = settings_of("squeezenet1_1", tileable=False, optimizer="adam", margin=0)
    both = dataclasses.replace(only_style, content_layers=("fire3/concat",), content_weight=1.0)
    only_content = dataclasses.replace(both, style_layers=(), style_weight=0.0)
    settings = (only_style, both, only_content)
    problems = [transfer.prepare(network, single, content, style) for single in settings]
    images = [transfer.initial_image(single, content, seed=seed) for seed, single in enumerate(settings)]
    _, history = finish(stacking.stack(problems), np.stack(images), steps=0)
    for loss, problem, image in zip(history.loss[0], problems, images, strict=True):
        np.testing.assert_allclose(loss, finish(problem, image, steps=0)[1].loss[0], rtol=1e-4)


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
@pytest.mark.parametrize("tileable", [False, True])
def test_every_backbone_has_settings(backbone, tileable):
    options = texture.texture_settings(backbone, tileable=tileable)
    assert options.content_layers == ()
    assert set(options.style_layers) <= set(layers(BACKBONES[backbone]))
    assert (options.padding == "circular") == tileable


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        (64, 75, "width: expected a multiple of 16, the stride of fire6/concat, .*; found 75: choose 64 or 80"),
        (72, 64, "height: expected a multiple of 16, .*; found 72: choose 64 or 80"),
        (16, 16, "style layer fire6/concat: nothing is left of a picture of 16×16 pixels there; use at least 17×17"),
    ],
)
def test_sizes_that_make_no_tile(height, width, message, network, style):
    options = texture.texture_settings("squeezenet1_1", tileable=True)
    with pytest.raises(UserError, match=message):
        texture.synthesize(style, network, height=height, width=width, settings=options)


def test_a_tile_has_no_margin():
    with pytest.raises(UserError, match=r"margin: expected 0 with circular padding, .* found 16"):
        dataclasses.replace(PRESETS["squeezenet"], padding="circular")


def test_tiles_beside_each_other():
    tile = np.random.default_rng(3).uniform(size=(4, 5, 3))
    found = texture.tiled(tile, rows=2, columns=3)
    assert found.shape == (8, 15, 3)
    for row in range(8):
        for column in range(15):
            np.testing.assert_array_equal(found[row, column], tile[row % 4, column % 5])
