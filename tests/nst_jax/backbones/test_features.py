"""The interpreter against Keras, SciPy, Caffe's rules and a photograph."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import skimage.data
import skimage.transform

from converters.convert import convert
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import PREPARED, Features, prepare, preprocess
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Add, Conv, Pool
from nst_jax.backbones.spec import Backbone, Preprocess, Provenance, blocks, layer_shapes, parameter_shapes
from nst_jax.backbones.vgg import FAMILY
from nst_jax.ops.pooling import pool
from nst_jax.vocabulary import Pooling

pytestmark = pytest.mark.quick

PLAIN = Preprocess(scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="RGB")


def backbone_of(*rows) -> Backbone:
    return Backbone("test", rows, PLAIN, Provenance("", "", ""), FAMILY)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
@pytest.mark.parametrize("size", [(48, 64), (53, 71)])
def test_every_layer_is_that_of_keras(name, size, keras_vgg, keras_vgg_file, tmp_path):
    import keras

    path = tmp_path / "weights.safetensors"
    convert(keras_vgg_file(name, ".weights.h5"), name, path)
    network = pretrained.read(path, BACKBONES[name])
    image = np.random.default_rng(1).uniform(size=(1, *size, 3)).astype(np.float32)
    model = keras_vgg(name)
    layers = [layer for layer in model.layers if layer.name.startswith("block")]
    outputs = keras.Model(model.input, [layer.output for layer in layers])
    expected = outputs(keras.applications.vgg19.preprocess_input(image * 255))
    found = jax.jit(Features(BACKBONES[name]).apply)(network.params, image)
    assert len(layers) == {"vgg16": 18, "vgg19": 21}[name]
    for layer, values in zip(layers, expected, strict=True):
        # block1_conv2 → conv1_2, block1_pool → pool1
        block, kind = layer.name.removeprefix("block").split("_")
        ours = f"conv{block}_{kind[4:]}" if kind.startswith("conv") else f"pool{block}"
        values = np.asarray(values)
        error = np.linalg.norm(found[ours] - values) / np.linalg.norm(values)
        assert error < 1e-4, (ours, error)


def test_embedded_squeezenet_recognises_a_cat():
    photograph = skimage.transform.resize(skimage.data.chelsea(), (227, 227), anti_aliasing=True)
    network = pretrained.load_classifier("squeezenet1_1")
    scores = jax.jit(Features(network.backbone).apply)(network.params, jnp.float32(photograph))["pool10"].ravel()
    # ILSVRC 2012 in Caffe's order: 281 tabby, 282 tiger cat, 283 Persian cat, 284 Siamese cat, 285 Egyptian cat.
    assert 281 <= int(scores.argmax()) <= 285


def test_preprocessing_is_that_of_keras():
    import keras

    image = np.random.default_rng(0).uniform(size=(2, 5, 4, 3)).astype(np.float32)
    for name, mode in {"vgg19": "caffe", "vgg19_torchvision": "torch"}.items():
        expected = keras.applications.imagenet_utils.preprocess_input(image * 255, mode=mode)
        np.testing.assert_allclose(preprocess(image, BACKBONES[name].preprocess), expected, rtol=1e-5, atol=1e-5)


def test_relu_is_in_place_as_in_caffe():
    rows = (Conv("conv1_1", "data", 4, kernel=3, padding=1, relu="relu1_1"),)
    image = jax.random.uniform(jax.random.key(0), (8, 9, 3))
    features, _ = Features(backbone_of(*rows)).init_with_output(jax.random.key(1), image)
    assert features["conv1_1/linear"].min() < 0
    np.testing.assert_array_equal(features["conv1_1"], jnp.maximum(features["conv1_1/linear"], 0))
    np.testing.assert_array_equal(features["conv1_1"], features["relu1_1"])


@pytest.mark.parametrize(
    ("padding", "boundary"),
    [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")],
)
def test_convolution_and_padding_are_those_of_scipy(padding, boundary):
    rows = (Conv("conv", "data", 2, kernel=3, padding=1),)
    image = np.random.default_rng(0).uniform(size=(7, 6, 3)).astype(np.float32)
    model = Features(backbone_of(*rows), padding=padding)
    features, variables = model.init_with_output(jax.random.key(1), image)
    kernel, bias = variables["params"]["conv/kernel"], variables["params"]["conv/bias"]
    padded = np.pad(image, [(1, 1), (1, 1), (0, 0)], mode=boundary)
    for channel in range(2):
        expected = bias[channel] + sum(
            scipy.signal.correlate2d(padded[..., c], kernel[..., c, channel], mode="valid") for c in range(3)
        )
        np.testing.assert_allclose(features["conv"][..., channel], expected, rtol=1e-5, atol=1e-5)


def test_replicating_what_the_first_convolution_sees():
    rows = (
        Conv("first", "data", 4, kernel=3, padding=1, relu="relu_first"),
        Conv("side", "data", 4, kernel=5, padding=2, relu="relu_side"),
        Conv("second", "first", 4, kernel=3, padding=1, relu="relu_second"),
    )
    image = jax.random.uniform(jax.random.key(0), (9, 8, 3))
    features, variables = Features(backbone_of(*rows), padding="replicate_first").init_with_output(
        jax.random.key(1), image
    )
    replicated = Features(backbone_of(*rows), padding="replicate").apply(variables, image)
    for layer in ("first", "side"):
        np.testing.assert_array_equal(features[layer], replicated[layer])
    kernel, bias = (variables["params"][f"second/{name}"] for name in ("kernel", "bias"))
    expected = jax.lax.conv_general_dilated(
        features["first"][None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(features["second/linear"], expected[0] + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_derivative_of_convolution_is_that_of_jax(stride, padding):
    rows = (Conv("conv", "data", 5, kernel=3, stride=stride, padding=1),)
    model = Features(backbone_of(*rows), padding=padding)
    image = jax.random.uniform(jax.random.key(0), (1, 9, 8, 3))
    variables = model.init(jax.random.key(1), image)

    def reference(variables, image):
        mode = {"zeros": "constant", "reflect": "reflect"}[padding]
        padded = jnp.pad(image, [(0, 0), (1, 1), (1, 1), (0, 0)], mode=mode)
        out = jax.lax.conv_general_dilated(
            padded,
            variables["params"]["conv/kernel"],
            (stride, stride),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return jnp.sum(jnp.sin(out + variables["params"]["conv/bias"]))

    found = jax.grad(lambda v, x: jnp.sum(jnp.sin(model.apply(v, x)["conv"])), argnums=(0, 1))(variables, image)
    expected = jax.grad(reference, argnums=(0, 1))(variables, image)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


@pytest.mark.parametrize("kind", typing.get_args(Pooling))
@pytest.mark.parametrize(("size", "ceil"), [(2, False), (3, True), (3, False)])
@pytest.mark.parametrize("shape", [(8, 9), (7, 10)])
def test_pooling_is_that_of_caffe(kind, size, ceil, shape):
    image = np.random.default_rng(0).uniform(size=(*shape, 3)).astype(np.float32)
    model = Features(backbone_of(Pool("pool", "data", size=size, stride=2, ceil=ceil)), pooling=kind)
    found = model.apply({}, image)["pool"]
    # caffe/src/caffe/layers/pooling_layer.cpp: windows are cut off at the border, the average is over what is left.
    # Caffe has no norms; those of cut-off windows are PyTorch's, as large as if what is left went on.
    round_up = np.ceil if ceil else np.floor
    height, width = (int(round_up((n - size) / 2)) + 1 for n in shape)
    reduce = {
        "max": np.max,
        "average": np.mean,
        "l2": lambda values, axis: size * np.sqrt(np.mean(values**2, axis)),
        "scaled_average": lambda values, axis: 2 * np.mean(values, axis),
        "scaled_l2": lambda values, axis: 0.78 * size * np.sqrt(np.mean(values**2, axis)),
    }[kind]
    expected = [
        [reduce(image[2 * y : 2 * y + size, 2 * x : 2 * x + size], axis=(0, 1)) for x in range(width)]
        for y in range(height)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_leading_axes_are_kept():
    network = pretrained.load("squeezenet1_1")
    images = jax.random.uniform(jax.random.key(0), (2, 3, 40, 48, 3))
    features = jax.jit(Features(network.backbone).apply)
    together = features(network.params, images)["fire4/concat"]
    alone = features(network.params, images[1, 2])["fire4/concat"]
    assert together.shape[:2] == (2, 3)
    assert jnp.linalg.norm(together[1, 2] - alone) < 1e-5 * jnp.linalg.norm(alone)


@pytest.fixture(scope="module")
def reading():
    """A small network with convolutions large enough for Winograd's, and what a loss would read of it."""
    rows = (
        Conv("first", "data", 32, kernel=3, padding=1, relu="relu_first"),
        Conv("second", "first", 48, kernel=3, padding=1, relu="relu_second"),
        Pool("pool", "second", size=2, stride=2, ceil=True),
        Conv("flat", "pool", 48, kernel=(1, 3), padding=(0, 1), relu="relu_flat"),
        Conv("high", "flat", 48, kernel=(3, 1), padding=(1, 0), relu="relu_high"),
        Conv("third", "high", 32, kernel=3, padding=1, relu="relu_third"),
        Conv("unread", "third", 64, kernel=3, padding=1, relu="relu_unread"),
    )
    image = jax.random.uniform(jax.random.key(0), (13, 18, 3))
    params = Features(backbone_of(*rows)).init(jax.random.key(1), image)

    def gradient(variables, **options):
        def loss(image):
            read = {"first": jnp.mean, "third": lambda values: jnp.mean(jnp.sin(values))}
            return sum(Features(backbone_of(*rows), **options).apply(variables, image, read).values())

        return jax.jit(jax.grad(loss))(image)

    return backbone_of(*rows), params, gradient


