"""The Laplacian term against Li et al.'s program, written in NumPy: pooled in each of the grids, filtered, compared."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import ndimage

from nst_jax import checks, edges
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError
from nst_jax.settings import Settings

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(0)
ERROR = jax.jit(edges.error, static_argnames="pool")
PICTURE, CONTENT = RANDOM.uniform(size=(2, 17, 19, 3))


def laplacian(image, pool):
    """The pooled image, filtered with the Laplacian of four neighbours, without a border, summed over channels."""
    height, width = (side // pool for side in image.shape[:2])
    squares = image[: height * pool, : width * pool].reshape(height, pool, width, pool, 3).mean(axis=(1, 3))
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    return sum(ndimage.correlate(squares[..., channel], kernel)[1:-1, 1:-1] for channel in range(3))


@pytest.mark.parametrize("pool", [1, 4])
def test_the_mean_over_all_grids_of_squares(pool):
    each = []
    for down in range(pool):
        for right in range(pool):
            difference = laplacian(PICTURE[down:, right:], pool) - laplacian(CONTENT[down:, right:], pool)
            each.append(np.square(difference).ravel())
    with jax.enable_x64(True):
        found = ERROR(jnp.asarray(PICTURE), jnp.asarray(edges.brightness(CONTENT)), pool=pool)
    np.testing.assert_allclose(found, np.concatenate(each).mean(), rtol=1e-12)


def test_the_gradient_agrees_with_finite_differences():
    with jax.enable_x64(True):
        target = jnp.asarray(edges.brightness(CONTENT))
        check_grads(lambda x: ERROR(x, target, pool=4), (jnp.asarray(PICTURE),), order=1, modes=["rev"], eps=1e-6)


def test_another_brightness_everywhere_costs_nothing():
    assert ERROR(jnp.float32(CONTENT + 0.1), jnp.float32(edges.brightness(CONTENT)), pool=4) < 1e-12


def test_a_picture_that_is_too_small():
    network = BACKBONES["squeezenet1_1"]

    def check(**changes):
        checks.check_canvas(network, Settings(content_layers=(), style_layers=(), margin=2, **changes), 18, 40)

    check(laplacian_weight=1.0, laplacian_pool=7)
    check(laplacian_weight=0.0, laplacian_pool=8)
    with pytest.raises(UserError, match=r"laplacian_weight: .* at least 24×24 pixels .*, found 44×22"):
        check(laplacian_weight=1.0, laplacian_pool=8)
