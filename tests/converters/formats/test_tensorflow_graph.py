"""Frozen graphs of TensorFlow: real ones, the ways to store numbers, and graphs that nobody honest wrote."""

import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import weight_writers as writers
from hypothesis import given, settings
from hypothesis import strategies as st
from weight_writers import constant_node, field, tensorflow_node, tensorflow_tensor

from converters.convert import convert
from converters.formats import keras_h5, tensorflow_graph
from converters.formats.registry import detect
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv
from nst_jax.backbones.spec import parameter_shapes
from nst_jax.errors import UserError

NETWORKS = "weights/networks"
CODES = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)


def loaded(path):
    return {name: tensor.load() for name, tensor in tensorflow_graph.read(path)[0].items()}


def refusal_of(path):
    try:
        loaded(path)
    except UserError as error:
        return str(error)
    return None


def quantised(
    low=-0.3, high=0.7, *, codes=CODES, suffix="_quantized_const", reader="Dequantize", mode=b"MIN_FIRST", kind=None
):
    """A kernel of codes, its range, and what reads the three."""
    constant = f"a/weights{suffix}"
    ends = ("a/weights_min", "a/weights_max")
    inputs = (constant, *ends) if reader == "Dequantize" else ("x", constant, "x:1", "x:2", *ends)
    attributes = {"mode": field(2, mode)} if mode else {}
    nodes = [
        constant_node(constant, tensorflow_tensor(codes, kind)),
        constant_node(ends[0], np.float32(low)),
        constant_node(ends[1], np.float32(high)),
        tensorflow_node("a/weights", reader, *inputs, **attributes),
    ]
    return b"".join(nodes)


# --- what comes out ---


@pytest.mark.parametrize(
    ("name", "count", "numbers"),
    [
        ("pastiche26/stylize_quantized.pb", 54, 166_104),
        ("adain/encoder_opt_quantized.pb", 19, 3_505_731),
        ("adain/decoder_opt_quantized.pb", 18, 3_505_219),
    ],
)
def test_real_graphs(shared, name, count, numbers):
    path = shared / NETWORKS / name
    assert detect(path) == "tensorflow_graph"
    tensors, provenance = tensorflow_graph.read(path)
    assert (len(tensors), sum(tensor.size for tensor in tensors.values())) == (count, 4 * numbers)
    assert provenance.numbers == "8-bit quantisation"
    assert "constants that are no weights" in provenance.notes[0]


def test_names_of_a_real_graph(shared):
    tensors, _ = tensorflow_graph.read(shared / NETWORKS / "pastiche26/stylize_quantized.pb")
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes["transformer/contract/conv1/kernel"] == (9, 9, 3, 32)
    assert shapes["transformer/expand/conv3/conv/InstanceNorm/gamma"] == (26, 3)


def test_googles_inception(tmp_path, random_for):
    """The constants of inception5h.zip by their names there, with the classifiers that were for training alone."""
    arrays = random_for(parameter_shapes(BACKBONES["inception_v1"]))
    assert {"conv2d0/kernel", "mixed4c_3x3_bottleneck/kernel", "mixed5b_pool_reduce/bias"} <= arrays.keys()
    others = {
        "head0_bottleneck": (1, 1, 508, 128),
        "nn0": (2048, 1024),
        "softmax0": (1024, 1008),
        "head1_bottleneck": (1, 1, 528, 128),
        "nn1": (2048, 1024),
        "softmax1": (1024, 1008),
        "softmax2": (1024, 1008),
    }
    nodes = [tensorflow_node("input", "Placeholder")]
    for name, values in arrays.items():
        layer, _, role = name.rpartition("/")
        nodes.append(constant_node(f"{layer}_{role[0].replace('k', 'w')}", values))
    for name, shape in others.items():
        nodes.append(constant_node(f"{name}_w", np.zeros(shape, np.float32)))
        nodes.append(constant_node(f"{name}_b", np.zeros(shape[-1:], np.float32)))
    nodes.append(constant_node("avgpool0/reshape/shape", np.int32([-1, 1024])))
    (tmp_path / "a.pb").write_bytes(b"".join(nodes))
    converted = convert(tmp_path / "a.pb", "inception_v1", tmp_path / "out.safetensors")
    assert converted.matched.foreign == tuple(others)
    for name, values in arrays.items():
        np.testing.assert_array_equal(converted.tensors[name], values, strict=True)
    with pytest.raises(UserError, match=r"this looks like inception_v1: convert it with --backbone=inception_v1$"):
        convert(tmp_path / "a.pb", "googlenet", tmp_path / "out.safetensors")


