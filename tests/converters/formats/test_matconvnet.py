import re
import resource
import struct
import tempfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import weight_writers as writers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat
from scipy.sparse import csc_array

from converters import convert, regions, source
from converters.containers import sandbox
from converters.formats import matconvnet
from nst_jax.errors import UserError

MEAN = np.array([123.68, 116.779, 103.939], np.float32)


def cell(*items):
    array = np.empty((1, len(items)), object)
    array[0, :] = items
    return array


EMPTY = np.empty((0, 0))


def new(name, *weights, kind="conv"):
    return {"name": name, "type": kind, "weights": cell(*weights), "pad": np.ones((1, 4))}


def old(name, kernel, bias):
    return {"filters": kernel, "stride": np.ones((1, 2)), "biases": bias, "type": "conv", "name": name}


def backwards(layer):
    return dict(reversed(layer.items()))


def network(layers, make=new):
    """The layers of a test network as MatConvNet has them, a ReLU behind each."""
    made = []
    for name, weights in layers.items():
        made += [make(name, weights["kernel"], weights["bias"][None]), {"type": "relu", "name": f"relu_{name}"}]
    made.append({"type": "softmax", "name": "prob", "weights": EMPTY})
    return cell(*made)


def save(path, variables, **options):
    savemat(path, variables, **options)
    return path


def values(path):
    return {name: tensor.load() for name, tensor in matconvnet.read(path)[0].items()}


@pytest.fixture
def layers(random_for):
    shapes = {"conv1_1": (3, 3, 3, 5), "conv1_2": (3, 2, 5, 1), "pointwise": (1, 1, 1, 1), "fc6": (7, 7, 4, 6)}
    arrays = random_for(
        {f"{name}/kernel": s for name, s in shapes.items()} | {f"{n}/bias": s[3:] for n, s in shapes.items()}
    )
    return {name: {role: arrays[f"{name}/{role}"] for role in ("kernel", "bias")} for name in shapes}


def flat(layers):
    return {f"{name}/{role}": array for name, weights in layers.items() for role, array in weights.items()}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], strict=True)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("make", [new, old, lambda *args: backwards(new(*args))], ids=["new", "old", "other order"])
def test_values_to_the_bit(tmp_path, layers, make, compressed):
    path = save(tmp_path / "a.mat", {"layers": network(layers, make)}, do_compression=compressed)
    assert matconvnet.recognises(path)
    assert_same(values(path), flat(layers))


def test_new_files_tell_their_mean_colour(tmp_path, layers):
    variables = {"meta": {"normalization": {"averageImage": MEAN.reshape(1, 1, 3)}}, "layers": network(layers)}
    path = save(tmp_path / "a.mat", variables)
    _, provenance = matconvnet.read(path)
    assert provenance.format == "MatConvNet simplenn .mat"
    assert provenance.producer.startswith("MatConvNet (MATLAB 5.0 MAT-file Platform: ")
    assert (provenance.layout, provenance.convention) == (source.Layout("HWIO", reversed_colours=True), "caffe")
    assert provenance.sha256 == regions.sha256([path])
    assert provenance.notes == (
        "as MatConvNet wrote it since beta 17 (meta)",
        "mean colour (RGB) 123.68 116.78 103.94",
    )


def test_old_files_tell_their_mean_picture(tmp_path, layers):
    picture = np.tile(MEAN, (4, 4, 1)) + np.array([-1, 1, -1, 1])[:, None, None]
    variables = {"layers": network(layers, old), "classes": {}, "normalization": {"averageImage": picture}}
    _, provenance = matconvnet.read(save(tmp_path / "a.mat", variables))
    assert provenance.notes == (
        "as MatConvNet wrote it before beta 17 (no meta)",
        "mean colour (RGB) 123.68 116.78 103.94",
    )


