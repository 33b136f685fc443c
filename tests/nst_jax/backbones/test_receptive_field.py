"""Receptive fields against derivatives, and against the numbers of the literature."""

import dataclasses
import functools
import math
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax.backbones.features import Features
from nst_jax.backbones.receptive_field import EVERYTHING, Box, receptive_fields
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Add, Concat, Conv, GlobalAverage, LocalResponseNorm, Pool, Row
from nst_jax.backbones.spec import Backbone, Preprocess, Provenance, layer_shapes, layers, with_head
from nst_jax.backbones.vgg import FAMILY

pytestmark = pytest.mark.quick

PLAIN = Preprocess(scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="RGB")


def backbone_of(*rows) -> Backbone:
    return Backbone("test", rows, PLAIN, Provenance("", "", ""), FAMILY)


def thin(backbone) -> Backbone:
    """The network with two channels everywhere, which changes nothing of its geometry."""
    rows = tuple(dataclasses.replace(row, features=2) if isinstance(row, Conv) else row for row in backbone.rows)
    return dataclasses.replace(backbone, rows=rows, preprocess=PLAIN)


def branches(size, ceil) -> Backbone:
    """Paddings, strides, kernels and branches as no published network mixes them."""
    return backbone_of(
        Conv("conv1", "data", 2, kernel=5, stride=2, padding=1, relu="relu1"),
        LocalResponseNorm("norm1", "conv1"),
        Pool("pool1", "norm1", size=size, stride=2, ceil=ceil),
        Conv("narrow", "pool1", 2, kernel=1),
        Conv("wide", "pool1", 2, kernel=5, padding=2),
        Conv("uneven", "pool1", 2, kernel=2, padding=1),
        Concat("concat", ("narrow", "wide")),
        Conv("flat", "concat", 4, kernel=(1, 7), padding=(0, 3), groups=2),
        Add("sum", ("concat", "flat"), relu="relu_sum"),
        Pool("padded", "sum", size=3, stride=1, padding=1, kind="padded_average"),
        Pool("even", "padded", size=3, stride=2, padding="same"),
        Conv("conv2", "even", 2, kernel=3, stride=2, padding=1),
        GlobalAverage("mean", "conv2"),
        Conv("behind", "mean", 2, kernel=1),
    )


@functools.cache
def pullback(backbone, shape):
    """The derivative by the pixels of anything linear in the layers. Nothing is negative, so nothing cancels."""
    model = Features(backbone, pooling="average")
    image = jnp.ones((*shape, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 1 / math.prod(leaf.shape[:-1])), variables)
    return jax.jit(lambda cotangents: jax.vjp(lambda image: model.apply(variables, image), image)[1](cotangents)[0])


def influence(backbone, shape, layer, position):
    """Which pixels [H, W] a unit depends on."""
    cotangents = {name: np.zeros(size, np.float32) for name, size in layer_shapes(backbone, *shape).items()}
    cotangents[layer][position] = 1
    return np.asarray(pullback(backbone, shape)(cotangents)).sum(axis=-1) > 0


def seen(backbone, shape, layer, position):
    pixels = np.zeros(shape, bool)
    pixels[receptive_fields(backbone, *shape)[layer].box(*position).within(*shape)] = True
    return pixels


