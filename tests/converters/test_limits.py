"""Small files that would take for ever or all memory, and ways to lose what one has."""

import contextlib
import json
import os
import shutil
import struct
import subprocess
import time

import commands
import h5py
import numpy as np
import pytest
import safetensors.numpy
import torch_writers
import weight_writers as writers

from converters import convert, inspect, normalize
from converters.containers.wire import _varint
from converters.formats import torch_legacy, torch_zip
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import parameter_shapes
from nst_jax.errors import UserError
from nst_jax.io import images


@pytest.fixture(autouse=True)
def folder(installed):
    return installed


# --- time and memory ---


def delimited(number, content):
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def network(*blobs, name=b"conv1"):
    """A caffemodel of one convolution with these blobs."""
    return delimited(2, delimited(4, name) + b"\x28\x04" + b"".join(delimited(6, blob) for blob in blobs))


def packed(number, *values):
    return delimited(number, b"".join(map(_varint, values)))


def lengths(*values):
    return delimited(7, packed(1, *values))


def alternating(path):
    """Numbers that are not packed, of two fields in turn: each begins a run of one."""
    numbers = b"".join(b"\x2d" + struct.pack("<f", 1) + b"\x35" + struct.pack("<f", 1) for _ in range(200_000))
    path.write_bytes(network(lengths(200_000) + numbers))


def many_lengths(path):
    path.write_bytes(network(lengths(*[2**62] * 200_000)))


def giant_lengths(path):
    path.write_bytes(network(lengths(*[2**62] * 400)))


def empty_but_giant(path):
    path.write_bytes(network(lengths(0, 2_400_000_000, 2_400_000_000, 2_400_000_000)))


def long_name(path):
    blob = lengths(1) + delimited(5, bytes(4))
    path.write_bytes(network(*[blob] * 2000, name=b"x" * 2_000_000))


def empty_picture(path):
    path.write_bytes(b"\x08\x01\x10\x03\x18\x00\x20\x05")


def write_manifest(folder, shape):
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"")
    weight = {"name": "conv1/kernel", "shape": "SHAPE", "dtype": "float32"}
    text = json.dumps({"weightsManifest": [{"paths": ["a.bin"], "weights": [weight]}]})
    (folder / "model.json").write_text(text.replace('"SHAPE"', shape))


def number_without_end(path):
    with h5py.File(path, "w") as file:
        file[f"layers/conv2d_{'9' * 5000}/vars/0"] = np.ones((1, 1, 1, 1), "f4")


def layer_without_end(path):
    with h5py.File(path, "w") as file:
        file["layer_0/param_0"] = np.ones((1, 1, 1, 1), "f4")
        file[f"layer_{'9' * 5000}/param_0"] = np.ones((1, 1, 1, 1), "f4")


def many_dense_layers(path):
    safetensors.numpy.save_file({f"a{index}.weight": np.zeros((1, 1), "f4") for index in range(10_000)}, path)


def long_record(path):
    safetensors.numpy.save_file({"a.weight": np.zeros(1, "f4")}, path, {"nst_jax": "[" + "{}," * 4_000_000 + "{}]"})


def many_constants(path):
    path.write_bytes(writers.constant_node("", np.zeros(1, "f4"))[:-1] * 300_000)


def fills(path):
    """A thousand constants of four megabytes, each of one number."""
    shape = b"".join(writers.field(2, writers.field(1, 1 << 10)) for _ in range(2))
    tensor = writers.field(1, 1) + writers.field(2, shape) + writers.field(5, bytes(4))
    path.write_bytes(b"".join(writers.constant_node(f"a{index}", tensor) for index in range(1000)))


def one_range_of_many(path):
    nodes = [writers.onnx_node("DequantizeLinear", ["a", "b"], f"{index}_dequant") for index in range(8_000)]
    tensors = [writers.onnx_tensor("a", np.zeros(100_000, "i1")), writers.onnx_tensor("b", np.float32(1))]
    path.write_bytes(writers.onnx_model(nodes, tensors))


