import hashlib
import io
import json
import os
import re
import time
from pathlib import Path

import commands
import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch_writers
import weight_writers

from converters import convert, mapping
from converters.formats.registry import FORMATS, detect
from converters.source import Layout, Provenance, Tensor
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import convolutions, parameter_shapes, with_head
from nst_jax.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of installed weights, which does not exist yet."""
    path = tmp_path / "new" / "weights"
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(path))
    return path


def in_memory(arrays):
    return {name: Tensor(array.shape, array.dtype, lambda array=array: array) for name, array in arrays.items()}


PROVENANCE = Provenance(Path("memory"), "0" * 64, "none", convention="caffe")


def mapped(tensors, backbone, provenance=PROVENANCE):
    return dict(mapping.Parameters(tensors, provenance, mapping.match(tensors, provenance, backbone), backbone))


# --- what comes out ---


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_vgg_from_keras_is_the_same_to_the_bit_from_every_format(
    name, keras_vgg, keras_vgg_file, quiet_keras, write_tfjs, tmp_path
):
    with quiet_keras():
        source = {
            f"{layer.name}/{w.name}": np.array(w.value) for layer in keras_vgg(name).layers for w in layer.weights
        }
    entries = [({"name": k, "shape": list(v.shape), "dtype": "float32"}, v.tobytes()) for k, v in source.items()]
    write_tfjs(tmp_path, [entries], shard_size=4 << 20)
    files = [keras_vgg_file(name, ".weights.h5"), keras_vgg_file(name, ".h5"), tmp_path]
    outputs = [tmp_path / f"{index}.safetensors" for index in range(len(files))]
    for file, output in zip(files, outputs, strict=True):
        convert.convert(file, name, output)
    loaded = [safetensors.numpy.load_file(output) for output in outputs]
    assert all(tensors.keys() == parameter_shapes(BACKBONES[name]).keys() for tensors in loaded)
    for key, array in source.items():
        block, convolution, role = key.removeprefix("block").replace("_conv", "/").split("/")
        for tensors in loaded:
            np.testing.assert_array_equal(tensors[f"conv{block}_{convolution}/{role}"], array, strict=True)


def test_classifier_is_left_out_and_reported(tiny_arrays, tiny_layers, write_legacy, tmp_path):
    head = {"kernel": np.zeros((5, 7), "f4"), "bias": np.full(7, np.nan, "f4")}
    layers = tiny_layers | {"predictions": head}
    converted = convert.convert(write_legacy(tmp_path / "a.h5", layers), "tiny")
    assert converted.matched.foreign == ("predictions",)
    assert "left out layers of other classifiers: predictions\n" in convert.report(converted)
    assert converted.tensors.keys() == tiny_arrays.keys()


def test_the_head_is_left_out_and_reported(random_for, write_legacy, tmp_path):
    # The whole VGG-16, but for its values: those of the head would be half a gigabyte.
    tensors = empty_network(BACKBONES["vgg16"])
    tensors["fc1/kernel"] = Tensor((25088, 4096), np.dtype("f4"), lambda: pytest.fail("was read"))
    matched = mapping.match(tensors, PROVENANCE, BACKBONES["vgg16"])
    assert (matched.head, matched.foreign) == (("fc1",), ())


def test_metadata_and_bytes(tiny_layers, write_legacy, folder, tmp_path):
    source = write_legacy(tmp_path / "a\nb.h5", tiny_layers)
    first = convert.convert(source, "tiny")
    assert first.output == folder / "tiny.safetensors"
    with safetensors.safe_open(first.output, "numpy") as file:
        (record,) = file.metadata().values()
    assert json.loads(record) == {
        "backbone": "tiny",
        "converter_version": 2,
        "format_version": 1,
        "licence": "none",
        "source_file": "a\nb.h5",
        "source_format": "legacy Keras HDF5, weights, names as in Keras 3",
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    second = convert.convert(source, "tiny", tmp_path / "again.safetensors")
    assert second.output.read_bytes() == first.output.read_bytes()
    assert all(line.isprintable() for line in convert.report(first).splitlines())


def test_hash_of_a_model_in_several_files(tiny_arrays, write_tfjs, tmp_path):
    entries = [({"name": k, "shape": list(v.shape), "dtype": "float32"}, v.tobytes()) for k, v in tiny_arrays.items()]
    write_tfjs(tmp_path, [entries[:2], entries[2:]], shard_size=100)
    converted = convert.convert(tmp_path, "tiny")
    names = ["group1-shard1of3.bin", "group1-shard2of3.bin", "group1-shard3of3.bin", "group2-shard1of1.bin"]
    data = b"".join((tmp_path / name).read_bytes() for name in ["model.json", *names])
    assert converted.provenance.sha256 == hashlib.sha256(data).hexdigest()


def test_command_installs_the_real_vgg19_in_seconds(folder, shared):
    start = time.monotonic()
    result = commands.run("convert", shared / "weights/vgg19_tfjs", "--backbone=vgg19")
    assert time.monotonic() - start < 10
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(
        "recognised TensorFlow.js layers model, uint8, 8-bit quantisation, written by keras v2.2.4-tf"
    )
    assert "conv5_4/bias    block5_conv4/bias    [512]" in result.stdout
    assert result.stdout.endswith(f"wrote {folder / 'vgg19.safetensors'}\n")
    installed = pretrained.load("auto")
    assert installed.backbone is BACKBONES["vgg19"]
    assert installed.params["params"]["conv1_1/kernel"].min() == np.float32(-0.6504510024014641)


# --- mapping ---


def named_by_keras(backbone):
    """Names as Keras gives them → ours."""
    for row, _ in convolutions(backbone):
        block, _, index = row.name.removeprefix("conv").partition("_")
        keras = f"block{block}_conv{index}" if backbone.name.startswith("vgg") else row.name.replace("/", "_")
        yield keras, row.name


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "squeezenet1_1"])
@pytest.mark.parametrize("named", ["by Keras", "by us", "by number"])
@pytest.mark.parametrize("layout", ["HWIO", "OIHW"])
def test_names_and_layouts(name, named, layout, random_for):
    backbone = BACKBONES[name]
    arrays = random_for(parameter_shapes(backbone))
    names = {ours: keras if named == "by Keras" else ours for keras, ours in named_by_keras(backbone)}
    if named == "by number":
        names = {ours: f"layer{index}" for index, ours in enumerate(names)}
    stored = {}
    for key, array in arrays.items():
        layer, _, role = key.rpartition("/")
        oihw = layout == "OIHW" and array.ndim == 4
        stored[f"{names[layer]}/{role}"] = array.transpose(3, 2, 0, 1) if oihw else array
    provenance = PROVENANCE._replace(layout=Layout(conv=layout), named=named != "by number")
    found = mapped(in_memory(stored), backbone, provenance)
    assert found.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array, strict=True)


def test_double_precision_is_rounded_and_half_is_widened(tiny, tiny_arrays):
    for dtype in (np.float16, np.float64, ">f4"):
        arrays = {name: array.astype(dtype) for name, array in tiny_arrays.items()}
        for name, found in mapped(in_memory(arrays), tiny).items():
            np.testing.assert_array_equal(found, arrays[name].astype(np.float32), strict=True)


def spoilt(arrays, **changes):
    arrays = arrays | {name.replace("__", "/"): array for name, array in changes.items()}
    return {name: array for name, array in arrays.items() if array is not None}


UNUSABLE = {
    "missing": ({"conv2__bias": None}, "expected the 2 convolutions of tiny, found 2, without conv2/bias$"),
    "extra": ({"conv3__kernel": np.zeros((1, 1, 5, 5))}, "found 3, with the unknown conv3/kernel"),
    "unprintable": ({"a\nb__kernel": np.zeros((1, 1, 5, 5))}, r"with the unknown a\\nb/kernel"),
    "shape": ({"conv2__bias": np.zeros(4)}, r"conv2/bias: expected shape \[5\], found \[4\]"),
    "transposed": (
        {"conv1__kernel": np.zeros((2, 3, 3, 3))},
        r"conv1/kernel: expected shape \[3, 3, 3, 2\], found \[2, 3, 3, 3\] \(its axes are in another order\)",
    ),
    "dense": ({"conv2__kernel": np.zeros((5, 2))}, r"conv2/kernel: expected shape \[2, 5\], found \[5, 2\] \(its axes"),
    "infinite": ({"conv1__bias": np.array([1, np.inf])}, "conv1/bias: expected finite numbers, found NaN or Inf"),
    "too large": ({"conv1__bias": np.array([1, 1e300])}, "conv1/bias: expected finite numbers, found NaN or Inf"),
    "integers": ({"conv1__bias": np.array([1, 2])}, "conv1/bias: expected floating-point numbers, found int64"),
    "complex": ({"conv1__bias": np.array([1, 2j])}, "conv1/bias: expected floating-point numbers, found complex128"),
}


@pytest.mark.parametrize(("changes", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_unusable_tensors(tiny, tiny_arrays, changes, message):
    with pytest.raises(UserError, match=message) as raised:
        mapped(in_memory(spoilt(tiny_arrays, **changes)), tiny)
    assert str(raised.value).isprintable()


def empty_network(backbone):
    return in_memory({name: np.zeros(shape, np.float16) for name, shape in parameter_shapes(backbone).items()})


def test_a_classifier_that_is_not_there():
    vgg16 = empty_network(BACKBONES["vgg16"])
    message = "without fc6/kernel, .*; the file has no classifier: leave --classifier out, or give a file with one$"
    with pytest.raises(UserError, match=message):
        mapping.match(vgg16, PROVENANCE, with_head(BACKBONES["vgg16"]))
    # With another classifier the head is missing all the same, and the other one is not what was asked for.
    own = vgg16 | in_memory({"mine/kernel": np.zeros((512, 2)), "mine/bias": np.zeros(2)})
    with pytest.raises(
        UserError, match=r"without fc6/kernel, .* and with the unknown mine/kernel, mine/bias; the file has no"
    ):
        mapping.match(own, PROVENANCE, with_head(BACKBONES["vgg16"]))


def test_ordinary_weights_are_never_said_to_be_normalised_ones():
    # Nothing but where they come from tells them apart.
    for name in ("vgg19", "vgg19_normalized"):
        assert mapping.match(empty_network(BACKBONES["vgg19"]), PROVENANCE, BACKBONES[name])
    broken = empty_network(BACKBONES["vgg19"])
    del broken["conv5_4/bias"]
    with pytest.raises(UserError) as raised:
        mapping.match(broken, PROVENANCE, BACKBONES["vgg19"])
    assert "looks like" not in str(raised.value)


def test_the_wrong_network_is_named():
    vgg16 = empty_network(BACKBONES["vgg16"])
    message = "expected the 16 convolutions of vgg19, found 13, without conv3_4/kernel, .*; this looks like vgg16: "
    with pytest.raises(UserError, match=message):
        mapping.match(vgg16, PROVENANCE, BACKBONES["vgg19"])
    with pytest.raises(UserError, match="; this looks like squeezenet1_1: convert it with --backbone=squeezenet1_1"):
        mapping.match(empty_network(BACKBONES["squeezenet1_1"]), PROVENANCE, BACKBONES["vgg19"])
    with pytest.raises(UserError, match=r"; this looks like vgg19: convert it with --backbone=vgg19$"):
        mapping.match(empty_network(BACKBONES["vgg19"]), PROVENANCE, BACKBONES["vgg16"])


def test_pixels_of_the_other_convention():
    vgg19 = empty_network(BACKBONES["vgg19"])
    message = "in the convention of torchvision, as vgg19_torchvision has them, found caffe; this looks like vgg19: "
    with pytest.raises(UserError, match=message):
        mapping.match(vgg19, PROVENANCE, BACKBONES["vgg19_torchvision"])


def test_a_layer_under_two_names(random_for):
    arrays = random_for(parameter_shapes(BACKBONES["vgg16"]))
    arrays["block1_conv1/bias"] = arrays["conv1_1/bias"]
    with pytest.raises(
        UserError, match="expected conv1_1/bias once, found it as conv1_1/bias and as block1_conv1/bias"
    ):
        mapping.match(in_memory(arrays), PROVENANCE, BACKBONES["vgg16"])


# --- what goes in ---


def test_format_is_found_by_content(tiny_layers, write_legacy, write_tfjs, tmp_path):
    assert detect(write_legacy(tmp_path / "model.json", tiny_layers)) == "keras_h5"
    other = tmp_path / "folder"
    other.mkdir()
    write_tfjs(other, [])
    assert detect(other) == "tfjs"
    assert detect((other / "model.json").rename(other / "weights.h5")) == "tfjs"


NO_WEIGHTS = {
    "web page": (b"\n<!DOCTYPE html><html>", "found a web page or XML"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "unknown": (b"\x00\x01\x02", "found a file that starts with 00 01 02"),
    "empty": (b"", "found an empty file"),
    "zip": (b"PK\x05\x06" + bytes(18), "a zip archive with neither data.pkl"),
    "NumPy": (b"\x93NUMPY\x01\x00", "an array of NumPy"),
}


def test_what_looks_like_a_web_page_at_first(tmp_path, random_for, tiny_arrays):
    network = weight_writers.caffe_network(tiny_arrays, "V1")
    network.name = "x" * 60  # of which protobuf makes a line feed and a bracket
    (tmp_path / "a").write_bytes(network.SerializeToString())
    assert (tmp_path / "a").read_bytes().startswith(b"\n<")
    assert detect(tmp_path / "a") == "caffemodel"


def test_kernels_that_are_known_are_not_turned(tiny, tiny_arrays, write_legacy, tiny_layers, tmp_path):
    output = tmp_path / "out.safetensors"
    caffe = weight_writers.write_caffemodel(tmp_path / "a", tiny_arrays)
    with pytest.raises(UserError, match="expected kernels of theano, found that the file says otherwise"):
        convert.convert(caffe, "tiny", output, kernels="theano")
    keras = write_legacy(tmp_path / "b", tiny_layers, attributes={"backend": b"theano"})
    with pytest.raises(UserError, match="expected kernels of tensorflow, found that the file says otherwise"):
        convert.convert(keras, "tiny", output, kernels="tensorflow")
    assert not output.exists()
    unknown = write_legacy(tmp_path / "b", tiny_layers)
    for kernels, step in {None: 1, "tensorflow": 1, "theano": -1}.items():
        found = convert.convert(unknown, "tiny", output, kernels=kernels).tensors["conv1/kernel"]
        np.testing.assert_array_equal(found, tiny_arrays["conv1/kernel"][::step, ::step])
    published = write_legacy(tmp_path / "a_tf_dim_ordering_th_kernels.h5", tiny_layers)
    with pytest.raises(UserError, match="give --kernels=theano"):
        convert.convert(published, "tiny", output)
    with pytest.raises(UserError, match="unknown value of --kernels 'torch'; expected one of: "):
        convert.convert(unknown, "tiny", output, kernels="torch")


def test_an_output_of_another_kind(tiny, tiny_layers, write_legacy, tmp_path):
    with pytest.raises(UserError, match=r"out.h5: expected a name that ends in \.safetensors"):
        convert.convert(write_legacy(tmp_path / "a", tiny_layers), "tiny", tmp_path / "out.h5")


@pytest.mark.parametrize(("content", "message"), NO_WEIGHTS.values(), ids=NO_WEIGHTS.keys())
def test_files_without_weights(tmp_path, folder, content, message):
    path = tmp_path / "weights\x1b.h5"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        convert.convert(path, "vgg19")
    assert str(raised.value).isprintable()
    assert not folder.exists()


@pytest.mark.parametrize("source_format", [None, *FORMATS])
def test_paths_without_a_file(tmp_path, source_format):
    os.mkfifo(tmp_path / "pipe")
    expected = {"pipe": "regular file", ".": "expected", "none.h5": "No such file", "a" * 300: "File name too long"}
    for name, message in expected.items():
        with pytest.raises(UserError, match=message):
            convert.convert(tmp_path / name, "vgg19", source_format=source_format)


def test_a_file_in_another_format_than_was_said(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    for source_format in FORMATS:
        with pytest.raises(UserError, match="expected"):
            convert.convert(tmp_path / "a", "vgg19", source_format=source_format)


def test_huge_sparse_file_is_refused_at_once(tmp_path):
    with (tmp_path / "a.h5").open("wb") as file:
        file.write(b"\x89HDF\r\n\x1a\n")
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="expected at most 2500000000 bytes, found 1099511627776"):
        convert.convert(tmp_path / "a.h5", "vgg19")


def test_folder_that_cannot_be_made(tiny_layers, write_legacy, tmp_path, monkeypatch):
    source = write_legacy(tmp_path / "a.h5", tiny_layers)
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(source / "below"))
    with pytest.raises(UserError, match="expected a folder or room for a new one, found"):
        convert.convert(source, "tiny")
    with pytest.raises(UserError, match="missing"):
        convert.convert(source, "tiny", tmp_path / "missing" / "a.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: expected FILE, found nothing; see --help"),
        (["a", "b", "--backbone=vgg19"], "error: expected one FILE and no --name with --backbone"),
        (["a"], "error: expected --backbone=NAME with one of: vgg16, vgg19, "),
        (["a", "--backbone=vgg91"], "error: unknown backbone 'vgg91'; expected one of: vgg19, "),
        (["a", "--backbone=vgg19", "--format=h5"], "error: unknown format 'h5'; expected one of: "),
        (
            ["missing.h5", "--backbone=vgg19"],
            "error: missing.h5: expected a file that can be read, found: No such file",
        ),
        (["a", "--backbon=vgg19"], "error: unknown flag 'backbon'; expected one of: backbone, "),
    ],
    ids=str,
)
def test_command_line_errors(arguments, message, folder):
    result = commands.run("convert", *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    if result.stderr.startswith("error: "):
        assert result.stderr.count("\n") == 1
    assert not folder.exists()


def an_npz():
    buffer = io.BytesIO()
    np.savez(buffer, conv1_1_W=np.zeros(3))
    return buffer.getvalue()


FOREIGN = {
    "deploy.prototxt": (
        b'# VGG\nname: "VGG_ILSVRC_19_layers"\ninput: "data"\n',
        "a prototxt of Caffe.*the .caffemodel",
    ),
    "solver.prototxt": (b"net: 'a'\n", "a prototxt of Caffe"),
    "a.t7": (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1\x0d\0\0\0nn.Sequential", "a file of Torch 7"),
    "saved_model.pb": (b"\x08\x01\x12\x80\x20\x0a\x10" + bytes(40), "a SavedModel of TensorFlow, whose weights are in"),
    "model.ckpt.meta": (
        b"\x0a\x80\x20\x12\x10" + bytes(40),
        "the graph of a checkpoint of TensorFlow, without weights",
    ),
    "model.ckpt.index": (b"\0\0\x01\x08" + bytes(40), "the index of a checkpoint of TensorFlow, without weights"),
    "a.mlmodel": (b"\x08\1\x12\x20\x0a\x10" + bytes(40), "a model of Core ML"),
    "a.npz": (an_npz(), "an archive of arrays of NumPy"),
    "a.pth.gz": (b"\x1f\x8b\x08" + bytes(40), "a compressed file; uncompress it first"),
    "a.pkl": (b"(dp0\nS'param values'\n", "a pickle of protocol 0"),
}
BY_NAME = ("solver.prototxt", "a.mlmodel", "a.npz", "model.ckpt.meta", "model.ckpt.index")
BY_CONTENT = [name for name in FOREIGN if name not in BY_NAME]


@pytest.mark.parametrize(("name", "called"), [(name, name) for name in FOREIGN] + [(name, "a") for name in BY_CONTENT])
def test_what_is_not_read_is_named(tmp_path, name, called):
    content, message = FOREIGN[name]
    (tmp_path / called).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        detect(tmp_path / called)
    assert str(caught.value).isprintable()


def test_the_folder_of_a_saved_model(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(FOREIGN["saved_model.pb"][0])
    with pytest.raises(UserError, match="found a SavedModel of TensorFlow, whose weights are in its folder variables"):
        detect(tmp_path)


def test_real_networks_that_are_no_backbone(shared, tmp_path):
    networks = shared / "weights" / "networks"
    for path, found in {
        "adain/encoder_opt_quantized.pb": 9,
        "arbitrary_magenta/prediction.tflite": 36,
        "ff_johnson/small_candy.onnx": 0,
        "ff_johnson/mathura": 0,
    }.items():
        with pytest.raises(UserError, match=f"expected the 16 convolutions of vgg19, found {found}, without"):
            convert.convert(networks / path, "vgg19", tmp_path / "out.safetensors")


def test_one_error_tells_the_backbone(random_for, tmp_path):
    arrays = random_for(parameter_shapes(BACKBONES["squeezenet1_1"]))
    state = weight_writers.state_dict(arrays, "squeezenet1_1")
    source = torch_writers.write_network("zip", tmp_path / "tv.pth", state)
    with pytest.raises(UserError, match="expected to know the format") as caught:
        convert.convert(source, "squeezenet1_1", tmp_path / "out.safetensors")
    found = re.findall(r"--backbone=(\w+) --convention=(\w+)", str(caught.value))
    assert found == [("squeezenet1_1_torchvision", "torchvision"), ("squeezenet1_1", "caffe")]
    for backbone, convention in found:
        convert.convert(source, backbone, tmp_path / "out.safetensors", convention=convention)


@pytest.mark.parametrize("prefix", ["module.", "features.module.", "module.features.module."])
def test_names_of_parallel_networks(random_for, tmp_path, prefix):
    """`torch.nn.DataParallel` around the network, or around its features alone as in PyTorch's ImageNet example."""
    arrays = random_for(parameter_shapes(BACKBONES["vgg16"]))
    state = weight_writers.state_dict(arrays, "vgg16")
    keys = {"module.": "module.features."}.get(prefix, prefix)
    renamed = {key.replace("features.", keys): values for key, values in state.items()}
    source = torch_writers.write_network("zip", tmp_path / "a.pth", renamed)
    convert.convert(source, "vgg16", tmp_path / "out.safetensors", convention="caffe")
    found = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    np.testing.assert_array_equal(found["conv5_3/kernel"], arrays["conv5_3/kernel"])


