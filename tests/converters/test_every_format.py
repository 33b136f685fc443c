"""The same weights through every format, for every network, with and without the classifier: the same bytes."""

import functools
import hashlib

import numpy as np
import pytest
import safetensors.numpy
import torch_writers
import weight_writers as writers

from converters.convert import convert
from converters.fetching import published
from converters.formats.registry import FORMATS
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv, Pool
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Provenance, parameter_shapes, with_head
from nst_jax.backbones.vgg import FAMILY
from nst_jax.errors import UserError


def written(writer, **options):
    """A row of the table: a writer for a file name and the options of `convert`."""
    return writer, options


def legacy(pattern, order=writers.outputs_last, **attributes):
    def write(path, arrays, _):
        return writers.write_legacy(path, writers.legacy_layers(arrays, pattern, order), attributes=attributes)

    return write


def safetensors_as_torch(path, arrays, table):
    safetensors.numpy.save_file(writers.state_dict(arrays, table), path)
    return path


def safetensors_as_ours(path, arrays, _):
    safetensors.numpy.save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, path)
    return path


def torch_in(container):
    def write(path, arrays, table):
        return torch_writers.write_network(container, path, writers.state_dict(arrays, table))

    return write


ROLES = ("weights", "biases")

PRODUCED = {
    "caffemodel V0": written(lambda path, arrays, _: writers.write_caffemodel(path, arrays, "V0")),
    "caffemodel V1": written(lambda path, arrays, _: writers.write_caffemodel(path, arrays, "V1")),
    "caffemodel V2": written(lambda path, arrays, _: writers.write_caffemodel(path, arrays, "V2")),
    "caffemodel unpacked": written(lambda path, arrays, _: writers.write_caffemodel(path, arrays, "V1", packed=False)),
    "caffemodel double": written(lambda path, arrays, _: writers.write_caffemodel(path, arrays, "V2", double=True)),
    "caffe_hdf5": written(lambda path, arrays, _: writers.write_caffe_hdf5(path, arrays)),
    "keras 0": written(
        lambda path, arrays, _: writers.write_keras_0(path, arrays, writers.of_theano), kernels="theano"
    ),
    "keras 1": written(legacy("{layer}_{letter}_1:0")),
    "keras 1 on Theano": written(legacy("{layer}_{letter}", writers.of_theano), kernels="theano"),
    "keras 1 on Theano, with the backend": written(legacy("{layer}_{letter}", writers.of_theano, backend=b"theano")),
    "keras 2": written(legacy("{layer}/{role}:0", keras_version=b"2.2.4", backend=b"tensorflow")),
    "keras 3": written(legacy("{layer}/{role}")),
    "keras .weights.h5": written(lambda path, arrays, _: writers.write_numbered(path, arrays)),
    "keras .weights.h5 without names": written(
        lambda path, arrays, _: writers.write_numbered(path, arrays, named=False)
    ),
    "tensorflow 2.13 .weights.h5": written(
        lambda path, arrays, _: writers.write_numbered(path, arrays, root="_layer_checkpoint_dependencies")
    ),
    "keras archive": written(lambda path, arrays, _: writers.write_keras_archive(path, arrays)),
    "matconvnet": written(lambda path, arrays, _: writers.write_matconvnet(path, arrays)),
    "matconvnet DagNN": written(lambda path, arrays, _: writers.write_dagnn(path, arrays)),
    "matlab_folder": written(lambda path, arrays, _: writers.write_matlab_folder(path, arrays)),
    "torch_zip": written(torch_in("zip"), convention="caffe"),
    "torch_legacy": written(torch_in("legacy"), convention="caffe"),
    "flax_hdf5": written(lambda path, arrays, _: writers.write_flax_hdf5(path, arrays), convention="caffe"),
    "numpy_pickle by name": written(lambda path, arrays, _: writers.write_npy_dictionary(path, arrays)),
    "numpy_pickle by name and role": written(
        lambda path, arrays, _: writers.write_npy_dictionary(
            path, arrays, pair=lambda *pair: dict(zip(ROLES, pair, strict=True))
        )
    ),
    "numpy_pickle in order": written(lambda path, arrays, _: writers.write_lasagne(path, arrays)),
    "tfjs": written(lambda path, arrays, _: writers.write_tfjs_network(path, arrays)),
    "tensorflow_graph": written(lambda path, arrays, _: writers.write_frozen_graph(path, arrays), convention="caffe"),
    "tflite": written(lambda path, arrays, _: writers.write_tflite(path, arrays), convention="caffe"),
    "onnx": written(writers.write_onnx, convention="caffe"),
    "deeplearn_js": written(lambda path, arrays, _: writers.write_deeplearn_js(path, arrays), convention="caffe"),
    "safetensors as torchvision": written(safetensors_as_torch, convention="caffe"),
    "safetensors as ours": written(safetensors_as_ours, convention="caffe"),
}


