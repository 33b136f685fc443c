import pickle
import struct
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import weight_writers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_writers import (
    COMPUTER,
    HEADER,
    KINDS,
    ORDERED,
    WRITERS,
    Call,
    Global,
    Persistent,
    Raw,
    dumps,
    encode,
    old_text,
    plain,
    state_of,
    storages_of,
    tensor,
    write,
    write_legacy,
    write_network,
    write_zip,
)

from converters import regions
from converters.formats import torch_legacy, torch_zip
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

FORMATS = {"zip": torch_zip, "legacy": torch_legacy}
CONTAINERS = pytest.mark.parametrize("container", FORMATS)
ARRAYS = {
    "features.0.weight": np.random.default_rng(0).standard_normal((2, 3, 3, 3)).astype(np.float32),
    "features.0.bias": np.arange(2, dtype=np.float32),
    "features.1.running_mean": np.arange(2, dtype=np.float32),
}
NAMES = ["features.0/kernel", "features.0/bias", "features.1/running_mean"]


def load(container, path):
    assert [name for name, module in FORMATS.items() if module.recognises(path)] == [container]
    tensors, provenance = FORMATS[container].read(path)
    values = {name: tensor.load() for name, tensor in tensors.items()}
    for name, array in values.items():
        assert (array.shape, array.dtype) == (tensors[name].shape, tensors[name].dtype)
    return values, provenance


@CONTAINERS
def test_names_of_the_fast_neural_style_example(container, tmp_path):
    """Of PyTorch's examples; files of before PyTorch 0.4 have statistics that nothing uses."""
    shapes = {
        "conv1.conv2d.weight": (4, 3, 9, 9),
        "conv1.conv2d.bias": (4,),
        "in1.weight": (4,),
        "in1.bias": (4,),
        "in1.running_mean": (4,),
        "res1.conv1.conv2d.weight": (4, 4, 3, 3),
        "res1.in1.weight": (4,),
        "deconv1.conv2d.weight": (2, 4, 3, 3),
        "deconv3.conv2d.weight": (3, 2, 9, 9),
    }
    state = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    values, provenance = load(container, write_network(container, tmp_path / "a", state))
    names = {"/kernel".join(name.rsplit(".weight", 1)): shape for name, shape in shapes.items() if "weight" in name}
    assert {name: array.shape for name, array in values.items() if name.endswith("kernel")} == names
    assert list(values)[1:5] == ["conv1.conv2d/bias", "in1/kernel", "in1/bias", "in1/running_mean"]
    assert provenance.layout.conv == "OIHW"


def assert_same(values, arrays, names=NAMES):
    assert list(values) == names
    for name, expected in zip(names, arrays.values(), strict=True):
        np.testing.assert_array_equal(values[name], expected, strict=True)


# --- files that can be used ---


@CONTAINERS
def test_reads_tensors_by_name(container, tmp_path):
    path = write(container, tmp_path / "a.pth", state_of(ARRAYS), storages_of(ARRAYS))
    values, provenance = load(container, path)
    assert_same(values, ARRAYS)
    assert provenance.format == f"PyTorch {container} archive"
    assert (provenance.layout.conv, provenance.layout.dense, provenance.convention) == ("OIHW", "OIHW", None)
    assert provenance.sha256 == regions.sha256([path])
    assert (provenance.named, provenance.ordered, provenance.layout.rotated) == (True, False, False)


@CONTAINERS
def test_ways_to_say_the_same(container, tmp_path):
    def parameters(state):
        rebuild = Global("torch._utils", "_rebuild_parameter")
        return {name: Call(rebuild, (value, True, Call(ORDERED, ()))) for name, value in state.items()}

    def first_version(state):
        rebuild = Global("torch._utils", "_rebuild_tensor")
        return {name: Call(rebuild, value.arguments[:4]) for name, value in state.items()}

    state = state_of(ARRAYS)
    pairs = [list(pair) for pair in state.items()]
    gpu = state_of(ARRAYS, location="cuda:0")
    parallel = {f"module.{name}": value for name, value in state.items()}
    ordered = encode(ORDERED) + b")R" + encode(state)[1:]
    states = {
        "ordered": Raw(ordered),
        "with versions": Raw(ordered + encode({"_metadata": {"": {"version": 1}}}) + b"b"),
        "Python 2": dumps(Call(ORDERED, (pairs,), {"_metadata": Call(ORDERED, ([],))}), text=old_text),
        "GPU": gpu,
        "parallel": parallel,
        "checkpoint": {"epoch": 3, "state_dict": parallel, "optimizer": {"state": {1: [True, None]}}},
        "parameters": parameters(state),
        "first version": first_version(state),
        "for zip": state_of(ARRAYS, part="zip"),
    }
    for what, variant in states.items():
        path = write(container, tmp_path / f"{what}.pth", variant, storages_of(ARRAYS))
        assert_same(load(container, path)[0], ARRAYS)