@pytest.mark.parametrize("prefix", ["model.", "net.vgg.", "module.backbone."])
def test_names_of_a_network_within_another(random_for, tmp_path, prefix):
    """As checkpoints of Lightning have them, or those of a loss; beside other networks they stay unknown."""
    arrays = random_for(parameter_shapes(BACKBONES["vgg16"]))
    state = {prefix + key: values for key, values in weight_writers.state_dict(arrays, "vgg16").items()}
    safetensors.numpy.save_file(state, tmp_path / "a")
    convert.convert(tmp_path / "a", "vgg16", tmp_path / "out.safetensors", convention="caffe")
    safetensors.numpy.save_file(state | {"other.weight": np.zeros((1, 1, 1, 1), np.float32)}, tmp_path / "a")
    with pytest.raises(UserError, match=r"with the unknown .*features\.0/kernel"):
        convert.convert(tmp_path / "a", "vgg16", tmp_path / "out.safetensors", convention="caffe")


def test_timms_classifier_is_convolutions(random_for, tmp_path):
    vgg = BACKBONES["vgg16"]
    arrays = random_for(parameter_shapes(vgg))
    state = dict(weight_writers.state_dict(arrays, "vgg16"))
    shapes = {"pre_logits.fc1": (8, 512, 7, 7), "pre_logits.fc2": (8, 8, 1, 1), "head.fc": (10, 8)}
    for layer, shape in shapes.items():
        state |= {f"{layer}.weight": np.zeros(shape, np.float32), f"{layer}.bias": np.zeros(shape[0], np.float32)}
    safetensors.numpy.save_file(state, tmp_path / "a")
    done = convert.convert(tmp_path / "a", "vgg16", tmp_path / "out.safetensors", convention="caffe")
    assert sorted(done.matched.head) == sorted(shapes)


