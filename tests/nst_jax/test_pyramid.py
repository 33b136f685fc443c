"""Coarse to fine: which scales there are, what goes over from one to the next, and that a run may be cut anywhere."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from runs import interrupted

import nst_jax
from nst_jax import optimize, pyramid
from nst_jax.checks import check_style, why_untiled
from nst_jax.errors import UserError
from nst_jax.history import join
from nst_jax.loop import run
from nst_jax.losses import STYLE_LOSSES
from nst_jax.rendering.canvas import resize
from nst_jax.stacking import stack, state_of

SETTINGS = dataclasses.replace(
    nst_jax.PRESETS["squeezenet"],
    style_layers=("conv1", "fire2/concat"),
    content_layers=("fire2/concat",),
    margin=4,
    scales=(24, 40, 0),
    scale_steps=(3, 2),
    coarse_content=1.0,
)


def picture(seed, shape=(48, 64, 3)):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return nst_jax.load("squeezenet1_1")


# --- scales ---


@pytest.mark.parametrize("factor", [2.0, math.sqrt(2), 1.5])
@pytest.mark.parametrize(
    ("start", "end"), [(128, 512), (128, 500), (64, 1000), (128, 128), (128, 100), (4, 7), (128, 2048), (96, 97)]
)
def test_long_sides_are_those_of_the_loop(start, end, factor):
    """As crowsonkb's gen_scales finds them: by going down until the start is passed."""
    expected, index, side = set(), 0, end
    while side >= min(start, end) and index < 12:
        expected.add(side)
        index += 1
        side = round(end / factor**index)
    assert pyramid.long_sides(end, start=start, factor=factor) == tuple(sorted(expected))


def test_long_sides_of_512():
    assert pyramid.long_sides(512, start=128, factor=math.sqrt(2)) == (128, 181, 256, 362, 512)
    assert pyramid.long_sides(512, start=256, factor=2) == (256, 512)
    assert pyramid.long_sides(8, start=4, factor=1.1) == (4, 5, 6, 7, 8)  # 4.1 and 3.7 are 4 both


@pytest.mark.parametrize(
    ("changes", "sides"),
    [
        ({}, [256, 512, 1024]),  # on a CPU
        ({"coarsest": 128}, [128, 256, 512, 1024]),
        ({"coarsest": 300}, [512, 1024]),
        ({"scale_factor": math.sqrt(2)}, [256, 362, 512, 724, 1024]),
        ({"coarsest": 512, "scale_factor": math.sqrt(2)}, [512, 724, 1024]),
        ({"coarsest": 2000}, [1024]),
        ({"coarsest": 128, "scale_factor": 4.0, "scales": (700, 0)}, [700, 1024]),  # named scales are those
    ],
    ids=str,
)
def test_where_scales_begin_and_how_they_grow(network, changes, sides):
    settings = dataclasses.replace(nst_jax.PRESETS["squeezenet"], **changes)
    scales = pyramid.scales_of(network.backbone, settings, (768, 1024))
    assert [scale.shape[1] for scale in scales] == sides
    assert pyramid.resolved(settings, scales).scales == tuple(sides)


def test_steps_of_scales_that_a_small_picture_does_not_have(network):
    settings = dataclasses.replace(nst_jax.PRESETS["squeezenet"], scale_steps=(7, 5, 3))
    for long, ends in ((200, [7]), (512, [7, 12]), (1024, [7, 12, 15]), (2048, [7, 12, 15, 18])):
        scales = pyramid.scales_of(network.backbone, settings, (long, long))
        assert [scale.end for scale in scales] == ends


def test_scales_of_a_picture(network):
    plain = nst_jax.PRESETS["squeezenet"]
    auto = pyramid.scales_of(network.backbone, plain, (768, 1024))
    assert [scale.shape for scale in auto] == [(192, 256), (384, 512), (768, 1024)]
    assert [scale.end for scale in auto] == [150, 249, 330]  # 0.5, 0.33 and 0.27 of 300
    assert pyramid.scales_of(network.backbone, plain, (384, 500)) == (((384, 500), 300),)
    single = dataclasses.replace(plain, scales=(0,))
    assert pyramid.scales_of(network.backbone, single, (384, 512)) == (((384, 512), 300),)
    given = dataclasses.replace(plain, scales=(100, 512), scale_steps=(7,))
    assert pyramid.scales_of(network.backbone, given, (384, 512)) == (((75, 100), 7), ((384, 512), 14))


