"""The best patches against a search through everything, and patches that were put there."""

import functools
import itertools
import weakref

import jax
import numpy as np
import pytest

from nst_jax.applications.top_patches import Unit, check_units, top_patches
from nst_jax.backbones.features import Features
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.backbones.receptive_field import receptive_fields
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Concat, Conv, GlobalAverage, Pool
from nst_jax.backbones.spec import Backbone, Preprocess, Provenance, parameter_shapes
from nst_jax.backbones.vgg import FAMILY
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

# Blue first, so that the colour outside of pictures is (0.4, 0.5, 0.6).
PREPROCESS = Preprocess(scale=2.0, mean=(1.2, 1.0, 0.8), std=(1.0, 1.0, 1.0), order="BGR")
MEAN = np.float32([0.4, 0.5, 0.6])


def pretrained_of(*rows, seed=0) -> Pretrained:
    backbone = Backbone("test", rows, PREPROCESS, Provenance("", "", ""), FAMILY)
    random, params = np.random.default_rng(seed), {}
    for name, shape in parameter_shapes(backbone).items():
        scale = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) == 4 else 0.1  # He et al. 2015
        params[name] = (scale * random.standard_normal(shape)).astype(np.float32)
    return Pretrained(backbone, {"params": params}, "")


def pictures(count, shape, seed=0):
    random = np.random.default_rng(seed)
    return [(f"{number}.png", random.uniform(size=(*shape, 3)).astype(np.float32)) for number in range(count)]


@pytest.fixture(scope="module")
def network() -> Pretrained:
    return pretrained_of(
        Conv("conv1", "data", 4, kernel=3, stride=2, padding=1, relu="relu1"),
        Pool("pool1", "conv1", size=3, stride=2, ceil=True),
        Conv("narrow", "pool1", 3, kernel=1, relu="relu_narrow"),
        Conv("wide", "pool1", 3, kernel=3, padding=1, relu="relu_wide"),
        Concat("concat", ("narrow", "wide")),
        GlobalAverage("mean", "concat"),
    )


def overlap(one, other):
    return one.top < other.bottom and other.top < one.bottom and one.left < other.right and other.left < one.right


@functools.cache
def all_layers(backbone):
    return jax.jit(Features(backbone).apply)


def search(shown, pretrained, unit, count):
    """Every position of every picture, strongest first; those that overlap with a stronger one are left out."""
    field = receptive_fields(pretrained.backbone)[unit.layer]
    ranked = []
    for name, pixels in shown:
        values = np.asarray(all_layers(pretrained.backbone)(pretrained.params, pixels)[unit.layer])[..., unit.channel]
        places = sorted(itertools.product(*map(range, values.shape)), key=lambda place: -values[place])
        chosen = []
        for place in places:
            if values[place] > 0 and not any(overlap(field.box(*place), box) for _, _, _, box in chosen):
                chosen.append((values[place], name, place, field.box(*place)))
        ranked += enumerate(chosen)
    first = sorted(ranked, key=lambda entry: (entry[0], -entry[1][0]))[:count]
    return sorted((patch for _, patch in first), key=lambda patch: -patch[0])


def cut(pixels, box, beyond=64):
    """What is in a box, from a picture with a margin all around."""
    margin = [(beyond, beyond), (beyond, beyond)]
    padded = np.dstack([np.pad(pixels[..., c], margin, constant_values=MEAN[c]) for c in range(3)])
    return padded[box.top + beyond : box.bottom + beyond, box.left + beyond : box.right + beyond]


@pytest.mark.parametrize(("number", "count"), [(12, 3), (5, 9), (1, 6), (3, 3)])
def test_the_best_of_all_positions_of_all_pictures(network, number, count):
    shown = pictures(number, (41, 38))
    units = [Unit("conv1", 0), Unit("conv1", 3), Unit("conv1/linear", 1), Unit("pool1", 2), Unit("concat", 4)]
    found = top_patches(iter(shown), network, units, count=count)
    assert list(found) == units
    for unit, patches in found.items():
        expected = search(shown, network, unit, count)
        assert expected
        assert [(patch.name, patch.position, patch.box) for patch in patches] == [entry[1:] for entry in expected]
        np.testing.assert_allclose([patch.activation for patch in patches], [e[0] for e in expected], rtol=1e-5)
        for patch in patches:
            np.testing.assert_array_equal(patch.pixels, cut(dict(shown)[patch.name], patch.box))
        if count <= number:
            assert len({patch.name for patch in patches}) == count


def test_the_order_of_the_pictures_does_not_matter(network):
    shown, units = pictures(7, (33, 30)), [Unit("concat", channel) for channel in range(6)]
    forwards, backwards = (top_patches(order, network, units, count=4) for order in (shown, shown[::-1]))
    for unit in units:
        assert [(p.name, p.position) for p in forwards[unit]] == [(p.name, p.position) for p in backwards[unit]]