def test_bfloat16_in_safetensors(tmp_path, tiny, tiny_arrays):
    header, data = {}, b""
    for name, values in weight_writers.state_dict(tiny_arrays, "tiny").items():
        halves = np.uint16(np.ascontiguousarray(values).view(np.uint32) >> 16).tobytes()
        header[name] = {"dtype": "BF16", "shape": values.shape, "data_offsets": [len(data), len(data) + len(halves)]}
        data += halves
    text = json.dumps(header).encode()
    (tmp_path / "a").write_bytes(len(text).to_bytes(8, "little") + text + data)
    convert.convert(tmp_path / "a", "tiny", tmp_path / "out.safetensors", convention="caffe")
    found = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    for name, values in tiny_arrays.items():
        np.testing.assert_array_equal(found[name], (values.view(np.uint32) >> 16 << 16).view(np.float32))


@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_vgg16_with_a_reduced_classifier(random_for, tmp_path, container):
    """Its items have no prefix, its first kernel reads RGB, and fc6 and fc7 are other convolutions."""
    arrays = random_for(parameter_shapes(BACKBONES["vgg16"]))
    state = {k.removeprefix("features."): v for k, v in weight_writers.state_dict(arrays, "vgg16").items()}
    state["0.weight"] = state["0.weight"][:, ::-1]
    shapes = {"31.weight": (1024, 512, 3, 3), "31.bias": (1024,), "33.weight": (1024, 1024, 1, 1), "33.bias": (1024,)}
    state |= {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}  # as in the published file
    source = torch_writers.write_network(container, tmp_path / "vgg16_reducedfc.pth", state)
    convert.convert(source, "vgg16", tmp_path / "out.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
    with pytest.raises(UserError, match=r"this looks like vgg16: convert it with --backbone=vgg16$"):
        convert.convert(source, "vgg19", tmp_path / "out.safetensors")


def test_flaxmodels_has_torchvisions_weights(random_for, tmp_path):
    arrays = random_for(parameter_shapes(BACKBONES["vgg16"]))
    source = weight_writers.write_flax_hdf5(tmp_path / "vgg16_weights.h5", arrays)
    convert.convert(source, "vgg16_torchvision", tmp_path / "out.safetensors")
    with pytest.raises(UserError, match="this looks like vgg16_torchvision: convert it with"):
        convert.convert(source, "vgg16", tmp_path / "out.safetensors")