@pytest.mark.parametrize("image", [EMPTY, np.zeros((1, 1, 4)), np.full((1, 1, 3), np.nan), "text", {}], ids=repr)
def test_no_mean_colour(tmp_path, layers, image):
    variables = {"layers": network(layers), "meta": {"normalization": {"averageImage": image}}}
    assert len(matconvnet.read(save(tmp_path / "a.mat", variables))[1].notes) == 1


def test_a_network_saved_as_one_variable(tmp_path, layers):
    net = {"layers": network(layers), "meta": {"normalization": {"averageImage": MEAN.reshape(1, 1, 3)}}}
    path = save(tmp_path / "a.mat", {"net": net, "params": 1})
    assert_same(values(path), flat(layers))
    assert matconvnet.read(path)[1].notes[1].startswith("mean colour")


def test_other_layers_have_numbered_weights(tmp_path):
    numbers = [np.full((4, 1), number, np.float32) for number in range(3)]
    path = save(tmp_path / "a.mat", {"layers": cell(new("lrn", *numbers, kind="lrn"), new("x", numbers[0]))})
    assert_same(
        values(path),
        {f"lrn/{number}": array for number, array in enumerate(numbers)} | {"x/kernel": numbers[0][..., None, None]},
    )


@pytest.mark.parametrize(("stored", "shape"), [((8, 1), (8,)), ((1, 8), (8,)), ((1, 1), (1,)), ((2, 4), (2, 4))])
def test_only_vectors_become_vectors(tmp_path, stored, shape):
    bias = np.arange(np.prod(stored), dtype=np.float32)
    path = save(tmp_path / "a.mat", {"layers": cell(new("a", KERNEL, bias.reshape(stored)))})
    assert_same(values(path), {"a/kernel": KERNEL, "a/bias": bias.reshape(shape)})


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u1", "bool"])
def test_types_of_numbers(tmp_path, dtype):
    array = np.arange(3 * 3 * 3 * 5).reshape(3, 3, 3, 5).astype(dtype)
    assert_same(values(save(tmp_path / "a.mat", {"layers": cell(new("a", array))})), {"a/kernel": array})


def test_colours_are_turned_back(tmp_path, tiny, tiny_layers, tiny_arrays):
    path = save(tmp_path / "a.mat", {"layers": network(tiny_layers)})
    converted = convert.convert(path, tiny.name, tmp_path / "out.safetensors").tensors
    assert_same(converted, tiny_arrays | {"conv1/kernel": tiny_arrays["conv1/kernel"][:, :, ::-1]})


def test_the_temporary_file_lives_as_long_as_the_tensors(tmp_path, layers, monkeypatch):
    made, original = [], tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: made.append(original()) or made[-1])
    tensors = matconvnet.read(save(tmp_path / "a.mat", {"layers": network(layers)}))[0]
    last = tensors["fc6/bias"]
    del tensors
    np.testing.assert_array_equal(last.load(), layers["fc6"]["bias"], strict=True)
    del last
    assert [file.closed for file in made] == [True]


# --- graphs ---


def conv(name, kernel, bias, *, parts=("_filter", "_bias")):
    return name, "dagnn.Conv", {f"{name}{part}": array for part, array in zip(parts, (kernel, bias), strict=True)}, {}


@pytest.mark.parametrize(
    ("axes", "parts"), [(1, ("_filter", "_bias")), (4, ("_filter", "_bias")), (4, ("f", "b"))], ids=str
)
def test_values_of_graphs_to_the_bit(tmp_path, layers, parts, axes):
    # Biases have four axes where the importer found them so, in files of old Caffe.
    made = [
        conv(name, of["kernel"], of["bias"].reshape(-1, *(1,) * (axes - 1)), parts=parts) for name, of in layers.items()
    ]
    made.insert(1, ("norm1", "dagnn.LRN", {}, {"param": np.ones((1, 4))}))
    path = writers.save_dagnn(tmp_path / "a.mat", made)
    assert_same(values(path), flat(layers))
    _, provenance = matconvnet.read(path)
    assert (provenance.format, provenance.ordered) == ("MatConvNet DagNN .mat", False)
    assert (provenance.layout, provenance.convention) == (source.Layout("HWIO", reversed_colours=True), "caffe")
    assert provenance.notes[1] == "mean colour (RGB) 123.68 116.78 103.94"


