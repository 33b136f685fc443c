"""Pictures with the colours of the content image and the luminance that is painted, in every way to make one."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from image_files import smooth
from skimage.color import rgb2yiq

import nst_jax
from nst_jax import pyramid, transfer
from nst_jax.errors import UserError
from nst_jax.loop import run
from nst_jax.rendering.colour_matching import matched
from nst_jax.rendering.luminance import chroma, greys, luminance, recoloured

QUICK = dataclasses.replace(
    nst_jax.PRESETS["squeezenet"],
    style_layers=("conv1",),
    content_layers=("fire2/concat",),
    margin=8,
    shifts=1,
    optimizer="adam",
    learning_rate=0.05,
    steps=3,
)
LUMINOUS = dataclasses.replace(QUICK, colours="luminance")
CONTENT = 0.15 + 0.7 * smooth(48, 40)
STYLES = [np.float32(np.random.default_rng(seed).random((40, 44, 3))) for seed in (0, 1)]
GREY = np.repeat(smooth(48, 40, 2)[..., 1:], 3, axis=-1)


def fits(picture):
    """Where the chroma of the content image fits under the luminance of a picture of the same size."""
    painted = luminance(np.float64(picture)) + np.asarray(chroma(CONTENT))
    return ((painted > 1e-6) & (painted < 1 - 1e-6)).all(axis=-1)


def assert_colours_are_the_contents(picture):
    where = fits(picture)
    assert where.mean() > 0.5
    np.testing.assert_allclose(rgb2yiq(picture)[where][:, 1:], rgb2yiq(CONTENT)[where][:, 1:], atol=1e-5)
    assert np.abs(luminance(picture) - luminance(CONTENT)).max() > 0.02
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_luminance_and_chroma():
    np.testing.assert_allclose(luminance(CONTENT)[..., 0], rgb2yiq(CONTENT)[..., 0], atol=1e-6)
    np.testing.assert_allclose(recoloured(greys(CONTENT), chroma(CONTENT)), CONTENT, atol=1e-6)
    np.testing.assert_allclose(greys(GREY), GREY, atol=1e-6)
    assert not chroma(GREY).any()


def test_colours_that_do_not_fit_keep_luminance_and_hue():
    painted = jnp.asarray(np.float32([[1.0] * 3, [0.9] * 3, [0.3] * 3, [0.1] * 3, [0.0] * 3, [1.5] * 3, [0.5] * 3]))
    colour = chroma(jnp.asarray(np.float32([1.0, 0.2, 0.0])))
    found = np.asarray(recoloured(painted, jnp.broadcast_to(colour, painted.shape)))
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(luminance(found), np.clip(painted[:, :1], 0, 1), atol=1e-6)
    left = np.asarray(chroma(found)) / np.asarray(colour)  # the same share of each channel
    np.testing.assert_allclose(left, np.broadcast_to(left[:, :1], left.shape), atol=1e-5)
    assert not np.isnan(np.asarray(recoloured(jnp.asarray(GREY), jnp.zeros(GREY.shape)))).any()


def test_coarse_to_fine():
    """Every result on the way is coloured, and the next scale goes on with its luminance."""
    settings = dataclasses.replace(LUMINOUS, scales=(36, 48), scale_steps=(3, 3), content_detail=0.0)
    picture = nst_jax.stylize(CONTENT, STYLES[:1], settings=settings)
    assert_colours_are_the_contents(picture)
    network = nst_jax.load()
    scales = pyramid.scales_of(network.backbone, settings, CONTENT.shape, [STYLES[0].shape])
    make = pyramid.transfers(network, settings, *matched(settings, CONTENT, STYLES[:1]), scales)
    start = transfer.initial_image(settings, pyramid.at_scale(CONTENT, scales[0].shape), seed=0)
    stages = pyramid.stages(make, start, scales, pyramid.starts(settings, scales, CONTENT))
    found = [(progress.stage, np.asarray(progress.result)) for progress in run(stages)]
    coarse = [result for stage, result in found if stage == 0][-1]
    first = next(result for stage, result in found if stage == 1)
    assert np.ptp(coarse, axis=-1).max() > 0.1
    enlarged = np.asarray(pyramid.enlarge(jnp.asarray(coarse), (48, 40)))
    np.testing.assert_allclose(luminance(first), luminance(enlarged), atol=1e-5)
    np.testing.assert_array_equal(found[-1][1], picture)


def test_a_sweep_and_its_single_transfers():
    """A cell whose colours are matched is that of images whose colours were matched before."""
    symmetric, inverse = (
        dataclasses.replace(QUICK, colour_match="symmetric", colour_match_to=to) for to in ("content", "style")
    )
    recipes = [
        nst_jax.Recipe(LUMINOUS, CONTENT, STYLES[0]),
        nst_jax.Recipe(symmetric, CONTENT, STYLES[0]),
        nst_jax.Recipe(QUICK, CONTENT, matched(symmetric, CONTENT, STYLES[:1])[1]),
        nst_jax.Recipe(inverse, CONTENT, STYLES),
        nst_jax.Recipe(QUICK, matched(inverse, CONTENT, STYLES)[0], STYLES),
        nst_jax.Recipe(QUICK, CONTENT, STYLES[0]),
    ]
    luminous, cell, before, content_cell, content_before, plain = (cell.picture for cell in nst_jax.sweep(recipes))
    assert_colours_are_the_contents(luminous)
    np.testing.assert_array_equal(cell, before)
    np.testing.assert_array_equal(content_cell, content_before)
    assert np.abs(cell - plain).max() > 0.02
    alone = nst_jax.stylize(CONTENT, STYLES[0], settings=LUMINOUS)
    np.testing.assert_allclose(luminous, alone, atol=2e-3)  # as of other batches, see WORKSPACE.md


def test_prepare_matches_too_and_other_programs_are_told_apart():
    network = nst_jax.load()
    luminous, free = (nst_jax.prepare(network, settings, CONTENT, STYLES[0]) for settings in (LUMINOUS, QUICK))
    state = luminous.init(jnp.asarray(CONTENT))
    np.testing.assert_allclose(luminous.result(state), CONTENT, atol=1e-6)
    expected = nst_jax.prepare(network, QUICK, np.asarray(greys(CONTENT)), matched(LUMINOUS, CONTENT, STYLES[:1])[1])
    for term, layer in (("style", "conv1"), ("content", "fire2/concat")):
        np.testing.assert_allclose(luminous.targets[term][layer], expected.targets[term][layer], atol=1e-3)
    with pytest.raises(UserError, match="luminance: expected the same in all transfers of a batch"):
        nst_jax.stack([luminous, free])


def test_a_grey_content_image_stays_grey_to_the_bit():
    picture = nst_jax.stylize(GREY, STYLES[0], settings=LUMINOUS)
    assert np.ptp(picture, axis=-1).max() == 0
