"""Random transformations of pictures, against SciPy."""

import jax
import numpy as np
import pytest
import scipy.ndimage

from nst_jax.rendering.transformation import Transformation, transform

pytestmark = pytest.mark.quick

PICTURE = np.random.default_rng(0).uniform(size=(20, 30, 3)).astype(np.float32)


def test_nothing_moves_by_default():
    assert not Transformation().moves
    np.testing.assert_array_equal(transform(Transformation(), PICTURE, jax.random.key(0)), PICTURE)


def test_jitter_rolls_by_every_amount_up_to_its_own():
    ranges = Transformation(jitter=2)
    rolled = {
        (down, across): np.roll(PICTURE, (down, across), (0, 1)) for down in range(-2, 3) for across in range(-2, 3)
    }
    found = set()
    for seed in range(200):
        moved = transform(ranges, PICTURE, jax.random.key(seed))
        found |= {amount for amount, picture in rolled.items() if np.array_equal(moved, picture)}
    assert found == rolled.keys()


def test_similarities_are_those_of_scipy():
    smooth = scipy.ndimage.gaussian_filter(PICTURE, (3, 3, 0))
    for seed in range(3):
        key = jax.random.key(seed)
        moved = transform(Transformation(scale=0.2, rotate=20), smooth, key)
        amount = np.asarray(jax.random.uniform(jax.random.fold_in(key, 1), (2,), minval=-1, maxval=1))
        factor, angle = 1 + 0.2 * amount[0], np.deg2rad(20 * amount[1])
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / factor
        middle = (np.array(smooth.shape[:2]) - 1) / 2
        offset = middle - matrix @ middle
        expected = [
            scipy.ndimage.affine_transform(smooth[..., colour], matrix, offset, order=1, mode="mirror")
            for colour in range(3)
        ]
        np.testing.assert_allclose(moved, np.stack(expected, -1), atol=1e-4)
