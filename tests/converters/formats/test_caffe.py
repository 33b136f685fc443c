"""Caffe's formats: real files, files by the protobuf runtime, and files that nobody honest wrote."""

import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import weight_writers as writers
from hypothesis import given, settings
from hypothesis import strategies as st

from converters import convert, inspect
from converters.containers import wire
from converters.formats import binaryproto, caffe_hdf5, caffemodel
from converters.formats.registry import detect
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import parameter_shapes, with_head
from nst_jax.errors import UserError

REAL = "weights/real"


def values(tensors):
    return {name: tensor.load() for name, tensor in tensors.items()}


def by_the_runtime(path):
    """Layer → blobs, as the protobuf runtime reads the whole message."""
    net = writers.caffe_messages(packed=True)["NetParameter"].FromString(path.read_bytes())
    return {
        layer.name: [np.float32(blob.data) for blob in layer.blobs]
        for layer in [*net.layers, *net.layer]
        if layer.blobs
    }


# --- what comes out ---


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        ("v1_cifar10_quick_iter_5000", "V1"),
        ("v2_cifar10_quick_iter_4000", "V2"),
        ("v2_mtcnn_det1", "V2"),
        ("v2_deep_landmark_2_N1", "V2"),
    ],
)
def test_real_networks(shared, name, generation):
    path = shared / REAL / f"{name}.caffemodel"
    assert detect(path) == "caffemodel"
    tensors, provenance = caffemodel.read(path)
    assert provenance.format == f"Caffe network, generation {generation}"
    expected = by_the_runtime(path)
    assert {name.rpartition("/")[0] for name in tensors} == expected.keys()
    for name, found in values(tensors).items():
        layer, _, role = name.rpartition("/")
        index = {"kernel": 0, "bias": 1}.get(role)
        np.testing.assert_array_equal(found.ravel(), expected[layer][int(role) if index is None else index])


def test_shapes_of_a_real_network_of_the_first_generation(shared):
    tensors, provenance = caffemodel.read(shared / REAL / "v1_cifar10_quick_iter_5000.caffemodel")
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes["conv2/kernel"] == (32, 32, 5, 5)
    assert shapes["conv2/bias"] == (32,)
    assert shapes["ip1/kernel"] == (64, 1024)
    assert provenance.notes == ("mean picture in examples/cifar10/mean.binaryproto",)


@pytest.mark.parametrize("generation", ["V1", "V2"])
@pytest.mark.parametrize("classifier", [False, True])
def test_googlenet_with_the_classifiers_of_its_training(tmp_path, random_for, generation, classifier):
    """bvlc_googlenet.caffemodel: `loss1/conv` is a convolution, which no rule for dense layers leaves out."""
    auxiliary = {
        "loss1/conv/kernel": (1, 1, 512, 128),
        "loss1/conv/bias": (128,),
        "loss1/fc/kernel": (4, 4, 128, 1024),
        "loss1/fc/bias": (1024,),
        "loss1/classifier/kernel": (1, 1, 1024, 1000),
        "loss1/classifier/bias": (1000,),
    }
    googlenet = with_head(BACKBONES["googlenet"])
    arrays = random_for(parameter_shapes(googlenet))
    path = writers.write_caffemodel(tmp_path / "a", random_for(auxiliary) | arrays, generation)
    converted = convert.convert(path, "googlenet", tmp_path / "out.safetensors", classifier=classifier)
    assert converted.matched.foreign == ("loss1/conv", "loss1/fc", "loss1/classifier")
    assert converted.matched.head == (() if classifier else ("loss3/classifier",))
    assert len(converted.tensors) == len(arrays) - (0 if classifier else 2)
    for name, found in converted.tensors.items():
        np.testing.assert_array_equal(found, arrays[name], strict=True)


def test_real_hdf5(shared):
    path = shared / REAL / "caffeh5_cifar10_quick_iter_5000.caffemodel.h5"
    assert detect(path) == "caffe_hdf5"
    shapes = {name: tensor.shape for name, tensor in caffe_hdf5.read(path)[0].items()}
    assert (shapes["conv1/kernel"], shapes["ip2/kernel"], shapes["ip2/bias"]) == ((32, 3, 5, 5), (10, 64), (10,))


