"""ONNX graphs: real ones, whole numbers as real ones, and graphs that nobody honest wrote."""

import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import weight_writers as writers
from hypothesis import given, settings
from hypothesis import strategies as st
from weight_writers import field, onnx_model, onnx_node, onnx_tensor

from converters.formats import onnx_graph
from converters.formats.registry import detect
from nst_jax.errors import UserError

NETWORKS = "weights/networks"
CODES = np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 2, 2)
AXIS = field(1, b"axis")


def loaded(path):
    return {name: tensor.load() for name, tensor in onnx_graph.read(path)[0].items()}


def refusal_of(path):
    try:
        loaded(path)
    except UserError as error:
        return str(error)
    return None


def dequantised(scales, zeros, *, codes=CODES, axis=0, output="a/weights_dequant", name="a/weights", more=()):
    """A graph that dequantises a weight, beside an activation."""
    inputs = [name, "scale", *(["zero"] if zeros is not None else [])]
    nodes = [
        onnx_node("QuantizeLinear", ["x", "scale_x", "zero_x"], "q"),
        onnx_node("DequantizeLinear", ["q", "scale_x", "zero_x"], "y"),
        onnx_node("DequantizeLinear", inputs, output, AXIS + field(3, axis)),
        onnx_node("Conv", ["y", output], "z"),
    ]
    tensors = [onnx_tensor("scale_x", np.float32(0.1)), onnx_tensor("zero_x", np.int8(3))]
    tensors += [onnx_tensor(name, codes), onnx_tensor("scale", np.float32(scales))]
    tensors += [onnx_tensor("zero", np.asarray(zeros, codes.dtype))] if zeros is not None else []
    return onnx_model([*nodes, *more], tensors)


# --- what comes out ---


@pytest.mark.parametrize("name", ["candy", "gogh", "rain"])
def test_real_graphs(shared, name):
    path = shared / NETWORKS / f"ff_johnson/small_{name}.onnx"
    assert detect(path) == "onnx"
    tensors, provenance = onnx_graph.read(path)
    assert sorted(map(int, tensors)) == list(range(1, 39))
    assert (tensors["1"].shape, tensors["37"].shape) == ((32, 3, 9, 9), (3, 32, 9, 9))
    assert sum(tensor.load().size for tensor in tensors.values()) == 90_147
    assert provenance.producer.startswith("pytorch 1.")
    assert provenance.layout.conv == "OIHW"


def test_the_numbers_are_those_of_its_own_package(shared):
    onnx = pytest.importorskip("onnx")
    path = shared / NETWORKS / "ff_johnson/small_candy.onnx"
    found = loaded(path)
    for tensor in onnx.load(path).graph.initializer:
        np.testing.assert_array_equal(found[tensor.name], onnx.numpy_helper.to_array(tensor), strict=True)


def test_names_of_pytorch_and_of_tensorflow(tmp_path):
    names = {
        "features.0.weight": "features.0/kernel",
        "features.0.bias": "features.0/bias",
        "in1.running_mean": "in1/running_mean",
        "a/b/weights": "a/b/kernel",
        "a/b/Conv2D_bias": "a/b/bias",
        "a/depthwise_weights": "a/depthwise_weights",
        "12": "12",
    }
    (tmp_path / "a").write_bytes(onnx_model([], [onnx_tensor(name, np.float32([1, 2])) for name in names]))
    assert set(loaded(tmp_path / "a")) == set(names.values())


HALVES = np.float16([0.5, -2, 3])
BITS = [int(value) for value in HALVES.view(np.uint16)]


@pytest.mark.parametrize(
    ("kind", "numbers", "expected"),
    [
        (1, field(9, struct.pack("<3f", 1, 2, 3)), [1, 2, 3]),
        (1, field(4, struct.pack("<3f", 1, 2, 3)), [1, 2, 3]),
        (1, b"".join(b"\x25" + struct.pack("<f", value) for value in (1, 2, 3)), [1, 2, 3]),
        (11, field(10, struct.pack("<3d", 1, 2, 3)), [1, 2, 3]),
        (10, field(9, HALVES.tobytes()), HALVES),
        (10, field(5, b"".join(map(writers._varint, BITS))), HALVES),
        (16, field(9, struct.pack("<3H", 0x3F80, 0xC000, 0)), [1, -2, 0]),
    ],
)
@pytest.mark.parametrize("constant", [False, True])
def test_ways_to_store_numbers(tmp_path, kind, numbers, expected, constant):
    tensor = field(1, 3) + field(2, kind) + field(8, b"a.bias") + numbers
    node = onnx_node("Constant", [], "a.bias", field(1, b"value") + field(5, tensor))
    (tmp_path / "a").write_bytes(onnx_model([node], []) if constant else onnx_model([], [tensor]))
    np.testing.assert_array_equal(loaded(tmp_path / "a")["a/bias"], expected)