def names_without_end(path):
    names = [f"{index}" + "a/" * 100_000 for index in range(10)]
    path.write_bytes(writers.onnx_model([], [writers.onnx_tensor(name, np.zeros(2, "f4")) for name in names]))


SLOW = [
    alternating,
    many_lengths,
    giant_lengths,
    empty_but_giant,
    long_name,
    empty_picture,
    lambda path: write_manifest(path, "[" + "9," * 500_000 + "1]"),
    lambda path: write_manifest(path, f"[{'9' * 4000}, {'9' * 4000}]"),
    lambda path: write_manifest(path, "[0, 2400000000, 2400000000, 2400000000]"),
    number_without_end,
    layer_without_end,
    many_dense_layers,
    long_record,
    many_constants,
    fills,
    one_range_of_many,
    names_without_end,
]


@pytest.mark.parametrize("write", SLOW, ids=lambda write: write.__name__.strip("<>"))
@pytest.mark.parametrize("name", ["convert", "inspect"])
def test_no_small_file_takes_long(write, name, tiny, tmp_path):
    write(tmp_path / "a")
    began = time.process_time()
    with contextlib.suppress(UserError):
        if name == "inspect":
            assert all(line.isprintable() for line in inspect.inspect(tmp_path / "a").splitlines())
        else:
            convert.convert(tmp_path / "a", "tiny", tmp_path / "out.safetensors", convention="caffe")
    assert time.process_time() - began < 10
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(("container", "module"), [("zip", torch_zip), ("legacy", torch_legacy)])
def test_tensors_of_one_storage_read_their_part_of_it(container, module, tmp_path, monkeypatch):
    # 40 MB in a hundred tensors; read whole for each, that were 4 GB.
    numbers = np.arange(10_000_000, dtype=np.float32)
    part = {"part": container}
    state = {
        f"a.{index}": torch_writers.tensor("0", numbers.size, (1000, 100), (100, 1), start=index * 100_000, **part)
        for index in range(100)
    }
    path = torch_writers.write(container, tmp_path / "a", state, {"0": numbers.tobytes()})
    began = time.process_time()
    tensors, _ = module.read(path)
    for index in range(100):
        found = tensors[f"a/{index}"].load().ravel()
        np.testing.assert_array_equal(found, numbers[index * 100_000 : (index + 1) * 100_000])
    assert time.process_time() - began < 5


# --- what one has ---


@pytest.fixture
def caffe(tiny_arrays, tmp_path):
    return writers.write_caffemodel(tmp_path / "a.safetensors", tiny_arrays)


def test_the_source_is_not_overwritten(caffe, tiny, tmp_path):
    before = caffe.read_bytes()
    (tmp_path / "link.safetensors").symlink_to(caffe)
    for output in (caffe, tmp_path / "link.safetensors"):
        with pytest.raises(UserError, match="expected a file of its own, found the one that is converted"):
            convert.convert(caffe, "tiny", output)
    assert caffe.read_bytes() == before


def test_installed_weights_are_not_converted_onto_themselves(tiny, tiny_arrays, folder):
    installed = folder / "tiny.safetensors"
    pretrained.write(installed, tiny_arrays, tiny, {"source_file": "a"})
    before = installed.read_bytes()
    with pytest.raises(UserError, match="expected a file of its own, found the one that is converted"):
        convert.convert(installed, "tiny")
    assert installed.read_bytes() == before


def test_an_empty_output_is_not_the_default(caffe, folder):
    for name, *arguments in (("convert", caffe, "--backbone=vgg19"), ("normalize", f"--images={folder}")):
        result = commands.run(name, *arguments, "--output=")
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == "error: --output: expected a path, found none; leave the flag out for its default\n"