def test_what_is_left_open_always_fits(network):
    plain = nst_jax.PRESETS["squeezenet"]
    for shape in ((60, 512), (2048, 64), (200, 200), (50, 300)):
        scales = pyramid.scales_of(network.backbone, dataclasses.replace(plain, margin=4), shape, [(50, 600)])
        assert scales[-1].shape == shape
    tile = dataclasses.replace(plain, padding="circular", margin=0)
    found = pyramid.scales_of(network.backbone, tile, (1056, 1056))
    assert [scale.shape[0] for scale in found] == [528, 1056]  # 264 is no multiple of the stride, 16
    assert (
        len(pyramid.scales_of(network.backbone, dataclasses.replace(plain, parameterization="coordinates"), (512, 512)))
        == 1
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": (128, 256)}, "growing long sides up to the 512 px of the picture, found 128, 256"),
        ({"scales": (256, 128, 0)}, "found 256, 128, 512"),
        ({"scales": (1024,)}, "found 1024"),
        (
            {"scales": (256, 0), "scale_steps": (1, 2, 3)},
            "scale_steps: expected at most 2 numbers, one per scale, found 3",
        ),
        ({"scales": (256, 0), "parameterization": "coordinates"}, "scales: expected one for a coordinate network"),
    ],
)
def test_scales_that_make_no_sense(network, changes, message):
    with pytest.raises(UserError, match=message):
        pyramid.scales_of(network.backbone, dataclasses.replace(nst_jax.PRESETS["squeezenet"], **changes), (384, 512))


@pytest.mark.parametrize("coarse", [0.5, 1.0, 8.0])
def test_content_weighs_more_at_coarse_scales(network, coarse):
    settings = dataclasses.replace(SETTINGS, content_weight=3.0, coarse_content=coarse)
    settings = dataclasses.replace(settings, scales=(16, 32, 64), scale_steps=(1,))
    content, style = picture(0), picture(1)
    scales = pyramid.scales_of(network.backbone, settings, content.shape, [style.shape])
    make = pyramid.transfers(network, settings, content, [style], scales)
    made = [make(index) for index in range(3)]
    np.testing.assert_allclose(
        [float(of.weights.terms["content"]) for of in made], [3 * coarse, 3 * math.sqrt(coarse), 3], rtol=1e-6
    )
    assert make(2) is made[2]  # and those of scales that are done lie in no memory


def test_content_of_a_single_scale_weighs_what_it_was_given():
    settings = dataclasses.replace(SETTINGS, content_weight=3.0, coarse_content=8.0)
    assert pyramid.settings_at(settings, [(48, 64)], 0).content_weight == 3.0


# --- enlarging ---


def cubic(distance, a=-0.75):
    """The kernel of PyTorch's bicubic interpolation, from its documentation of `upsample`."""
    distance = abs(distance)
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a if distance < 2 else 0.0


def matrix(size, larger):
    """Rows of weights: half-pixel centres, and at the border the last pixel repeated."""
    rows = np.zeros((larger, size))
    for index in range(larger):
        centre = (index + 0.5) * size / larger - 0.5
        for tap in range(math.floor(centre) - 1, math.floor(centre) + 3):
            rows[index, min(max(tap, 0), size - 1)] += cubic(centre - tap)
    return rows


def test_enlarging_is_that_of_pytorch():
    small = picture(0, (12, 17, 3))
    expected = np.einsum("yh,xw,hwc->yxc", matrix(12, 24), matrix(17, 41), small)
    np.testing.assert_allclose(resize(jnp.asarray(small), (24, 41)), expected, atol=2e-6)


# --- from scale to scale ---