# What TF-slim's own graphs of these networks have, in their order: modules, and branch/layer in a module.
_BRANCHES_V1 = "0/0a_1x1 1/0a_1x1 1/0b_3x3 2/0a_1x1 2/0b_3x3 3/0b_1x1"
_BRANCHES_5 = "0/0a_1x1 1/0a_1x1 1/0b_5x5 2/0a_1x1 2/0b_3x3 2/0c_3x3 3/0b_1x1"
_BRANCHES_6 = "0/0a_1x1 1/0a_1x1 1/0b_1x7 1/0c_7x1 2/0a_1x1 2/0b_7x1 2/0c_1x7 2/0d_7x1 2/0e_1x7 3/0b_1x1"
SLIM = {
    "inception_v1_slim": {
        "Conv2d_1a_7x7 Conv2d_2b_1x1 Conv2d_2c_3x3": "",
        "Mixed_3b Mixed_3c Mixed_4b Mixed_4c Mixed_4d Mixed_4e Mixed_4f": _BRANCHES_V1,
        "Mixed_5b": _BRANCHES_V1.replace("2/0b_3x3", "2/0a_3x3"),
        "Mixed_5c": _BRANCHES_V1,
    },
    "inception_v3": {
        "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3": "",
        "Mixed_5b": _BRANCHES_5,
        "Mixed_5c": "0/0a_1x1 1/0b_1x1 1/Conv_1_0c_5x5 2/0a_1x1 2/0b_3x3 2/0c_3x3 3/0b_1x1",
        "Mixed_5d": _BRANCHES_5,
        "Mixed_6a": "0/1a_1x1 1/0a_1x1 1/0b_3x3 1/1a_1x1",
        "Mixed_6b Mixed_6c Mixed_6d Mixed_6e": _BRANCHES_6,
        "Mixed_7a": "0/0a_1x1 0/1a_3x3 1/0a_1x1 1/0b_1x7 1/0c_7x1 1/1a_3x3",
        "Mixed_7b": "0/0a_1x1 1/0a_1x1 1/0b_1x3 1/0b_3x1 2/0a_1x1 2/0b_3x3 2/0c_1x3 2/0d_3x1 3/0b_1x1",
        "Mixed_7c": "0/0a_1x1 1/0a_1x1 1/0b_1x3 1/0c_3x1 2/0a_1x1 2/0b_3x3 2/0c_1x3 2/0d_3x1 3/0b_1x1",
    },
}


def slim_names(network):
    """The names of the convolutions, in the order of the program."""
    for modules, branches in SLIM[network].items():
        for module in modules.split():
            for layer in branches.split():
                branch, name = layer.split("/")
                yield f"{module}/Branch_{branch}/{name if name.startswith('Conv') else f'Conv2d_{name}'}"
            if not branches:
                yield module


@pytest.mark.parametrize("ones", [False, True], ids=["2016", "later"])
@pytest.mark.parametrize(("name", "scope"), [("inception_v1_slim", "InceptionV1"), ("inception_v3", "InceptionV3")])
def test_slims_inceptions(name, scope, ones, tmp_path, random_for):
    """Graphs that later programs froze have, for the scales that the normalisations lack, constants that are ones."""
    arrays = random_for(parameter_shapes(BACKBONES[name]))
    arrays |= {key: np.abs(values) for key, values in arrays.items() if key.endswith("variance")}
    nodes = [tensorflow_node("input", "Placeholder")]
    theirs = {"kernel": "weights", "shift": "BatchNorm/beta"}
    theirs |= {role: f"BatchNorm/moving_{role}" for role in ("mean", "variance")}
    rows = [row for row in BACKBONES[name].rows if isinstance(row, Conv)]
    for row, layer in zip(rows, slim_names(name), strict=True):
        nodes += [constant_node(f"{scope}/{layer}/{end}", arrays[f"{row.name}/{role}"]) for role, end in theirs.items()]
        operations = f"{scope}/{scope}/{layer}/BatchNorm"
        if ones:
            nodes.append(constant_node(f"{operations}/Const", np.ones(row.features, np.float32)))
        else:
            nodes.append(constant_node(f"{operations}/batchnorm/add/y", np.float32(1e-3)))
    logits = "Conv2d_0c_1x1" if name == "inception_v1_slim" else "Conv2d_1c_1x1"
    nodes.append(constant_node(f"{scope}/Logits/{logits}/weights", np.zeros((1, 1, 4, 1001), np.float32)))
    nodes.append(constant_node(f"{scope}/Logits/{logits}/biases", np.zeros(1001, np.float32)))
    (tmp_path / "a.pb").write_bytes(b"".join(nodes))
    converted = convert(tmp_path / "a.pb", name, tmp_path / "out.safetensors")
    assert converted.tensors.keys() == arrays.keys()
    for key, values in arrays.items():
        np.testing.assert_array_equal(converted.tensors[key], values, strict=True)