def distance(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_prepared_kernels_give_the_same(reading, padding):
    backbone, params, gradient = reading
    prepared = prepare(params, backbone, ("first", "third"))
    # The first reads three channels only, two are oblong, and nobody reads the last.
    assert set(prepared[PREPARED]) == {"second", "third"}
    assert distance(gradient(prepared, padding=padding), gradient(params, padding=padding)) < 1e-5


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_activations_computed_anew_are_the_same(reading, pooling):
    _, params, gradient = reading
    assert distance(gradient(params, pooling=pooling, remat=True), gradient(params, pooling=pooling)) < 1e-6


def test_precisions(reading):
    _, params, gradient = reading
    full = gradient(params)
    # On CPUs there is no tf32. bfloat16 has 8 bits: 0.4 % a rounding, and where it changes the sign of a response the
    # gradient of that position comes or goes as a whole. Measured: 7.6 %.
    assert distance(gradient(params, precision="tf32"), full) < 1e-3
    assert 1e-4 < distance(gradient(params, precision="bfloat16"), full) < 0.15
    assert gradient(params, precision="bfloat16").dtype == jnp.float32


@pytest.mark.parametrize("pooling", ["l2", "scaled_average", "scaled_l2"])
def test_pools_of_bfloat16_stay_bfloat16(pooling):
    images = jax.random.normal(jax.random.key(0), (1, 9, 8, 3), jnp.bfloat16)
    found, full = (
        pool(values, size=3, stride=2, around=((0, 0), (0, 1)), kind=pooling)
        for values in (images, images.astype(jnp.float32))
    )
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), full, rtol=0.03, atol=0.02)  # nine values of 8 bits each


