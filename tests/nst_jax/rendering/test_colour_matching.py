"""Matched colours against their formulas, and what becomes of images that have hardly any."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from skimage.exposure import match_histograms

from nst_jax.applications import dream, texture
from nst_jax.backbones.pretrained import load
from nst_jax.errors import UserError
from nst_jax.rendering import colour_matching
from nst_jax.rendering.colour_matching import affine, matched, mixture, moments
from nst_jax.rendering.grey import is_grey
from nst_jax.rendering.luminance import luminance
from nst_jax.settings import Settings

pytestmark = pytest.mark.quick

LINEAR = ("symmetric", "pca", "cholesky")
METHODS = (*LINEAR, "histogram")
NONE = Settings()


def picture(seed, shape=(40, 48), mean=0.5, spread=0.06):
    """Pixels of some mean, whose channels mostly go together, as those of photographs, and are far from 0 and 1."""
    random = np.random.default_rng(seed)
    light = random.standard_normal((*shape, 1))
    colour = random.standard_normal((*shape, 3)) @ (0.5 * np.eye(3) + random.uniform(-0.3, 0.3, (3, 3)))
    return np.float32(np.clip(mean + spread * (light + colour), 0, 1))


CONTENT, STYLE, OTHER = picture(0, mean=0.4), picture(1, (30, 50), mean=0.6), picture(2, (44, 36), spread=0.05)
GREY = np.repeat(picture(3)[..., :1], 3, axis=-1)
FLAT = np.full((40, 40, 3), np.float32([0.7, 0.5, 0.2]))


def options(method, to="content", **changes):
    return dataclasses.replace(NONE, colour_match=method, colour_match_to=to, **changes)


def moved(method, image, target):
    matrix, offset = affine(method, moments(image), moments(target))
    return image.astype(np.float64) @ matrix.T + offset


def assert_moments(image, target, atol=1e-6):
    for found, wanted in zip(moments(image), target, strict=True):
        np.testing.assert_allclose(found, wanted, atol=atol)


def test_moments():
    found = moments(STYLE)
    rows = STYLE.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(rows.T, ddof=0), rtol=1e-10)


@pytest.mark.parametrize("method", LINEAR)
def test_mean_and_covariance_are_the_others(method):
    assert_moments(moved(method, STYLE, CONTENT), moments(CONTENT))
    _, (style,) = matched(options(method), CONTENT, [STYLE])
    assert style.dtype == np.float32
    np.testing.assert_allclose(style, np.clip(moved(method, STYLE, CONTENT), 0, 1), atol=1e-6)


def test_the_formulas_with_roots_by_scipy():
    wanted, found = moments(CONTENT).covariance, moments(STYLE).covariance
    root = scipy.linalg.sqrtm(found)
    inverse = np.linalg.inv(root)
    lower = [np.linalg.cholesky(covariance) for covariance in (wanted, found)]
    matrices = {
        "symmetric": inverse @ scipy.linalg.sqrtm(root @ wanted @ root) @ inverse,
        "pca": scipy.linalg.sqrtm(wanted) @ inverse,
        "cholesky": lower[0] @ np.linalg.inv(lower[1]),
    }
    for method, matrix in matrices.items():
        np.testing.assert_allclose(affine(method, moments(STYLE), moments(CONTENT))[0], matrix, atol=1e-8)


def test_symmetric_moves_colours_least():
    distances = {method: np.var(moved(method, STYLE, CONTENT) - STYLE, axis=(0, 1)).sum() for method in LINEAR}
    assert distances["symmetric"] < 0.98 * min(distances["pca"], distances["cholesky"])


def test_histogram_is_that_of_scikit_image():
    _, (style,) = matched(options("histogram"), CONTENT, [STYLE])
    np.testing.assert_allclose(style, match_histograms(STYLE, CONTENT, channel_axis=-1), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_content_moves_to_style_images_by_their_shares(method):
    content, styles = matched(options(method, "style", blend_weights=(0.25, 0.75)), CONTENT, [STYLE, OTHER])
    assert styles[0] is STYLE
    wanted = mixture([moments(STYLE), moments(OTHER)], (0.25, 0.75))
    parts = [np.tile(STYLE.reshape(-1, 3), (44, 1)), np.tile(OTHER.reshape(-1, 3), (125, 1))]  # 66,000 and 198,000
    assert_moments(np.concatenate(parts), wanted)
    if method == "histogram":
        assert_moments(content[..., :1], (wanted.mean[:1], wanted.covariance[:1, :1]), atol=1e-3)
    else:
        assert_moments(content, wanted)


@pytest.mark.parametrize("method", METHODS)
def test_style_images_without_a_share_do_not_count(method):
    alone, _ = matched(options(method, "style"), CONTENT, [STYLE])
    beside, _ = matched(options(method, "style", blend_weights=(1.0, 0.0)), CONTENT, [STYLE, GREY])
    np.testing.assert_array_equal(alone, beside)


def test_nothing_to_match_leaves_the_arrays():
    content, (style,) = matched(NONE, CONTENT, [STYLE])
    assert content is CONTENT
    assert style is STYLE
    content, (style,) = matched(options("pca"), CONTENT, [STYLE])
    assert content is CONTENT
    np.testing.assert_array_equal(matched(options("pca"), jnp.asarray(CONTENT), [jnp.asarray(STYLE)])[1][0], style)


def test_large_pictures_are_moved_in_bands(monkeypatch):
    whole = matched(options("pca"), CONTENT, [STYLE])[1][0]
    monkeypatch.setattr(colour_matching, "_ROWS", 700)
    np.testing.assert_allclose(matched(options("pca"), CONTENT, [STYLE])[1][0], whole, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_colours_of_a_grey_image_are_its_greys(method):
    _, (style,) = matched(options(method), GREY, [STYLE])
    assert np.ptp(style, axis=-1).max() == 0
    assert_moments(style[..., :1], [of[:1, :1] if of.ndim == 2 else of[:1] for of in moments(GREY)], atol=1e-4)
    # Light stays light: the luminance of the style image, and none of its channels alone.
    assert np.corrcoef(style[..., 0].ravel(), luminance(STYLE).ravel())[0, 1] > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_a_grey_image_gets_colours_that_follow_its_greys(method):
    """As tinted photographs do: one colour for each grey, with the mean of the others' colours, and no speckles."""
    noise = np.random.default_rng(0).integers(-1, 2, (*GREY.shape[:2], 3)) / 255  # as of a lossy file
    lossy = np.float32(np.clip(GREY + 0.5 * noise, 0, 1))
    assert is_grey(lossy)
    _, (clean, noisy) = matched(options(method), CONTENT, [GREY, lossy])
    for style in (clean, noisy):
        np.testing.assert_allclose(moments(style).mean, moments(CONTENT).mean, atol=5e-3)
        assert moments(style).covariance.trace() > 0.3 * moments(CONTENT).covariance.trace()
    if method != "histogram":
        values = np.linalg.eigvalsh(moments(clean).covariance)
        assert values[1] < 1e-6 * values[2]
    assert np.sqrt(np.mean((noisy - clean) ** 2)) < 2.5 * np.sqrt(np.mean((lossy - GREY) ** 2))


