"""Pictures in tiles against the same pictures as a whole."""

import jax
import numpy as np
import pytest

from nst_jax.applications.feedforward import networks, painting, tiles, windows
from nst_jax.applications.feedforward.networks import Matched, Transformer, network_parameters
from nst_jax.applications.feedforward.steps import Conv, MaxPool, Mean, Norm, Residual, Transposed
from nst_jax.applications.feedforward.trained import grouped

RANDOM = np.random.default_rng(0)
CONTENT = RANDOM.uniform(size=(50, 75, 3)).astype(np.float32)
STYLED = Norm(code=2)
PAINTER = Transformer(
    (
        Conv("wide", 4, kernel=5, norm=STYLED),
        Conv("smaller", 6, kernel=3, stride=2, border="same", bias=True, norm=Norm()),
        Conv("smallest", 4, kernel=3, stride=2, norm=Norm()),
        Residual((Conv("a", 4, kernel=3, norm=STYLED), Conv("b", 4, kernel=3, norm=Norm(), activation=None))),
        Transposed("larger", 4, kernel=3, stride=2, norm=Norm()),
        Conv("largest", 3, kernel=3, enlarge=2, border="zeros", norm=STYLED, activation="sigmoid"),
    ),
    styles=2,
)
ENCODER = (Conv("a", 6, kernel=3, bias=True), MaxPool(), Conv("b", 4, kernel=3, bias=True))
DECODER = (Conv("c", 3, kernel=3, enlarge=2, bias=True, activation=None),)


def parameters(network):
    shapes = network_parameters(network)
    numbers = {name: RANDOM.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    return grouped(numbers, network)


@pytest.mark.parametrize("tile", [16, 2000])
def test_normalised_by_the_whole(tile):
    params, code = parameters(PAINTER), np.array([0.3, 0.7], np.float32)
    expected = jax.jit(lambda: painting.paint(PAINTER, params, CONTENT, code))()
    found = tiles.paint_in_tiles(PAINTER, params, CONTENT, code, tile=tile)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("matching", ["moments", "covariance"])
def test_matched_to_the_whole(matching):
    network = Matched(ENCODER, DECODER, matching, networks.UNIT)
    params, style = parameters(network), RANDOM.uniform(size=(20, 30, 3)).astype(np.float32)
    code = painting.encode(network, params, style)
    expected = painting.paint(network, params, CONTENT, code, strength=0.7)
    found = tiles.paint_in_tiles(network, params, CONTENT, code, tile=16, strength=0.7)
    np.testing.assert_allclose(found, expected, atol=1e-5)


GUIDES = RANDOM.uniform(size=(50, 75, 3)).astype(np.float32) * (RANDOM.uniform(size=(50, 75, 3)) > 0.3)


def test_codes_of_regions():
    params, codes = parameters(PAINTER), RANDOM.uniform(size=(3, 2)).astype(np.float32)
    expected = jax.jit(lambda: painting.paint(PAINTER, params, CONTENT, codes, guides=GUIDES))()
    found = tiles.paint_in_tiles(PAINTER, params, CONTENT, codes, tile=16, guides=GUIDES)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("matching", ["moments", "covariance"])
def test_statistics_of_regions(matching):
    """One of them in a single corner, so that most tiles have nothing of it."""
    network = Matched(ENCODER, DECODER, matching, networks.UNIT)
    params, guides = parameters(network), GUIDES.copy()
    guides[:, 20:, 2] = guides[12:, :, 2] = 0
    styles = RANDOM.uniform(size=(3, 20, 30, 3)).astype(np.float32)
    code = jax.tree.map(lambda *each: np.stack(each), *(painting.encode(network, params, style) for style in styles))
    expected = painting.paint(network, params, CONTENT, code, strength=0.7, guides=guides)
    found = tiles.paint_in_tiles(network, params, CONTENT, code, tile=16, strength=0.7, guides=guides)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_style_image_in_tiles():
    network = Matched(ENCODER, DECODER, "covariance", networks.UNIT)
    params, style = parameters(network), CONTENT[:48, :74]
    for own, other in zip(
        tiles.spread_in_tiles(network, params, style, tile=16),
        painting.spread_of(network, painting.encoded(network, params, style)),
        strict=True,
    ):
        np.testing.assert_allclose(own, other, atol=1e-5)


def test_long_windows():
    """Places in a window of 60,000 px are told in whole numbers of 32 bits."""
    made, mine = np.zeros((30_000, 2, 1), np.float32), np.array([[50_000, 59_000, 60_000], [0, 4, 4]], np.int32)
    inside = np.asarray(jax.jit(windows.inside)(made, mine))[:, 0, 0]
    assert np.flatnonzero(inside)[[0, -1]].tolist() == [25_000, 29_499]
    assert inside.sum() == 4500


def test_windows():
    """Each pixel belongs to one tile, and its window has what is around it, or the picture's border."""
    for length in (32, 40, 64, 100, 152):
        found = windows.spans(length, 32, 8)
        assert [at.begin for at in found[1:]] == [at.end for at in found[:-1]]
        assert (found[0].begin, found[-1].end) == (0, length)
        for start, own, begin, end in found:
            assert start >= 0
            assert start + own <= length
            assert start <= max(begin - 8, 0)
            assert min(end + 8, length) <= start + own


def test_networks_that_cannot():
    assert tiles.why_untiled(PAINTER) is None
    assert "mean over all positions" in tiles.why_untiled(Transformer((Mean(),)))
    assert "matches" in tiles.why_untiled(
        Matched((Conv("a", 4, kernel=3, norm=Norm()),), DECODER, "moments", networks.UNIT)
    )


def test_within_a_larger_one():
    """A part of a picture has the moments of the part: it is the same where no layer looks beyond the border."""
    steps = (Conv("a", 4, kernel=1, norm=STYLED), Conv("b", 3, kernel=2, stride=2, border="same", norm=Norm()))
    network = Transformer((*steps, Conv("c", 3, kernel=1, enlarge=2, norm=STYLED, activation="sigmoid")), styles=2)
    params, code = parameters(network), np.array([0.3, 0.7], np.float32)
    whole = np.pad(CONTENT, ((0, 14), (0, 21), (0, 0)), mode="reflect")
    shape = np.array(CONTENT.shape[:2], np.int32)
    found = jax.jit(lambda: painting.paint_within(network, params, whole, shape, code))()[:50, :75]
    expected = jax.jit(lambda: painting.paint(network, params, CONTENT, code))()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_matched_within_a_larger_one():
    network = Matched(
        (Conv("a", 4, kernel=1, bias=True),), (Conv("c", 3, kernel=1, bias=True),), "covariance", networks.UNIT
    )
    params = parameters(network)
    code = painting.encode(network, params, CONTENT[:20])
    whole, shape = np.pad(CONTENT, ((0, 14), (0, 21), (0, 0)), mode="reflect"), np.array([50, 75], np.int32)
    found = painting.paint_within(network, params, whole, shape, code, strength=0.6)[:50, :75]
    np.testing.assert_allclose(found, painting.paint(network, params, CONTENT, code, strength=0.6), atol=1e-5)
