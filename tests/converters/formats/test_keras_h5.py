import shutil
import tempfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import weight_writers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters import convert, regions, source
from converters.containers import hdf5, sandbox
from converters.formats import keras_archive, keras_h5
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import parameter_shapes
from nst_jax.errors import UserError


def values(tensors):
    return {name: tensor.load() for name, tensor in tensors.items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], strict=True)


@pytest.fixture(scope="module")
def model(quiet_keras):
    """A Keras model with a kind of layer of each: convolution, normalisation, dropout, dense; 12 convolutions."""
    import keras

    convolutions = [keras.layers.Conv2D(2, 1, name=f"conv{index}") for index in range(12)]
    head = [keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(3, name="fc1")]
    layers = [keras.Input((2, 2, 3)), *convolutions, keras.layers.BatchNormalization(name="bn"), *head]
    network = keras.Sequential(layers)
    random = np.random.default_rng(0)
    with quiet_keras():
        network.set_weights([random.standard_normal(weight.shape, np.float32) for weight in network.weights])
    return network


@pytest.fixture(scope="module")
def model_values(model, quiet_keras):
    with quiet_keras():
        return {f"{layer.name}/{w.name}": np.array(w.value) for layer in model.layers for w in layer.weights}


def save(model, path, quiet_keras):
    with quiet_keras():
        if path.name.endswith(".weights.h5"):
            model.save_weights(path)
        elif path.name == "model.h5":
            model.compile("adam", "mse")
            model.save(path)
        else:
            from keras.src.legacy.saving import legacy_h5_format

            with h5py.File(path, "w") as file:
                legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


@pytest.mark.parametrize(
    ("name", "recognised"),
    [
        ("model.h5", "legacy Keras HDF5, whole model, names as in Keras 3"),
        ("weights.h5", "legacy Keras HDF5, weights, names as in Keras 3"),
    ],
)
def test_reads_what_keras_saves_in_the_legacy_format(model, model_values, tmp_path, quiet_keras, name, recognised):
    tensors, provenance = keras_h5.read(save(model, tmp_path / name, quiet_keras))
    assert_same(values(tensors), model_values)
    assert (provenance.format, provenance.named) == (recognised, True)
    assert provenance.producer.startswith("Keras 3.")


def test_reads_what_keras_3_saves(model, model_values, tmp_path, quiet_keras):
    tensors, provenance = keras_h5.read(save(model, tmp_path / "a.weights.h5", quiet_keras))
    assert_same(values(tensors), model_values)
    assert (provenance.format, provenance.named) == ("Keras 3 weights HDF5, layers by name", True)


def test_without_names_the_layers_of_keras_3_are_in_the_order_of_the_model(model, model_values, tmp_path, quiet_keras):
    path = save(model, tmp_path / "a.weights.h5", quiet_keras)
    with h5py.File(path, "r+") as file:
        file.visititems(lambda _, item: item.attrs.pop("name", None) and None)
    tensors, provenance = keras_h5.read(path)
    convolutions = [name for name in tensors if name.startswith("conv2d")]
    assert convolutions[4:6] == ["conv2d_2/kernel", "conv2d_2/bias"]
    assert convolutions[-2:] == ["conv2d_11/kernel", "conv2d_11/bias"]
    expected = [array for name, array in model_values.items() if name.startswith("conv")]
    for name, array in zip(convolutions, expected, strict=True):
        np.testing.assert_array_equal(tensors[name].load(), array, strict=True)
    assert not provenance.named


def test_attributes_split_by_keras(model, model_values, tmp_path, quiet_keras, monkeypatch):
    from keras.src.legacy.saving import legacy_h5_format

    monkeypatch.setattr(legacy_h5_format, "HDF5_OBJECT_HEADER_LIMIT", 100)
    path = save(model, tmp_path / "weights.h5", quiet_keras)
    with h5py.File(path) as file:
        assert "layer_names1" in file.attrs
    assert_same(values(keras_h5.read(path)[0]), model_values)


def test_nested_model(tmp_path, quiet_keras):
    import keras

    layers = [keras.layers.Conv2D(3, 1, name=name) for name in "ab"]
    inner = keras.Sequential([keras.Input((2, 2, 3)), *layers], name="inner")
    outer = keras.Sequential([keras.Input((2, 2, 3)), inner, keras.layers.Conv2D(3, 1, name="c")])
    expected = {f"{layer}/{role}" for layer in "abc" for role in ("kernel", "bias")}
    for name in ("weights.h5", "a.weights.h5"):
        assert keras_h5.read(save(outer, tmp_path / name, quiet_keras))[0].keys() == expected


