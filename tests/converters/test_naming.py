"""The names of layers in files: of families that torchvision has, and of others."""

import dataclasses

import pytest

from converters.naming import registry as names
from converters.naming.place import Place
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Add
from nst_jax.backbones.spec import with_head

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("name", BACKBONES)
def test_names_are_the_same_with_and_without_the_head(name):
    backbone = BACKBONES[name]
    assert names.aliases(backbone) == names.aliases(with_head(backbone))
    assert names.torchvision_names(backbone) == names.torchvision_names(with_head(backbone))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # The printed models of torchvision.
        ("vgg19", {"features.0": "conv1_1", "features.28": "conv5_1", "classifier.6": "fc8"}),
        (
            "squeezenet1_1",
            {
                "features.0": "conv1",
                "features.3.squeeze": "fire2/squeeze1x1",
                "features.12.expand3x3": "fire9/expand3x3",
                "classifier.1": "conv10",
            },
        ),
        (
            "squeezenet1_0_torchvision",
            {"features.5.squeeze": "fire4/squeeze1x1", "features.12.expand1x1": "fire9/expand1x1"},
        ),
        ("vgg11_torchvision", {"features.3": "conv2_1", "features.18": "conv5_2", "classifier.0": "fc6"}),
        (
            "alexnet_torchvision",
            {"features.3": "conv2", "features.10": "conv5", "classifier.1": "fc6", "classifier.4": "fc7"},
        ),
        (
            "googlenet_torchvision",
            {
                "conv3.conv": "conv2/3x3",
                "inception4a.branch3.1.conv": "inception_4a/5x5",
                "inception5b.branch4.1.conv": "inception_5b/pool_proj",
                "fc": "loss3/classifier",
            },
        ),
    ],
)
def test_names_of_torchvision(name, expected):
    assert {theirs: Place(ours) for theirs, ours in expected.items()}.items() <= names.aliases(BACKBONES[name]).items()
    assert expected.keys() <= names.torchvision_names(BACKBONES[name])


def test_names_of_ports_to_pytorch():
    nin, efficientnet = names.aliases(BACKBONES["nin"]), names.aliases(BACKBONES["efficientnet_lite0"])
    # neural-style-pt's CaffeLoader, whose sequence has a dropout at 21.
    expected = {"features.18": "cccp6", "features.22": "conv4-1024", "features.26": "cccp8-1024"}
    assert {theirs: Place(ours) for theirs, ours in expected.items()}.items() <= nin.items()
    # The file in the PyPI package.
    assert efficientnet["_bn0"] == Place("stem", normalisation=True)
    assert efficientnet["_blocks.15._depthwise_conv"] == Place("blocks_15/depthwise")
    assert efficientnet["_blocks.15._bn2"] == Place("blocks_15/project", normalisation=True)
    for name in ("nin", "efficientnet_lite0"):
        assert names.torchvision_names(BACKBONES[name]) == set()


def test_a_family_that_torchvision_has_not():
    vgg = BACKBONES["vgg19"]
    other = dataclasses.replace(vgg, family=dataclasses.replace(vgg.family, preset="other"))
    assert names.torchvision_names(other) == set()
    assert names.aliases(other)["conv1_1"] == Place("conv1_1")


def test_a_row_that_torchvision_counts_nobody_knows_how():
    vgg = BACKBONES["vgg19"]
    strange = dataclasses.replace(vgg, rows=(*vgg.rows, Add("sum", ("pool5", "pool5"))))
    with pytest.raises(TypeError, match="sum: expected a convolution, a pooling or a normalisation, found Add"):
        names.aliases(strange)
