"""Networks of keras-applications with batch normalisation: Keras builds, saves and computes them, and so do we."""

import functools
from typing import Any, NamedTuple

import h5py
import jax
import numpy as np
import pytest

from converters.convert import convert
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv
from nst_jax.backbones.spec import with_head
from nst_jax.errors import UserError

EVEN, ODD = (96, 80), (91, 97)

MODULES = (*(f"Mixed_5{letter}" for letter in "bcd"), *(f"Mixed_6{letter}" for letter in "abcde"))


class Case(NamedTuple):
    """A network of keras-applications: its name there, and the layers of both, which are written out again here."""

    theirs: str
    pairs: tuple[tuple[str, str], ...]


def of_resnet():
    yield from (("conv1_bn", "conv1/linear"), ("conv1_relu", "conv1"), ("pool1_pool", "pool1"))
    for stage, count in zip((2, 3, 4, 5), (3, 4, 6, 3), strict=True):
        for block in range(count):
            keras, ours = f"conv{stage}_block{block + 1}", f"res{stage}{'abcdef'[block]}"
            if block == 0:
                yield f"{keras}_0_bn", f"{ours}_branch1"
            yield from ((f"{keras}_{index}_bn", f"{ours}_branch2{'-ab'[index]}/linear") for index in (1, 2))
            yield from ((f"{keras}_{index}_relu", f"{ours}_branch2{'-ab'[index]}") for index in (1, 2))
            yield from (
                (f"{keras}_3_bn", f"{ours}_branch2c"),
                (f"{keras}_add", f"{ours}/linear"),
                (f"{keras}_out", ours),
            )
    yield from (("avg_pool", "pool5"), ("predictions", "fc1000"))


def of_inception():
    yield from ((f"mixed{number}", name) for number, name in enumerate((*MODULES, "Mixed_7a", "Mixed_7b", "Mixed_7c")))
    yield from (("avg_pool", "avgpool"), ("predictions", "fc"))


def of_mobilenet():
    yield from (("bn_Conv1", "Conv/linear"), ("Conv1_relu", "Conv"), ("Conv_1_bn", "Conv_1/linear"))
    for block in range(17):
        keras, ours = (f"block_{block}", f"expanded_conv_{block}") if block else ("expanded_conv", "expanded_conv")
        for part in ("expand", "depthwise") if block else ("depthwise",):
            yield from ((f"{keras}_{part}_BN", f"{ours}/{part}/linear"), (f"{keras}_{part}_relu", f"{ours}/{part}"))
        yield f"{keras}_project_BN", f"{ours}/project"
        if block in (2, 4, 5, 7, 8, 9, 11, 12, 14, 15):
            yield f"{keras}_add", f"{ours}/add"
    yield from (("out_relu", "Conv_1"), ("predictions", "Logits/Conv2d_1c_1x1"))


CASES = {
    "resnet50_keras": Case("ResNet50", tuple(of_resnet())),
    "inception_v3": Case("InceptionV3", tuple(of_inception())),
    "mobilenet_v2": Case("MobileNetV2", tuple(of_mobilenet())),
}