@pytest.fixture(scope="module")
def arrays_of(random_for):
    return functools.cache(lambda backbone: random_for(parameter_shapes(backbone)))


def assert_converted(output, arrays):
    """Checks names, shapes, and every bit."""
    found = safetensors.numpy.load_file(output)
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values, strict=True)


def data_of(output):
    """The hash of the file behind its header, which tells the source and so differs."""
    data = output.read_bytes()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "squeezenet1_1"])
@pytest.mark.parametrize("produced", PRODUCED)
def test_every_network(name, produced, arrays_of, tmp_path):
    arrays = arrays_of(BACKBONES[name])
    write, options = PRODUCED[produced]
    output = tmp_path / "out.safetensors"
    convert(write(tmp_path / "source", arrays, name), name, output, **options)
    assert_converted(output, arrays)


# With grouped kernels, [out, in / groups, height, width] in Caffe; with 1 × 1 convolutions in a row; with others.
@pytest.mark.parametrize(
    ("name", "produced"),
    [
        *((name, "caffemodel V1") for name in ("caffenet", "nin", "squeezenet1_0", "vgg16_c")),
        *(("alexnet", produced) for produced in ("caffemodel V2", "caffe_hdf5", "matconvnet")),
    ],
)
def test_networks_of_the_model_zoo(name, produced, arrays_of, tmp_path):
    arrays = arrays_of(BACKBONES[name])
    write, options = PRODUCED[produced]
    output = tmp_path / "out.safetensors"
    convert(write(tmp_path / "source", arrays, name), name, output, **options)
    assert_converted(output, arrays)


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "squeezenet1_1"])
@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_networks_of_torchvision(name, container, arrays_of, tmp_path, monkeypatch):
    arrays = arrays_of(BACKBONES[name])
    source, output = torch_in(container)(tmp_path / "a.pth", arrays, name), tmp_path / "out.safetensors"
    convert(source, f"{name}_torchvision", output, convention="torchvision")
    assert_converted(output, arrays)
    # A published file is known by its hash.
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    for convention, right, wrong in (
        ("torchvision", f"{name}_torchvision", name),
        ("caffe", name, f"{name}_torchvision"),
    ):
        monkeypatch.setitem(published._CONVENTIONS, found[:8], convention)
        convert(source, right, output)
        with pytest.raises(UserError, match=f"in the convention of .* found {convention}; this looks like {right}"):
            convert(source, wrong, output)
    with pytest.raises(UserError, match="found by its hash a published file in the convention of caffe"):
        convert(source, f"{name}_torchvision", output, convention="torchvision")


@pytest.mark.parametrize("new", [True, False])
def test_what_torch_itself_saves(new, arrays_of, tmp_path):
    torch = pytest.importorskip("torch")
    arrays = arrays_of(BACKBONES["vgg16"])
    state = {name: torch.from_numpy(values.copy()) for name, values in writers.state_dict(arrays, "vgg16").items()}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    output = tmp_path / "out.safetensors"
    convert(tmp_path / "a.pth", "vgg16_torchvision", output, convention="torchvision")
    assert_converted(output, arrays)


def batch_normalised(arrays):
    """VGG-16-BN of torchvision: batch normalisation behind every convolution, which moves the numbers."""
    state, position = {}, 0
    depths = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
    for block, depth in depths.items():
        for index in range(1, depth + 1):
            kernel, bias = (arrays[f"conv{block}_{index}/{role}"] for role in ("kernel", "bias"))
            state |= {f"features.{position}.weight": kernel.transpose(3, 2, 0, 1), f"features.{position}.bias": bias}
            state |= {
                f"features.{position + 1}.{role}": bias for role in ("weight", "bias", "running_mean", "running_var")
            }
            position += 3
        position += 1
    return state


def test_a_network_with_batch_normalisation(arrays_of, tmp_path):
    path = torch_writers.write_network("zip", tmp_path / "a.pth", batch_normalised(arrays_of(BACKBONES["vgg16"])))
    message = r"with batch normalisation, which vgg16_torchvision does not have; .*vgg16_bn_torchvision"
    with pytest.raises(UserError, match=message):
        convert(path, "vgg16_torchvision", tmp_path / "out.safetensors", convention="torchvision")