def test_a_graph_as_matlab_saves_it(tmp_path, layers):
    # DagNN.saveobj has more fields, as one variable of any name; MATLAB's empty cell array has no columns.
    path = writers.save_dagnn(tmp_path / "a.mat", [conv(name, *of.values()) for name, of in layers.items()])
    net = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    params = np.empty(net["params"].shape, [(field, object) for field in ("value", "name", "weightDecay")])
    for field in ("name", "value"):
        params[field] = net["params"][field]
    params["weightDecay"] = 1.0
    savemat(path, {"net": net | {"params": params, "vars": {"name": "data"}, "conserveMemory": 1.0}})
    assert_same(values(path), flat(layers))


def test_weights_may_be_shared_and_left_unused(tmp_path):
    shared, other = np.arange(24, dtype="f4").reshape(2, 3, 4, 1), np.ones((1, 1, 2, 2), "f4")
    made = [
        ("a", "dagnn.Conv", {"w": shared, "b": np.ones(1, "f4")}, {}),
        ("again", "dagnn.Scale", {"w": None, "b": None, "v": other}, {}),
        ("none", "dagnn.ReLU", {}, {}),
    ]
    path = writers.save_dagnn(tmp_path / "a.mat", made)
    bias = np.ones((1, 1), "f4")
    assert_same(
        values(path),
        {"a/kernel": shared, "a/bias": bias[0], "again/0": shared, "again/1": bias, "again/2": other},
    )


# Modules and their parts in BVLC's prototxt and in Princeton's, and the other layers.
MODULES = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
PARTS = {
    "1x1": "out0",
    "3x3_reduce": "reduction1",
    "3x3": "out1",
    "5x5_reduce": "reduction2",
    "5x5": "out2",
    "pool_proj": "out3",
}
OTHERS = {
    "conv1/7x7_s2": "conv1",
    "conv2/3x3_reduce": "reduction2",
    "conv2/3x3": "conv2",
    "loss3/classifier": "cls3_fc",
}


def of_princeton(layer):
    if layer in OTHERS:
        return OTHERS[layer]
    number, part = re.fullmatch(r"inception_(\w+)/(\w+)", layer).groups()
    return f"icp{MODULES.index(number) + 1}_{PARTS[part]}"


@pytest.mark.parametrize("named", [str, of_princeton], ids=["BVLC", "Princeton"])
def test_googlenet_is_what_caffe_has(named, shared, tmp_path):
    folder = shared / "weights/networks/googlenet_bvlc/Params"
    expected = convert.convert(folder, "googlenet", tmp_path / "expected.safetensors", classifier=True).tensors
    made = []
    for layer, kernel, bias in writers.layers(expected):
        kernel = kernel[:, :, ::-1] if layer == "conv1/7x7_s2" else kernel
        made.append(conv(named(layer), kernel, bias.reshape(-1, 1, 1, 1)))
    auxiliary = {str: ("loss1/fc", "loss2/conv"), of_princeton: ("cls1_fc1", "cls2_reduction")}[named]
    made += [conv(layer, KERNEL, KERNEL[0, 0, 0]) for layer in auxiliary]
    path = writers.save_dagnn(tmp_path / "imagenet-googlenet-dag.mat", made)
    found = convert.convert(path, "googlenet", tmp_path / "found.safetensors", classifier=True).tensors
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


# --- MAT-files by hand ---