def positions(backbone, shape, layer):
    height, width, _ = layer_shapes(backbone, *shape)[layer]
    return {(0, 0), (height // 2, width // 3), (height - 1, width - 1)}


@pytest.mark.parametrize(
    ("backbone", "shape", "layer"),
    [
        # Sizes of which no layer drops a remainder: 227 is 2·113 + 1, 113 is 2·56 + 1, ...
        *(("squeezenet1_1", (227, 291), layer) for layer in ("conv1", "pool1", "fire3/expand3x3", "fire5/concat")),
        *(("squeezenet1_1", (227, 291), layer) for layer in ("fire5/expand1x1", "fire6/expand1x1", "fire7/concat")),
        *(("vgg19", (224, 256), layer) for layer in ("conv1_2", "pool2", "conv3_1", "conv4_4", "conv5_1", "fc6")),
    ],
)
def test_a_unit_depends_on_its_field_and_on_nothing_else(backbone, shape, layer):
    network = thin(with_head(BACKBONES[backbone]))
    for position in positions(network, shape, layer):
        expected = influence(network, shape, layer, position)
        np.testing.assert_array_equal(seen(network, shape, layer, position), expected, err_msg=str(position))


@pytest.mark.parametrize(("size", "ceil", "shape"), [(3, False, (63, 67)), (3, True, (62, 64)), (2, True, (61, 64))])
def test_every_kind_of_row(size, ceil, shape):
    network = branches(size, ceil)
    assert {type(row) for row in network.rows} == set(typing.get_args(Row))
    for layer in layers(network):
        *inner, last = sorted(positions(network, shape, layer))
        for position in inner:
            expected = influence(network, shape, layer, position)
            np.testing.assert_array_equal(
                seen(network, shape, layer, position), expected, err_msg=f"{layer} {position}"
            )
        # At the end remainders may have been dropped.
        assert not (influence(network, shape, layer, last) & ~seen(network, shape, layer, last)).any(), layer


def fields_as_published(backbone):
    """Layer → size, effective stride, effective padding."""
    fields = receptive_fields(backbone)
    return {layer: (field.size, field.stride, -field.rows.offset) for layer, field in fields.items()}


def test_vgg_as_published():
    found = fields_as_published(with_head(BACKBONES["vgg16"]))
    # google-research/receptive_field, README, the table of Araujo et al. (Distill 2019): vgg_16 up to its last pool.
    assert found["pool5"] == (212, 32, 90)
    # The fully connected layer sees 7 × 7 units of it: 212 + 6·32.
    assert found["fc6"][:2] == (404, 32)
    # Simonyan & Zisserman, arXiv:1409.1556, section 2.3: two 3×3 layers see 5×5, three see 7×7 (of the map before).
    assert found["conv1_2"] == (5, 1, 2)
    assert (found["conv3_3"][0] - found["pool2"][0]) / found["pool2"][1] == 7 - 1


def test_vgg19_by_the_formula():
    found = fields_as_published(BACKBONES["vgg19"])
    # Araujo et al., equation 2: 1 + Σ (kernel − 1) · product of the strides before.
    for block, depth in enumerate((2, 2, 4, 4, 4), start=1):
        for index in range(1, depth + 1):
            before = sum(2 * count * 2**b + 2**b for b, count in enumerate((2, 2, 4, 4, 4)[: block - 1]))
            size = 1 + before + 2 * index * 2 ** (block - 1)
            assert found[f"conv{block}_{index}"][:2] == (size, 2 ** (block - 1))
    assert (found["conv5_1"][0], found["conv5_4"][0], found["pool5"][0]) == (156, 252, 268)


def test_alexnet_as_published():
    rows = (
        # Its second version as in TF-Slim, for which RECEPTIVE_FIELD_TABLE.md of google-research/receptive_field has:
        (Conv("conv1", "data", 64, kernel=11, stride=4), (11, 4, 0)),
        (Pool("pool1", "conv1", size=3, stride=2, ceil=False), (19, 8, 0)),
        (Conv("conv2", "pool1", 192, kernel=5, padding=2), (51, 8, 16)),
        (Pool("pool2", "conv2", size=3, stride=2, ceil=False), (67, 16, 16)),
        (Conv("conv3", "pool2", 384, kernel=3, padding=1), (99, 16, 32)),
        (Conv("conv4", "conv3", 384, kernel=3, padding=1), (131, 16, 48)),
        (Conv("conv5", "conv4", 256, kernel=3, padding=1), (163, 16, 64)),
        (Pool("pool5", "conv5", size=3, stride=2, ceil=False), (195, 32, 64)),
    )
    assert fields_as_published(backbone_of(*(row for row, _ in rows))) == {row.name: field for row, field in rows}


def test_tables_of_alexnet_as_published():
    # The same numbers as above for its second version, whose first layer is padded by 2 in torchvision alone.
    found = fields_as_published(BACKBONES["alexnet_torchvision"])
    assert {layer: found[layer] for layer in ("pool1", "conv2", "conv3", "conv5", "pool5")} == {
        "pool1": (19, 8, 2),
        "conv2": (51, 8, 18),
        "conv3": (99, 16, 34),
        "conv5": (163, 16, 66),
        "pool5": (195, 32, 66),
    }
    for name in ("alexnet", "caffenet"):
        found = fields_as_published(BACKBONES[name])
        assert [found[layer][:2] for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "pool5")] == [
            *((11, 4), (51, 8), (99, 16), (131, 16), (163, 16), (195, 32)),
        ]


def test_global_averages_see_everything():
    fields = receptive_fields(with_head(BACKBONES["squeezenet1_1"]))
    assert fields["pool10"] == EVERYTHING
    assert fields["pool10"].size == math.inf
    assert fields["pool10"].box(0, 0).within(5, 7) == (slice(0, 5), slice(0, 7))


def test_boxes_are_cut_at_the_picture():
    assert Box(-3, 2, 4, 9).within(10, 7) == (slice(0, 4), slice(2, 7))
    assert Box(-3, 9, -1, 12).within(10, 7) == (slice(0, 0), slice(7, 7))