@CONTAINERS
@pytest.mark.parametrize("dtype", KINDS)
def test_types_of_numbers(container, tmp_path, dtype):
    array = np.array([[0, 1, 100], [1, 0, 2]]).astype(dtype)
    state, storages = {"a.b": plain(array, "x")}, {"x": array.tobytes()}
    options = {"sizes": {"x": array.itemsize}} if container == "legacy" else {}
    path = WRITERS[container](tmp_path / "a.pth", state, storages, **options)
    assert_same(load(container, path)[0], {"a": array}, ["a/b"])


@CONTAINERS
def test_bfloat16_becomes_float32_exactly(container, tmp_path):
    halves = np.arange(1 << 16, dtype="<u2")
    state = {"a.b": tensor("0", 1 << 16, (256, 256), (256, 1), kind="BFloat16Storage")}
    options = {"sizes": {"0": 2}} if container == "legacy" else {}
    path = WRITERS[container](tmp_path / "a.pth", state, {"0": halves.tobytes()}, **options)
    found = load(container, path)[0]["a/b"]
    assert (found.shape, found.dtype) == ((256, 256), np.float32)
    np.testing.assert_array_equal(found.view(np.uint32).ravel(), halves.astype(np.uint32) << 16)


@CONTAINERS
def test_parts_of_storages(container, tmp_path):
    base = np.arange(120, dtype=np.float32)
    expected = {
        "transposed": base.reshape(10, 12).T,
        "strided": base.reshape(10, 12)[1:9:2, ::3],
        "channels last": base.reshape(2, 4, 5, 3).transpose(0, 3, 1, 2),
        "scalar": base[7].reshape(()),
        "empty": base[:0].reshape(0, 3),
        "any stride": base[:2].reshape(1, 2),
        "overlapping": np.lib.stride_tricks.sliding_window_view(base[:10], 3),
    }
    state = {
        name: tensor("0", 120, *view)
        for name, view in {
            "transposed": ((12, 10), (1, 12)),
            "channels last": ((2, 3, 4, 5), (60, 1, 15, 3)),
            "empty": ((0, 3), (3, 1)),
            "any stride": ((1, 2), (2_000_000_000, 1)),
            "overlapping": ((8, 3), (1, 1)),
        }.items()
    }
    state["strided"] = tensor("0", 120, (4, 4), (24, 3), start=12)
    state["scalar"] = tensor("0", 120, (), (), start=7)
    values = load(container, write(container, tmp_path / "a.pth", state, {"0": base.tobytes()}))[0]
    assert values.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(values[name], array, strict=True)
        assert values[name].flags.c_contiguous


def test_views_of_storages_in_old_files(tmp_path):
    base = np.arange(10, dtype=np.float32)
    state = {"a.b": tensor("0", 10, (2, 2), (2, 1), start=1, view=("1", 3, 5))}
    values = load("legacy", write_legacy(tmp_path / "a.pth", state, {"0": base.tobytes()}))[0]
    np.testing.assert_array_equal(values["a/b"], base[4:8].reshape(2, 2), strict=True)