_HEADER = b"MATLAB 5.0 MAT-file, by hand".ljust(124)
CELL, STRUCT, CHAR, SINGLE = 1, 2, 4, 7
INT8, UINT8, UINT16, INT32, UINT32, FLOAT, MATRIX, COMPRESSED = 1, 2, 4, 5, 6, 7, 14, 15


def element(kind, data, order="<"):
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(array_class, dims, data, *, name="", order="<", length=None):
    flags = element(UINT32, struct.pack(f"{order}II", array_class, 0), order)
    shape = element(INT32, struct.pack(f"{order}{len(dims)}i", *dims), order)
    content = flags + shape + element(INT8, name.encode(), order) + data
    return struct.pack(f"{order}II", MATRIX, len(content) if length is None else length) + content


def numbers(array, order="<", dims=None):
    data = element(FLOAT, array.astype(f"{order}f4").tobytes("F"), order)
    return matrix(SINGLE, dims or array.shape, data, order=order)


def text(value, order="<"):
    data = element(UINT16, value.encode("utf-16-le" if order == "<" else "utf-16-be"), order)
    return matrix(CHAR, (1, len(value)), data, order=order)


def fields(order="<", **values):
    names = b"".join(name.encode().ljust(32, b"\0") for name in values)
    lengths = element(INT32, struct.pack(f"{order}i", 32), order)
    return matrix(STRUCT, (1, 1), lengths + element(INT8, names, order) + b"".join(values.values()), order=order)


def layer(order="<", dims=None):
    kernel, bias = (
        numbers(np.arange(n, dtype=np.float32).reshape(s), order, dims) for n, s in ((24, (2, 3, 4)), (2, (2, 1)))
    )
    weights = matrix(CELL, (1, 2), kernel + bias, order=order)
    return fields(order, weights=weights, type=text("conv", order), name=text("a", order))


def hand_made(path, *variables, order="<"):
    path.write_bytes(
        _HEADER + struct.pack(f"{order}H", 0x0100) + (b"IM" if order == "<" else b"MI") + b"".join(variables)
    )
    return path


def packed(variable):
    data = zlib.compress(variable)
    return struct.pack("<II", COMPRESSED, len(data)) + data


def layers_of(data, dims=(1, 1), order="<", **options):
    return matrix(CELL, dims, data, name="layers", order=order, **options)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(tmp_path, order):
    path = hand_made(tmp_path / "a.mat", layers_of(layer(order), order=order), order=order)
    assert matconvnet.recognises(path)
    kernel = np.arange(24, dtype="<f4").reshape(2, 3, 4, 1)
    assert_same(values(path), {"a/kernel": kernel, "a/bias": np.arange(2, dtype="<f4")})


def test_numbers_that_matlab_stores_as_bytes(tmp_path):
    bytes_of_singles = matrix(SINGLE, (2, 2), element(UINT8, bytes([1, 2, 3, 4])))
    weights = matrix(CELL, (1, 1), bytes_of_singles)
    path = hand_made(tmp_path / "a.mat", layers_of(fields(weights=weights, type=text("conv"), name=text("a"))))
    assert_same(values(path), {"a/kernel": np.array([1, 3, 2, 4], np.float32).reshape(2, 2, 1, 1)})


# --- files that must not be used ---