def test_squeezenet_1_0_is_not_1_1(arrays_of, tmp_path):
    arrays = dict(arrays_of(BACKBONES["squeezenet1_1"]))
    arrays |= {"conv1/kernel": np.zeros((7, 7, 3, 96), "f4"), "conv1/bias": np.zeros(96, "f4")}
    message = r"conv1/kernel: expected shape \[64, 3, 3, 3\], found \[96, 3, 7, 7\]"
    with pytest.raises(UserError, match=message):
        convert(writers.write_caffemodel(tmp_path / "a", arrays), "squeezenet1_1", tmp_path / "out.safetensors")


@pytest.fixture(scope="module")
def headed():
    """A network with a head as VGG has it, so small that every format can be written in no time."""
    backbone = Backbone(
        name="tiny",
        rows=(
            Conv("conv1_1", INPUT, 4, kernel=3, relu="relu1_1"),
            Conv("conv1_2", "conv1_1", 5, kernel=3, relu="relu1_2"),
            Pool("pool1", "conv1_2", 2, 2, ceil=False),
        ),
        preprocess=CONVENTIONS["caffe"],
        provenance=Provenance("none", "none", "none"),
        family=FAMILY,
        head=(
            Conv("fc6", "pool1", 6, kernel=7, relu="relu6"),
            Conv("fc7", "fc6", 6, kernel=1, relu="relu7"),
            Conv("fc8", "fc7", 3, kernel=1),
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "tiny", backbone)
        yield backbone


@pytest.mark.parametrize("produced", PRODUCED)
def test_with_and_without_the_classifier(produced, headed, arrays_of, tmp_path):
    arrays = arrays_of(with_head(headed))
    write, options = PRODUCED[produced]
    source, output = write(tmp_path / "source", arrays, "tiny"), tmp_path / "out.safetensors"
    convert(source, "tiny", output, classifier=True, **options)
    assert_converted(output, arrays)
    converted = convert(source, "tiny", output, **options)
    assert_converted(output, {name: values for name, values in arrays.items() if not name.startswith("fc")})
    assert len(converted.matched.head) == 3
    without = write(tmp_path / "without", {n: v for n, v in arrays.items() if not n.startswith("fc")}, "tiny")
    again = tmp_path / "again.safetensors"
    convert(without, "tiny", again, **options)
    assert data_of(again) == data_of(output)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize(
    ("maps", "flattened"),
    [
        ("channels_last", "channels_last"),
        ("channels_first", "channels_first"),
        ("channels_first", "channels_last"),
    ],
)
def test_the_classifier_is_that_of_keras(headed, quiet_keras, tmp_path, suffix, maps, flattened):
    # Whether the order in which the first dense layer sees positions and channels is the right one, shows here only.
    import keras

    dense = [("fc1", 6, "relu"), ("fc2", 6, "relu"), ("predictions", 3, None)]
    model = keras.Sequential(
        [
            keras.Input((18, 19, 3)),
            *([keras.layers.Permute((3, 1, 2))] if maps == "channels_first" else []),
            keras.layers.Conv2D(4, 3, activation="relu", name="block1_conv1", data_format=maps),
            keras.layers.Conv2D(5, 3, activation="relu", name="block1_conv2", data_format=maps),
            keras.layers.MaxPooling2D(data_format=maps),
            keras.layers.Flatten(data_format=flattened),
            *(keras.layers.Dense(units, activation, name=name) for name, units, activation in dense),
        ]
    )
    with quiet_keras():
        model.save(tmp_path / f"a{suffix}")
    image = np.random.default_rng(0).uniform(size=(1, 18, 19, 3)).astype(np.float32)
    expected = np.asarray(model(keras.applications.vgg19.preprocess_input(image * 255)))
    convert(tmp_path / f"a{suffix}", "tiny", tmp_path / "out.safetensors", classifier=True)
    network = pretrained.read(tmp_path / "out.safetensors", with_head(headed))
    found = Features(network.backbone).apply(network.params, image)["fc8"]
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=1e-4, atol=1e-4)


def test_every_format_is_here():
    covered = {produced.replace(" ", "_") for produced in PRODUCED}
    missing = {name for name in FORMATS if not any(name in produced for produced in covered)}
    assert missing == {"keras_h5", "binaryproto"}  # the first is there under the names of its generations