def test_tensors_are_read_only_when_somebody_wants_them(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.pth", state_of(ARRAYS), storages_of(ARRAYS))
    data = path.read_bytes()
    path.write_bytes(data.replace(ARRAYS["features.0.weight"].tobytes(), bytes(ARRAYS["features.0.weight"].nbytes)))
    tensors, _ = torch_zip.read(path)
    np.testing.assert_array_equal(tensors["features.0/bias"].load(), ARRAYS["features.0.bias"], strict=True)
    with pytest.raises(UserError, match="archive/data/0 with CRC-32"):
        tensors["features.0/kernel"].load()


def test_archives_without_byte_order_and_with_another_root(tmp_path):
    path = write_zip(tmp_path / "a.pth", state_of(ARRAYS), storages_of(ARRAYS), members={"byteorder": None})
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "b.pth", "w") as other:
        for name in archive.namelist():
            other.writestr(name.replace("archive", "vgg 19"), archive.read(name))
    assert_same(load("zip", tmp_path / "b.pth")[0], ARRAYS)


def test_a_real_file_of_2018(shared):
    values, provenance = load("legacy", shared / "weights/real/torchlegacy_lpips_v0.1_vgg.pth")
    assert {name: array.shape for name, array in values.items()} == {
        f"lin{index}.model.1/kernel": (1, channels, 1, 1) for index, channels in enumerate((64, 128, 256, 512, 512))
    }
    assert provenance.sha256.startswith("a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868")
    assert values["lin0.model.1/kernel"].dtype == np.float32


@CONTAINERS
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_torch_itself_saves(container, tmp_path, protocol):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 5, 1))
    state = network.state_dict() | {"a.half": torch.randn(4, 5).bfloat16(), "a.part": torch.randn(9, 8).T[2:5, ::2]}
    options = {"_use_new_zipfile_serialization": container == "zip", "pickle_protocol": protocol}
    torch.save(state, tmp_path / "a.pth", **options)
    arrays = {name: (t.float() if t.dtype == torch.bfloat16 else t).numpy() for name, t in state.items()}
    names = [name.replace("weight", "kernel").replace(".", "/") for name in state]
    assert_same(load(container, tmp_path / "a.pth")[0], arrays, names)
    torch.save(network, tmp_path / "module.pth", **options)
    with pytest.raises(UserError, match=r"found torch\.nn\.modules\.container\.Sequential; nothing was executed; save"):
        FORMATS[container].read(tmp_path / "module.pth")


# --- files that must not be used ---


def refused(container, path, message):
    with pytest.raises(UserError, match=message) as raised:
        load(container, path)
    assert str(raised.value).isprintable()


def view_of_ten(*view, **options):
    return {"a.b": tensor("0", 10, *view, **options)}


def with_storage(*description):
    return {"a.b": Call(Global("torch._utils", "_rebuild_tensor_v2"), (Persistent(description), 0, (), (), False, {}))}


FLOATS = Global("torch", "FloatStorage")
TOO_LONG = 3_000_000_000