def randomised(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Weights as of a trained network: activations keep their size, statistics of normalisations are not 0 and 1."""
    if len(shape) > 1:
        depthwise = "depthwise" in name
        inputs = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
        return random.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / inputs))
    if name.endswith(("gamma", "variance")):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    return random.normal(0, 0.2, shape).astype(np.float32)


@pytest.fixture(scope="module")
def model_of(quiet_keras):
    """Keras's network for pictures of a size, which its paddings depend on; the same weights for all sizes."""
    import keras

    @functools.cache
    def model(name: str, size: tuple[int, int] = EVEN) -> Any:
        with quiet_keras():
            made = getattr(keras.applications, CASES[name].theirs)(
                weights=None, input_shape=(*size, 3), classifier_activation=None
            )
            if size == EVEN:
                random = np.random.default_rng(0)
                made.set_weights([randomised(weight.path, weight.shape, random) for weight in made.weights])
            else:
                made.set_weights(model(name).get_weights())
        return made

    return model


@pytest.fixture(scope="module")
def file_of(model_of, quiet_keras, tmp_path_factory):
    @functools.cache
    def file(name: str, suffix: str) -> Any:
        path = tmp_path_factory.mktemp(name) / f"a{suffix}"
        with quiet_keras():
            model = model_of(name)
            (model.save_weights if suffix == ".weights.h5" else model.save)(path)
        return path

    return file


@pytest.fixture(scope="module")
def converted_of(file_of):
    @functools.cache
    def converted(name: str) -> pretrained.Pretrained:
        source = file_of(name, ".weights.h5")
        output = source.with_suffix(".safetensors")
        convert(source, name, output, classifier=True)
        return pretrained.read(output, with_head(BACKBONES[name]))

    return converted


def paired(name, model):
    """Keras layer, our layer."""
    if name != "inception_v3":
        return CASES[name].pairs
    # Its normalisations have numbers, in the order in which it is made.
    number = lambda layer: int(layer.rpartition("_")[2]) if layer[-1].isdigit() else 0  # noqa: E731
    norms = [layer.name for layer in model.layers if layer.name.startswith("batch_normalization")]
    ours = [f"{row.name}/linear" for row in BACKBONES[name].rows if isinstance(row, Conv)]
    return (*CASES[name].pairs, *zip(sorted(norms, key=number), ours, strict=True))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mobilenet_v2", EVEN),
        *(
            pytest.param(name, size, marks=pytest.mark.slow)
            for name in CASES
            for size in (EVEN, ODD)
            if (name, size) != ("mobilenet_v2", EVEN)
        ),
    ],
)
def test_every_layer(name, size, model_of, converted_of, quiet_keras):
    import keras

    model, network = model_of(name, size), converted_of(name)
    pixels = np.random.default_rng(1).uniform(size=(1, *size, 3)).astype(np.float32)
    layers = dict(paired(name, model))
    prepared = {
        "resnet50_keras": keras.applications.resnet,
        "inception_v3": keras.applications.inception_v3,
        "mobilenet_v2": keras.applications.mobilenet_v2,
    }[name].preprocess_input(pixels * 255)
    with quiet_keras():
        probe = keras.Model(model.inputs, [model.get_layer(layer).output for layer in layers])
        expected = jax.jit(functools.partial(probe, training=False))(prepared)
    found = jax.jit(lambda params, pixels: Features(network.backbone).apply(params, pixels))(network.params, pixels)
    for (theirs, ours), values in zip(layers.items(), expected, strict=True):
        reference = np.asarray(values).reshape(found[ours].shape)
        scale = np.abs(reference).max()
        np.testing.assert_allclose(found[ours], reference, atol=1e-4 * scale, rtol=0, err_msg=f"{theirs}, {ours}")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", CASES)
def test_every_generation_has_the_same_weights(name, suffix, file_of, converted_of, tmp_path):
    output = tmp_path / "out.safetensors"
    convert(file_of(name, suffix), name, output, classifier=True)
    found = pretrained.read(output, with_head(BACKBONES[name])).params["params"]
    for parameter, values in converted_of(name).params["params"].items():
        np.testing.assert_array_equal(found[parameter], values, err_msg=parameter)


@pytest.mark.parametrize("name", CASES)
def test_layers_without_names_of_their_own(name, file_of, converted_of, tmp_path):
    # Early versions of the format had the class and number of a layer alone, in the order in which Keras lists layers.
    source, output = tmp_path / "a.weights.h5", tmp_path / "out.safetensors"
    source.write_bytes(file_of(name, ".weights.h5").read_bytes())
    with h5py.File(source, "r+") as file:
        file.visititems(lambda _, item: item.attrs.pop("name", None) and None)
    convert(source, name, output, classifier=True)
    found = pretrained.read(output, with_head(BACKBONES[name])).params["params"]
    for parameter, values in converted_of(name).params["params"].items():
        np.testing.assert_array_equal(found[parameter], values, err_msg=parameter)


def test_a_second_model_of_a_session_has_larger_numbers(file_of, converted_of, tmp_path):
    source, output = tmp_path / "a.weights.h5", tmp_path / "out.safetensors"
    source.write_bytes(file_of("inception_v3", ".weights.h5").read_bytes())
    with h5py.File(source, "r+") as file:
        for item in file["layers"].values():
            named = item["vars"].attrs
            kind, _, number = named["name"].rpartition("_")
            if kind in ("conv2d", "batch_normalization"):
                named["name"] = f"{kind}_{int(number) + 94}"
            elif named["name"] in ("conv2d", "batch_normalization"):
                named["name"] += "_94"
    convert(source, "inception_v3", output, classifier=True)
    found = pretrained.read(output, with_head(BACKBONES["inception_v3"])).params["params"]
    np.testing.assert_array_equal(
        found["Conv2d_4a_3x3/kernel"], converted_of("inception_v3").params["params"]["Conv2d_4a_3x3/kernel"]
    )


def test_weights_of_another_variant(file_of, tmp_path):
    output = tmp_path / "out.safetensors"
    with pytest.raises(UserError, match="this looks like resnet50_keras: convert it with --backbone=resnet50_keras"):
        convert(file_of("resnet50_keras", ".weights.h5"), "resnet50", output)
    assert not output.exists()