@pytest.mark.parametrize("method", METHODS)
def test_one_colour(method):
    _, (style,) = matched(options(method), CONTENT, [FLAT])
    np.testing.assert_allclose(style, np.broadcast_to(moments(CONTENT).mean, FLAT.shape), atol=1e-6)
    lossy = FLAT + np.float32(np.random.default_rng(0).integers(0, 2, (*FLAT.shape[:2], 1)) / 255)
    _, (style,) = matched(options(method), CONTENT, [lossy])
    assert style.std(axis=(0, 1)).max() < 0.5 * CONTENT.std(axis=(0, 1)).max()
    _, (style,) = matched(options(method), FLAT, [STYLE])
    np.testing.assert_allclose(style, np.broadcast_to(FLAT[0, 0], STYLE.shape), atol=1e-6)
    _, (style,) = matched(options(method), FLAT, [FLAT])
    np.testing.assert_allclose(style, FLAT, atol=1e-6)


def test_style_images_as_luminance():
    luminous = dataclasses.replace(NONE, colours="luminance")
    content, styles = matched(luminous, CONTENT, [STYLE, OTHER, FLAT])
    assert content is CONTENT
    ours = luminance(CONTENT)
    for style, of in zip(styles, (STYLE, OTHER), strict=False):
        assert np.ptp(style, axis=-1).max() == 0
        theirs = luminance(of)
        expected = (theirs - theirs.mean()) * ours.std() / theirs.std() + ours.mean()
        np.testing.assert_allclose(style[..., :1], expected, atol=1e-5)
    np.testing.assert_allclose(styles[2], ours.mean(), atol=1e-6)
    for method in ("symmetric", "pca", "cholesky"):  # all the same, of one channel
        _, same = matched(dataclasses.replace(luminous, colour_match=method), CONTENT, [STYLE, OTHER, FLAT])
        for one, other in zip(same, styles, strict=True):
            np.testing.assert_array_equal(one, other)
    _, (style,) = matched(dataclasses.replace(luminous, colour_match="histogram"), CONTENT, [STYLE])
    np.testing.assert_allclose(style[..., :1], match_histograms(luminance(STYLE), ours, channel_axis=-1), atol=1e-5)


@pytest.mark.parametrize("changes", [{"colours": "luminance"}, {"colour_match": "pca"}], ids=str)
def test_without_a_content_image_there_are_no_colours_of_one(changes):
    (name,) = changes
    network = load("squeezenet1_1")
    for settings, paint in (
        (
            texture.texture_settings("squeezenet1_1"),
            lambda of: texture.synthesize(STYLE, network, height=40, width=40, settings=of),
        ),
        (dream.dream_settings("squeezenet1_1"), lambda of: list(dream.dream(network, of, CONTENT))),
    ):
        with pytest.raises(UserError, match=f"{name}: expected .* no content image"):
            paint(dataclasses.replace(settings, **changes))