def test_a_sum_and_the_relu_behind_it():
    rows = (
        Conv("one", "data", 4, kernel=1),
        Conv("two", "data", 4, kernel=1, relu="relu_two", ceiling=0.25),
        Add("sum", ("one", "two"), relu="relu_sum"),
        Conv("behind", "sum", 2, kernel=3, padding=1),
    )
    image = jax.random.uniform(jax.random.key(0), (7, 6, 3))
    found, variables = Features(backbone_of(*rows)).init_with_output(jax.random.key(1), image)
    np.testing.assert_array_equal(found["two"], np.clip(found["two/linear"], 0, 0.25))
    assert found["two"].max() == 0.25
    np.testing.assert_allclose(found["sum/linear"], found["one"] + found["two"], rtol=1e-6)
    np.testing.assert_array_equal(found["relu_sum"], np.maximum(found["sum/linear"], 0))
    again = Features(backbone_of(*rows), remat=True).apply(variables, image)
    np.testing.assert_allclose(again["behind"], found["behind"], rtol=1e-5, atol=1e-6)


def test_a_sum_needs_as_many_channels_in_every_part():
    rows = (Conv("one", "data", 4, kernel=1), Conv("two", "data", 3, kernel=1), Add("sum", ("one", "two")))
    with pytest.raises(ValueError, match=r"sum: expected parts with as many channels, found \(4, 3\)"):
        layer_shapes(backbone_of(*rows), 8, 8)
    with pytest.raises(ValueError, match="row: 2 groups do not divide 3 and 4 channels"):
        parameter_shapes(backbone_of(Conv("row", "data", 4, kernel=1, groups=2)))


@pytest.mark.parametrize("kind", ["max", "average", "padded_average"])
def test_pools_that_stay_what_they_are(kind):
    image = np.random.default_rng(0).uniform(size=(6, 7, 3)).astype(np.float32)
    rows = (Pool("pool", "data", size=3, stride=1, padding=1, kind=kind),)
    found = [
        Features(backbone_of(*rows), pooling=given).apply({"params": {}}, image)["pool"] for given in ("max", "l2")
    ]
    np.testing.assert_array_equal(*found)
    # As torch.nn.AvgPool2d says: with count_include_pad zeros beyond the map count, else only what is within.
    beyond = {"max": -np.inf, "average": np.nan, "padded_average": 0.0}[kind]
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=beyond), (3, 3), axis=(0, 1)
    )
    expected = {"max": np.max, "average": np.nanmean, "padded_average": np.mean}[kind](windows, axis=(-1, -2))
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_a_block_ends_where_nothing_else_is_read_later():
    rows = (
        Conv("first", "data", 4, kernel=3, padding=1, relu="relu_first"),
        Pool("inside", "first", size=3, stride=1, padding=1, kind="max"),
        Conv("branch", "first", 4, kernel=1),
        Add("sum", ("inside", "branch"), relu="relu_sum"),
        Pool("pool", "sum", size=2, stride=2),
        Conv("last", "pool", 4, kernel=1),
    )
    assert [block[-1].name for block in blocks(backbone_of(*rows))] == ["sum", "pool", "last"]