def test_real_mean_picture(shared):
    path = shared / REAL / "cifar10_mean.binaryproto"
    assert detect(path) == "binaryproto"
    blob = writers.caffe_messages(packed=True)["BlobProto"].FromString(path.read_bytes())
    (picture,) = values(binaryproto.read(path)[0]).values()
    np.testing.assert_array_equal(picture.ravel(), np.float32(blob.data))
    # The means of CIFAR-10 that everybody normalises with are 0.4914, 0.4822, 0.4465 of 255.
    assert "mean of each channel 125.307 122.95 113.865" in inspect.inspect(path)


def test_a_mean_picture_is_no_network(shared, tmp_path):
    with pytest.raises(UserError, match="expected the 16 convolutions of vgg19, found 0"):
        convert.convert(shared / REAL / "cifar10_mean.binaryproto", "vgg19", tmp_path / "out.safetensors")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("generation", ["V0", "V1", "V2"])
def test_ways_to_store_numbers(tiny_arrays, tmp_path, generation, packed, double, legacy):
    path = writers.write_caffemodel(
        tmp_path / "a", tiny_arrays, generation, packed=packed, double=double, legacy=legacy
    )
    assert detect(path) == "caffemodel"
    found = convert.convert(path, "tiny", tmp_path / "out.safetensors").tensors
    for name, expected in tiny_arrays.items():
        np.testing.assert_array_equal(found[name], expected, strict=True)


def test_numbers_in_several_pieces(tmp_path):
    # Protobuf allows any mixture, and readers have to put it together.
    pieces = [b"\x2a\x08" + struct.pack("<2f", 1, 2), b"\x2d" + struct.pack("<f", 3), b"\x2a\x00"]
    pieces += [b"\x2d" + struct.pack("<f", 4), b"\x2d" + struct.pack("<f", 5), b"\x2a\x04" + struct.pack("<f", 6)]
    (tmp_path / "a").write_bytes(b"\x3a\x03\x0a\x01\x06" + b"".join(pieces))
    np.testing.assert_array_equal(values(binaryproto.read(tmp_path / "a")[0])["mean"], [1, 2, 3, 4, 5, 6])


def test_doubles_go_before_floats(tmp_path):
    data = b"\x08\x01\x10\x01\x18\x01\x20\x01\x2d" + struct.pack("<f", 1) + b"\x41" + struct.pack("<d", 2)
    (tmp_path / "a").write_bytes(data)
    assert values(binaryproto.read(tmp_path / "a")[0])["mean"].item() == 2


def test_other_fields_and_other_layers_do_not_matter(tiny_arrays, tmp_path):
    network = writers.caffe_network(tiny_arrays, "V2")
    other = network.layer.add(name="prelu", type="PReLU")
    writers.set_blob(other.blobs.add(), np.ones(3, np.float32), legacy=False)
    unknown = b"\xfa\x3f\x02hi"  # field 1023
    (tmp_path / "a").write_bytes(unknown + network.SerializeToString() + unknown)
    assert "prelu/0" in caffemodel.read(tmp_path / "a")[0]


def test_hdf5_with_slashes_in_names(tmp_path):
    arrays = {"fire2/squeeze1x1/kernel": np.ones((1, 1, 2, 3), "f4"), "fire2/squeeze1x1/bias": np.ones(3, "f4")}
    tensors, provenance = caffe_hdf5.read(writers.write_caffe_hdf5(tmp_path / "a", arrays))
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "fire2/squeeze1x1/kernel": (3, 2, 1, 1),
        "fire2/squeeze1x1/bias": (3,),
    }
    assert provenance.format == "Caffe HDF5"


