"""Convolutions between maps of cells against those that are written as they are meant."""

import jax
import numpy as np
import pytest

from nst_jax.applications.feedforward import blocks
from nst_jax.applications.feedforward.blocks import Cells, Sides
from nst_jax.applications.feedforward.interpreter import Painter, own_moments
from nst_jax.applications.feedforward.steps import Conv, MaxPool, Norm, Residual
from nst_jax.ops import conv

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("layer", "channels", "sides"),
    [
        (Conv("a", 8, kernel=9), 3, Sides(4, 4)),
        (Conv("a", 3, kernel=9, border="zeros"), 8, Sides(4, 4)),
        (Conv("a", 8, kernel=3, enlarge=2), 16, Sides(2, 4)),
        (Conv("a", 16, kernel=3, enlarge=2, border="same"), 32, Sides(1, 2)),
        (Conv("a", 32, kernel=3), 32, Sides(1, 1)),
        (Conv("a", 64, kernel=3), 3, None),  # more products than as it is
        (Conv("a", 16, kernel=3, stride=2), 8, None),
        (Conv("a", 16, kernel=9, enlarge=2), 32, None),  # one position would be reflected as two
        (Conv("a", 32, kernel=1), 32, None),
        (Conv("a", 32, kernel=3, depthwise=True), 32, None),
    ],
)
def test_sides(layer, channels, sides):
    assert blocks.sides(layer, channels) == sides


def both(steps, shape):
    maps = RANDOM.standard_normal(shape, np.float32)
    network = Painter(steps)
    shapes = jax.eval_shape(network.init, jax.random.key(0), maps)
    params = jax.tree.map(lambda leaf: RANDOM.standard_normal(leaf.shape, np.float32) / 10, shapes)
    fast = jax.jit(Painter(steps, fast=True).apply)(params, maps)
    return np.asarray(fast), np.asarray(jax.jit(network.apply)(params, maps))


def test_a_network():
    """With every way from cells to cells: made, kept, divided, joined, none as the map is no multiple of their side."""
    norm = Norm(epsilon=1e-3)
    steps = (
        Conv("wide", 8, kernel=9, bias=True, norm=norm),
        Conv("smaller", 32, kernel=3, stride=2),
        Residual((Conv("a", 32, kernel=3, norm=norm), Conv("b", 32, kernel=3, bias=True, activation=None))),
        Conv("larger", 16, kernel=3, enlarge=2, border="same", norm=norm),
        Conv("cells", 8, kernel=3, enlarge=2, bias=True, norm=norm),
        Conv("zeros", 3, kernel=9, border="zeros", activation="sigmoid"),
        MaxPool(3),
        Conv("odd", 8, kernel=9),
    )
    fast, plain = both(steps, (2, 16, 24, 3))
    np.testing.assert_allclose(fast, plain, atol=2e-5 * abs(plain).max())


def test_channels_by_themselves():
    steps = (Conv("a", 4, kernel=3, stride=2, border="same", depthwise=True, activation=None),)
    fast, plain = both(steps, (1, 6, 9, 4))
    np.testing.assert_allclose(fast, plain, atol=1e-6)


def test_moments_are_of_positions():
    """Who measures is shown the map itself, whatever cells it is in."""
    seen = []

    def measure(name, maps):
        seen.append((name, maps.shape))
        return own_moments(name, maps)

    steps = (Conv("a", 8, kernel=9, norm=Norm()),)
    params = jax.eval_shape(Painter(steps).init, jax.random.key(0), np.zeros((1, 8, 12, 3), np.float32))
    network = Painter(steps, fast=True)
    jax.eval_shape(lambda params, maps: network.apply(params, maps, None, measure), params, np.zeros((1, 8, 12, 3)))
    assert seen == [("a", (1, 8, 12, 8))]


def test_derivative():
    """By the kernel too: it is transformed inside the program."""
    kernel = RANDOM.standard_normal((3, 3, 32, 32), np.float32)
    cells, layer = Cells(RANDOM.standard_normal((1, 8, 8, 32), np.float32)), Conv("a", 32, kernel=3, border="zeros")

    def fast(kernel):
        return (blocks.convolve(layer, cells, kernel, Sides(1, 1)).values ** 2).sum()

    def plain(kernel):
        return (conv.convolve(cells.values, kernel, 1, ((1, 1), (1, 1))) ** 2).sum()

    found, expected = jax.jit(jax.grad(fast))(kernel), jax.jit(jax.grad(plain))(kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(abs(expected).max()))
