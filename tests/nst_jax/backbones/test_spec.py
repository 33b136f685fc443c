"""The tables: their shapes are those that the interpreter computes, and those in the literature."""

import dataclasses

import jax
import numpy as np
import pytest

from nst_jax.backbones import imagenet, spec
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import GlobalAverage
from nst_jax.presets import PRESETS

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("size", [(80, 80), (83, 97)])
def test_shapes_are_those_of_the_interpreter(name, size):
    assert_shapes(BACKBONES[name], size)


@pytest.mark.parametrize("name", BACKBONES)
def test_shapes_of_the_whole_network(name):
    assert_shapes(spec.with_head(BACKBONES[name]), (224, 240))


def assert_shapes(backbone, size):
    images = jax.ShapeDtypeStruct((2, *size, 3), np.float32)
    variables, features = jax.eval_shape(
        lambda x: (lambda v: (v, Features(backbone).apply(v, x)))(Features(backbone).init(jax.random.key(0), x)), images
    )
    computed = {
        f"{row.name}/{role}": shape
        for row, channels in spec.convolutions(backbone)
        for role, shape in row.computed(channels).items()
    }
    assert {name: leaf.shape for name, leaf in variables["params"].items()} == computed
    if not any(row.norm or not row.bias for row, _ in spec.convolutions(backbone)):  # those are folded at load
        assert computed == spec.parameter_shapes(backbone)
    assert {name: leaf.shape for name, leaf in features.items()} == {
        layer: (2, *shape) for layer, shape in spec.layer_shapes(backbone, *size).items()
    }
    assert set(features) == set(spec.layers(backbone))


@pytest.mark.parametrize(
    ("name", "parameters", "with_head"),
    [
        # Keras applications, model.count_params() without and with their top; of those without normalisation, whole:
        # torchvision's table.
        ("vgg16", 14_714_688, 138_357_544),
        ("vgg19", 20_024_384, 143_667_240),
        ("vgg19_torchvision", 20_024_384, 143_667_240),
        ("squeezenet1_1", 722_496, 1_235_496),
        # torchvision's table, and the same without the classifier's 123,642,856 parameters.
        ("vgg11_torchvision", 9_220_480, 132_863_336),
        ("vgg13_torchvision", 9_404_992, 133_047_848),
        ("squeezenet1_0", 735_424, 1_248_424),
        ("squeezenet1_0_torchvision", 735_424, 1_248_424),
        ("alexnet_torchvision", 2_469_696, 61_100_840),
        # Iandola et al., arXiv:1602.07360, table 2: AlexNet has 240 MB in single precision.
        ("alexnet", 2_334_080, 60_965_224),
        ("caffenet", 2_334_080, 60_965_224),
        # Simonyan & Zisserman, table 2, in millions: 133 and 134.
        ("vgg11_lrn", 9_220_480, 132_863_336),
        ("vgg16_c", 9_996_096, 133_638_952),
        # The 29 MB of the authors' file are 7.6 million numbers of 4 bytes.
        ("nin", 7_595_176, 7_595_176),
        # The files of BVLC's model, without the classifiers on the way; 1000 · 1025 of them are the last layer's.
        ("googlenet", 5_973_552, 6_998_552),
        ("resnet50_keras", 23_587_712, 25_636_712),
        ("inception_v3", 21_802_784, 23_851_784),
        ("mobilenet_v2", 2_257_984, 3_538_984),
    ],
)
def test_number_of_parameters(name, parameters, with_head):
    def count(backbone):
        return sum(np.prod(shape) for shape in spec.parameter_shapes(backbone).values())

    assert (count(BACKBONES[name]), count(spec.with_head(BACKBONES[name]))) == (parameters, with_head)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # torchvision's table counts no means and variances, which are published all the same.
        ("vgg11_bn_torchvision", 132_868_840),
        ("vgg13_bn_torchvision", 133_053_736),
        ("vgg16_bn_torchvision", 138_365_992),
        ("vgg19_bn_torchvision", 143_678_248),
        ("googlenet_torchvision", 6_624_904),
        # Of Google's table, in thousands: 4652.
        ("efficientnet_lite0", 4_652_008),
    ],
)
def test_number_of_trained_parameters(name, parameters):
    shapes = spec.parameter_shapes(spec.with_head(BACKBONES[name]))
    trained = [shape for key, shape in shapes.items() if key.rpartition("/")[2] not in ("mean", "variance")]
    assert sum(np.prod(shape) for shape in trained) == parameters


def test_squeezenet_has_the_sizes_of_its_paper():
    # deploy.prototxt of SqueezeNet 1.1 at 227 × 227, as Caffe prints them.
    shapes = spec.layer_shapes(spec.with_head(BACKBONES["squeezenet1_1"]), 227, 227)
    expected = {"conv1": 113, "pool1": 56, "pool3": 28, "pool5": 14, "fire9/concat": 14, "conv10": 14, "pool10": 1}
    assert {layer: shapes[layer][0] for layer in expected} == expected
    assert shapes["pool10"] == (1, 1, 1000)
    # Table 1 of the paper is of 1.0, with a padded conv1. Those of its deploy.prototxt, likewise:
    shapes = spec.layer_shapes(spec.with_head(BACKBONES["squeezenet1_0"]), 227, 227)
    expected = {"conv1": 111, "pool1": 55, "pool4": 27, "pool8": 13, "fire9/concat": 13, "conv10": 15, "pool10": 1}
    assert {layer: shapes[layer][0] for layer in expected} == expected