@pytest.mark.parametrize(
    ("scales", "zeros", "axis"),
    [
        ((0.5, 0.25), (0, 0), 0),
        ((0.5, 0.25), (1, -2), 0),
        ((1, 2, 3), (1, 2, 3), 1),
        ((1, 2, 3), (1, 2, 3), -3),
        ((1, 2), None, 3),
        (0.5, -128, 0),
        ((0.5,), (7,), 1),
        ((0.5,), 7, 1),
        (0.5, None, 1),
    ],
)
def test_whole_numbers_with_scales(tmp_path, scales, zeros, axis):
    (tmp_path / "a").write_bytes(dequantised(scales, zeros, axis=axis))
    tensors, provenance = onnx_graph.read(tmp_path / "a")
    along = [1] * 4
    along[axis] = -1
    scale, zero = (np.float32(0 if v is None else v) for v in (scales, zeros))
    scale, zero = (v.reshape(along) if v.size > 1 else v.reshape(()) for v in (scale, zero))
    expected = (CODES - zero).astype(np.float32) * scale
    assert list(tensors) == ["a/kernel"]
    np.testing.assert_array_equal(tensors["a/kernel"].load(), expected, strict=True)
    assert provenance.numbers == "8-bit quantisation"
    left_out = 3 if zeros is None else 4
    assert provenance.notes[0].startswith(f"left out {left_out} constants that are no weights")


@pytest.mark.parametrize(
    ("codes", "output", "name"),
    [
        ("a/weights", "b/weights_dequant", "b/kernel"),  # of tf2onnx
        ("conv.weight_quantized", "conv.weight_DequantizeLinear_Output", "conv/kernel"),  # of ONNX Runtime
        ("conv.bias_quantized", "conv.bias", "conv/bias"),
        ("conv.weight", "/conv/DequantizeLinear_output_0", "conv/kernel"),  # of PyTorch
    ],
)
def test_names_of_dequantised_weights(tmp_path, codes, output, name):
    (tmp_path / "a").write_bytes(dequantised(1, 0, output=output, name=codes))
    assert list(loaded(tmp_path / "a")) == [name]


def test_codes_that_are_two_weights(tmp_path):
    """As tf2onnx stores the biases that are zero: once, also as the zero points of all others."""
    more = [onnx_node("DequantizeLinear", ["a/weights", "scale", "zero"], "b/weights_dequant", AXIS + field(3, 0))]
    (tmp_path / "a").write_bytes(dequantised((1, 2), (0, 0), more=more))
    found = loaded(tmp_path / "a")
    assert list(found) == ["a/kernel", "b/kernel"]
    np.testing.assert_array_equal(found["a/kernel"], found["b/kernel"])


def test_biases_of_32_bits_are_rounded_as_the_operator_does(tmp_path):
    codes = np.int32([-(2**31), 16_777_217, 2**31 - 1])
    (tmp_path / "a").write_bytes(dequantised(0.1, None, codes=codes, axis=0))
    expected = codes.astype(np.float32) * np.float32(0.1)
    np.testing.assert_array_equal(loaded(tmp_path / "a")["a/kernel"], expected, strict=True)


def test_codes_in_whole_numbers_of_variable_size(tmp_path):
    codes = field(5, b"".join(writers._varint(int(code) % (1 << 64)) for code in CODES.ravel()))
    tensors = [onnx_tensor("a/weights", CODES, codes), onnx_tensor("scale", np.float32(0.5))]
    node = onnx_node("DequantizeLinear", ["a/weights", "scale"], "a/weights_dequant")
    (tmp_path / "a").write_bytes(onnx_model([node], tensors))
    np.testing.assert_array_equal(loaded(tmp_path / "a")["a/kernel"], CODES * np.float32(0.5))


def test_what_is_no_weight_is_left_out(tmp_path):
    nodes = [onnx_node("Resize", ["x", "roi", "scales"], "y"), onnx_node("Clip", ["y", "low"], "z")]
    rest = {"roi": np.float32([]), "scales": np.float32([1, 1, 2, 2]), "low": np.float32(0), "shape": np.int64([1, 2])}
    rest |= {"none": np.zeros((0, 3), np.float32), "epsilon": np.ones((1, 1, 1, 1), np.float32)}
    tensors = [onnx_tensor(name, values) for name, values in rest.items()]
    (tmp_path / "a").write_bytes(onnx_model(nodes, [*tensors, onnx_tensor("a.weight", np.float32([1, 2]))]))
    tensors, provenance = onnx_graph.read(tmp_path / "a")
    assert list(tensors) == ["a/kernel"]
    assert provenance.notes[0].startswith("left out 6 constants")


def test_no_codes_and_no_scales(tmp_path):
    tensors = [
        onnx_tensor("a.weight", np.float32([1, 2])),
        onnx_tensor("b", CODES[:0]),
        onnx_tensor("c", np.float32([])),
    ]
    node = onnx_node("DequantizeLinear", ["b", "c"], "b_dequant", AXIS + field(3, 0))
    (tmp_path / "a").write_bytes(onnx_model([node], tensors))
    assert list(loaded(tmp_path / "a")) == ["a/kernel"]


