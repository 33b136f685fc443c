"""The matting term against Levin's sparse matrix, written from the formula, and against what photographs may become."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import sparse

from nst_jax import losses, matting
from nst_jax.backbones import pretrained
from nst_jax.rendering.canvas import extend
from nst_jax.settings import Settings
from nst_jax.terms import MATTING
from nst_jax.transfer import prepare

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(0)
HEIGHT, WIDTH = 70, 13  # more rows than are handled at once


def photograph():
    """Smooth areas, an edge, noise, and one flat corner, in which all windows are singular but for ε."""
    down, right = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([down / HEIGHT, right / WIDTH, np.sin(down / 5) / 2 + 0.5], axis=-1)
    picture = np.where((down + right > 40)[..., None], 0.2 * smooth, 0.3 + 0.6 * smooth)
    picture[30:50] += RANDOM.uniform(0, 0.1, size=(20, WIDTH, 3))
    picture[:8, :8] = 0.25
    return np.clip(picture, 0, 1)


def levin(image, epsilon=1e-7):
    """L of Levin et al. 2008, equation 12, window by window: δ_ij − (1 + (I_i − μ)ᵀ (Σ + ε/9)⁻¹ (I_j − μ)) / 9."""
    height, width, _ = image.shape
    number = np.arange(height * width).reshape(height, width)
    entries, rows, columns = [], [], []
    for top in range(height - 2):
        for left in range(width - 2):
            inside = number[top : top + 3, left : left + 3].ravel()
            colours = image.reshape(-1, 3)[inside]
            centred = colours - colours.mean(axis=0)
            inverse = np.linalg.inv(centred.T @ centred / 9 + epsilon / 9 * np.eye(3))
            entries.append(np.eye(9) - (1 + centred @ inverse @ centred.T) / 9)
            rows.append(np.repeat(inside, 9))
            columns.append(np.tile(inside, 9))
    values, rows, columns = (np.concatenate([np.ravel(part) for part in of]) for of in (entries, rows, columns))
    return sparse.csr_matrix((values, (rows, columns)), shape=(number.size, number.size))


IMAGE = photograph()
LAPLACIAN = levin(IMAGE)
PAINTED = RANDOM.uniform(size=IMAGE.shape)
HALF = 0.5 * IMAGE + 0.1 * RANDOM.uniform(size=IMAGE.shape)
EVALUATE = jax.jit(jax.value_and_grad(matting.error))
COUNT = 9 * (HEIGHT - 2) * (WIDTH - 2)


def expected(picture):
    """Σ_c V_cᵀ L V_c / COUNT and its gradient."""
    columns = picture.reshape(-1, 3)
    product = LAPLACIAN @ columns
    return (columns * product).sum() / COUNT, (2 * product / COUNT).reshape(picture.shape)


@pytest.mark.parametrize("picture", [PAINTED, HALF], ids=["painted", "half"])
def test_value_and_gradient_are_those_of_the_sparse_matrix(picture):
    value, gradient = expected(picture)
    with jax.enable_x64(True):
        constants = jnp.asarray(matting.constants(IMAGE))
        found, slope = jax.device_get(EVALUATE(jnp.asarray(picture), constants))
    assert slope.dtype == np.float64
    np.testing.assert_allclose(found, value, rtol=1e-10)
    assert np.linalg.norm(slope - gradient) <= 1e-10 * np.linalg.norm(gradient)


def test_the_gradient_agrees_with_finite_differences():
    with jax.enable_x64(True):
        constants = jnp.asarray(matting.constants(IMAGE[25:40]))
        check_grads(
            jax.jit(lambda picture: 100 * matting.error(picture, constants)),
            (jnp.asarray(PAINTED[25:40]),),
            order=1,
            modes=["rev"],
            eps=1e-6,
        )


@pytest.mark.parametrize("picture", [PAINTED, HALF], ids=["painted", "half"])
def test_single_precision_is_enough(picture):
    value, gradient = expected(np.float64(np.float32(picture)))
    constants = matting.constants(np.float32(IMAGE))
    assert constants.dtype == np.float32
    found, slope = jax.device_get(EVALUATE(jnp.float32(picture), jnp.asarray(constants)))
    # IMAGE itself is rounded to single precision, 6e-8, which windows of the flat corner take for colours: ε/9 is
    # the square of 1e-4. Beside that there is the rounding of R_k, 6e-8 of up to 1e4.
    np.testing.assert_allclose(found, value, rtol=1e-3)
    assert np.linalg.norm(slope - gradient) <= 2e-3 * np.linalg.norm(gradient)


def test_other_light_costs_next_to_nothing():
    matrix = np.array([[0.5, 0.1, 0.0], [0.2, 0.3, 0.1], [0.0, 0.1, 0.6]])
    constants = jnp.asarray(matting.constants(np.float32(IMAGE)))
    light, _ = EVALUATE(jnp.float32(IMAGE @ matrix + 0.1), constants)
    strokes, _ = EVALUATE(jnp.float32(IMAGE @ matrix + 0.1 + 0.02 * (PAINTED - 0.5)), constants)
    assert abs(light) < 1e-3 * strokes


def test_a_transfer_has_the_term_where_it_has_a_weight():
    network = pretrained.load("squeezenet1_1")
    content, style = np.float32(RANDOM.uniform(size=(2, 40, 44, 3)))
    settings = Settings(content_layers=("conv1",), style_layers=("conv1",), margin=2, matting_weight=30.0)
    problem = prepare(network, settings, content, style)
    canvas = np.asarray(extend(jnp.asarray(style), 2))
    found, terms = jax.jit(lambda of: of.loss(canvas, 0))(problem)
    target = losses.MATTING_LOSS.target(np.asarray(extend(jnp.asarray(content), 2)))
    np.testing.assert_allclose(terms[MATTING], EVALUATE(canvas, target)[0], rtol=1e-5)
    others = terms["content"] + 50 * terms["style"] + 3 * terms["total_variation"]
    np.testing.assert_allclose(found, others + 30 * terms[MATTING], rtol=1e-5)
    without = prepare(network, dataclasses.replace(settings, matting_weight=0.0), content, style)
    assert MATTING not in without.targets
    assert MATTING not in without.weights.terms