def test_ported_weights_leave_the_convention_open(random_for, write_legacy, tmp_path):
    # Keras files usually have Caffe's; those with the names of torchvision come from there.
    arrays = random_for(parameter_shapes(BACKBONES["squeezenet1_1"]))
    names = writers.torchvision_names(arrays, "squeezenet1_1")
    layers = {names[layer]: {"kernel": kernel, "bias": bias} for layer, kernel, bias in writers.layers(arrays)}
    source, output = write_legacy(tmp_path / "a.h5", layers), tmp_path / "out.safetensors"
    with pytest.raises(UserError, match=r"expected to know the format of the pixels"):
        convert.convert(source, "squeezenet1_1", output)
    assert convert.convert(source, "squeezenet1_1", output, convention="caffe").output == output
    assert convert.convert(source, "squeezenet1_1_torchvision", output, convention="torchvision").output == output


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).uniform(size=(64, 64, 3)).astype(np.float32)
    images.write(folder / "a.png", images.Picture(pixels))
    return folder


def write_vgg19(path, scale):
    arrays = {name: np.full(shape, scale, np.float32) for name, shape in parameter_shapes(BACKBONES["vgg19"]).items()}
    pretrained.write(path, arrays, BACKBONES["vgg19"], {})


def test_normalising_overwrites_no_weights(pictures, folder):
    source = folder / "vgg19.safetensors"
    write_vgg19(source, 0.01)
    before = source.read_bytes()
    with pytest.raises(UserError, match="expected a file of its own, found the weights that are rescaled"):
        normalize.normalize("vgg19", pictures, source, size=32)
    assert source.read_bytes() == before


def test_normalising_writes_no_infinite_weights(pictures, folder, tmp_path):
    write_vgg19(folder / "vgg19.safetensors", 1e12)
    with pytest.raises(UserError, match="vgg19: expected finite activations, found others in conv2_1"):
        normalize.normalize("vgg19", pictures, size=32)
    assert [path.name for path in folder.iterdir()] == ["vgg19.safetensors"]


def test_infinite_weights_are_not_written(tiny, tiny_arrays, tmp_path):
    spoilt = tiny_arrays | {"conv2/bias": np.full(5, np.nan, np.float32)}
    with pytest.raises(UserError, match="conv2/bias: expected finite numbers"):
        pretrained.write(tmp_path / "a.safetensors", spoilt, tiny, {})
    assert list(tmp_path.glob("*.safetensors")) == []


# --- the surroundings ---


def shell(command, **settings):
    return subprocess.run(["bash", "-c", command], **commands.settings() | settings, capture_output=True, check=False)


@pytest.fixture
def inspected(tiny_arrays, tmp_path):
    """The command line that inspects a file in HDF5 with a name that is not ASCII."""
    path = writers.write_caffe_hdf5(tmp_path / "é.h5", tiny_arrays)
    return " ".join(commands.words("inspect", path))


def test_output_that_goes_nowhere(inspected):
    for end in (">/dev/full", "| head -c 0; exit ${PIPESTATUS[0]}"):
        result = shell(f"{inspected} {end}")
        assert result.returncode in (0, 1), end  # the pipe may be closed only after all is written
        assert "Traceback" not in result.stderr
        assert result.stderr.count("\n") == result.returncode
    assert (
        shell(f"{inspected} >/dev/full").stderr
        == "error: standard output: expected it to be usable, found: No space left on device\n"
    )
    for end in (">&-", "2>&-", "<&-"):
        assert shell(f"{inspected} {end}").returncode == 0, end


def test_a_terminal_without_dashes(inspected):
    result = shell(f"PYTHONIOENCODING=ascii {inspected}")
    assert (result.returncode, result.stderr) == (0, "")


def test_limits_of_the_shell(inspected):
    for limit in ("ulimit -v 1500000", "ulimit -t 8"):
        result = shell(f"{limit}; {inspected}")
        assert (result.returncode, result.stderr) == (0, ""), limit


def test_a_folder_without_permission(tmp_path):
    humble = ""
    if os.geteuid() == 0:
        # Root without its privileges, not somebody else: Python itself may be in a folder of root's that is closed.
        humble = "setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all"
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv to be root without its privileges")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o000)
    for name, arguments in {"inspect": [folder], "convert": [folder, "--backbone=vgg19"]}.items():
        line = " ".join(commands.words(name, *arguments))
        result = shell(f"{humble} {line}")
        assert "Traceback" not in result.stderr
        assert result.returncode == 1