@pytest.mark.parametrize(
    ("pattern", "generation"),
    [
        ("{layer}_{letter}_1:0", 1),  # the published files of keras-applications
        ("{layer}_{letter}:0", 1),
        ("{layer}/{role}:0", 2),
        ("{layer}_1/{role}:0", 2),  # a second model in one TensorFlow session
        ("{layer}/{role}", 3),
        ("{role}", 3),
    ],
)
@pytest.mark.parametrize("root", ["/", "model_weights"])
def test_names_of_every_generation(tmp_path, write_legacy, random_for, pattern, generation, root):
    arrays = random_for(
        {"fire2/expand3x3/kernel": (3, 3, 2, 4), "fire2/expand3x3/bias": (4,), "a/kernel": (1, 1, 1, 1), "a/bias": (1,)}
    )
    letters = {"kernel": "W", "bias": "b"}
    layers = {
        layer: {
            pattern.format(layer=layer, role=role, letter=letter): arrays[f"{layer}/{role}"]
            for role, letter in letters.items()
        }
        for layer in ("fire2/expand3x3", "a")
    }
    layers["pool"] = {}
    tensors, provenance = keras_h5.read(write_legacy(tmp_path / "a.h5", layers, root=root))
    assert_same(values(tensors), arrays)
    assert provenance.format.endswith(f"names as in Keras {generation}")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (2, 2, 3, 3)},
        {"compression": "gzip", "shuffle": True, "chunks": (3, 3, 1, 4)},
        {"compression": "gzip", "chunks": True, "maxshape": (None, None, None, None)},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8"])
def test_ways_to_store_numbers(tmp_path, options, dtype):
    array = np.random.default_rng(0).standard_normal((3, 3, 4, 5)).astype(dtype)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=array, **options)
    np.testing.assert_array_equal(hdf5.contents(regions.whole(path)).datasets["x"].load(), array, strict=True)


def test_compact_storage(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((3,))
        dataset = h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, creation)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(
        hdf5.contents(regions.whole(path)).datasets["x"].load(), np.arange(3, dtype=np.float32), strict=True
    )


def test_whole_model_of_keras_2(shared):
    tensors, provenance = keras_h5.read(shared / "weights/real/keras205_tiny_XCEPTION_KDEF.hdf5")
    assert provenance.producer == "Keras 2.0.5"
    assert provenance.format == "legacy Keras HDF5, whole model, names as in Keras 2"
    assert tensors["conv2d_1/kernel"].shape == (3, 3, 1, 5)
    assert all(np.isfinite(tensor.load()).all() for tensor in tensors.values())


def test_the_backend_tells_whether_kernels_are_rotated(tmp_path, write_legacy, random_for):
    arrays = random_for({"kernel": (3, 3, 1, 2), "bias": (2,)})
    for backend, rotated in {b"theano": True, b"tensorflow": False, None: None}.items():
        path = write_legacy(tmp_path / "a.h5", {"a": arrays}, attributes={"backend": backend} if backend else {})
        assert keras_h5.read(path)[1].layout == source.Layout(rotated=rotated)


@pytest.mark.parametrize("layer", ["conv2d", "convolution2d"])
def test_numbers_of_keras_are_no_names(tmp_path, write_legacy, random_for, layer):
    arrays = random_for(parameter_shapes(BACKBONES["vgg16"]))
    numbered = {
        f"{layer}_{index}": {"kernel": kernel, "bias": bias}
        for index, (_, kernel, bias) in enumerate(weight_writers.layers(arrays), start=7)
    }
    converted = convert.convert(write_legacy(tmp_path / "a.h5", numbered), "vgg16", tmp_path / "out.safetensors")
    np.testing.assert_array_equal(converted.tensors["conv5_3/kernel"], arrays["conv5_3/kernel"])