def stages_of(network, settings):
    content, style = picture(0), picture(1, (40, 56, 3))
    scales = pyramid.scales_of(network.backbone, settings, content.shape, [style.shape])

    def make(index):
        ratio = max(scales[index].shape) / 64
        reduced = pyramid.at_scale(style, pyramid.scaled(style.shape, ratio))
        return nst_jax.prepare(network, settings, pyramid.at_scale(content, scales[index].shape), reduced)

    start = jnp.asarray(pyramid.at_scale(content, scales[0].shape))
    return make, start, scales, pyramid.starts(settings, scales, content)


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_steps_are_counted_over_all_scales(network, optimizer):
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer, learning_rate={"lbfgs": 1.0, "adam": 0.02}[optimizer])
    found = list(run(pyramid.stages(*stages_of(network, settings))))
    history = join([progress.history for progress in found])
    assert history.step.tolist() == [0, 1, 2, 3, 3, 4, 5, 5, 6, 7]  # each scale begins with the loss of its start
    assert [progress.stage for progress in found][-1] == 2
    assert found[-1].result.shape == (48, 64, 3)
    content, style = picture(0), picture(1, (40, 56, 3))
    whole = nst_jax.stylize(content, style, network, settings=settings)
    np.testing.assert_array_equal(whole, found[-1].result)


def test_adam_goes_on_at_the_next_scale(network):
    settings = dataclasses.replace(SETTINGS, optimizer="adam", learning_rate=0.02)
    make, start, scales, begin = stages_of(network, settings)
    *_, last = run(pyramid.stages(make, start, scales[:1], begin))
    before, finer = last.state, make(1)
    image = jnp.clip(resize(last.result, scales[1].shape), 0, 1)
    state = jax.jit(lambda finer, before, image: finer.step(finer.carry(before, finer.init(image)))[0])(
        finer, before, image
    )
    assert int(state.step) == 3
    assert int(optax.tree.get(state.memory, "count")) == 3

    def inner(moments):
        return np.asarray(moments)[4:-4, 4:-4]

    height, width = scales[1].shape
    old = inner(optax.tree.get(before.memory, "mu"))
    rows, columns = matrix(old.shape[0], height), matrix(old.shape[1], width)
    mu, nu = (optax.tree.get(state.memory, name) for name in ("mu", "nu"))
    np.testing.assert_allclose(inner(mu), np.einsum("yh,xw,hwc->yxc", rows, columns, old), rtol=1e-4, atol=1e-6)
    assert float(jnp.min(nu)) >= 0
    assert nu.shape == (height + 8, width + 8, 3)


@pytest.mark.slow
def test_averages_begin_anew_and_moments_go_on(network):
    settings = dataclasses.replace(SETTINGS, optimizer="adam", learning_rate=0.02, averaging=0.9)
    *_, last = run(pyramid.stages(*stages_of(network, settings)))
    assert int(optax.tree.get(last.state.memory, "count")) == 7
    np.testing.assert_allclose(last.state.memory.share, 1 - 0.9**3, rtol=1e-6)  # the start of the scale and two steps


@pytest.mark.slow
def test_a_batch_is_its_cells(network):
    make, start, scales, begin = stages_of(network, SETTINGS)
    *_, single = run(pyramid.stages(make, start, scales, begin))
    *_, batch = run(pyramid.stages(lambda index: stack([make(index)]), start[None], scales, begin))
    np.testing.assert_array_equal(batch.result[0], single.result)
    jax.tree.map(np.testing.assert_array_equal, state_of(batch.state, 0), jax.device_get(single.state))
    contents = [[pyramid.at_scale(picture(0), scale.shape)] * 2 for scale in scales]
    begin = pyramid.starts_of_batch([SETTINGS] * 2, scales, contents.__getitem__)
    *_, two = run(pyramid.stages(lambda index: stack([make(index)] * 2), jnp.stack([start] * 2), scales, begin))
    np.testing.assert_allclose(two.result[1], single.result, atol=2e-2)  # other orders of summing, ten steps of L-BFGS


