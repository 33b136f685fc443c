"""Shifts by less than a stride."""

import numpy as np
import pytest

from nst_jax.rendering.shifts import shift, shifted

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16, 64])
def test_rows_and_columns_are_seen_once_and_strides_at_every_position(count):
    found = np.array([shift(turn, count) for turn in range(count)])
    for axis in (0, 1):
        assert sorted(found[:, axis]) == list(range(count))
    stride = 2
    while stride**2 <= count:
        positions, times = np.unique(found % stride, axis=0, return_counts=True)
        assert len(positions) == stride**2
        assert set(times) == {count // stride**2}
        stride *= 2


def test_an_image_is_moved_down_and_to_the_right():
    image = np.random.default_rng(0).uniform(size=(20, 24, 3)).astype(np.float32)
    for turn in range(8):
        down, right = shift(turn, 8)
        found = shifted(image, turn, 8)
        np.testing.assert_array_equal(found[down:, right:], image[: 20 - down, : 24 - right])
        np.testing.assert_array_equal(found[:down, right:], image[20 - down :, : 24 - right])