def test_planted_patches_are_found_where_they_are():
    """A layer that looks for two templates: nothing correlates with a template like itself."""
    random = np.random.default_rng(1)
    templates = random.choice([-0.5, 0.5], size=(2, 5, 5, 3))
    pretrained = pretrained_of(Conv("look", "data", 2, kernel=5, padding=2, relu="found"))
    kernel = np.stack([template[..., ::-1] for template in templates], axis=-1).astype(np.float32)
    pretrained.params["params"] |= {"look/kernel": kernel, "look/bias": np.zeros(2, np.float32)}
    shown = [(name, 0.45 + 0.1 * pixels) for name, pixels in pictures(20, (29, 35))]
    places = {(0, 13): (4, 21), (1, 13): (20, 2), (0, 6): (0, 0), (1, 17): (24, 30)}
    for (channel, number), (row, column) in places.items():
        shown[number][1][row : row + 5, column : column + 5] = 0.5 + templates[channel]
    for unit, patches in top_patches(shown, pretrained, [Unit("look", 0), Unit("look", 1)], count=2).items():
        expected = {f"{number}.png": place for (c, number), place in places.items() if c == unit.channel}
        assert {patch.name: patch.box[:2] for patch in patches} == expected
        for patch in patches:
            np.testing.assert_allclose(patch.pixels, 0.5 + templates[unit.channel], atol=1e-6)


def test_pictures_are_let_go(network):
    alive = []

    def stream():
        for number in range(30):
            pixels = np.random.default_rng(number).uniform(size=(40, 40, 3)).astype(np.float32)
            assert sum(picture() is not None for picture in alive) <= 3
            alive.append(weakref.ref(pixels))
            yield str(number), pixels

    assert len(top_patches(stream(), network, [Unit("concat", 1)])[Unit("concat", 1)]) == 9


def test_one_program_for_all_pictures_of_a_shape(network, count_compilations):
    with count_compilations() as compiled:
        top_patches([*pictures(5, (40, 44)), *pictures(5, (44, 40))], network, [Unit("conv1", 0), Unit("concat", 5)])
    assert sum("respond" in name for name in compiled) == 2


def test_an_average_over_all_positions_sees_the_whole_picture(network):
    shown = pictures(2, (30, 37))
    patches = top_patches(shown, network, [Unit("mean", 1)], count=9)[Unit("mean", 1)]
    assert {patch.name for patch in patches} == dict(shown).keys()
    assert len(patches) == 2  # a picture has no second position
    for patch in patches:
        np.testing.assert_array_equal(patch.pixels, dict(shown)[patch.name])


def test_patches_are_no_longer_than_the_picture():
    network = pretrained_of(Conv("conv", "data", 2, kernel=15, padding=7, relu="relu"))
    shown = pictures(3, (8, 40))
    for patch in top_patches(shown, network, [Unit("conv", 0)], count=6)[Unit("conv", 0)]:
        # Every unit sees all eight rows.
        box = patch.box._replace(top=0, bottom=8)
        np.testing.assert_array_equal(patch.pixels, cut(dict(shown)[patch.name], box))


def test_what_a_field_has_of_a_narrow_picture_is_shown():
    """Pictures of 13 columns, of which a field of 17 sees 9 or more; the window is as wide as the picture."""
    network = pretrained_of(Conv("conv", "data", 1, kernel=17, padding=8, relu="relu"))
    kernel = np.zeros((17, 17, 3, 1), np.float32)
    kernel[8, 8] = 1
    network.params["params"] |= {"conv/kernel": kernel, "conv/bias": np.zeros(1, np.float32)}
    shown = [(name, pixels * 0.1 + 0.4) for name, pixels in pictures(13, (17, 13))]
    for position, (_, pixels) in enumerate(shown):
        pixels[8, position] = 1
    patches = top_patches(shown, network, [Unit("conv", 0)], count=13)[Unit("conv", 0)]
    assert sorted(patch.position for patch in patches) == [(8, position) for position in range(13)]
    for patch in patches:
        _, position = patch.position
        seen = dict(shown)[patch.name][:, max(0, position - 8) : position + 9]
        width = seen.shape[1]
        assert patch.pixels.shape == (17, 13, 3)
        # Somewhere in the window, and all else outside of the picture.
        windows = np.lib.stride_tricks.sliding_window_view(patch.pixels, width, axis=1)
        (start,) = (windows == seen.swapaxes(1, 2)[:, None]).all(axis=(0, 2, 3)).nonzero()[0]
        outside = np.delete(patch.pixels, range(start, start + width), axis=1)
        np.testing.assert_array_equal(outside, np.broadcast_to(MEAN, outside.shape))


def test_what_nothing_excites_has_no_patches(network):
    params = {"params": network.params["params"] | {"conv1/bias": np.float32([-100, 0, 0, 0])}}
    found = top_patches(pictures(3, (30, 30)), network._replace(params=params), [Unit("conv1", 0), Unit("conv1", 1)])
    assert found[Unit("conv1", 0)] == []
    assert found[Unit("conv1", 1)]


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (Unit("conv4_9", 0), "unknown layer of vgg19 'conv4_9'; expected one of 53, such as: conv4_"),
        (Unit("conv4_1", 512), "channel of conv4_1: expected 0 to 511, found 512"),
        (Unit("conv4_1", -1), "channel of conv4_1: expected 0 to 511, found -1"),
    ],
)
def test_units_that_there_are_not(unit, message):
    with pytest.raises(UserError, match=message):
        check_units(BACKBONES["vgg19"], [Unit("conv1_1", 0), unit])


def test_too_small_pictures_hear_the_least_size(network):
    network = pretrained_of(
        Conv("conv1", "data", 2, kernel=5, stride=2),
        Pool("pool1", "conv1", size=2, stride=2, ceil=False),
        Conv("conv2", "pool1", 2, kernel=3),
    )
    assert len(top_patches(pictures(1, (15, 20)), network, [Unit("conv2", 0), Unit("conv2", 1)])) == 2
    with pytest.raises(UserError, match=r"0\.png: expected sides of 15 px or more for conv2, found 20 × 14 px"):
        top_patches(pictures(1, (14, 20)), network, [Unit("conv1", 0), Unit("conv2", 0)])
