"""The binomial filter, against SciPy."""

import jax
import numpy as np
import pytest
import scipy.ndimage

from nst_jax.ops.blur import blur

pytestmark = pytest.mark.quick
IMAGE = np.random.default_rng(0).uniform(size=(7, 10, 3)).astype(np.float32)


@pytest.mark.parametrize(("wrap", "mode"), [(False, "nearest"), (True, "wrap")])
def test_blur_is_that_of_scipy(wrap, mode):
    expected = IMAGE
    for axis in (0, 1):
        expected = scipy.ndimage.convolve1d(expected, [0.25, 0.5, 0.25], axis=axis, mode=mode)
    np.testing.assert_allclose(jax.jit(blur, static_argnames="wrap")(IMAGE, wrap=wrap), expected, atol=1e-6)


def test_the_finest_grid_vanishes():
    rows, columns = np.indices((8, 12))
    for grid in (rows % 2, columns % 2, (rows + columns) % 2):
        image = np.repeat(np.float32(grid)[..., None], 3, axis=-1)
        np.testing.assert_allclose(blur(image, wrap=True), 0.5, atol=1e-6)


@pytest.mark.parametrize("wrap", [False, True])
def test_the_derivative_is_the_transpose(wrap):
    shape = (4, 5, 1)
    pixels = np.eye(20, dtype=np.float32).reshape(20, *shape)
    columns = jax.vmap(lambda pixel: blur(pixel, wrap=wrap))(pixels).reshape(20, 20)
    rows = jax.jit(jax.jacrev(lambda image: blur(image, wrap=wrap)))(pixels[0]).reshape(20, 20)
    np.testing.assert_allclose(rows, columns.T, atol=1e-7)
