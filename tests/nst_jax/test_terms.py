"""Kinds of terms: what strength makes of their weights."""

import itertools

import numpy as np
import pytest

from nst_jax.settings import Settings
from nst_jax.terms import CONTENT, MATTING, STYLE, TERMS, VARIATION
from nst_jax.transfer import initial_image

pytestmark = pytest.mark.quick

WEIGHTS = {"content_weight": 0.3, "style_weight": 7.7, "tv_weight": 0.1, "matting_weight": 1e4}


def weights(strength):
    settings = Settings(strength=strength, **WEIGHTS)
    return [TERMS[term].weight_in(settings) for term in (CONTENT, STYLE, VARIATION, MATTING)]


def test_strength_leaves_one_side_alone_at_each_end():
    assert weights(0.5) == list(WEIGHTS.values())  # to the bit
    assert weights(0.0) == [0.3, 0.0, 0.0, 1e4]
    assert weights(1.0) == [0.0, 7.7, 0.1, 0.0]


def test_more_strength_is_more_style_for_less_content():
    dial = [index / 20 for index in range(1, 20)]
    ratios = [style / content for content, style, *_ in map(weights, dial)]
    assert all(before < after for before, after in itertools.pairwise(ratios))
    for strength in dial:
        content, style, variation, matting = weights(strength)
        assert content <= 0.3
        assert style <= 7.7
        assert variation / style == pytest.approx(0.1 / 7.7)
        assert matting / content == pytest.approx(1e4 / 0.3)


def test_a_texture_starts_from_noise():
    content = np.random.default_rng(0).uniform(size=(8, 9, 3)).astype(np.float32)

    def start(**options):
        return np.asarray(initial_image(Settings(**options), content, seed=3))

    for strength in (0.0, 0.5):
        np.testing.assert_array_equal(start(strength=strength), content)
    np.testing.assert_array_equal(start(strength=1.0), start(init="noise"))
    np.testing.assert_array_equal(start(strength=0.75), start(init="blend", init_noise=0.5))
    np.testing.assert_array_equal(start(strength=0.75, init="noise"), start(init="noise"))
