"""What is to be made large, against the formulas in NumPy."""

import numpy as np
import pytest

from nst_jax import activations
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(5, 6, 4)).astype(np.float32)
CHANNELS = RANDOM.normal(size=4).astype(np.float32)


def test_responses():
    response = np.einsum("hwc,c->hw", FEATURES, CHANNELS)
    np.testing.assert_allclose(activations.channel(FEATURES, CHANNELS), response.mean(), rtol=1e-5)
    mean = FEATURES.mean(-1)
    contrast = response.mean() - CHANNELS.sum() * mean.mean()
    np.testing.assert_allclose(activations.class_logit(FEATURES, CHANNELS), contrast, rtol=1e-4)
    np.testing.assert_allclose(activations.neuron(FEATURES, CHANNELS), response[2, 3], rtol=1e-5)


def test_squares():
    squares = np.einsum("hwc,c->hw", np.square(FEATURES), np.abs(CHANNELS)).mean() / 2
    np.testing.assert_allclose(activations.deepdream(FEATURES, np.abs(CHANNELS)), squares, rtol=1e-5)
    np.testing.assert_allclose(activations.log_deepdream(FEATURES, np.abs(CHANNELS)), np.log(squares), rtol=1e-5)


def test_guided_dreams_follow_the_best_match():
    guide = RANDOM.normal(size=(7, 4)).astype(np.float32)
    products = FEATURES.reshape(-1, 4) @ guide.T
    expected = np.mean([max(row) for row in products])
    np.testing.assert_allclose(activations.guided(FEATURES, guide), expected, rtol=1e-5)


def test_channel_weights():
    np.testing.assert_array_equal(activations.channel_weights("conv1", 3, (), ()), [1, 1, 1])
    np.testing.assert_array_equal(activations.channel_weights("conv1", 4, (2, 0), ()), [1, 0, 1, 0])
    np.testing.assert_array_equal(activations.channel_weights("conv1", 4, (2, 0), (-1.5, 2)), [2, 0, -1.5, 0])


@pytest.mark.parametrize(
    ("chosen", "weights", "message"),
    [
        ((4,), (), "channel of conv1: expected 0 to 3, found 4"),
        ((-1,), (), "channel of conv1: expected 0 to 3, found -1"),
        ((1, 2), (1.0,), "expected 2, one per dream channel, found 1"),
        ((), (1.0,), "expected 0, one per dream channel, found 1"),
    ],
)
def test_unusable_channels(chosen, weights, message):
    with pytest.raises(UserError, match=message):
        activations.channel_weights("conv1", 4, chosen, weights)