def test_squeezenet_as_keras_3_saves_it(tmp_path, quiet_keras):
    # Branches come in another order than in the table, which is no contradiction between names and order.
    import keras

    shapes = parameter_shapes(BACKBONES["squeezenet1_1"])
    inputs = maps = keras.Input((64, 64, 3))

    def convolution(name, maps):
        height, width, _, features = shapes[f"{name}/kernel"]
        return keras.layers.Conv2D(features, (height, width), name=name.replace("/", "_"))(maps)

    maps = convolution("conv1", maps)
    for fire in range(2, 10):
        squeezed = convolution(f"fire{fire}/squeeze1x1", maps)
        three = keras.layers.ZeroPadding2D()(squeezed)
        branches = [convolution(f"fire{fire}/expand3x3", three), convolution(f"fire{fire}/expand1x1", squeezed)]
        maps = keras.layers.Concatenate()(branches[::-1])
    model = keras.Model(inputs, maps)
    path = save(model, tmp_path / "a.weights.h5", quiet_keras)
    converted = convert.convert(path, "squeezenet1_1", tmp_path / "out.safetensors")
    with quiet_keras():
        expected = np.array(model.get_layer("fire9_expand3x3").kernel)
    np.testing.assert_array_equal(converted.tensors["fire9/expand3x3/kernel"], expected)


def test_names_that_contradict_the_order(tmp_path, random_for):
    arrays = random_for(parameter_shapes(BACKBONES["vgg16"]))
    path = weight_writers.write_numbered(tmp_path / "a.weights.h5", arrays)
    with h5py.File(path, "r+") as file:
        file["layers/conv2d_11/vars"].attrs["name"] = "block5_conv3"
        file["layers/conv2d_12/vars"].attrs["name"] = "block5_conv2"
    message = "block5_conv3/kernel: expected it after the layers that conv5_3 reads, .* contradict each other"
    with pytest.raises(UserError, match=message):
        convert.convert(path, "vgg16", tmp_path / "out.safetensors")


def test_a_whole_model_as_keras_saves_it_in_an_archive(model, model_values, tmp_path, quiet_keras):
    with quiet_keras():
        model.save(tmp_path / "a.keras")
    tensors, provenance = keras_archive.read(tmp_path / "a.keras")
    assert_same(values(tensors), model_values)
    assert provenance.format == "Keras archive, Keras 3 weights HDF5, layers by name"
    assert provenance.producer.startswith("Keras 3.")


# --- files that must not be used ---


def replace(file, name, **options):
    del file[name]
    return file.create_dataset(name, **options)


def external_link(file):
    del file["conv1"]
    file["conv1"] = h5py.ExternalLink("other.h5", "/conv1")


def soft_link_circle(file):
    del file["conv1"]
    file["conv1"] = h5py.SoftLink("/conv1")


def hard_link_circle(file):
    file["conv1/again"] = file["/"]
    file["conv1/and_again"] = file["/conv1"]


def external_storage(file):
    replace(file, "conv1/kernel", shape=(3, 3, 3, 2), dtype="f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def virtual_dataset(file):
    layout = h5py.VirtualLayout((3, 3, 3, 2), "f4")
    layout[...] = h5py.VirtualSource("other.h5", "x", (3, 3, 3, 2))
    del file["conv1/kernel"]
    file.create_virtual_dataset("conv1/kernel", layout)


def giant(file):
    replace(file, "conv2/kernel", shape=(1 << 20, 1 << 20), dtype="f4")


def giant_in_chunks(file):
    replace(file, "conv2/kernel", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1024, 1024), compression="gzip")


def expands(file):
    dataset = replace(file, "conv1/kernel", shape=(3, 3, 3, 2), dtype="f4", chunks=(3, 3, 3, 2), compression="gzip")
    dataset.id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(300_000)))


def long_chunk(file):
    dataset = replace(file, "conv1/kernel", shape=(3, 3, 3, 2), dtype="f4", chunks=(3, 3, 3, 2), compression="gzip")
    dataset.id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(216)) + bytes(100_000))


def all_chunks_too_large(file):
    for index in range(4):
        file.create_dataset(f"conv2/{index}", shape=(200_000_000,), dtype="f4", chunks=(1_000_000,))


def large_chunk(file):
    options = {"maxshape": (None,) * 4, "chunks": (64, 64, 6, 4)}
    replace(file, "conv1/kernel", data=np.zeros((3, 3, 3, 2), "f4"), **options)


def missing_chunk(file):
    replace(file, "conv1/kernel", shape=(3, 3, 3, 2), dtype="f4", chunks=(3, 3, 3, 1))[..., 0] = 1


def other_filter(file):
    replace(file, "conv1/kernel", data=np.zeros((3, 3, 3, 2), "f4"), compression="lzf")


def integers(file):
    replace(file, "conv1/kernel", data=np.zeros((3, 3, 3, 2), "i4"))


def unusual_floats(file):
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_ebias(100)
    del file["conv1/kernel"]
    dataset = h5py.h5d.create(file.id, b"conv1/kernel", kind, h5py.h5s.create_simple((3, 3, 3, 2)))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((3, 3, 3, 2), np.float32))


