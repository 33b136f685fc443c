"""Cuts against all paths."""

import itertools

import numpy as np
import pytest

from nst_jax.applications.boundary_cut import boundary_cut

pytestmark = pytest.mark.quick


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def paths(height, width):
    """All paths from top to bottom whose steps are straight or diagonal."""
    for path in itertools.product(range(width), repeat=height):
        if all(abs(below - above) <= 1 for above, below in itertools.pairwise(path)):
            yield path


def cost(errors, path):
    return sum(errors[row, column] for row, column in enumerate(path))


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 1), (4, 2), (5, 4), (6, 3)])
def test_the_cut_is_the_cheapest_of_all_paths(shape):
    for seed in range(20):
        errors = noise(*shape, seed=seed).astype(float)
        found = tuple(boundary_cut(errors).tolist())
        assert found == min(paths(*shape), key=lambda path: cost(errors, path))


def test_no_straight_seam_is_cheaper_than_the_cut():
    for seed in range(20):
        errors = noise(24, 6, seed=seed)
        assert cost(errors, boundary_cut(errors)) <= errors.sum(axis=0).min()
