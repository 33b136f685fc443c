"""Circular padding against the plane itself: a picture laid beside itself many times, without padding to speak of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax.backbones import pretrained, spec
from nst_jax.backbones.features import Features
from nst_jax.backbones.rows import Conv, Pool
from nst_jax.backbones.spec import Backbone, Preprocess, Provenance
from nst_jax.backbones.vgg import FAMILY
from nst_jax.ops import circular_padding

pytestmark = pytest.mark.quick

PLAIN = Preprocess(scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="RGB")


def of_the_plane(model, params, tile, layers, *, periods):
    """Returns one period of the features of the plane: from the middle of so many tiles in both directions."""
    plane = np.tile(tile, (periods, periods, 1))
    features = jax.jit(lambda params, image: model.apply(params, image))(params, plane)
    steps = spec.strides(model.backbone)
    found = {}
    for layer in layers:
        high, wide = (length // steps[layer] for length in tile.shape[:2])
        first = periods // 2
        found[layer] = features[layer][first * high : (first + 1) * high, first * wide : (first + 1) * wide]
    return found


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_squeezenet_sees_the_plane(pooling):
    # Its first convolution has no padding, and its pools overlap: what is around them has to come from the other side.
    network = pretrained.load("squeezenet1_1")
    tile = np.random.default_rng(0).uniform(size=(32, 48, 3)).astype(np.float32)
    layers = ("conv1", "pool1", "fire3/concat", "fire5/concat", "pool5", "fire9/concat")
    expected = of_the_plane(Features(network.backbone, pooling), network.params, tile, layers, periods=11)
    around = Features(network.backbone, pooling, padding="circular")
    found = jax.jit(lambda params, image: around.apply(params, image))(network.params, tile)
    for layer in layers:
        assert found[layer].shape == expected[layer].shape, layer
        error = np.linalg.norm(found[layer] - expected[layer]) / np.linalg.norm(expected[layer])
        assert error < 1e-5, (layer, error)


def test_padded_and_large_windows_see_the_plane():
    # As in VGG and in networks that begin with 7×7.
    rows = (
        Conv("first", "data", 4, kernel=7, stride=2, padding=3, relu="relu_first"),
        Conv("second", "first", 4, kernel=3, padding=1, relu="relu_second"),
        Pool("pool", "second", size=2, stride=2, ceil=False),
        Conv("third", "pool", 4, kernel=1, stride=2, relu="relu_third"),
    )
    backbone = Backbone("test", rows, PLAIN, Provenance("", "", ""), FAMILY)
    tile = np.random.default_rng(1).uniform(size=(16, 24, 3)).astype(np.float32)
    params = Features(backbone).init(jax.random.key(0), tile)
    layers = ("first", "second", "pool", "third")
    expected = of_the_plane(Features(backbone), params, tile, layers, periods=7)
    found = Features(backbone, padding="circular").apply(params, tile)
    for layer in layers:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "stride", "before"), [(3, 1, 1), (3, 2, 0), (2, 2, 0), (1, 2, 0), (7, 2, 3)])
@pytest.mark.parametrize("length", [4, 7, 8])
def test_as_many_windows_as_strides_fit_into_the_picture(size, stride, before, length):
    maps = jnp.arange(float(length))[None, :, None, None]
    wrapped = circular_padding.wrap(maps, size=(size, size), stride=stride, before=(before, before))
    count = -(-length // stride)
    assert (wrapped.shape[1] - size) // stride + 1 == count
    for window in range(count):
        found = wrapped[0, window * stride : window * stride + size, before, 0]
        np.testing.assert_array_equal(found, (np.arange(size) + window * stride - before) % length)