def test_alexnet_and_nin_have_the_sizes_of_their_papers():
    # Krizhevsky et al. 2012, section 3.5 (224 is 227 in fact): 55 × 55 × 96, 27 × 27 × 256, 13 × 13 × 384.
    expected = {"conv1": (55, 55, 96), "conv2": (27, 27, 256), "conv3": (13, 13, 384), "conv5": (13, 13, 256)}
    for name in ("alexnet", "caffenet"):
        shapes = spec.layer_shapes(spec.with_head(BACKBONES[name]), 227, 227)
        assert {layer: shapes[layer] for layer in expected} == expected
        assert shapes["pool5"] == (6, 6, 256)
        assert shapes["fc8"] == (1, 1, 1000)
    # The average of 6 × 6 in its train_val.prototxt, for crops of 224, leaves a single position.
    shapes = spec.layer_shapes(spec.with_head(BACKBONES["nin"]), 224, 224)
    assert shapes["cccp8-1024"] == (6, 6, 1000)
    assert shapes["pool4"] == (1, 1, 1000)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_are_static_arguments(name):
    same = dataclasses.replace(BACKBONES[name])
    assert same == BACKBONES[name]
    assert hash(same) == hash(BACKBONES[name])
    assert BACKBONES[name].name == name


@pytest.mark.parametrize("name", BACKBONES)
def test_what_suits_a_family_is_there(name):
    family = BACKBONES[name].family
    assert {family.preset, family.figure_preset, family.texture_preset} <= PRESETS.keys()
    named = {*family.depth_layers, *family.texture_layers, *family.dream_layers, family.fine_until}
    assert named <= set(spec.layers(BACKBONES[name]))
    assert len(family.depth_layers) == 5
    strides = [spec.strides(BACKBONES[name])[layer] for layer in family.depth_layers]
    assert strides == sorted(strides)
    if BACKBONES[name].head:
        assert spec.channels(spec.with_head(BACKBONES[name]))[family.logits] == len(imagenet.classes())


@pytest.mark.parametrize("name", BACKBONES)
def test_blocks_read_nothing_of_those_before_but_their_last_map(name):
    backbone = spec.with_head(BACKBONES[name])
    parts = spec.blocks(backbone)
    assert sum(parts, ()) == backbone.rows
    # The pools, sums and concatenations that nothing goes around, and what is behind the last: five pools in VGG, three
    # in AlexNet and Network in Network; three and eight fires in SqueezeNet; four and nine modules in GoogLeNet, two
    # and eleven in Inception v3; the sums of MobileNet and EfficientNet; a pool and the sums of ResNet.
    ends = {"vgg": 5, "squeezenet": 11, "alexnet": 3, "caffenet": 3, "nin": 3, "googlenet": 13, "inception": 13}
    ends |= {"mobilenet": 10, "efficientnet": 9, "resnet": 17}
    count = next(number for start, number in ends.items() if name.startswith(start))
    assert len(parts) == count + bool(BACKBONES[name].head)
    before = spec.INPUT
    for part in parts:
        known = {before}
        for row in part:
            assert known.issuperset(row.inputs)
            known.update(row.names)
        before = part[-1].name


def test_ancestors():
    backbone = BACKBONES["vgg19"]
    rows = spec.ancestors(backbone, ("relu4_2", "conv1_1/linear"))
    assert rows == backbone.rows[: len(rows)]
    assert rows[-1].name == "conv4_2"
    # A fire module's other branch is not needed.
    names = {row.name for row in spec.ancestors(BACKBONES["squeezenet1_1"], ("fire3/expand1x1",))}
    assert "fire3/expand3x3" not in names
    assert "fire2/expand3x3" in names


@pytest.mark.parametrize("name", ["vgg16", "squeezenet1_1"])
def test_least_sides(name):
    backbone = spec.with_head(BACKBONES[name])
    for row in backbone.rows:
        least = spec.least_side(backbone, row.name)
        for layer in {row.name} | {before.name for before in spec.ancestors(backbone, (row.name,))}:
            assert min(spec.layer_shapes(backbone, least, least)[layer]) >= 1
        if not isinstance(row, GlobalAverage):
            assert least == 1 or min(spec.layer_shapes(backbone, least - 1, least - 1)[row.name]) < 1


def test_least_sides_that_are_known():
    # Five poolings by two, and then the 7 × 7 positions of 224 × 224 pixels (arXiv:1409.1556, section 2.1).
    vgg = spec.with_head(BACKBONES["vgg19"])
    assert [spec.least_side(vgg, layer) for layer in ("conv1_2", "conv5_1", "pool5", "fc8")] == [1, 16, 32, 224]


@pytest.mark.parametrize("name", BACKBONES)
def test_strides_are_how_fast_maps_grow(name):
    backbone = BACKBONES[name]
    small, large = (spec.layer_shapes(backbone, side, side) for side in (256, 512))
    growth = {layer: (large[layer][0] - small[layer][0]) for layer in small}
    assert {layer: 256 // more for layer, more in growth.items()} == spec.strides(backbone)
