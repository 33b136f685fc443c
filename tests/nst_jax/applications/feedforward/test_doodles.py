"""What networks of doodles read: regions by their colours, noise of several sizes, random maps."""

from pathlib import Path

import numpy as np
import pytest

from nst_jax.applications.feedforward import doodles, instant, networks, trained
from nst_jax.errors import UserError
from nst_jax.io.region_maps import RegionMap

pytestmark = pytest.mark.quick

RED, BLUE, WHITE = (200, 30, 40), (20, 40, 200), (255, 255, 255)
NETWORK = networks.doodle((RED, BLUE, WHITE), noise=3)
MAP = RegionMap(Path("map.png"), np.array([[0, 0], [1, 0]], np.uint8), (WHITE, (203, 28, 40)))  # as JPEG leaves red


def test_regions_are_found_by_their_colours():
    guides = doodles.guides_of(NETWORK, MAP, (4, 4))
    np.testing.assert_array_equal(guides[..., 2], [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_array_equal(guides[..., 0], 1 - guides[..., 2])
    assert not guides[..., 1].any()
    with pytest.raises(
        UserError, match=r"map\.png: expected the colours of .*#c81e28, #1428c8, #ffffff, found #00ff00"
    ):
        doodles.guides_of(NETWORK, MAP._replace(colours=(WHITE, (0, 255, 0))), (4, 4))


def test_noise():
    """Channel n has the same variance everywhere, and neighbours are alike within cells of 4ⁿ pixels."""
    guides = np.zeros((130, 301, 3), np.float32)
    found = doodles.painted_from(NETWORK, guides, np.random.default_rng(0))
    assert found.shape == (130, 301, 6)
    np.testing.assert_array_equal(found, doodles.painted_from(NETWORK, guides, np.random.default_rng(0)))
    noise = found[..., 3:]
    alike = [np.corrcoef(noise[:, 1:, n].ravel(), noise[:, :-1, n].ravel())[0, 1] for n in range(3)]
    assert abs(alike[0]) < 0.02
    assert 0.8 < alike[1] < 0.97
    assert alike[2] > 0.98
    assert np.all((noise.std(axis=(0, 1)) > 0.5) & (noise.std(axis=(0, 1)) < 1.2))


def test_a_photograph_is_no_map():
    shapes = networks.network_parameters(NETWORK)
    params = trained.grouped({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, NETWORK)
    painter = instant.painter(trained.Trained(NETWORK, params, (), "", {}))
    with pytest.raises(UserError, match=r"content: expected \[H, W, 6\] for this network, found \[40, 50, 3\]"):
        painter.paint(np.zeros((40, 50, 3), np.float32))


def test_random_maps():
    maps = [doodles.random_guides(4, 48, np.random.default_rng([0, number])) for number in range(40)]
    np.testing.assert_array_equal(maps[3], doodles.random_guides(4, 48, np.random.default_rng([0, 3])))
    areas = np.array([each.mean(axis=(0, 1)) for each in maps])
    assert all(set(np.unique(each)) <= {0, 1} for each in maps)
    np.testing.assert_allclose(areas.sum(axis=1), 1, rtol=1e-6)
    assert areas[areas > 0].min() >= 0.03
    assert np.all((areas > 0).mean(axis=0) > 0.3)  # every region is in many
    assert {1, 2, 3, 4} == set((areas > 0).sum(axis=1))  # of every number of regions