@pytest.mark.parametrize("optimizer", [pytest.param("adam", marks=pytest.mark.slow), "lbfgs"])
def test_a_run_goes_on_from_any_scale_to_the_same_bits(network, optimizer):
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer, learning_rate={"lbfgs": 1.0, "adam": 0.02}[optimizer])
    whole = list(run(pyramid.stages(*stages_of(network, settings)), pause_every=1))
    for step in (1, 3, 4, 5, 6):
        again = interrupted(lambda: pyramid.stages(*stages_of(network, settings)), step)
        np.testing.assert_array_equal(again.result, whole[-1].result)


# --- details of the content image ---


def test_details_are_those_of_the_content_image_and_forms_those_of_the_picture():
    """The formula: content + enlarged(means of picture − content), with a triangle of twice the cells as the mean."""
    painted, content = 0.3 + 0.4 * picture(0, (64, 64, 3)), 0.3 + 0.4 * picture(1, (64, 64, 3))
    found = pyramid.with_details(jnp.asarray(painted), jnp.asarray(content), size=8)
    rows = np.zeros((8, 64))
    for index in range(8):
        rows[index] = np.maximum(0, 1 - np.abs(np.arange(64) + 0.5 - 8 * (index + 0.5)) / 8)
    rows /= rows.sum(1, keepdims=True)
    forms = matrix(8, 64) @ rows
    expected = content + np.einsum("yh,xw,hwc->yxc", forms, forms, painted - content)
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=2e-6)


def test_a_picture_that_is_the_content_image_stays():
    content = jnp.asarray(picture(0, (37, 50, 3)))
    np.testing.assert_array_equal(pyramid.with_details(content, content, size=8), content)


def test_each_scale_begins_with_details_but_the_finishing_pass(network):
    settings = dataclasses.replace(FINISHED, content_detail=4.0)
    content = picture(0)
    scales = pyramid.scales_of(network.backbone, settings, content.shape, [(40, 56)])
    begin = pyramid.starts(settings, scales, content)
    result = jnp.asarray(pyramid.at_scale(picture(3), scales[0].shape))
    larger = pyramid.enlarge(result, scales[1].shape)
    expected = pyramid.with_details(larger, jnp.asarray(pyramid.at_scale(content, scales[1].shape)), 4.0)
    np.testing.assert_allclose(begin(1, result), expected, atol=1e-6)
    assert np.abs(expected - larger).max() > 0.1
    for changes in ({"init": "noise"}, {"content_layers": ()}, {"content_weight": 0.0}):
        without = pyramid.starts(dataclasses.replace(settings, **changes), scales, None)
        np.testing.assert_array_equal(without(1, result), larger)
    np.testing.assert_allclose(begin(1, result[None])[0], expected, atol=1e-6)
    contents = [np.stack([pyramid.at_scale(content, scale.shape)] * 2) for scale in scales]
    each = pyramid.starts_of_batch(
        [dataclasses.replace(settings, strength=0.75), settings], scales, contents.__getitem__
    )
    half, whole = each(1, jnp.stack([result] * 2))
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    np.testing.assert_allclose(half, (larger + expected) / 2, atol=1e-6)  # half of its start is noise
    last = len(scales) - 1
    np.testing.assert_array_equal(begin(last, jnp.asarray(content)), content)


def test_a_sweep_begins_with_the_details_of_each_cells_photo(network):
    settings = dataclasses.replace(SETTINGS, content_detail=4.0, scales=(24, 0), scale_steps=(1, 0))
    style, photos = picture(9, (40, 56, 3)), (picture(0), picture(1))
    cells = nst_jax.sweep([nst_jax.Recipe(settings, photo, [style]) for photo in photos], network)
    for photo, cell in zip(photos, cells, strict=True):
        np.testing.assert_allclose(cell.picture, nst_jax.stylize(photo, style, network, settings=settings), atol=1e-5)


# --- the finishing pass ---

FINISHED = dataclasses.replace(
    SETTINGS, optimizer="adam", learning_rate=0.02, finish_steps=4, finish_loss="mean_variance_error"
)


