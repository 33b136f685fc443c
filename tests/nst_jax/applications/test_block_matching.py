"""Errors of blocks against loops over all places."""

import numpy as np
import pytest

from nst_jax.applications.block_matching import Matcher

pytestmark = pytest.mark.quick


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize(
    ("picture", "block"),
    [((9, 12, 3), (4, 4, 3)), ((5, 9, 4), (5, 3, 4)), ((4, 4, 1), (4, 4, 1)), ((50, 31, 4), (3, 3, 4))],
)
def test_errors_are_those_of_a_loop_over_all_places(picture, block):
    f, w, t = noise(*picture), noise(*block, seed=1), noise(*block, seed=2)
    height, width, _ = block
    expected = [
        [(w * (f[y : y + height, x : x + width] - t) ** 2).sum() for x in range(picture[1] - width + 1)]
        for y in range(picture[0] - height + 1)
    ]
    found = Matcher(f, w)(t)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_block_of_the_picture_fits_where_it_is_from():
    f = noise(60, 70, 3)
    errors = Matcher(f, np.ones((8, 8, 3), np.float32))(f[31:39, 17:25])
    assert np.unravel_index(errors.argmin(), errors.shape) == (31, 17)
    assert errors.min() < 1e-3 * np.median(errors)
