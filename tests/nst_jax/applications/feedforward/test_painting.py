"""Codes of styles, their blends and strengths, and pictures of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax.applications.feedforward import networks, painting
from nst_jax.applications.feedforward.networks import Matched, Predicted
from nst_jax.applications.feedforward.steps import Conv, Mean, Norm

CONTENT, STYLE, OTHER = (
    np.random.default_rng(seed).uniform(0.1, 0.9, (24, 20, 3)).astype(np.float32) for seed in (0, 1, 2)
)
IDENTITY = {"params": {"a/kernel": np.eye(3, dtype=np.float32)[None, None], "a/bias": np.zeros(3, np.float32)}}
LINEAR = (Conv("a", 3, kernel=1, bias=True, activation=None),)
MOMENTS, COVARIANCE = (Matched(LINEAR, LINEAR, matching, networks.UNIT) for matching in ("moments", "covariance"))
PARAMS = {"encoder": IDENTITY, "painter": IDENTITY}
PREDICTED = Predicted(
    (Conv("a", 5, kernel=3, bias=True), Mean()),
    (Conv("b", 3, kernel=3, norm=Norm(code=5, offset=True), activation="sigmoid"),),
    side=16,
)


def flat(image):
    return np.asarray(image).reshape(-1, 3)


@pytest.fixture(autouse=True)
def no_clipping(monkeypatch):
    """Statistics are exact before colours are cut."""
    monkeypatch.setattr(painting.jnp, "clip", lambda values, *_: values)


@pytest.mark.parametrize("network", [MOMENTS, COVARIANCE])
def test_matched_statistics(network):
    code = painting.encode(network, PARAMS, STYLE)
    picture = flat(painting.paint(network, PARAMS, CONTENT, code))
    np.testing.assert_allclose(picture.mean(0), flat(STYLE).mean(0), atol=1e-5)
    found, expected = (np.cov(values.T, bias=True) for values in (picture, flat(STYLE)))
    if network is MOMENTS:  # Huang & Belongie 2017, equation 8
        found, expected = np.diag(found), np.diag(expected)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("network", [MOMENTS, COVARIANCE])
def test_strength(network):
    """Strength 0 gives the content image back, and between, the features are α t + (1 − α) f."""
    own, code = (painting.encode(network, PARAMS, image) for image in (CONTENT, STYLE))
    pictures = [painting.paint(network, PARAMS, CONTENT, painting.strengthen(own, code, s)) for s in (0, 0.3, 1)]
    np.testing.assert_allclose(pictures[0], CONTENT, atol=1e-4)
    np.testing.assert_allclose(pictures[1], 0.7 * pictures[0] + 0.3 * pictures[2], atol=1e-5)


@pytest.mark.parametrize("network", [MOMENTS, COVARIANCE])
def test_statistics_of_regions(network):
    """Each region has the statistics of its own style, and what belongs to none counts in none."""
    above, nothing = np.arange(24) < 14, np.arange(24) >= 22
    guides = np.zeros((24, 20, 2), np.float32)
    guides[above, :, 0], guides[~above & ~nothing, :, 1] = 1, 1
    codes = [painting.encode(network, PARAMS, image) for image in (STYLE, OTHER)]
    code = jax.tree.map(lambda *each: jnp.stack(each), *codes)
    picture = np.asarray(painting.paint(network, PARAMS, CONTENT, code, guides=guides))
    for rows, style in ((above, STYLE), (~above & ~nothing, OTHER)):
        found, expected = (np.cov(flat(image).T, bias=True) for image in (picture[rows], style))
        np.testing.assert_allclose(flat(picture[rows]).mean(0), flat(style).mean(0), atol=1e-5)
        if network is MOMENTS:
            found, expected = np.diag(found), np.diag(expected)
        np.testing.assert_allclose(found, expected, atol=2e-5)
    # At strength 0 every region has its own statistics: the content image comes back.
    back = painting.paint(network, PARAMS, CONTENT, code, guides=guides, strength=0.0)
    np.testing.assert_allclose(back, CONTENT, atol=1e-4)


def test_weighted_statistics():
    """A soft mask weights positions in mean and covariance alike, as `numpy.cov` does it."""
    inside = np.random.default_rng(3).uniform(size=(24, 20, 1)).astype(np.float32)
    mean, covariance = painting.spread_of(COVARIANCE, jnp.asarray(STYLE), jnp.asarray(inside))
    weights = inside.ravel()
    np.testing.assert_allclose(mean, np.average(flat(STYLE), axis=0, weights=weights), atol=1e-6)
    expected = np.cov(flat(STYLE).T, aweights=weights, bias=True)
    np.testing.assert_allclose(covariance, expected, atol=1e-6)
    _, variance = painting.spread_of(MOMENTS, jnp.asarray(STYLE), jnp.asarray(inside))
    np.testing.assert_allclose(variance, np.diag(expected), atol=1e-6)


def test_a_new_predictor_gives_codes_of_a_size():
    """He et al. 2015: what passes many layers without normalisation neither vanishes nor explodes."""
    network = networks.predicted(side=32)
    params = painting.initial(network, jax.random.key(0))
    image = np.random.default_rng(4).uniform(size=(32, 32, 3)).astype(np.float32)
    code = painting.encode(network, params, image)
    assert code.shape == (100,)
    assert 0.02 < float(jnp.std(code)) < 2


def test_blend():
    codes = [painting.encode(MOMENTS, PARAMS, image) for image in (STYLE, OTHER)]
    mixed = painting.blend(codes, jnp.array([0.25, 0.75]))
    for found, first, second in zip(*map(jax.tree.leaves, (mixed, *codes)), strict=True):
        np.testing.assert_allclose(found, 0.25 * first + 0.75 * second, atol=1e-6)


def test_predicted():
    params = painting.initial(PREDICTED, jax.random.key(0))
    code = painting.encode(PREDICTED, params, STYLE[:16, :16])
    assert code.shape == (5,)
    picture = painting.paint(PREDICTED, params, CONTENT, code)
    assert picture.shape == CONTENT.shape
    with pytest.raises(ValueError, match="styles in it"):
        painting.encode(networks.pastiche(2), params, STYLE)


@pytest.mark.parametrize(("height", "width"), [(16, 20), (17, 23)])
def test_any_side(height, width):
    network = networks.pastiche(2, contract=(4, 4, 4), residuals=1, expand=(4, 4))
    params = painting.initial(network, jax.random.key(0))
    content = np.resize(CONTENT, (height, width, 3))
    picture = jax.jit(lambda content: painting.paint(network, params, content, jnp.array([0.5, 0.5])))(content)
    assert picture.shape == (height, width, 3)
    assert np.isfinite(picture).all()
