import json
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import weight_writers as writers
from hypothesis import given, settings
from hypothesis import strategies as st

from converters import convert, inspect
from converters.formats import safetensors_file
from converters.formats.registry import detect
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import parameter_shapes
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

SQUEEZENET = BACKBONES["squeezenet1_1"]


@pytest.fixture(scope="module")
def arrays(random_for):
    return random_for(parameter_shapes(SQUEEZENET))


def save(path, tensors, **metadata):
    safetensors.numpy.save_file({name: np.ascontiguousarray(v) for name, v in tensors.items()}, path, metadata or None)
    return path


def test_our_own_file_to_the_byte(arrays, tmp_path):
    source, output = tmp_path / "a", tmp_path / "out.safetensors"
    pretrained.write(source, arrays, SQUEEZENET, {"source_file": "a"})
    assert detect(source) == "safetensors"
    convert.convert(source, SQUEEZENET.name, output)
    found = pretrained.read(output, SQUEEZENET).params["params"]
    for name, expected in arrays.items():
        np.testing.assert_array_equal(found[name], expected, strict=True)


def test_our_own_file_belongs_to_its_backbone(arrays, tmp_path):
    pretrained.write(tmp_path / "a", arrays, SQUEEZENET, {})
    message = (
        "expected weights of squeezenet1_1_torchvision, found those of squeezenet1_1; this looks like squeezenet1_1: "
    )
    with pytest.raises(UserError, match=message):
        convert.convert(tmp_path / "a", "squeezenet1_1_torchvision", tmp_path / "out.safetensors")


def test_what_the_file_tells_is_shown(arrays, tmp_path):
    pretrained.write(tmp_path / "a", arrays, SQUEEZENET, {"source_file": "x\ny"})
    lines = inspect.inspect(tmp_path / "a").splitlines()
    assert lines[0] == "safetensors, names of nst_jax"
    assert r"source_file: x\ny" in lines


def test_both_conventions_have_the_names_of_torchvision(arrays, tmp_path):
    path = save(tmp_path / "a", writers.state_dict(arrays, SQUEEZENET.name))
    with pytest.raises(UserError, match=r"expected to know the format of the pixels.*--convention=torchvision"):
        convert.convert(path, SQUEEZENET.name, tmp_path / "out.safetensors")
    for name, convention in {"squeezenet1_1": "caffe", "squeezenet1_1_torchvision": "torchvision"}.items():
        converted = convert.convert(path, name, tmp_path / "out.safetensors", convention=convention)
        np.testing.assert_array_equal(converted.tensors["fire9/expand3x3/kernel"], arrays["fire9/expand3x3/kernel"])
    message = "expected weights for pixels in the convention of caffe, as squeezenet1_1 has them, found torchvision; "
    with pytest.raises(UserError, match=message + "this looks like squeezenet1_1_torchvision: "):
        convert.convert(path, SQUEEZENET.name, tmp_path / "out.safetensors", convention="torchvision")
    with pytest.raises(UserError, match="unknown value of --convention 'torch'; expected one of: torchvision, caffe"):
        convert.convert(path, SQUEEZENET.name, tmp_path / "out.safetensors", convention="torch")


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_precisions(arrays, tmp_path, dtype):
    path = save(tmp_path / "a", {name: values.astype(dtype) for name, values in arrays.items()})
    converted = convert.convert(path, SQUEEZENET.name, tmp_path / "out.safetensors", convention="caffe")
    for name, values in arrays.items():
        np.testing.assert_array_equal(converted.tensors[name], values.astype(dtype).astype(np.float32), strict=True)


def write_raw(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(shape, end, dtype="F32"):
    return {"a/kernel": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


HOSTILE = {
    "no data": (entry([1, 1, 1, 1], 4), b"", "expected safetensors, found"),
    "too much data": (entry([1, 1, 1, 1], 4), b"12345", "expected safetensors, found"),
    "overflow": (entry([2**62, 2**62, 1, 1], 4), b"1234", "expected safetensors, found"),
    "negative": (entry([-1, -1, 1, 1], 4), b"1234", "expected safetensors, found"),
    "many axes": (entry([1] * 100, 4), b"1234", "a/kernel: expected the shape of a tensor"),
    "broken": (b"{", b"", "expected safetensors, found"),
    "nested": (b'{"a":' * 100_000, b"", "expected safetensors, found"),
    "other numbers": (entry([1], 1, "F8_E4M3"), b"1", "a/kernel: expected one of F64, F32, .* found F8_E4M3"),
    "many": (
        {f"a{n}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for n in range(30_000)},
        b"",
        "at most 20000",
    ),
    "same name": (
        {name: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for name in ("a.weight", "a.kernel")},
        b"",
        "expected a/kernel once, found it twice",
    ),
}


@pytest.mark.parametrize(("header", "data", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_unusable_files(tmp_path, header, data, message):
    path = write_raw(tmp_path / "a", header, data)
    assert detect(path) == "safetensors"
    with pytest.raises(UserError, match=message) as raised:
        safetensors_file.read(path)
    assert str(raised.value).isprintable()


def test_a_length_that_no_header_has(tmp_path):
    path = tmp_path / "a"
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    assert not safetensors_file.recognises(path)
    with pytest.raises(UserError, match="expected safetensors with a header of at most 16777216 bytes"):
        safetensors_file.read(path)


def test_bfloat16_is_widened(tmp_path):
    values = np.array([1, -2.5, 1e-30], ml_dtypes.bfloat16)
    tensors, _ = safetensors_file.read(save(tmp_path / "a", {"a.weight": values}))
    np.testing.assert_array_equal(tensors["a/kernel"].load(), values.astype(np.float32), strict=True)


def test_other_types_are_refused(tmp_path):
    path = save(tmp_path / "a", {"a.weight": np.ones(3, ml_dtypes.float8_e4m3fn)})
    with pytest.raises(UserError, match=r"a.weight: expected one of .* found F8_E4M3"):
        safetensors_file.read(path)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_files_are_converted_or_refused(tiny_arrays, mutations, refusal, data):
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder, "damaged"), Path(folder, "out.safetensors")
        metadata = {"nst_jax": json.dumps({"format_version": 1, "backbone": "tiny"})}
        path.write_bytes(data.draw(mutations(safetensors.numpy.save(dict(tiny_arrays), metadata))))
        message = refusal(path, output)
        assert output.exists() == (message is None)
        assert message is None or message.isprintable()
