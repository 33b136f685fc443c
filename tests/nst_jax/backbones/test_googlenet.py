"""GoogLeNet against Caffe's own activations of the published weights, and what Google's version has of its own."""

import re

import jax
import numpy as np
import pytest
import scipy.io

from converters.convert import convert
from nst_jax.backbones import imagenet, pretrained, spec
from nst_jax.backbones.features import Features
from nst_jax.backbones.googlenet import GOOGLENET, GOOGLENET_TORCHVISION, INCEPTION_V1, INCEPTION_V1_SLIM
from nst_jax.backbones.rows import Conv, LocalResponseNorm, Pool
from nst_jax.ops.normalisation import local_response_norm

REAL = "weights/networks/googlenet_bvlc"


@pytest.fixture(scope="module")
def activations(shared, tmp_path_factory):
    """Layer → what Caffe computed of a picture of 227 px, and what we do of it."""
    path = tmp_path_factory.mktemp("googlenet") / "googlenet.safetensors"
    convert(shared / REAL / "Params", "googlenet", path, classifier=True)
    network = pretrained.read(path, spec.with_head(GOOGLENET))
    caffe = {
        re.fullmatch(r"\d+_(.*)\.mat", file.name)[1]: scipy.io.loadmat(file)["data"]
        for file in (shared / REAL / "reference").glob("*.mat")
    }
    convention = GOOGLENET.preprocess
    picture = (caffe.pop("data").transpose(1, 0, 2) + np.float32(convention.mean)) / np.float32(convention.scale)
    found = jax.jit(Features(network.backbone).apply)(network.params, picture[None, ..., ::-1])
    ours = {name.replace("/", "_"): np.asarray(values[0]) for name, values in found.items()}
    logits = ours["loss3_classifier"]
    ours["prob"] = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    return {name: (values, ours[name]) for name, values in caffe.items()}


def test_every_layer_is_caffes(activations):
    assert len(activations) == 7
    for name, (caffe, ours) in activations.items():
        expected = caffe.transpose(1, 0, 2) if caffe.ndim == 3 else caffe.reshape(1, 1, -1)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=name)


def test_the_picture_is_of_an_espresso(activations):
    caffe, ours = activations["prob"]
    assert imagenet.class_name(int(ours.argmax())) == "espresso"
    assert ours.max() == pytest.approx(caffe.max(), abs=1e-6)


def test_maps_are_those_of_the_paper():
    # Table 1, output size; and Caffe's pools of 227 px, which round up to the same.
    for side in (224, 227):
        shapes = spec.layer_shapes(spec.with_head(GOOGLENET), side, side)
        outputs = {"conv2/norm2": 192, "inception_3a/output": 256, "inception_3b/output": 480}
        outputs |= {
            f"inception_4{letter}/output": width
            for letter, width in zip("abcde", (512, 512, 512, 528, 832), strict=True)
        }
        outputs |= {"inception_5a/output": 832, "inception_5b/output": 1024}
        sides = {"2": 57 if side == 227 else 56, "3": 28, "4": 14, "5": 7}
        for layer, width in outputs.items():
            assert shapes[layer] == (sides[layer.removeprefix("inception_").removeprefix("conv")[0]],) * 2 + (width,)
        assert shapes["loss3/classifier"] == (1, 1, 1000)


def test_pooling_leaves_the_modules_alone():
    kinds = {row.name: row.kind for row in GOOGLENET.rows if isinstance(row, Pool)}
    assert {name for name, kind in kinds.items() if kind is None} == {f"pool{index}/3x3_s2" for index in range(1, 5)}
    assert set(kinds.values()) == {None, "max"}


def test_google_has_maps_of_its_own():
    # Channels by layer as Lucid and its ports list them for the published graph; sides of TensorFlow's SAME.
    shapes = spec.layer_shapes(INCEPTION_V1, 225, 224)
    expected = {
        "conv2d0": (113, 112, 64),
        "maxpool0": (57, 56, 64),
        "conv2d1": (57, 56, 64),
        "conv2d2": (57, 56, 192),
        "maxpool1": (29, 28, 192),
        "mixed3a": (29, 28, 256),
        "mixed3b": (29, 28, 480),
        "maxpool4": (15, 14, 480),
        "mixed4a": (15, 14, 508),
        "mixed4a_3x3": (15, 14, 204),
        "mixed4a_3x3_bottleneck": (15, 14, 96),
        "mixed4b": (15, 14, 512),
        "mixed4c": (15, 14, 512),
        "mixed4d": (15, 14, 528),
        "mixed4e": (15, 14, 832),
        "maxpool10": (8, 7, 832),
        "mixed5a_5x5_bottleneck": (8, 7, 48),
        "mixed5a": (8, 7, 832),
        "mixed5b_pool_reduce": (8, 7, 128),
        "mixed5b": (8, 7, 1024),
    }
    assert {layer: shapes[layer] for layer in expected} == expected


def test_slim_has_the_maps_of_tensorflow():
    # Every end point of tf_slim.nets.inception_v1 for a picture of 224 px, and with the padding of SAME at 225.
    shapes = spec.layer_shapes(INCEPTION_V1_SLIM, 225, 224)
    expected = {
        "conv1/7x7_s2": (113, 112, 64),
        "pool1/3x3_s2": (57, 56, 64),
        "conv2/3x3_reduce": (57, 56, 64),
        "conv2/3x3": (57, 56, 192),
        "pool2/3x3_s2": (29, 28, 192),
        "inception_3a/output": (29, 28, 256),
        "inception_3b/output": (29, 28, 480),
        "pool3/3x3_s2": (15, 14, 480),
        "inception_4a/output": (15, 14, 512),
        "inception_4d/output": (15, 14, 528),
        "inception_4e/output": (15, 14, 832),
        "pool4/3x3_s2": (8, 7, 832),
        "inception_5b/output": (8, 7, 1024),
    }
    assert {layer: shapes[layer] for layer in expected} == expected


@pytest.mark.parametrize("backbone", [GOOGLENET_TORCHVISION, INCEPTION_V1_SLIM], ids=lambda backbone: backbone.name)
def test_what_normalises_batches(backbone):
    rows = {row.name: row for row in backbone.rows}
    assert not any(isinstance(row, LocalResponseNorm) for row in rows.values())
    kernels = {(row.kernel, row.bias, row.norm.epsilon) for row in rows.values() if isinstance(row, Conv)}
    assert kernels == {(7, False, 1e-3), (1, False, 1e-3), (3, False, 1e-3)}  # and no 5
    assert (rows["pool3/3x3_s2"].size, rows["pool4/3x3_s2"].size) == (3, 2)


def test_google_normalises_as_tensorflow():
    row = next(row for row in INCEPTION_V1.rows if isinstance(row, LocalResponseNorm))
    maps = np.random.default_rng(0).normal(0, 100, (2, 3, 40)).astype(np.float32)
    # tf.nn.local_response_normalization(maps, depth_radius=5, bias=2, alpha=1e-4, beta=0.5)
    padded = np.pad(maps.astype(np.float64) ** 2, ((0, 0), (0, 0), (5, 5)))
    total = sum(padded[..., start : start + 40] for start in range(11))
    found = local_response_norm(maps, size=row.size, alpha=row.alpha, beta=row.beta, k=row.k)
    np.testing.assert_allclose(found, maps / np.sqrt(2 + 1e-4 * total), rtol=1e-5)