def test_quantised_weights_are_within_half_a_step_of_the_original(shared):
    """The same encoder in single precision: with a zero that is no code, the error would be up to a whole step."""
    found = loaded(shared / NETWORKS / "adain/encoder_opt_quantized.pb")
    expected = keras_h5.read(shared / NETWORKS / "wct_relu31/vgg_31.h5")[0]
    kernels = [name for name in expected if name in found and name.endswith("/kernel")]
    assert len(kernels) == 5
    for name in kernels:
        step = np.diff(np.unique(found[name])).min()
        assert np.abs(found[name] - expected[name].load()).max() < 0.501 * step
    np.testing.assert_array_equal(found["block1_conv1/bias"], expected["block1_conv1/bias"].load())


@pytest.mark.parametrize(
    ("suffix", "reader", "mode"),
    [("_quantized_const", "Dequantize", b"MIN_FIRST"), ("_quint8_const", "QuantizedConv2D", b"")],
)
def test_zero_is_a_code(tmp_path, suffix, reader, mode):
    (tmp_path / "a").write_bytes(quantised(suffix=suffix, reader=reader, mode=mode))
    found = loaded(tmp_path / "a")["a/kernel"]
    scale = np.float32(np.float32(0.7) - np.float32(-0.3)) / 255
    np.testing.assert_allclose(found.ravel(), (np.arange(256) - 77) * scale, rtol=1e-7)  # -0.3 · 255 = -76.5
    assert found.ravel()[77] == 0
    assert (found.dtype, found.shape) == (np.float32, CODES.shape)


@pytest.mark.parametrize("mode", [b"MIN_COMBINED", b""])
def test_the_default_mode_has_no_code_for_zero(tmp_path, mode):
    (tmp_path / "a").write_bytes(quantised(mode=mode))
    np.testing.assert_allclose(loaded(tmp_path / "a")["a/kernel"].ravel(), np.linspace(-0.3, 0.7, 256), atol=1e-7)


def test_weights_that_are_all_the_same(tmp_path):
    (tmp_path / "a").write_bytes(quantised(0.25, 0.25))
    assert (loaded(tmp_path / "a")["a/kernel"] == 0.25).all()


HALVES = np.float16([0.5, -2, 3])
BITS = [int(value) for value in HALVES.view(np.uint16)]


@pytest.mark.parametrize(
    ("kind", "numbers", "expected"),
    [
        (1, field(4, struct.pack("<3f", 1, 2, 3)), [1, 2, 3]),
        (1, field(5, struct.pack("<3f", 1, 2, 3)), [1, 2, 3]),
        (1, b"".join(b"\x2d" + struct.pack("<f", value) for value in (1, 2, 3)), [1, 2, 3]),
        (1, field(5, struct.pack("<2f", 1, 2)), [1, 2, 2]),  # the last one stands for those behind it
        (1, field(5, struct.pack("<f", 7)), [7, 7, 7]),
        (2, field(6, struct.pack("<3d", 1, 2, 3)), [1, 2, 3]),
        (19, field(4, HALVES.tobytes()), HALVES),
        (19, field(13, b"".join(map(writers._varint, BITS))), HALVES),
        (19, field(13, writers._varint(BITS[0])), [0.5, 0.5, 0.5]),
        (14, field(4, struct.pack("<3H", 0x3F80, 0xC000, 0)), [1, -2, 0]),
        (14, field(13, b"\x80\x7f"), [1, 1, 1]),
    ],
)
def test_ways_to_store_numbers(tmp_path, kind, numbers, expected):
    tensor = field(1, kind) + field(2, field(2, field(1, 3))) + numbers
    (tmp_path / "a").write_bytes(constant_node("a/biases", tensor))
    np.testing.assert_array_equal(loaded(tmp_path / "a")["a/bias"], expected)