HOSTILE = {
    "call of a shell": (Call(Global("posix", "system"), ("touch harmed",)), "found posix.system; nothing was executed"),
    "eval": ({"a.b": Call(Global("builtins", "eval"), ("1",))}, "found builtins.eval; nothing was executed; save"),
    "eval of Python 2": (Call(Global("__builtin__", "eval"), ("1",)), "found __builtin__.eval; nothing"),
    "getattr": (Call(Global("builtins", "getattr"), ({}, "a")), "found builtins.getattr; nothing"),
    "numpy": (Global("numpy.core.multiarray", "_reconstruct"), "found numpy.core.multiarray._reconstruct; nothing"),
    "module": (Call(Global("torch.nn.modules.conv", "Conv2d"), ()), "found torch.nn.modules.conv.Conv2d; nothing was"),
    "torch.load": (Global("torch", "load"), "found torch.load; nothing was executed"),
    "other tensors": (Global("torch._utils", "_rebuild_qtensor"), "found torch._utils._rebuild_qtensor; nothing"),
    "other storages": (Global("torch", "ComplexFloatStorage"), "found torch.ComplexFloatStorage; nothing"),
    "a list": (
        [view_of_ten((), ())],
        "by name .a state dict., found something of type list; save the weights alone",
    ),
    "a tensor": (tensor("0", 10, (10,), (1,)), "found a tensor; save"),
    "a storage in a list": (
        {"a": [Persistent(("storage", FLOATS, "0", "cpu", 10))]},
        "a: .* found something of type list",
    ),
    "numbers": (
        {"epoch": 3} | view_of_ten((), ()),
        "epoch: .* found something of type int; save",
    ),
    "numbered tensors": ({1: tensor("0", 10, (10,), (1,))}, "1: expected a tensor with a name"),
    "no text to print": ({"a\nb\x1b": 3} | view_of_ten((), ()), r"a\\nb\\x1b: expected a tensor with a name"),
    "two of a name": (view_of_ten((1,), (1,)) | {"a/b": tensor("0", 10, (1,), (1,))}, "expected a/b once, found it"),
    "outside by shape": (view_of_ten((11,), (1,)), "a.b: expected a tensor inside its storage of 10 numbers, found"),
    "outside by stride": (view_of_ten((2, 2), (9, 1)), r"found shape \[2, 2\], strides \[9, 1\] from 0 on"),
    "outside by start": (view_of_ten((2,), (1,), start=9), "from 9 on"),
    "outside as scalar": (view_of_ten((), (), start=10), "from 10 on"),
    "expanded": (view_of_ten((1 << 20, 1 << 10), (0, 0)), "inside its storage"),
    "expanded in eight axes": (view_of_ten((1 << 31,) * 8, (0,) * 8), "inside its storage"),
    "expanded without elements": (view_of_ten((1 << 31, 1 << 31, 1 << 31, 0), (0,) * 4), "inside its storage"),
    "negative shape": (view_of_ten((-1,), (1,)), "a.b: expected a tensor of at most 8 axes, found other data"),
    "negative stride": (view_of_ten((2,), (-1,), start=5), "found other data"),
    "negative start": (view_of_ten((2,), (1,), start=-1), "found other data"),
    "long stride": (view_of_ten((1, 1), (TOO_LONG, 1)), "found other data"),
    "shape of truth values": (view_of_ten((True,), (1,)), "found other data"),
    "shape in a list": (view_of_ten([10], (1,)), "found other data"),
    "shape that is a number": (view_of_ten(10, 1), "found other data"),
    "nine axes": (view_of_ten((1,) * 9, (1,) * 9), "found other data"),
    "strides of other axes": (view_of_ten((2, 2), (1,)), "expected a stride per axis"),
    "tensor of a tensor": (
        {"a.b": Call(Global("torch._utils", "_rebuild_tensor"), (tensor("0", 10, (), ()), 0, (), ()))},
        "found other data",
    ),
    "other number of arguments": (Call(Global("torch._utils", "_rebuild_tensor"), ({},)), "damaged"),
    "negative storage": (with_storage("storage", FLOATS, "0", "cpu", -10), "damaged"),
    "giant storage": (with_storage("storage", FLOATS, "0", "cpu", TOO_LONG), "damaged"),
    "storage of text": (with_storage("storage", FLOATS, "0", "cpu", "10"), "damaged"),
    "storage of nothing": (with_storage("storage", "FloatStorage", "0", "cpu", 10), "damaged"),
    "storage with a number": (with_storage("storage", FLOATS, 0, "cpu", 10), "damaged"),
    "no storage": (with_storage("module", FLOATS, "0", "cpu", 10), "damaged"),
    "too much storage": (with_storage("storage", FLOATS, "0", "cpu", 10, None, None), "damaged"),
    "view outside": (view_of_ten((), (), view=("1", 8, 3)), "expected a part of storage 0, found one outside"),
    "negative view": (view_of_ten((), (), view=("1", -1, 3)), "expected a part of storage 0, found one outside"),
    "outside of the view": (view_of_ten((4,), (1,), view=("1", 2, 3)), "inside its storage of 3 numbers"),
    "two sizes": ([tensor("0", 10, (), ()), tensor("0", 9, (), ())], "expected one size of storage 0, found two"),
    "two types": (
        [tensor("0", 10, (), ()), tensor("0", 10, (), (), kind="IntStorage")],
        "expected one size of storage",
    ),
    "state of a function": (Call(Global("torch._utils", "_rebuild_tensor"), (), {"a": 1}), "damaged"),
    "pairs that are none": (Call(ORDERED, ([[1, 2, 3]],)), "damaged"),
    "pairs with other keys": (Call(ORDERED, ([[(), 2]],)), "damaged"),
    "pairs in a tuple": (Call(ORDERED, ((1, 2),)), "damaged"),
    "cut short": (b"\x80\x02}(X", "damaged"),
    "bytes of 2^60": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".", "damaged"),
}


