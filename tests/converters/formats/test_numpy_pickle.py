"""Pickled NumPy arrays, as NumPy itself writes them with every protocol, and as nobody should."""

import collections
import os
import pickle
import resource
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy
import weight_writers as writers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_writers import Call, Global, Raw, dumps

from converters.convert import convert
from converters.formats import numpy_pickle
from converters.formats.registry import detect
from nst_jax.errors import UserError


def load(path):
    tensors, _ = numpy_pickle.read(path)
    return {name: tensor.load() for name, tensor in tensors.items()}


def refused(path, message):
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert str(caught.value).isprintable()


def by_python_2(array, *, core="core", code=None, order="<", numbers=None, shape=None, fortran=False):
    """An array as Python 2 pickles it: bytes are text, and large ones have lengths of four bytes."""
    data = array.tobytes() if numbers is None else numbers
    dtype = Call(Global("numpy", "dtype"), (code or array.dtype.str[1:], 0, 1), (3, order, None, None, None, -1, -1, 0))
    state = (
        1,
        array.shape if shape is None else shape,
        dtype,
        fortran,
        Raw(b"T" + struct.pack("<I", len(data)) + data),
    )
    return Call(Global(f"numpy.{core}.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), "b"), state)


ARRAYS = {
    "small": np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3),
    "large": np.arange(40_000, dtype=np.float64).reshape(2, 2, 100, 100),
    "reversed": np.asfortranarray(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)),
    "half": np.ones((1, 1, 2, 2), np.float16),
    "big-endian": np.arange(4, dtype=">f4").reshape(1, 1, 2, 2),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol(tmp_path, name, protocol):
    array = ARRAYS[name]
    (tmp_path / "a").write_bytes(pickle.dumps({"a": [array, np.ones(3, "f4")]}, protocol))
    assert detect(tmp_path / "a") == "numpy_pickle"
    np.testing.assert_array_equal(load(tmp_path / "a")["a/kernel"], array)


@pytest.mark.parametrize(("character", "found"), [("é", "found 100000"), ("Ω", "found text")])
def test_long_text_that_is_no_array(tmp_path, character, found):
    data = pickle.dumps({"a": [np.full((1, 1, 200, 1000), ord("a"), np.uint8), np.ones(1000, "f4")]}, 2)
    assert data.count(b"a" * 200_000) == 1
    (tmp_path / "a").write_bytes(data.replace(b"a" * 200_000, (character * 100_000).encode()))
    refused(tmp_path / "a", found)


@pytest.mark.parametrize("core", ["core", "_core"])
@pytest.mark.parametrize("name", ["small", "large"])
def test_python_2(tmp_path, name, core):
    array = ARRAYS[name]
    (tmp_path / "a").write_bytes(dumps({"param values": [by_python_2(array, core=core)] * 2}))
    assert detect(tmp_path / "a") == "numpy_pickle"
    np.testing.assert_array_equal(load(tmp_path / "a")["layer_0/kernel"], array)


def test_saved_by_numpy(tmp_path):
    np.save(tmp_path / "a.npy", {"a": {"weights": ARRAYS["large"], "biases": np.ones(2, "f4")}}, allow_pickle=True)
    assert detect(tmp_path / "a.npy") == "numpy_pickle"
    np.testing.assert_array_equal(load(tmp_path / "a.npy")["a/kernel"], ARRAYS["large"])
    np.save(tmp_path / "b.npy", ARRAYS["large"])
    with pytest.raises(UserError, match="found an array of NumPy, which does not say which weights it has"):
        detect(tmp_path / "b.npy")


@pytest.mark.parametrize("write", [writers.write_npy_dictionary, writers.write_lasagne])
def test_numbers_are_read_where_they_lie(tmp_path, write):
    """A pickle of 200 MB, inspected: its numbers are never in memory."""
    write(tmp_path / "a", {"a/kernel": np.zeros((5000, 1, 1, 10_000), "f4"), "a/bias": np.zeros(10_000, "f4")})
    code = (
        "import pathlib, resource, sys\nfrom converters.formats import numpy_pickle\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "numpy_pickle.read(pathlib.Path(sys.argv[1]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50_000


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


ONE = ARRAYS["small"]
HOSTILE = {
    "a command": (pickle.dumps({"a": Evil()}, 2), "found posix.system; nothing was executed"),
    "a command for an array": (pickle.dumps({"a": [Evil(), Evil()]}, 4), "nothing was executed"),
    "a class": (pickle.dumps({"a": collections.OrderedDict()}, 4), "found collections.OrderedDict; nothing was"),
    "objects": (pickle.dumps({"a": [np.array([Evil(), 1]), 1]}, 4), "nothing was executed"),
    "no dictionary": (pickle.dumps(7, 4), "expected arrays by the name of their layer"),
    "nothing": (pickle.dumps({}, 4), "expected arrays by the name of their layer"),
    "texts": (pickle.dumps({"a": ["b", "c"]}, 4), "a: expected kernel and bias of a layer"),
    "three": (pickle.dumps({"a": [ONE] * 3}, 4), "a: expected kernel and bias of a layer"),
    "an odd number": (pickle.dumps([ONE] * 3, 4), "expected kernel and bias of each layer in turn"),
    "numbers of objects": (pickle.dumps([np.array([None, None])] * 2, 4), "expected an array of numbers"),
    "structured": (pickle.dumps([np.zeros(2, "f4,f4")] * 2, 4), "expected an array of numbers"),
    "twice": (pickle.dumps({"a": {"weights": ONE, "W": ONE}}, 4), "expected a/kernel once"),
    "too few numbers": (dumps([by_python_2(ONE, numbers=b"abcd")] * 2), "expected 24 bytes, found 4"),
    "too many axes": (dumps([by_python_2(ONE, shape=(1,) * 9)] * 2), "expected the shape of an array"),
    "negative": (dumps([by_python_2(ONE, shape=(-1,))] * 2), "expected the shape of an array"),
    "giant": (dumps([by_python_2(ONE, shape=(2**40, 2**40))] * 2), "expected .* bytes, found 24"),
    "no such type": (dumps([by_python_2(ONE, code="O8")] * 2), "expected an array of numbers"),
    "no such order": (dumps([by_python_2(ONE, order="?")] * 2), "expected an order of bytes"),
    "another encoding": (dumps([Call(Global("_codecs", "encode"), ("a", "zip"))]), "damaged"),
    "cut short": (pickle.dumps([ARRAYS["large"]] * 2, 4)[:-9000], "damaged"),
    "more after it": (pickle.dumps([ONE] * 2, 4) + b"x", "expected a pickle of"),
    "long lines": (b"\x80\x02c" + b"a" * 20_000_000, "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_unusable_pickles(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    data, message = HOSTILE[name]
    (tmp_path / "a.pkl").write_bytes(data)
    refused(tmp_path / "a.pkl", message)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


def test_text_for_numbers(tmp_path):
    array = by_python_2(ONE)
    *rest, _ = array.state
    (tmp_path / "a").write_bytes(dumps([array._replace(state=(*rest, "ä☃" * 12))] * 2))
    refused(tmp_path / "a", "expected bytes, found text")


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\nq\x01"
SLOW = {
    "one state many times": RECONSTRUCT + b"NNN\x87R(" + b"K\x01" * 100_000 + b"tq\x02b" + b"h\x02b" * 200_000,
    "one text many times": b"c_codecs\nencode\nq\x01"
    + b"X\0\0\x01\0"
    + b"a" * 65_536
    + b"X\6\0\0\0latin1\x86q\x02R"
    + b"h\x01h\x02R" * 200_000,
    "many far bytes": b"]q\x01(" + (b"T\0\0\x01\0" + bytes(65_536)) * 300 + b"e",
    "deep": b"]" * 400_000 + b"a" * 399_999,
}


@pytest.mark.parametrize("name", SLOW)
def test_no_pickle_takes_long(tmp_path, name):
    (tmp_path / "a").write_bytes(b"\x80\x02" + SLOW[name] + b".")
    began, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path / "a", "^.{,1000}$")
    assert time.process_time() - began < 20
    # Above the peak of the tests before it in this process; in KiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 1_000_000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_read_or_refused(mutations, refusal, tmp_path, tiny_layers, data):
    whole = {layer: [values["kernel"], values["bias"]] for layer, values in tiny_layers.items()}
    intact = data.draw(st.sampled_from([pickle.dumps(whole, 2), pickle.dumps(whole, 4)]))
    (tmp_path / "a").write_bytes(data.draw(mutations(intact)) or b"\x80")
    output = tmp_path / "out.safetensors"
    output.unlink(missing_ok=True)
    found = refusal(tmp_path / "a", output)
    assert (found is None) == output.exists()
    assert found is None or found.isprintable()


def test_the_numbers_arrive(tmp_path, tiny, tiny_arrays):
    output = tmp_path / "out.safetensors"
    convert(writers.write_lasagne(tmp_path / "a.pkl", tiny_arrays), "tiny", output)
    found = safetensors.numpy.load_file(output)
    for name, values in tiny_arrays.items():
        np.testing.assert_array_equal(found[name], values)