def test_without_the_name_of_a_program(tmp_path):
    data = onnx_model([], [onnx_tensor("a.weight", np.float32([1, 2]))])
    for start in (field(1, 8), field(1, 8) + field(2, b"")):
        (tmp_path / "a").write_bytes(start + data[len(field(1, 8) + field(2, b"pytorch") + field(3, b"2.4.1")) :])
        assert detect(tmp_path / "a") == "onnx"
        assert onnx_graph.read(tmp_path / "a")[1].producer is None


# --- what is refused ---


def one(*parts, kind=1, dims=(3,)):
    """A graph of one initialiser, without numbers but for those in `parts`."""
    about = b"".join(field(1, length) for length in dims) + field(2, kind) + field(8, b"a")
    return onnx_model([], [about + b"".join(parts)])


EXTERNAL = field(13, field(1, b"location") + field(2, b"weights.bin")) + field(14, 1)
SPARSE = field(15, field(1, onnx_tensor("a", np.float32([1, 2]))))
PLAIN = onnx_tensor("a", np.float32([1, 2]))
REFUSED = {
    "external data": (one(EXTERNAL), "found them in the file weights.bin; save all in one with onnx.save"),
    "external data somewhere": (one(field(14, 1)), "found them in the file another"),
    "sparse": (field(1, 8) + field(2, b"a") + field(7, SPARSE), "found a sparse one"),
    "NaN scales": (dequantised(float("nan"), 0), "expected scales of 0 or more"),
    "negative scales": (dequantised((1, -1), None), "expected scales of 0 or more"),
    "too many scales": (dequantised((1, 2, 3), (0, 0, 0)), "found .3. and .3."),
    "scales along no axis": (dequantised((1, 2), (0, 0), axis=7), "one each along axis 7"),
    "scales along a far axis": (dequantised((1, 2), (0, 0), axis=-(2**63)), "one each along axis -9223372036854775808"),
    "other zero points": (dequantised((1, 2), (0, 0, 0)), "found .2. and .3."),
    "blocks": (dequantised(np.ones((2, 3, 1, 1)), None), "found .2, 3, 1, 1. and none"),
    "codes that nothing reads": (one(field(9, bytes(3)), kind=3), "expected floating-point numbers, or bytes that"),
    "four bits": (one(field(9, bytes(2)), kind=22), "expected floating-point numbers, or bytes that"),
    "eight bits of real numbers": (one(field(9, bytes(3)), kind=17), "expected floating-point numbers"),
    "a name twice": (onnx_model([], [PLAIN, PLAIN]), "expected a once, found it twice"),
    "a layer twice": (
        onnx_model([], [onnx_tensor("a.weight", np.float32([1, 2])), onnx_tensor("a/weights", np.float32([1, 2]))]),
        "expected a/kernel once, found it twice",
    ),
    "too few numbers": (one(field(9, bytes(8))), r"expected 3 numbers for shape \[3\], found 2"),
    "a part of a number": (one(field(9, bytes(11))), "expected 3 numbers .* found 2.75"),
    "too many numbers": (one(field(4, bytes(16))), "expected 3 numbers .* found 4"),
    "one number for many": (one(field(4, bytes(4))), "expected 3 numbers .* found 1"),
    "a negative length": (one(field(9, bytes(12)), dims=(-3, -1)), "expected the shape of a tensor"),
    "a giant": (one(field(9, bytes(12)), dims=(1 << 20, 1 << 20)), "expected at most 1000000000 bytes in a tensor"),
    "many axes": (one(field(9, bytes(12)), dims=[2] * 40), "expected the shape of a tensor, found 40 lengths"),
    "a number without end": (one(field(5, b"\x80" * 20), kind=10), "found one without an end"),
    "very many one by one": (one(field(5, b"\x01" * 9), kind=10, dims=(1 << 21,)), "as raw bytes"),
    "more than that": (one(field(5, b"\x01" * (1 << 20 | 1)), kind=10), "expected at most 1048576 numbers of variable"),
    "no weights": (onnx_model([], []), "expected weights, found 0 constants without"),
    "no graph": (field(1, 8) + field(2, b"pytorch"), "expected weights, found 0 constants without"),
    "cut short": (one(field(9, bytes(12)))[:-9], "damaged or cut short"),
    "within itself": (field(1, 8) + field(7, field(1, b"\x2b" * 1000)), "damaged or cut short"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(tmp_path, case):
    data, message = REFUSED[case]
    (tmp_path / "a").write_bytes(data)
    assert detect(tmp_path / "a") == "onnx"
    with pytest.raises(UserError, match=message):
        loaded(tmp_path / "a")


def test_zero_points_of_another_type(tmp_path):
    data = dequantised(1, 0, codes=np.uint8([1, 2]))
    (tmp_path / "a").write_bytes(data.replace(onnx_tensor("zero", np.uint8(0)), onnx_tensor("zero", np.int8(0))))
    with pytest.raises(UserError, match="expected zero points of the type of their codes, found 3"):
        loaded(tmp_path / "a")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_graphs_are_read_or_refused(mutations, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(data.draw(mutations(dequantised((0.5, 0.25), (1, 2)))) or b"\x08")
        message = refusal_of(path)
    assert message is None or message.isprintable()
