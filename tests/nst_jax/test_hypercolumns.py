"""Hypercolumns against NumPy: what is chosen, what it costs, and that the choice stays for a scale."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import interrupted

import nst_jax
from nst_jax import hypercolumns, neighbours, pyramid, stacking
from nst_jax.backbones import pretrained
from nst_jax.checks import check_style
from nst_jax.errors import UserError
from nst_jax.loop import run
from nst_jax.presets import PRESETS

RANDOM = np.random.default_rng(0)
F = {"a": RANDOM.normal(size=(5, 6, 3)) + 1, "b": RANDOM.normal(size=(5, 6, 4)) + 1}
S = {"a": RANDOM.normal(size=(7, 4, 3)) + 1, "b": RANDOM.normal(size=(7, 4, 4)) + 1}
WEIGHTS = {"a": 0.3, "b": 2.0}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def columns(layers):
    return np.concatenate([np.sqrt(WEIGHTS[layer]) * of.reshape(-1, of.shape[-1]) for layer, of in layers.items()], -1)


def chosen():
    found, style = columns(F), columns(S)
    return (unit(found - found.mean(axis=0)) @ unit(style - style.mean(axis=0)).T).argmax(axis=1)


def samples():
    return {layer: neighbours.sample(jnp.float32(of)) for layer, of in S.items()}


@pytest.mark.quick
def test_the_nearest_is_that_of_all_layers_together():
    found = {layer: jnp.float32(of) for layer, of in F.items()}
    weights = {layer: jnp.float32(of) for layer, of in WEIGHTS.items()}
    np.testing.assert_array_equal(hypercolumns.choose(found, weights, samples()), chosen())


@pytest.mark.quick
def test_the_error_is_that_of_whole_columns():
    which = jnp.asarray(chosen())
    parts = {layer: hypercolumns.products(jnp.float32(F[layer]), of, which) for layer, of in samples().items()}
    whole = jax.tree.map(lambda a, b: WEIGHTS["a"] * a + WEIGHTS["b"] * b, parts["a"], parts["b"])
    expected = 1 - (unit(columns(F)) * unit(columns(S)[chosen()])).sum(axis=-1).mean()
    np.testing.assert_allclose(hypercolumns.error(whole), expected, rtol=1e-5)


@pytest.mark.quick
def test_layers_are_aligned_where_they_lie():
    across = np.arange(32, dtype=np.float32)
    image = np.broadcast_to(across[None, :, None], (16, 32, 1))
    pooled = image.reshape(8, 2, 16, 2, 1).mean(axis=(1, 3))
    finer, coarser = (hypercolumns.align(jnp.asarray(values), (16, 32)) for values in (image, pooled))
    assert finer.shape == (4, 8, 1)
    np.testing.assert_allclose(finer, coarser, atol=1e-5)
    np.testing.assert_allclose(finer[0, :, 0], 4 * np.arange(8) + 1.5)


@pytest.mark.quick
def test_a_layer_counts_by_its_number_of_channels():
    np.testing.assert_allclose(hypercolumns.align(jnp.ones((4, 4, 5)), (16, 16)), 0.2)


# --- in a transfer ---

SETTINGS = dataclasses.replace(
    PRESETS["squeezenet"],
    shifts=1,
    style_loss="hypercolumns",
    style_layers=("conv1", "fire2/concat", "fire4/concat"),
    content_layers=(),
    style_weight=1.0,
    tv_weight=0.0,
    margin=4,
    optimizer="adam",
    learning_rate=0.02,
    scales=(40, 64),
    scale_steps=(4,),
)


def picture(seed, shape=(48, 64, 3)):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return pretrained.load("squeezenet1_1")


def stages_of(network, settings):
    content, style = picture(0), picture(1, (40, 56, 3))
    scales = pyramid.scales_of(network.backbone, settings, content.shape, [style.shape])
    make = pyramid.transfers(network, settings, content, [style], scales)
    start = jnp.asarray(pyramid.at_scale(content, scales[0].shape))
    return make, start, scales, pyramid.starts(settings, scales, content)


@pytest.mark.slow
def test_a_scale_keeps_its_choice_and_the_next_makes_its_own(network):
    by_scale = {0: [], 1: []}
    losses = {0: [], 1: []}
    for progress in run(pyramid.stages(*stages_of(network, SETTINGS)), pause_every=1):
        by_scale[progress.stage].append(jax.device_get(progress.state.chosen["style"]))
        losses[progress.stage].extend(progress.history.loss)
    for index, positions in enumerate(((30 + 8) // 4 * ((40 + 8) // 4), (48 + 8) // 4 * ((64 + 8) // 4))):
        assert all(choice.shape == (1, positions) for choice in by_scale[index])
        assert all((choice == by_scale[index][0]).all() for choice in by_scale[index])
        assert losses[index][-1] < losses[index][0]


@pytest.mark.slow
def test_a_run_goes_on_from_its_choice_to_the_same_bits(network):
    whole = list(run(pyramid.stages(*stages_of(network, SETTINGS)), pause_every=1))
    for step in (2, 6):
        again = interrupted(lambda: pyramid.stages(*stages_of(network, SETTINGS)), step)
        np.testing.assert_array_equal(again.result, whole[-1].result)


def test_content_alone_chooses_with_a_share_of_one(network):
    make, start, *_ = stages_of(network, dataclasses.replace(SETTINGS, match_content=1.0))
    other, *_ = stages_of(network, dataclasses.replace(SETTINGS, match_content=0.5))
    init = jax.jit(lambda problem, image: problem.init(image).chosen["style"])
    noise = picture(7, start.shape)
    np.testing.assert_array_equal(init(make(0), start), init(make(0), noise))
    np.testing.assert_array_equal(init(make(0), start), init(other(0), start))
    assert (init(other(0), start) != init(other(0), noise)).any()


def test_a_style_image_like_the_content_image_costs_nothing(network):
    """Each position is nearest to itself."""
    settings = dataclasses.replace(SETTINGS, margin=0)
    problem = nst_jax.prepare(network, settings, picture(0), picture(0))
    state = jax.jit(lambda problem, image: problem.step(problem.init(image))[0])(problem, picture(0))
    np.testing.assert_array_equal(state.chosen["style"][0], np.arange(12 * 16))
    assert abs(state.evaluation.loss) < 1e-5


def test_a_style_image_may_be_turned(network):
    settings = dataclasses.replace(SETTINGS, margin=0, style_rotations=True)
    turned = np.rot90(picture(0), 3)
    problem = nst_jax.prepare(network, settings, picture(0), turned)
    state = jax.jit(lambda problem, image: problem.step(problem.init(image))[0])(problem, picture(0))
    np.testing.assert_array_equal(state.chosen["style"][0], neighbours.POSITIONS + np.arange(12 * 16))
    assert abs(state.evaluation.loss) < 1e-5


def test_statistics_of_turned_images_are_their_mean(network):
    plain = dataclasses.replace(SETTINGS, style_loss="gram_error")
    means = [
        nst_jax.prepare(network, plain, picture(0), np.rot90(picture(1), quarter)).targets["style"]
        for quarter in range(4)
    ]
    both = nst_jax.prepare(network, dataclasses.replace(plain, style_rotations=True), picture(0), picture(1))
    jax.tree.map(
        lambda found, *each: np.testing.assert_allclose(found, sum(each) / 4, rtol=1e-4, atol=1e-4),
        both.targets["style"],
        *means,
    )


@pytest.mark.slow
def test_cells_with_other_layers_are_one_program(network):
    few = dataclasses.replace(SETTINGS, style_layers=("conv1", "fire4/concat"), scales=(0,))
    problems = [
        nst_jax.prepare(network, settings, picture(0), picture(1))
        for settings in (few, dataclasses.replace(SETTINGS, scales=(0,)))
    ]
    step = jax.jit(lambda problem, image: problem.step(problem.init(image))[1].loss)
    alone = [step(problem, picture(0)) for problem in problems]
    together = step(stacking.stack(problems), np.stack([picture(0)] * 2))
    np.testing.assert_allclose(together, alone, rtol=1e-4)


@pytest.mark.slow
def test_several_style_images_have_a_choice_each(network):
    styles = [picture(1), picture(2, (40, 36, 3))]
    several = dataclasses.replace(SETTINGS, blending="losses", blend_weights=(0.3, 0.7))
    step = jax.jit(lambda problem, image: problem.step(problem.init(image))[1].terms["style"])
    found = step(nst_jax.prepare(network, several, picture(0), styles), picture(0))
    terms = [float(step(nst_jax.prepare(network, SETTINGS, picture(0), style), picture(0))) for style in styles]
    np.testing.assert_allclose(found, np.dot((0.3, 0.7), terms), rtol=1e-4)


@pytest.mark.quick
def test_sorted_values_of_several_images_are_not_their_mean(network):
    settings = dataclasses.replace(SETTINGS, style_loss="histogram", style_rotations=True)
    with pytest.raises(UserError, match="style_rotations: expected false with style_loss histogram"):
        check_style(network.backbone, settings, [(48, 64, 3)])


@pytest.mark.quick
def test_weights_below_zero_have_no_root(network):
    settings = dataclasses.replace(SETTINGS, style_layer_weights=(1.0, -0.5, 1.0))
    with pytest.raises(UserError, match="style_layer_weights: expected 0 or more with style_loss hypercolumns,"):
        check_style(network.backbone, settings, [(48, 64, 3)])
