"""Regions in layers and in transfers: guided statistics, which units belong to a region, and whose style each takes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nst_jax import guidance, stacking, statistics, transfer
from nst_jax.backbones.features import Features
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.backbones.receptive_field import receptive_fields
from nst_jax.backbones.rows import Conv, Pool
from nst_jax.backbones.spec import Backbone, Preprocess, Provenance
from nst_jax.backbones.vgg import FAMILY
from nst_jax.errors import UserError
from nst_jax.losses import STYLE_LOSSES
from nst_jax.regions import Regions
from nst_jax.settings import Settings

BACKBONE = Backbone(
    "three",
    (
        Conv("a", "data", 4, kernel=3, padding=1, relu="relu_a"),
        Pool("pool", "a", size=2, stride=2, ceil=False),
        Conv("b", "pool", 6, kernel=3, padding=1, relu="relu_b"),
    ),
    Preprocess(scale=1.0, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2), order="RGB"),
    Provenance("", "", ""),
    FAMILY,
)
SETTINGS = Settings(
    content_layers=("b",), style_layers=("a", "b"), margin=2, optimizer="adam", learning_rate=0.02, scales=(0,), steps=3
)
SHAPE = (33, 42, 3)


@functools.cache
def network():
    return Pretrained(BACKBONE, Features(BACKBONE).init(jax.random.key(0), np.zeros((32, 32, 3), np.float32)), "")


def picture(seed, shape=SHAPE):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def halves(shape=SHAPE):
    """The left and the right half."""
    left = (np.arange(shape[1]) < shape[1] // 2) * np.ones((shape[0], 1))
    return np.stack([left, 1 - left], axis=-1).astype(np.float32)


def of_whole_images(content, count):
    return Regions(content, tuple(np.tile(np.eye(count, dtype=np.float32)[k], (*SHAPE[:2], 1)) for k in range(count)))


@functools.partial(jax.jit, static_argnames="step")
def evaluate(problem, image, step=0):
    return problem.evaluate(image, step)


def start_of(image):
    return np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")


def test_statistics_of_a_region_are_those_of_guided_features():
    random = np.random.default_rng(0)
    features, guide = random.normal(size=(5, 7, 4)), random.uniform(size=(5, 7))
    guide /= np.sqrt(np.mean(guide**2))  # as Gatys et al. 2017 normalise guides
    guided = (guide[..., None] * features).reshape(-1, 4)
    rows, weights = features.reshape(-1, 4), (guide**2 / np.sum(guide**2)).ravel()
    with jax.enable_x64(True):
        shares = jnp.asarray(weights.reshape(5, 7))
        found = [of(jnp.asarray(features), shares) for of in (statistics.moments, statistics.channel_moments)]
        np.testing.assert_allclose(statistics.gram(jnp.asarray(features), shares), guided.T @ guided / 35, rtol=1e-12)
    np.testing.assert_allclose(found[0].second, guided.T @ guided / 35, rtol=1e-12)
    for moments in found:
        np.testing.assert_allclose(moments.mean, weights @ rows, rtol=1e-12)
    np.testing.assert_allclose(found[1].square, weights @ rows**2, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name, term in STYLE_LOSSES.items() if term.additive])
def test_style_errors_of_regions_have_their_derivatives(name):
    random, term = np.random.default_rng(0), STYLE_LOSSES[name]
    with jax.enable_x64(True):
        features, style = jnp.asarray(random.normal(size=(2, 5, 7, 4)))
        weights = jnp.asarray(random.dirichlet(np.ones(35)).reshape(5, 7))
        target = term.statistic(style, weights)
        # The derivative of the Wasserstein distance is that of the exact root, its value has rounding of Newton's.
        tolerance = 1e-4 if "wasserstein" in name else 1e-6
        check_grads(
            lambda values: term.error(term.statistic(values, weights), target), (features,), 1, "rev", rtol=tolerance
        )


def test_equal_weights_are_none():
    features = np.random.default_rng(0).normal(size=(5, 7, 4)).astype(np.float32)
    for statistic in (statistics.gram, statistics.moments, statistics.channel_moments):
        weighted, plain = statistic(features, np.full((5, 7), 1 / 35, np.float32)), statistic(features)
        for one, another in zip(jax.tree.leaves(weighted), jax.tree.leaves(plain), strict=True):
            np.testing.assert_allclose(one, another, rtol=1e-5, atol=1e-6)


def test_units_belong_to_the_regions_that_they_see():
    guides = halves((32, 32, 3))
    found = {
        how: guidance.positions(BACKBONE, ("b",), guides, how, what="picture")["b"]
        for how in ("simple", "inside", "all")
    }
    field = receptive_fields(BACKBONE)["b"]
    for region in (0, 1):
        for column in range(16):
            seen = guides[0, field.box(0, column).within(32, 32)[1], region]
            units = {how: bool(found[how][0, column, region]) for how in found}
            assert units == {"simple": column // 8 == region, "inside": seen.all(), "all": seen.any()}
    for how in found:
        np.testing.assert_allclose(found[how].sum(axis=(0, 1), dtype=np.float64), 1, rtol=1e-6)


def test_guides_are_the_means_of_the_pixels_that_units_stand_for():
    guides = picture(0, (33, 42, 2))  # a row that the pool drops
    found = guidance.positions(BACKBONE, ("a", "b"), guides, "simple", what="picture")
    coarse = np.float64(guides[:32]).reshape(16, 2, 21, 2, 2).mean(axis=(1, 3))
    for layer, expected in (("a", np.float64(guides)), ("b", coarse)):
        np.testing.assert_allclose(found[layer], expected**2 / (expected**2).sum(axis=(0, 1)), rtol=1e-5)


def test_where_no_unit_sees_a_region_alone_the_means_guide_it():
    guides = np.zeros((32, 32, 2), np.float32)
    guides[..., 0] = 1
    guides[7:9, 7:9] = 0, 1  # 2 px of the 7 that a unit sees
    simple, inside = (
        guidance.positions(BACKBONE, ("b",), guides, how, what="picture")["b"] for how in ("simple", "inside")
    )
    np.testing.assert_array_equal(inside[..., 1], simple[..., 1])
    assert (inside[..., 0] > 0).sum() < (simple[..., 0] > 0).sum()


def test_what_no_unit_of_a_layer_sees_is_refused():
    guides = np.zeros((33, 32, 2), np.float32)
    guides[:32, :, 0], guides[32, :, 1] = 1, 1
    with pytest.raises(UserError, match="regions: expected some of region 2 of the picture in b, found nothing left"):
        guidance.positions(BACKBONE, ("a", "b"), guides, "simple", what="picture")


def test_each_region_takes_its_own_style():
    settings = dataclasses.replace(SETTINGS, content_weight=0.0, tv_weight=0.0)
    dark, light = picture(1) * np.float32([0.5, 0.2, 0.1]), 1 - picture(2) * np.float32([0.1, 0.3, 0.5])
    problem = transfer.prepare(network(), settings, picture(0), [dark, light], regions=of_whole_images(halves(), 2))
    painted = start_of(picture(0))
    for _ in range(60):
        gradient = evaluate(problem, painted).gradient
        painted = np.clip(painted - 0.01 * gradient / np.abs(gradient).mean(), 0, 1)
    values = jax.jit(Features(BACKBONE, settings.pooling).apply)(network().params, painted)
    term = STYLE_LOSSES[settings.style_loss]
    for layer in settings.style_layers:
        for region in (0, 1):
            found = term.statistic(values[layer], problem.weights.regions.positions[layer][..., region])
            own, other = (
                term.error(found, problem.targets["style"][layer][which, which]) for which in (region, 1 - region)
            )
            assert own <= other / 2, (layer, region, own, other)


def test_a_region_blends_the_style_images_that_have_it():
    has = [np.float32([1, 1]), np.float32([1, 0]), np.float32([0, 1])]
    regions = Regions(halves(), tuple(np.tile(own, (*SHAPE[:2], 1)) for own in has))
    settings = dataclasses.replace(SETTINGS, blending="losses", blend_weights=(0.2, 0.6, 0.2))
    problem = transfer.prepare(network(), settings, picture(0), [picture(1), picture(2), picture(3)], regions=regions)
    np.testing.assert_allclose(problem.weights.style_images, [[0.25, 0.75, 0], [0.5, 0, 0.5]], rtol=1e-6)
    assert np.isfinite(evaluate(problem, start_of(picture(4))).gradient).all()


def test_weights_of_regions_are_multiples_of_their_areas():
    regions, styles = of_whole_images(halves(), 2), [picture(1), picture(2)]
    settings = [dataclasses.replace(SETTINGS, region_weights=weights) for weights in ((), (1.0, 0.0), (0.0, 1.0))]
    problems = [transfer.prepare(network(), each, picture(0), styles, regions=regions) for each in settings]
    np.testing.assert_allclose(problems[0].weights.regions.terms, [0.5, 0.5])
    both, left, right = (evaluate(problem, start_of(picture(3))).terms["style"] for problem in problems)
    np.testing.assert_allclose(both, left + right, rtol=1e-6)


def test_tiles_have_loss_and_gradient_of_the_whole():
    regions, styles = of_whole_images(halves(), 2), [picture(1), picture(2)]
    settings = [dataclasses.replace(SETTINGS, tile=tile) for tile in ("off", 16)]
    whole, tiled = (
        evaluate(transfer.prepare(network(), each, picture(0), styles, regions=regions), start_of(picture(3)))
        for each in settings
    )
    assert abs(whole.loss - tiled.loss) <= 1e-6 * whole.loss
    one, another = (np.float64(of.gradient).ravel() for of in (whole, tiled))
    assert np.linalg.norm(one - another) <= 1e-5 * np.linalg.norm(one)  # sums in other orders


def test_what_is_kept_is_the_content_image_to_the_bit():
    keep = np.zeros(SHAPE[:2], np.float32)
    keep[:, 30:] = 1
    regions = Regions((1 - keep)[..., None], (np.ones((*SHAPE[:2], 1), np.float32),), keep)
    problem = transfer.prepare(network(), SETTINGS, picture(0), picture(1), regions=regions)
    found = jax.jit(lambda problem, start: problem.result(problem.init(start)))(problem, picture(2))
    np.testing.assert_array_equal(found, np.where(np.arange(SHAPE[1])[:, None] < 30, picture(2), picture(0)))
    assert not evaluate(problem, start_of(picture(2))).gradient[2:-2, 32:-2].any()


def test_positions_follow_the_shifts():
    guides, settings = halves(), dataclasses.replace(SETTINGS, shifts=4)
    regions, styles = of_whole_images(guides, 2), [picture(1), picture(2)]
    problem = transfer.prepare(network(), settings, picture(0), styles, regions=regions)
    for step in (0, 3):
        moved = np.roll(start_of(guides), [(0, 0), (1, 2), (2, 1), (3, 3)][step], (0, 1))
        expected = guidance.positions(BACKBONE, ("a",), moved, "simple", what="picture")["a"]
        np.testing.assert_allclose(problem.weights.regions.positions["a"][step], expected, rtol=1e-6)


def test_turned_style_images_turn_their_guides():
    settings = dataclasses.replace(SETTINGS, style_rotations=True, style_layers=("a",), padding="replicate", margin=0)
    symmetric = np.ones((32, 32, 3), np.float32) * np.float32([0.8, 0.3, 0.1])
    symmetric[:, :16] = 0.1, 0.5, 0.9
    guides = halves((32, 32, 3))
    regions = Regions(halves(), (guides,))
    problem = transfer.prepare(network(), settings, picture(0), symmetric, regions=regions)
    plain = transfer.prepare(
        network(), dataclasses.replace(settings, style_rotations=False), picture(0), symmetric, regions=regions
    )
    # But for the units at the border, the two halves are flat: turned or not, their colours are the same.
    turned, still = (np.asarray(of.targets["style"]["a"][0]) for of in (problem, plain))
    across = np.linalg.norm(still[0] - still[1])
    assert np.linalg.norm(turned - still) < 0.2 * across


def test_cells_with_regions_are_the_single_transfers():
    regions, others = of_whole_images(halves(), 2), of_whole_images(halves()[:, ::-1], 2)
    settings = [SETTINGS, dataclasses.replace(SETTINGS, region_weights=(1.0, 3.0), style_layers=("a",))]
    cells = [
        transfer.prepare(network(), each, picture(0), [picture(1), picture(2)], regions=own)
        for each, own in zip(settings, (regions, others), strict=True)
    ]
    batch, starts = stacking.stack(cells), np.stack([start_of(picture(3)), start_of(picture(4))])
    each = jax.vmap(lambda cell, start: cell.evaluate(start, 0), in_axes=(batch.cells.axes, 0))
    both = jax.jit(each)(batch.cells, starts)
    for index, cell in enumerate(cells):
        alone = evaluate(cell, start_of(picture(3 + index)))
        np.testing.assert_allclose(both.loss[index], alone.loss, rtol=1e-5)
    with pytest.raises(UserError, match="regions: expected the same in all transfers of a batch, found"):
        stacking.stack([cells[0], transfer.prepare(network(), SETTINGS, picture(0), [picture(1), picture(2)])])


@pytest.mark.parametrize(
    ("changes", "regions", "message"),
    [
        ({"style_loss": "histogram"}, {}, "style_loss: expected a mean over positions with regions, found histogram"),
        ({"finish_steps": 2}, {}, "finish_loss: expected a mean over positions with regions, found nearest_neighbour"),
        ({"style_layers": ()}, {}, "regions: expected style layers, whose statistics are taken in each, found none"),
        ({"region_weights": (1.0,)}, {}, "region_weights: expected one for each of 2 regions, found 1"),
        (
            {"blend_weights": (1.0, 0.0)},
            {},
            "blend_weights: expected none where each region has one style image, found 1, 0; .* region_weights",
        ),
        (
            {"colour_match": "pca", "colour_match_to": "style"},
            {"keep": np.ones(SHAPE[:2], np.float32)},
            "colour_match_to: expected content where a part of the content image stays as it is, found style",
        ),
        ({"jitter": 2, "content_layers": ()}, {}, "jitter: expected 0 with regions, which stay in place, found 2"),
        (
            {},
            {"content": halves((20, 20, 3))},
            r"expected guides \[33, 42, 2\] for the content image, found \[20, 20, 2\]",
        ),
        ({}, {"content": 2 * halves()}, r"regions: expected guides in \[0, 1\] for the content image, found others"),
        ({}, {"content": halves() * np.float32([1, 0])}, r"regions: expected some of the content image in each"),
        ({}, {"keep": np.zeros((20, 20))}, r"regions: expected keep \[33, 42\], found \[20, 20\]"),
        ({}, {"keep": np.full(SHAPE[:2], np.nan)}, r"regions: expected keep in \[0, 1\], found others"),
        ({}, {"content": halves()[..., :0]}, r"regions: expected guides .* for the content image, found"),
        ({}, {"content": halves().tolist()}, "regions: expected a NumPy array for the content image, found list"),
        ({}, {"styles": ()}, "regions: expected guides for each of 2 style images, found 0"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(changes, regions, message):
    changed = dataclasses.replace(of_whole_images(halves(), 2), **regions)
    with pytest.raises(UserError, match=message):
        transfer.prepare(
            network(), dataclasses.replace(SETTINGS, **changes), picture(0), [picture(1), picture(2)], regions=changed
        )


def test_a_map_is_no_regions():
    with pytest.raises(UserError, match=r"regions: expected nst_jax.regions.Regions, as .* makes them, found ndarray"):
        transfer.prepare(network(), SETTINGS, picture(0), picture(1), regions=halves())


def test_weights_of_regions_that_are_not_there():
    with pytest.raises(UserError, match="region_weights: expected none without regions, found 2"):
        transfer.prepare(network(), dataclasses.replace(SETTINGS, region_weights=(1.0, 2.0)), picture(0), picture(1))
