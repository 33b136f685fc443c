"""JAX set to be strict in everything computes the same numbers."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest

import nst_jax
from nst_jax import losses
from nst_jax.applications import dream
from nst_jax.batches import Recipe
from nst_jax.presets import PRESETS, default_preset

BACKBONE = "squeezenet1_1"
PLAIN = dataclasses.replace(
    PRESETS[default_preset(BACKBONE)],
    content_layers=("fire2/concat",),
    style_layers=("conv1", "fire2/concat"),
    style_layer_weights=(),
    margin=4,
    steps=2,
)
DREAM = dataclasses.replace(
    dream.dream_settings(BACKBONE), dream_layers=("fire2/concat",), steps=2, random_scale=0.1, random_rotate=5.0
)


@contextlib.contextmanager
def strict():
    """JAX with 64 bits, and without implicit promotion of types and ranks or implicit transfers."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.transfer_guard("disallow"),
    ):
        yield


@pytest.fixture(scope="module")
def network():
    return nst_jax.load(BACKBONE)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return random.random((40, 48, 3)), random.random((36, 36, 3))


@pytest.mark.parametrize(
    "settings",
    [
        PLAIN,
        pytest.param(
            dataclasses.replace(
                PLAIN, optimizer="adam", learning_rate=0.02, init="noise", style_loss="mean_covariance_error"
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            dataclasses.replace(PLAIN, parameterization="fourier", init="blend", remat=True, pooling="average"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            dataclasses.replace(PLAIN, parameterization="laplacian", optimizer="adam", learning_rate=2e-3),
            marks=pytest.mark.slow,
        ),
        pytest.param(dataclasses.replace(PLAIN, colours="luminance", colour_match="histogram"), marks=pytest.mark.slow),
        pytest.param(
            dataclasses.replace(PLAIN, parameterization="coordinates", blending="losses", padding="reflect"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            dataclasses.replace(
                PLAIN,
                style_loss="gram_moments_error",
                variation_loss="crowson_variation",
                pooling="scaled_l2",
                padding="replicate_first",
                optimizer="adam",
                learning_rate=0.02,
                adam_decay=0.99,
                averaging=0.99,
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(DREAM, marks=pytest.mark.slow),
    ],
    ids=["pixels", "adam", "fourier", "laplacian", "luminance", "coordinates", "high_resolution", "dream"],
)
def test_stylize_is_the_same_to_the_bit(settings, network, images):
    content, style = images
    styles = [style, style[:30]] if settings.style_layers else []
    expected = nst_jax.stylize(content, styles, network, settings=settings, seed=3)
    with strict():
        found = nst_jax.stylize(content, styles, network, settings=settings, seed=3)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", losses.STYLE_LOSSES)
def test_style_losses_are_the_same_to_the_bit(name):
    term = losses.STYLE_LOSSES[name]
    features, target = (jax.device_put(np.float32(values)) for values in np.random.default_rng(0).random((2, 6, 7, 5)))

    def value_and_gradient():
        wanted = jax.jit(term.target or term.statistic)(target)
        return jax.jit(jax.value_and_grad(lambda values, to: term.error(term.statistic(values), to)))(features, wanted)

    expected = value_and_gradient()
    with strict():
        found = value_and_gradient()
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), jax.device_get(expected))


def test_a_sweep_is_the_same_to_the_bit(network, images):
    content, style = images
    recipes = [
        Recipe(PLAIN, content, style),
        Recipe(dataclasses.replace(PLAIN, style_layers=("conv1",), style_weight=3.0), content, [style, style]),
    ]
    expected = nst_jax.sweep(recipes, network)
    with strict():
        found = nst_jax.sweep(recipes, network)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.picture, other.picture)


def test_a_step_inside_of_another_jit(network, images):
    content, style = images

    def two_steps():
        transfer = nst_jax.prepare(network, PLAIN, content, style)

        @jax.jit
        def run(transfer, image):
            state = transfer.init(image)
            for _ in range(2):
                state, info = transfer.step(state)
            return transfer.result(state), info.loss

        return jax.device_get(run(transfer, jax.device_put(content.astype(np.float32))))

    expected = two_steps()
    with strict():
        found = two_steps()
    jax.tree.map(np.testing.assert_array_equal, found, expected)