def test_networks_of_the_same_layers_are_told_apart_by_their_names(tmp_path, random_for):
    path = writers.write_caffemodel(tmp_path / "a", random_for(parameter_shapes(BACKBONES["alexnet"])), "V2")
    name = b"CaffeNet"
    path.write_bytes(path.read_bytes() + b"\x0a" + bytes([len(name)]) + name)  # of several values the last one counts
    with pytest.raises(UserError, match=r"expected AlexNet, by its own name in the file, found CaffeNet"):
        convert.convert(path, "alexnet", tmp_path / "out.safetensors")
    convert.convert(path, "caffenet", tmp_path / "out.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("classifier", [False, True])
def test_the_largest_network_is_fast_and_takes_little_memory(tmp_path, random_for, classifier):
    arrays = random_for(parameter_shapes(with_head(BACKBONES["vgg19"])))
    path = writers.write_caffemodel(tmp_path / "vgg19.caffemodel", arrays)
    del arrays
    assert path.stat().st_size > 574e6
    program = (
        "import sys; from pathlib import Path; from converters.convert import convert\n"
        "convert(Path(sys.argv[1]), 'vgg19', Path(sys.argv[2]), classifier=sys.argv[3] == 'True')\n"
        # Not ru_maxrss, which begins with what the process that started this one had in memory.
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", program, str(path), str(tmp_path / "out.safetensors"), str(classifier)]
    start = time.monotonic()
    result = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert time.monotonic() - start < 20
    assert int(result.stdout) * 1024 < (1.3e9 if classifier else 0.4e9)


# --- what must not come out ---


def change(spoil):
    """Makes a function that spoils the network before it is written."""

    def write(arrays):
        network = writers.caffe_network(arrays, "V1")
        spoil(network)
        return network.SerializeToString()

    return write


def blob_with(**fields):
    def spoil(network):
        blob = network.layers[0].blobs[0]
        for name, value in fields.items():
            setattr(blob, name, value)

    return change(spoil)


def both_generations(network):
    network.layer.add(name="a", type="ReLU")


def first_generation_too(network):
    network.layers.add().layer.name = "a"


def twice(network):
    network.layers.add().CopyFrom(network.layers[0])


def renamed(network):
    network.layers[0].name = "a\nb\x1b"


def shape_of_many_axes(network):
    blob = network.layers[0].blobs[0]
    for name in ("num", "channels", "height", "width"):
        blob.ClearField(name)
    blob.shape.dim.extend([1] * 1000 + [54])


def empty_shape(network):
    blob = network.layers[0].blobs[1]
    blob.ClearField("data")
    blob.num, blob.channels, blob.height, blob.width = 0, 2**31 - 1, 2**31 - 1, 2**31 - 1


def raw_data(network):
    blob = network.layers[0].blobs[0]
    blob.ClearField("data")
    blob.raw_data, blob.raw_data_type = bytes(216), 2


def not_a_number(network):
    network.layers[0].blobs[0].data[5] = np.nan


def three_bytes(arrays):
    return b"\x0a\x01a\x12\x0c\x22\x01a\x28\x04\x32\x05\x2a\x03abc"


def many_fields(_):
    return b"\x0a\x01a" + b"\x12\x00" * 2_000_000


def many_blobs(_):
    blobs = b"\x32\x00" * 2_000_000
    return b"\x12" + writers._varint(len(blobs)) + blobs


def long_name(_):
    layer = b"\x22" + writers._varint(20_000_000) + b"x" * 20_000_000
    return b"\x12" + writers._varint(len(layer)) + layer


HOSTILE = {
    "fewer numbers": (blob_with(num=3), r"conv1/kernel: expected 81 numbers for shape \[3, 3, 3, 3\], found 54"),
    "negative": (blob_with(num=-2), "conv1/kernel: expected the shape of a tensor, found 4 lengths, or one below 0"),
    "two negative": (blob_with(num=-2, channels=-3), "conv1/kernel: expected the shape of a tensor, found"),
    "overflow": (
        blob_with(num=2**31 - 1, channels=2**31 - 1),
        r"conv1/kernel: expected at most 1000000000 bytes in a tensor, found shape \[2147483647, 2147483647, 3, 3\]",
    ),
    "many axes": (change(shape_of_many_axes), "conv1/kernel: expected the shape of a tensor, found"),
    "empty": (change(empty_shape), "conv1/bias: expected at most 1000000000 bytes in a tensor"),
    "raw": (change(raw_data), "conv1/kernel: expected numbers, found raw data, as a fork of Caffe"),
    "V1 and V2": (change(both_generations), "expected layers of one generation of Caffe, found `layers`"),
    "V0 and V1": (change(first_generation_too), "expected layers of one generation of Caffe, found V0 among V1"),
    "twice": (change(twice), "expected conv1/kernel once, found it twice"),
    "unprintable": (change(renamed), r"with the unknown a\\nb\\x1b/kernel"),
    "nan": (change(not_a_number), "conv1/kernel: expected finite numbers, found NaN or Inf"),
    "no layers": (lambda _: b"\x0a\x01a\x1a\x01b", "expected layers with weights, found 0 layers without"),
    "three bytes": (three_bytes, "found 3 bytes of numbers of 4 bytes each"),
    "group": (lambda _: b"\x0a\x01a\x1a\x01b" + b"\x13" * 100_000, "found a field of kind 3"),
    "nested groups": (lambda _: b"\x0a\x01a\x12\x04" + b"\x13" * 4, "found a field of kind 3"),
    "length beyond the file": (lambda _: b"\x0a\x01a\x1a\x01b\x12\x7f123", "found a field of 127 bytes .* 3 are there"),
    "length beyond its message": (lambda _: b"\x0a\x01a\x12\x02\x22\x7f" + bytes(200), "found a field of 127 bytes"),
    "length without an end": (lambda _: b"\x0a\x01a\x1a\x01b\x12" + b"\xff" * 20, "found a number without an end"),
    "giant length": (
        lambda _: b"\x0a\x01a\x1a\x01b\x12" + b"\xff" * 9 + b"\x01",
        "found a field of 18446744073709551615",
    ),
    "many fields": (many_fields, "found more than 200000 fields"),
    "many blobs": (many_blobs, "found more than 200000 fields"),
    "long name": (long_name, "found a field of 20000000 bytes where a short one belongs"),
}


@pytest.mark.parametrize(("write", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_unusable_networks(tiny_arrays, tmp_path, write, message):
    path = tmp_path / "a.caffemodel"
    path.write_bytes(write(tiny_arrays))
    start = time.monotonic()
    with pytest.raises(UserError, match=message) as raised:
        convert.convert(path, "tiny", tmp_path / "out.safetensors")
    assert time.monotonic() - start < 10
    assert str(raised.value).isprintable()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("generation", ["V0", "V1", "V2"])
def test_every_way_to_cut_a_network_short(tiny_arrays, tmp_path, refusal, generation):
    data = writers.caffe_network(tiny_arrays, generation).SerializeToString()
    path, output = tmp_path / "a.caffemodel", tmp_path / "out.safetensors"
    for length in range(1, len(data) - 20, 7):  # the last bytes are a layer without weights
        path.write_bytes(data[:length])
        assert refusal(path, output), length
    assert not output.exists()


def test_the_beginning_of_a_field_decides(tmp_path):
    class Data(bytes):
        """Like a mapped file."""

    assert wire.starts_like(Data(b"\x0a\x01a\x12\x00"), {1: 2, 2: 2})
    assert not wire.starts_like(Data(b"\x0a\x01a\x0d1234"), {1: 2})
    assert not wire.starts_like(Data(b"\x0a\x7fa"), {1: 2})
    assert not wire.starts_like(Data(b""), {1: 2})


@pytest.mark.parametrize("generation", ["V0", "V1", "V2"])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_networks_are_converted_or_refused(tiny_arrays, mutations, refusal, generation, data):
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder, "damaged"), Path(folder, "out.safetensors")
        packed = data.draw(st.booleans())
        network = writers.caffe_network(tiny_arrays, generation, packed=packed, legacy=data.draw(st.booleans()))
        path.write_bytes(data.draw(mutations(network.SerializeToString())))
        message = refusal(path, output)
        assert output.exists() == (message is None)
        assert message is None or message.isprintable()