def test_a_finishing_pass_has_its_own_style_loss_and_goes_on_from_the_finest_scale(network):
    content, style = picture(0), picture(1, (40, 56, 3))
    scales = pyramid.scales_of(network.backbone, FINISHED, content.shape, [style.shape])
    assert [scale.shape for scale in scales[-2:]] == [(48, 64)] * 2
    assert scales[-1].end == scales[-2].end + 4
    make = pyramid.transfers(network, FINISHED, content, [style], scales)
    formulas = [dict(make(index).config.objective.formulas)["style"] for index in range(len(scales))]
    assert formulas == [STYLE_LOSSES[SETTINGS.style_loss]] * (len(scales) - 1) + [STYLE_LOSSES["mean_variance_error"]]
    start = jnp.asarray(pyramid.at_scale(content, scales[0].shape))
    found = [
        (progress.stage, int(progress.state.step), jax.device_get(progress.result))
        for progress in run(pyramid.stages(make, start, scales, pyramid.starts(FINISHED, scales, content)))
    ]
    before = [result for index, _, result in found if index == len(scales) - 2][-1]
    after = next((step, result) for index, step, result in found if index == len(scales) - 1)
    assert after[0] == scales[-2].end
    np.testing.assert_allclose(after[1], before, atol=1e-6)
    np.testing.assert_array_equal(nst_jax.stylize(content, style, network, settings=FINISHED), found[-1][2])


def test_scales_that_are_named_finish_alike(network):
    scales = pyramid.scales_of(network.backbone, FINISHED, (48, 64))
    named = pyramid.resolved(FINISHED, scales)
    assert named.scales == (*SETTINGS.scales[:-1], 64)
    assert pyramid.scales_of(network.backbone, named, (48, 64)) == scales


@pytest.mark.slow
def test_a_sweep_finishes_too(network):
    content, style = picture(0), picture(1, (40, 56, 3))
    recipes = [nst_jax.Recipe(FINISHED, content, style), nst_jax.Recipe(FINISHED, content, style, seed=1)]
    expected = nst_jax.stylize(content, style, network, settings=FINISHED)
    for cell in nst_jax.sweep(recipes, network):
        np.testing.assert_allclose(cell.picture, expected, atol=2e-2)
        assert cell.history.step[-1] == 3 + 2 + 2 + 4


def test_a_finishing_pass_that_needs_the_whole_picture_has_no_tiles(network):
    settings = dataclasses.replace(FINISHED, finish_loss="nearest_neighbour")
    assert not why_untiled(network.backbone, dataclasses.replace(settings, finish_steps=0))
    assert why_untiled(network.backbone, settings).startswith("finish_loss nearest_neighbour")
    with pytest.raises(UserError, match="blending: expected losses for 2 style images with finish_loss"):
        check_style(network.backbone, settings, [(48, 64, 3)] * 2)


# --- averaging ---


def test_the_average_is_that_of_the_formula():
    def evaluate(variables, step):
        loss = jnp.sum(jnp.square(variables - 3))
        return optimize.Evaluation(variables, loss, {}, 2 * (variables - 3))

    plain, averaged = optimize.adam(0.1), optimize.averaged(optimize.adam(0.1), 0.9)
    state, other = plain.init(evaluate, jnp.zeros(2)), averaged.init(evaluate, jnp.zeros(2))
    seen = [np.asarray(state.variables)]
    state, other = plain.step(evaluate, state)[0], averaged.step(evaluate, other)[0]  # evaluates
    for _ in range(6):
        state, other = plain.step(evaluate, state)[0], averaged.step(evaluate, other)[0]
        seen.append(np.asarray(state.variables))
    np.testing.assert_array_equal(state.variables, other.variables)
    weights = 0.9 ** np.arange(len(seen))[::-1]
    np.testing.assert_allclose(averaged.read(other), np.average(seen, axis=0, weights=weights), rtol=1e-5)


def test_averaging_needs_another_solver_than_lbfgs():
    with pytest.raises(UserError, match="averaging: expected 0 with lbfgs"):
        dataclasses.replace(SETTINGS, averaging=0.9)
