import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters import convert
from converters.formats import tfjs
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

SCALE, MINIMUM = 0.004713413060880175, -0.6504510024014641  # of block1_conv1 in the real file


def plain(name, array):
    return {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}, array.tobytes()


def quantized(name, array, **how):
    return {"name": name, "shape": list(array.shape), "dtype": "float32", "quantization": how}, array.tobytes()


def entries(arrays):
    return [plain(name, array) for name, array in arrays.items()]


@pytest.fixture
def tiny_model(tiny, tiny_arrays, write_tfjs, tmp_path):
    """Writes the tiny network, spoilt by a function of its description."""
    return lambda **options: write_tfjs(tmp_path, [entries(tiny_arrays)], **options)


@pytest.mark.parametrize("shard_size", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("split", [False, True])
def test_float32_in_groups_and_shards(tiny_arrays, write_tfjs, tmp_path, shard_size, split):
    weights = entries(tiny_arrays)
    groups = [[weight] for weight in weights] if split else [weights]
    write_tfjs(tmp_path, groups, shard_size=shard_size)
    for path in (tmp_path, tmp_path / "model.json"):
        tensors, provenance = tfjs.read(path)
        assert provenance.format == "TensorFlow.js layers model, float32"
        assert tensors.keys() == tiny_arrays.keys()
        for name, array in tiny_arrays.items():
            np.testing.assert_array_equal(tensors[name].load(), array, strict=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_quantized_is_multiplied_and_shifted_in_float32(write_tfjs, tmp_path, dtype):
    codes = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 8)
    write_tfjs(tmp_path, [[quantized("a/kernel", codes, dtype=dtype, scale=SCALE, min=MINIMUM)]])
    found = tfjs.read(tmp_path)[0]["a/kernel"].load()
    expected = codes.astype(np.float32) * np.float32(SCALE) + np.float32(MINIMUM)
    np.testing.assert_array_equal(found, expected, strict=True)
    exact = codes * SCALE + MINIMUM
    np.testing.assert_allclose(found, exact, rtol=0, atol=2 * np.spacing(np.float32(np.abs(exact).max())))


def test_float16_is_widened(write_tfjs, tmp_path):
    halves = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float16)
    write_tfjs(tmp_path, [[quantized("a/kernel", halves, dtype="float16")], [plain("b/kernel", halves)]])
    tensors, provenance = tfjs.read(tmp_path)
    np.testing.assert_array_equal(tensors["a/kernel"].load(), halves.astype(np.float32), strict=True)
    np.testing.assert_array_equal(tensors["b/kernel"].load(), halves, strict=True)
    assert provenance.format == "TensorFlow.js layers model, float16"


def test_real_vgg19(shared):
    real = shared / "weights/vgg19_tfjs"
    tensors, provenance = tfjs.read(real)
    assert provenance.producer == "keras v2.2.4-tf, TensorFlow.js Converter v2.7.0"
    assert len(tensors) == 32
    data = b"".join((real / f"group1-shard{index}of20.bin").read_bytes() for index in range(1, 21))
    manifest = json.loads((real / "model.json").read_text())["weightsManifest"][0]["weights"]
    start = 0
    for weight in manifest:
        size, how = math.prod(weight["shape"]), weight["quantization"]
        codes = np.frombuffer(data[start : start + size], np.uint8).reshape(weight["shape"])
        expected = codes.astype(np.float32) * np.float32(how["scale"]) + np.float32(how["min"])
        np.testing.assert_array_equal(tensors[weight["name"]].load(), expected, strict=True)
        start += size
    assert start == len(data)


# --- models that must not be used ---


def shard_called(name):
    def change(model):
        model["weightsManifest"][0]["paths"][0] = name

    return change


def weight_with(**changes):
    def change(model):
        model["weightsManifest"][0]["weights"][0].update(changes)

    return change


def quantized_by(**how):
    return weight_with(quantization={"dtype": "uint8", "scale": 1.0, "min": 0.0} | how)


def without(key):
    return lambda model: model.pop(key)