def bomb(start, repeated, megabytes):
    """A compressed variable that goes on and on."""
    packer = zlib.compressobj()
    data = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(repeated * ((1 << 20) // len(repeated))) + packer.flush(zlib.Z_FULL_FLUSH)
    data += block * megabytes
    return struct.pack("<II", COMPRESSED, len(data)) + data


EMPTY_MATRIX = struct.pack("<II", MATRIX, 0)


def zeros(dims, megabytes):
    data = struct.pack("<II", FLOAT, megabytes << 20)
    return layers_of(matrix(SINGLE, dims, data, length=1 << 31), length=1 << 31)


def nested(depth):
    return layers_of(matrix(CELL, (1, 1), b"", length=1 << 30) * depth, length=1 << 30)


KERNEL = np.zeros((3, 3, 3, 2), np.float32)
NO_CELL = "layers: expected a cell array or a struct of layers, found"
NO_STRUCTS = "params: expected an array of structs, found"
NO_NUMBERS = r"layers\{1\}: expected arrays of numbers as weights, found"
DAMAGED = "expected an intact MAT-file, found: "

SAVED = {
    "no layers": ({"a": 1, "b": 2}, "expected layers, found a, b; only networks of MatConvNet"),
    "no layers in net": ({"net": {"a": 1}}, "net: expected layers, found a; only networks of MatConvNet"),
    "no layers of a graph": ({"net": {"params": {"name": "f"}, "vars": 1}}, "net: expected layers, found params, vars"),
    "numeric net": ({"net": 1}, "net: expected a struct, found numbers .* of size 1x1"),
    "numeric layers": ({"layers": np.ones((1, 3))}, rf"{NO_CELL} numbers \(float64\)"),
    "sparse layers": ({"layers": csc_array(np.eye(3))}, f"{NO_CELL} a sparse matrix"),
    "no params": ({"layers": new("a", KERNEL)}, f"{NO_STRUCTS} none"),
    "numeric params": ({"layers": new("a", KERNEL), "params": np.ones((1, 3))}, rf"{NO_STRUCTS} numbers \(float64\)"),
    "params without names": ({"layers": {"name": "a"}, "params": {"value": KERNEL}}, r"params\(1\): expected a text"),
    "layers without params": (
        {"layers": {"name": "a"}, "params": {"name": "f", "value": KERNEL}},
        r"layers\(1\): expected a cell array as params, found none",
    ),
    "numeric params of a layer": (
        {"layers": {"name": "a", "params": cell(1.0)}, "params": {"name": "f", "value": KERNEL}},
        r"layers\(1\): expected a text as params, found numbers",
    ),
    "no value": (
        {"layers": {"name": "a", "type": "dagnn.Conv", "params": cell("f")}, "params": {"name": "f"}},
        r"layers\(1\): expected arrays of numbers as weights, found none",
    ),
    "no type in a graph": (
        {"layers": {"name": "a", "params": cell("f")}, "params": {"name": "f", "value": KERNEL}},
        r"layers\(1\): expected a text as type, found none",
    ),
    "numeric layer": ({"layers": cell({"type": "relu"}, 1.0)}, r"layers\{2\}: expected a struct, found numbers"),
    "numeric name": ({"layers": cell(new(5.0, KERNEL))}, r"layers\{1\}: expected a text as name, found numbers"),
    "names": ({"layers": cell(new(["a", "b"], KERNEL))}, r"layers\{1\}: expected a text as name, found text of size 2"),
    "no name": ({"layers": cell({"type": "conv", "weights": cell(KERNEL)})}, "expected a text as name, found none"),
    "no type": ({"layers": cell({"name": "a", "weights": cell(KERNEL)})}, "expected a text as type, found none"),
    "twice": ({"layers": cell(new("a", KERNEL), new("a", KERNEL))}, "expected a/kernel once, found it twice"),
    "control characters": ({"layers": cell(*[new("a\n\x1b[1m", KERNEL)] * 2)}, r"expected a\\n\\x1b\[1m/kernel once"),
    "numeric weights": ({"layers": cell({"weights": KERNEL})}, "expected a cell array as weights, found numbers"),
    "cell": ({"layers": cell(new("a", cell(KERNEL)))}, f"{NO_NUMBERS} a cell array"),
    "text": ({"layers": cell(new("a", "text"))}, f"{NO_NUMBERS} text"),
    "struct": ({"layers": cell(new("a", {"b": 1}))}, f"{NO_NUMBERS} a struct"),
    "sparse": ({"layers": cell(new("a", csc_array(np.eye(3))))}, f"{NO_NUMBERS} a sparse matrix"),
    "complex": ({"layers": cell(new("a", KERNEL + 1j))}, "expected real numbers as weights, found complex numbers"),
}
BY_HAND = {
    "two variables": ((layers_of(layer()),) * 2, "layers: expected this variable once, found it twice"),
    "nothing": ((), "expected layers, found nothing"),
    "garbage": ((bytes(range(256)),), DAMAGED),
    "not compressed": ((struct.pack("<II", COMPRESSED, 64) + bytes(64),), f"{DAMAGED}Error -3"),
    "huge kernel": ((layers_of(layer(dims=((1 << 31) - 1,) * 2)),), f"{DAMAGED}cannot reshape"),
    "huge element": ((packed(zeros((1024, 1024, 1024), 4095)),), f"{DAMAGED}MemoryError"),
    "huge cell": ((layers_of(b"", ((1 << 31) - 1, 1)),), f"{DAMAGED}Unable to allocate"),
    "huge cells": ((layers_of(b"", (1 << 30, 1 << 30)),), DAMAGED),
    "huge structs": ((matrix(STRUCT, (1 << 30, 1 << 30), b"", name="layers"),), DAMAGED),
    "negative kernel": ((layers_of(layer(dims=(-2, -3, 4))),), DAMAGED),
    "negative cell": ((layers_of(b"", (-1, 1)),), DAMAGED),
    "nested": ((nested(300_000),), "crash or run out of time or memory"),
    "nested, compressed": ((packed(nested(300_000)),), "crash or run out of time or memory"),
    "bomb of zeros": ((bomb(zeros((1500, 512, 512), 1500), b"\0", 1500),), f"{DAMAGED}(Unable to allocate|.* run out)"),
    "bomb of cells": ((bomb(layers_of(b"", (1, 100_000_000)), EMPTY_MATRIX, 800),), f"{DAMAGED}(.*Memory|.* run out)"),
}


GRAPHS = {
    "weights of another name": ([conv("a", KERNEL, None)], r"layers\(1\): a_bias: expected it among params"),
    "names twice": ([conv("a", KERNEL, KERNEL)] * 2, r"params\(3\): a_filter: expected this name once, found it twice"),
    "control characters": ([conv("a\n\x1b", None, None)], r"layers\(1\): a\\n\\x1b_filter: expected it among params"),
    "long names": ([conv("a" * 5000, None, None)], "layers.1.: a{100}: expected it among params"),
    "layers twice": (
        [("a", "dagnn.Conv", {"w": KERNEL}, {}), ("a", "dagnn.Conv", {"v": KERNEL}, {})],
        "expected a/kernel once, found it twice",
    ),
    "a text as weights": ([conv("a", "text", KERNEL)], r"layers\(1\): expected arrays of numbers .*, found text"),
    "one array of three": ([("a", "dagnn.BatchNorm", {"m": KERNEL}, {"epsilon": 1.0})], "expected multipliers, biases"),
}


@pytest.mark.parametrize(("made", "message"), GRAPHS.values(), ids=GRAPHS)
def test_unusable_graphs(tmp_path, made, message):
    assert_refused(writers.save_dagnn(tmp_path / "a.mat", made), message)


def test_few_weights_of_many_layers(tmp_path, monkeypatch):
    # Each layer that names the weights has them: a small file stands for a large network.
    made = [("a", "dagnn.Conv", {"w": np.zeros((100, 100))}, {})]
    made += [(f"b{number}", "dagnn.Conv", {"w": None}, {}) for number in range(9)]
    path = writers.save_dagnn(tmp_path / "a.mat", made)
    monkeypatch.setattr(regions, "LARGEST", 800_000)
    assert len(values(path)) == 10
    monkeypatch.setattr(regions, "LARGEST", 799_999)
    assert_refused(path, "b8/kernel: expected at most 799999 bytes in all tensors together, found more")


def refusal(path):
    """Reads a file; returns why it was refused, None if it was not."""
    try:
        tensors = matconvnet.read(path)[0]
        assert all(tensor.load().shape == tensor.shape for tensor in tensors.values())
    except UserError as error:
        return str(error)
    return None


def assert_refused(path, expected):
    message = refusal(path)
    assert message is not None
    assert re.search(expected, message)
    assert message.isprintable()


@pytest.mark.parametrize(("variables", "message"), SAVED.values(), ids=SAVED)
def test_unusable_networks(tmp_path, variables, message):
    assert_refused(save(tmp_path / "a.mat", variables), message)


@pytest.mark.parametrize(("variables", "message"), BY_HAND.values(), ids=BY_HAND)
def test_unusable_files(tmp_path, monkeypatch, variables, message):
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 2)
    path = hand_made(tmp_path / "a.mat", *variables)
    assert_refused(path, message)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("length", [129, 300, 0.5, 0.99])
def test_truncated_files(tmp_path, layers, length, compressed):
    path = save(tmp_path / "a.mat", {"layers": network(layers)}, do_compression=compressed)
    content = path.read_bytes()
    path.write_bytes(content[: length if length > 1 else int(length * len(content))])
    assert_refused(path, "expected an intact MAT-file, found: .*; fetch or make the file again")


def test_files_of_matlab_7_3(tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["layers"] = KERNEL
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    assert matconvnet.recognises(path)
    assert_refused(path, r"expected a MAT-file of version 7, found one of 7\.3; .*'-v7'")


@pytest.mark.parametrize("content", [b"MATLAB 5.0 MAT-file", _HEADER + b"\x00\x03IM", b"\x89HDF\r\n\x1a\n", bytes(200)])
def test_other_files(tmp_path, content):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    assert not matconvnet.recognises(path)
    assert_refused(path, "expected a MAT-file, found a file that starts with")


def test_too_many_bytes(tmp_path, monkeypatch):
    path = save(tmp_path / "a.mat", {"layers": cell(new("a", np.zeros((100, 100)), np.zeros(9)))}, do_compression=True)
    monkeypatch.setattr(regions, "LARGEST", 80_000)
    assert_refused(path, "a/bias: expected at most 80000 bytes in all tensors together, found more")


def test_too_much_text(tmp_path):
    path = save(tmp_path / "a.mat", {"layers": cell(new("a" * (17 << 20), KERNEL))}, do_compression=True)
    assert_refused(path, "found far more layers or text")


def test_full_disk(tmp_path):
    path = save(tmp_path / "a.mat", {"layers": cell(new("a", np.zeros((300, 300))))}, do_compression=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        assert_refused(path, "expected room for its weights in the folder of temporary files, found: File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_folder_for_temporary_files(tmp_path, layers, monkeypatch):
    path = save(tmp_path / "a.mat", {"layers": network(layers)})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert_refused(path, "expected a folder for temporary files, found: .*; set TMPDIR")


def test_what_takes_for_ever_or_crashes_is_given_up(tmp_path, layers, monkeypatch):
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 0)
    assert_refused(save(tmp_path / "a.mat", {"layers": network(layers)}), "crash or run out of time or memory")


@pytest.fixture(scope="module")
def tiny_files(tiny_layers, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.mat"
    sequences = [save(path, {"layers": network(tiny_layers)}, do_compression=how).read_bytes() for how in (False, True)]
    graph = writers.save_dagnn(path, [conv(name, *of.values()) for name, of in tiny_layers.items()])
    return [*sequences, graph.read_bytes()]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_files_are_read_or_refused(tiny_files, mutations, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "CPU_SECONDS", 1)
        path = Path(folder, "damaged.mat")
        path.write_bytes(data.draw(mutations(data.draw(st.sampled_from(tiny_files)))) or b"\0")
        message = refusal(path)
        assert message is None or message.isprintable()