def without_shape(file):
    replace(file, "conv1/kernel", data=h5py.Empty("f4"))


def listed_only(file):
    del file["conv1/kernel"]


def listed_twice(file):
    file.attrs["layer_names"] = [b"conv1", b"conv1", b"conv2"]


def layer_listed_only(file):
    del file["conv2"]


def first_generation_of_theano(file):
    for layer in ("conv1", "conv2"):
        kernel = file[f"{layer}/kernel"][()].transpose(3, 2, 0, 1)
        file.move(f"{layer}/bias", f"{layer}/{layer}_b")
        replace(file, f"{layer}/kernel", data=kernel)
        file.move(f"{layer}/kernel", f"{layer}/{layer}_W")
        file[layer].attrs["weight_names"] = [f"{layer}_W".encode(), f"{layer}_b".encode()]


def not_a_number(file):
    file["conv2/bias"][1] = np.nan


def no_keras(file):
    del file.attrs["layer_names"]


def strange_attribute(file):
    file.attrs["layer_names"] = np.zeros((3, 3))


HOSTILE = {
    external_link: "conv1: expected weights, found a link",
    soft_link_circle: "conv1: expected weights, found a link",
    hard_link_circle: "nested groups, found more, or links in a circle",
    external_storage: "conv1/kernel: expected weights, found data in another file",
    virtual_dataset: "conv1/kernel: expected weights, found data in another file",
    giant: "conv2/kernel: expected 4398046511104 bytes",
    giant_in_chunks: "conv2/kernel: expected at most 1000000000 bytes in a tensor",
    expands: "conv1/kernel: expected 216 bytes in a chunk, found 217",
    long_chunk: "conv1/kernel: expected at most 216 bytes in a chunk, found 100",
    all_chunks_too_large: "conv2/3: expected at most 2500000000 bytes in all tensors together, found more",
    large_chunk: "conv1/kernel: expected 1 chunks of",
    missing_chunk: "conv1/kernel: expected 2 chunks of .* found 1",
    other_filter: "conv1/kernel: expected weights uncompressed or compressed by gzip",
    integers: "conv1/kernel: expected floating-point numbers, found int32",
    unusual_floats: "conv1/kernel: expected floating-point numbers, found void32",
    without_shape: "conv1/kernel: expected weights, found a dataset without a shape",
    listed_only: "expected conv1/kernel, as the file lists it",
    listed_twice: "expected conv1/kernel once, found it twice",
    layer_listed_only: "found 1, without conv2/kernel, conv2/bias",
    first_generation_of_theano: "expected to know whether its kernels are rotated .*; give --kernels=theano",
    not_a_number: "conv2/bias: expected finite numbers, found NaN or Inf",
    no_keras: "expected Keras weights in the HDF5 file, found conv1, conv2",
    strange_attribute: "expected Keras weights in the HDF5 file, found conv1, conv2",
}


@pytest.fixture(scope="module")
def tiny_h5(tiny_layers, write_legacy, tmp_path_factory):
    return write_legacy(tmp_path_factory.mktemp("tiny") / "tiny.h5", tiny_layers)


@pytest.mark.parametrize(("spoil", "message"), HOSTILE.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_unusable_files(tiny_h5, tmp_path, spoil, message):
    path = shutil.copy(tiny_h5, tmp_path / "spoilt.h5")
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(UserError, match=message) as raised:
        convert.convert(path, "tiny", tmp_path / "out.safetensors")
    assert str(raised.value).isprintable()
    assert not (tmp_path / "out.safetensors").exists()


def test_truncated_file(tiny_h5, tmp_path):
    path = tmp_path / "short.h5"
    path.write_bytes(tiny_h5.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"expected an intact HDF5 file, found: .*truncated"):
        convert.convert(path, "tiny", tmp_path / "out.safetensors")


def test_what_takes_for_ever_or_crashes_is_given_up(tiny_h5, monkeypatch):
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 0)
    with pytest.raises(UserError, match="crash or run out of time or memory"):
        keras_h5.read(tiny_h5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_files_are_converted_or_refused(tiny_h5, mutations, refusal, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "CPU_SECONDS", 1)
        path, output = Path(folder, "damaged.h5"), Path(folder, "out.safetensors")
        path.write_bytes(data.draw(mutations(tiny_h5.read_bytes())))
        message = refusal(path, output)
        assert output.exists() == (message is None)
        assert message is None or message.isprintable()