@CONTAINERS
@pytest.mark.parametrize("name", HOSTILE)
def test_unusable_pickles(container, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state, message = HOSTILE[name]
    refused(container, write(container, tmp_path / "a.pth", state, {"0": bytes(40)}), message)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


MANY = b"(" + b"K\x01" * 100_000
LIST, TUPLE = b"]" + MANY + b"e", MANY + b"t"
PAIRS = b"](" + b"](U\x01aK\x01e" * 100_000 + b"e"
MAKE = encode(ORDERED) + b"q\x01"
VIEW = encode(Global("torch._utils", "_rebuild_tensor")) + b"q\x01"
SLOW = {
    "many dictionaries of one list": MAKE + PAIRS + b"\x85q\x02R" + b"h\x01h\x02R" * 50_000 + b"N",
    "one state many times": MAKE + b")R" + LIST + b"q\x02b" + b"h\x02b" * 200_000 + b"N",
    "many arguments many times": MAKE + TUPLE + b"q\x02R" + b"h\x01h\x02R" * 200_000,
    "axes many times": VIEW + b"(N" + 3 * TUPLE + b"tq\x02R" + b"h\x01h\x02R" * 200_000,
    "one long reference many times": TUPLE + b"q\x02Q" + b"h\x02Q" * 200_000,
    "lists of twice the same": b"]q\x01" + b"](h\x01h\x01eq\x01" * 100_000,
    "names for one tensor": VIEW
    + b"(N"
    + 3 * TUPLE
    + b"tRq\x01}("
    + b"".join(encode(f"{index}.a") + b"h\x01" for index in range(100_000))
    + b"u",
    "deep lists": b"]" * 400_000 + b"a" * 399_999,
    "deep tuples": b")" + b"\x85" * 900_000,
    "deep dictionaries": MAKE + (b")RK\x01h\x01") * 200_000 + b"s" * 200_000,
    "deep tensors": VIEW + b"(h\x01" * 100_000 + b"NNNtR" * 100_000,
    "memory": b"N" + b"r\xff\xff\xff\x7f" * 900_000,
}


@CONTAINERS
@pytest.mark.parametrize("name", SLOW)
def test_no_pickle_takes_long(container, name, tmp_path):
    path = write(container, tmp_path / "a.pth", b"\x80\x02" + SLOW[name] + b".", {})
    start = time.process_time()
    refused(container, path, "^.{,1000}$")
    assert time.process_time() - start < 20


TINY = {"a.b": np.arange(10, dtype=np.float32)}


def tiny_zip(path, **options):
    return write_zip(path, state_of(TINY), storages_of(TINY), **options)


def tiny_legacy(path, **options):
    return write_legacy(path, state_of(TINY), storages_of(TINY), **options)


BIG_ENDIAN = (*HEADER[:2], COMPUTER | {"little_endian": False})
ARCHIVES = {
    "big-endian": (tiny_zip, {"members": {"byteorder": b"big"}}, "expected little-endian numbers, found others"),
    "long byte order": (tiny_zip, {"members": {"byteorder": bytes(1 << 20)}}, "expected little-endian numbers"),
    "storage missing": (tiny_zip, {"members": {"data/0": None}}, "40 bytes as archive/data/0, found no such member"),
    "storage too short": (tiny_zip, {"members": {"data/0": bytes(36)}}, "40 bytes as archive/data/0, found 36 bytes"),
    "storage too long": (tiny_zip, {"members": {"data/0": bytes(44)}}, "40 bytes as archive/data/0, found 44 bytes"),
    "compressed": (tiny_zip, {"compression": zipfile.ZIP_DEFLATED}, "without compression, found archive/data.pkl com"),
    "program": (
        tiny_zip,
        {"members": {"constants.pkl": b""}},
        r"found a program .TorchScript.; load it with",
    ),
    "code": (tiny_zip, {"members": {"code/a.py": b""}}, "found a program"),
    "two pickles": (tiny_zip, {"members": {"a/data.pkl": b""}}, "with one data.pkl, found 2 among 5 members"),
    "long pickle": (
        tiny_zip,
        {"members": {"data.pkl": bytes(9 << 20)}},
        "at most 8388608 bytes, found 9437184",
    ),
    "more behind the pickle": (tiny_zip, {"members": {"data.pkl": b"N.N."}}, "expected a pickle of 4 bytes, found 2"),
    "other pickle": (tiny_legacy, {"header": ({"a": 1},)}, "expected a file of PyTorch, found a pickle of something"),
    "other version": (tiny_legacy, {"header": (HEADER[0], 1002)}, "expected version 1001 of the format"),
    "big-endian computer": (tiny_legacy, {"header": BIG_ENDIAN}, "expected little-endian numbers, found others"),
    "unknown computer": (tiny_legacy, {"header": (*HEADER[:2], [])}, "expected little-endian numbers, found others"),
    "keys missing": (tiny_legacy, {"keys": []}, "expected the 1 storages that the tensors are in, found 0"),
    "keys twice": (tiny_legacy, {"keys": ["0", "0"]}, "expected the 1 storages .* found 2"),
    "other keys": (tiny_legacy, {"keys": ["1"]}, "expected the 1 storages .* found 1, or others"),
    "numbers as keys": (tiny_legacy, {"keys": [0]}, "expected the keys of the storages"),
    "keys in a dictionary": (tiny_legacy, {"keys": {}}, "expected the keys of the storages"),
    "other count": (tiny_legacy, {"sizes": {"0": 8}}, "expected 10 numbers in storage 0, found 5"),
    "more behind the end": (tiny_legacy, {"more": b"1"}, "expected the file to end, found 1 bytes more"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_unusable_archives(name, tmp_path):
    make, options, message = ARCHIVES[name]
    refused("zip" if make is tiny_zip else "legacy", make(tmp_path / "a.pth", **options), message)


@CONTAINERS
def test_more_than_anybody_needs(container, tmp_path, monkeypatch):
    monkeypatch.setattr(regions, "LARGEST", 4000)
    state = {f"a.{index}": tensor("0", 400, (400,), (1,)) for index in range(3)}
    path = write(container, tmp_path / "a.pth", state, {"0": bytes(1600)})
    refused(container, path, "expected at most 4000 bytes in all tensors together, found 4800")


@CONTAINERS
def test_truncated(container, tmp_path):
    path = write(container, tmp_path / "a.pth", state_of(ARRAYS), storages_of(ARRAYS))
    intact = path.read_bytes()
    for length in (*range(10, len(intact) - 1, 37), len(intact) - 1):
        path.write_bytes(intact[:length])
        refused(container, path, "expected .*, found .*; fetch")


def test_pickles_of_something_else(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": np.zeros(3)}))
    refused("legacy", path, r"found numpy\..*reconstruct; nothing was executed")
    path.write_bytes(pickle.dumps("text"))
    refused("legacy", path, "expected a file of PyTorch, found a pickle of something else")


@pytest.mark.parametrize("content", [b"text", b"\x89HDF\r\n\x1a\n", b"\x80", b"\x80\x01", b"PK\x05\x06" + bytes(18)])
def test_other_files_are_not_recognised(tmp_path, content):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    assert not any(module.recognises(path) for module in FORMATS.values())


def test_other_zip_archives_are_not_recognised(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("model.weights.h5", "")
    assert not torch_zip.recognises(tmp_path / "a.keras")
    with pytest.raises(UserError, match=r"expected an archive of PyTorch with one data\.pkl, found 0 among 1 members"):
        torch_zip.read(tmp_path / "a.keras")


@CONTAINERS
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_files_are_converted_or_refused(container, tiny_arrays, mutations, refusal, data):
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder, "a.pth"), Path(folder, "out.safetensors")
        write_network(container, path, weight_writers.state_dict(tiny_arrays, "tiny"))
        path.write_bytes(data.draw(mutations(path.read_bytes())) or b"0")
        message = refusal(path, output, convention="caffe")
        assert output.exists() == (message is None)
        assert message is None or message.isprintable()