HOSTILE = {
    "parent": (shard_called("../secret.bin"), "expected shards in the folder of the model, found '../secret.bin'"),
    "parent below": (shard_called("a/../../secret.bin"), "expected shards in the folder"),
    "absolute": (shard_called("/etc/hostname"), "expected shards in the folder"),
    "url": (shard_called("https://example.org/a.bin"), "expected shards in the folder"),
    "windows": (shard_called("..\\a.bin"), "expected shards in the folder"),
    "drive": (shard_called("C:a.bin"), "expected shards in the folder"),
    "null": (shard_called("a\0b"), "expected shards in the folder"),
    "surrogate": (shard_called("a\ud800b"), "expected shards in the folder"),
    "empty": (shard_called(""), "expected shards in the folder"),
    "number": (shard_called(3), "expected shards in the folder"),
    "long": (shard_called("a" * 5000), "File name too long"),
    "missing": (shard_called("group9.bin"), "expected shard group9.bin in the same folder, found: No such file"),
    "folder": (shard_called("."), "expected shards in the folder"),
    "link": (shard_called("link.bin"), "expected a file as shard link.bin, found a link"),
    "linked folder": (shard_called("linked/a.bin"), "expected a file as shard linked/a.bin, found a link"),
    "same twice": (lambda model: model["weightsManifest"][0]["paths"].append("group1-shard1of1.bin"), "listed twice"),
    "dtype": (weight_with(dtype="float8"), "conv1/kernel: expected one of float32, .* found float8"),
    "string": (weight_with(dtype="string"), "conv1/kernel: expected one of float32, .* found string"),
    "integer": (weight_with(dtype="int32"), "conv1/kernel: expected floating-point numbers, found int32"),
    "negative": (weight_with(shape=[3, 3, 3, -2]), "conv1/kernel: expected the shape of a tensor"),
    "fraction": (weight_with(shape=[3, 3, 3, 2.0]), "conv1/kernel: expected whole numbers as shape"),
    "overflow": (weight_with(shape=[1 << 40, 1 << 40, 1 << 40]), "conv1/kernel: expected the shape of a tensor"),
    "long name": (weight_with(name="x" * 1000 + "\n"), "x+…: expected a name of at most 1000 characters"),
    "twice": (weight_with(name="conv2/kernel"), "expected conv2/kernel once, found it twice"),
    "nan": (quantized_by(scale=math.nan), "conv1/kernel: expected a finite number as scale, found nan"),
    "infinite": (quantized_by(min=-math.inf), "conv1/kernel: expected a finite number as min, found -inf"),
    "too large": (quantized_by(scale=1e300), "conv1/kernel: expected a finite number as scale"),
    "far too large": (quantized_by(scale=10**400), "conv1/kernel: expected a finite number as scale"),
    "text": (quantized_by(scale="1"), "conv1/kernel: expected a finite number as scale, found 1"),
    "unknown": (quantized_by(dtype="uint4"), "conv1/kernel: expected one of uint8, uint16, float16, found uint4"),
    "short shards": (weight_with(shape=[3, 3, 3, 20]), "expected .* bytes of weights in 1 shards .* short shards"),
    "long shards": (weight_with(shape=[3, 3, 3, 1]), "expected .* bytes of weights in 1 shards .* long shards"),
    "no manifest": (without("weightsManifest"), "a list as 'weightsManifest', found NoneType"),
    "manifest of numbers": (lambda model: model.update(weightsManifest=[3]), "a list as 'paths', found NoneType"),
}


@pytest.mark.parametrize(("change", "message"), HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.filterwarnings("error")
def test_unusable_models(tiny_model, tmp_path, change, message):
    (tmp_path / "target.bin").write_bytes(b"secret")
    (tmp_path / "link.bin").symlink_to("target.bin")
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"secret")
    with pytest.raises(UserError, match=message) as raised:
        convert.convert(tiny_model(change=change), "tiny", tmp_path / "out.safetensors")
    assert str(raised.value).isprintable()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("difference", [-1, 1])
def test_shards_of_the_wrong_length(tiny_model, tmp_path, difference):
    tiny_model()
    shard = tmp_path / "group1-shard1of1.bin"
    shard.write_bytes(shard.read_bytes()[:difference] if difference < 0 else shard.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"bytes of weights in 1 shards .*; fetch them again"):
        convert.convert(tmp_path, "tiny", tmp_path / "out.safetensors")


def test_overflow_while_multiplying_is_refused(tiny, tiny_arrays, write_tfjs, tmp_path):
    _, *others = entries(tiny_arrays)
    codes = np.full((3, 3, 3, 2), 255, np.uint8)
    first = quantized("conv1/kernel", codes, dtype="uint8", scale=3e38, min=0)
    write_tfjs(tmp_path, [[first, *others]])
    with pytest.raises(UserError, match="conv1/kernel: expected finite numbers"):
        convert.convert(tmp_path, "tiny", tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    "content", [b"{", b"{}", b"\xff\xfe", b"[]", b"{" + b'"a":{' * 100_000, b'{"a":' + b"9" * 10_000]
)
def test_no_description(tmp_path, content):
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(UserError, match=r"expected (JSON|a TensorFlow.js layers model)") as raised:
        tfjs.read(tmp_path)
    assert str(raised.value).isprintable()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_descriptions_are_converted_or_refused(tiny_arrays, write_tfjs, mutations, refusal, data):
    with tempfile.TemporaryDirectory() as name:
        folder, output = Path(name), Path(name, "out.safetensors")
        description = write_tfjs(folder, [entries(tiny_arrays)]) / "model.json"
        description.write_bytes(data.draw(mutations(description.read_bytes())))
        message = refusal(folder, output)
        assert output.exists() == (message is None)
        assert message is None or message.isprintable()
