"""A perceptron that paints one picture."""

import numpy as np
import pytest

from nst_jax.applications import coordinate_network

pytestmark = pytest.mark.quick


def test_it_learns_more_the_longer_it_is_taught():
    down, across = np.mgrid[:24, :32] / 32
    picture = np.float32(np.stack([0.5 + 0.4 * np.sin(9 * across), down, (across > 0.4) * 0.6 + 0.2], axis=-1))
    fits = list(coordinate_network.fit(picture, steps=40))
    assert [fits[0].step, fits[-1].step] == [0, 40]
    assert fits[-1].error < 0.8 * fits[0].error
    drawn = coordinate_network.draw(fits[-1].variables, (24, 32))
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(drawn - picture))), fits[-1].error, rtol=1e-3)
    assert coordinate_network.draw(fits[-1].variables, (48, 64)).shape == (48, 64, 3)