def test_codes_one_by_one(tmp_path):
    stored = field(1, 12) + field(2, field(2, field(1, 3))) + field(7, b"\x00\xff\x01\x4d")
    whole, codes = quantised(codes=np.zeros(3, "u1")), constant_node("a/weights_quantized_const", np.zeros(3, "u1"))
    (tmp_path / "a").write_bytes(whole.replace(codes, constant_node("a/weights_quantized_const", stored)))
    np.testing.assert_allclose(loaded(tmp_path / "a")["a/kernel"], [-77 / 255, 178 / 255, 0], atol=1e-7)


# --- what is refused ---


def constant(shape, numbers, kind=1):
    dims = b"".join(field(2, field(1, length)) for length in shape)
    return constant_node("a/b", field(1, kind) + field(2, dims) + numbers)


REFUSED = {
    "no range": (quantised(float("nan")), "expected the range of its weights, found nan to 0.7"),
    "infinite range": (quantised(-3e38, 3e38), "expected the range of its weights"),
    "range the other way": (quantised(1, 0), "expected the range of its weights, found 1 to 0"),
    "another mode": (quantised(mode=b"SCALED"), "expected a node that dequantises it"),
    "nothing dequantises it": (constant_node("a", CODES), "expected a node that dequantises it"),
    "signed codes": (quantised(kind=11), "expected weights in single precision or as quint8, found qint8"),
    "a name twice": (constant_node("a", np.zeros(2, "f4")) * 2, "expected a once, found it twice"),
    "no value": (tensorflow_node("a", "Const"), "expected a constant with a value, found none"),
    "too few numbers": (constant([3], field(4, bytes(8))), r"expected 3 numbers for shape \[3\], found 2"),
    "too many numbers": (constant([1], field(5, bytes(8))), r"expected 1 numbers for shape \[1\], found 2"),
    "no numbers": (constant([3], b""), r"expected 3 numbers for shape \[3\], found 0"),
    "a part of a number": (constant([3], field(4, bytes(11))), "expected 3 numbers"),
    "one number for very many": (constant([1 << 21], field(5, bytes(4))), "expected 2097152 numbers"),
    "very many one by one": (constant([1 << 21], field(13, bytes(4)), 19), "expected its 2097152 numbers as raw bytes"),
    "a number without end": (constant([3], field(13, b"\x80" * 20), 19), "found one without an end"),
    "a long number": (constant([1], field(13, b"\x80" * 20 + b"\x01"), 19), "found one without an end"),
    "a negative length": (constant([-1, 2], field(4, bytes(8))), "expected the shape of a tensor"),
    "a giant": (constant([1 << 20] * 3, field(5, bytes(4))), "expected at most 1000000000 bytes in a tensor"),
    "many axes": (constant([1, 2] * 20, field(5, bytes(4))), "expected the shape of a tensor, found 40 lengths"),
    "variables": (tensorflow_node("a", "VariableV2"), "found 1 variables, whose values are in a checkpoint"),
    "no weights": (tensorflow_node("a", "Placeholder"), "expected a frozen graph, .* found none"),
    "codes of a range": (
        quantised().replace(tensorflow_tensor(np.float32(-0.3)), tensorflow_tensor(np.float32([-0.3]).view("i4")[0])),
        "expected floating-point numbers, found type 3",
    ),
    "cut short": (quantised()[:-1], "found a field of .* damaged or cut short"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(tmp_path, case):
    data, message = REFUSED[case]
    (tmp_path / "a").write_bytes(data)
    assert detect(tmp_path / "a") == "tensorflow_graph"
    with pytest.raises(UserError, match=message):
        loaded(tmp_path / "a")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_graphs_are_read_or_refused(mutations, data):
    graph = quantised() + constant([3], field(5, bytes(4))) + constant_node("b/biases", np.float32([1, 2]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(data.draw(mutations(graph)) or b"\x0a")
        message = refusal_of(path)
    assert message is None or message.isprintable()
