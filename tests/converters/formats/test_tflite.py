"""Models of TensorFlow Lite: real ones, whole numbers as real ones, and flatbuffers that nobody honest wrote."""

import struct
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import weight_writers as writers
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.containers import flatbuffer
from converters.formats import tflite
from converters.formats.registry import detect
from nst_jax.errors import UserError

NETWORKS = "weights/networks"
CODES = np.arange(-12, 12, dtype=np.int8).reshape(2, 2, 2, 3)
BIAS = np.int32([100, -200])


def loaded(path):
    return {name: tensor.load() for name, tensor in tflite.read(path)[0].items()}


def refusal_of(path):
    try:
        loaded(path)
    except UserError as error:
        return str(error)
    return None


def scales(*values, zeros=(0,), axis=0):
    return {4: {2: np.float32(values), 3: np.int64(zeros), 6: ("<i", axis)}}


def per_channel(codes=CODES, bias=BIAS, **options):
    rows = [("a/weights", codes, scales(0.5, 0.25, **({"zeros": (0, 0)} | options)))]
    return [*rows, ("a/Conv2D_bias", bias, scales(0.001, 0.002, zeros=(0, 0)))]


# --- what comes out ---


@pytest.mark.parametrize(
    ("name", "count", "numbers", "bits"),
    [
        ("arbitrary_magenta/prediction.tflite", 106, 2_334_916, 8),
        ("arbitrary_magenta/transfer.tflite", 75, 177_777, 8),
        ("masks/deeplabv3_mnv2_pascal_quant.tflite", 110, 2_097_013, 8),
        ("masks/selfie_segmentation.tflite", 110, 106_401, None),
    ],
)
def test_real_models(shared, name, count, numbers, bits):
    path = shared / NETWORKS / name
    assert detect(path) == "tflite"
    tensors, provenance = tflite.read(path)
    assert len(tensors) == count
    assert sum(tensor.load().size for tensor in tensors.values()) == numbers
    assert provenance.numbers == (f"{bits}-bit quantisation" if bits else None)


def test_names_of_a_real_model(shared):
    tensors, provenance = tflite.read(shared / NETWORKS / "arbitrary_magenta/prediction.tflite")
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes["MobilenetV2/Conv/kernel"] == (32, 3, 3, 3)
    assert shapes["mobilenet_conv/Conv/bias"] == (100,)
    assert shapes["MobilenetV2/expanded_conv/depthwise/depthwise_weights"] == (1, 3, 3, 32)
    assert (provenance.producer, provenance.layout.conv) == ("TOCO", "OHWI")


@pytest.mark.parametrize(
    "name",
    ["arbitrary_magenta/prediction.tflite", "arbitrary_magenta/transfer.tflite", "masks/selfie_segmentation.tflite"],
)
def test_the_numbers_are_those_of_its_own_runtime(shared, name):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(shared / NETWORKS / name))
    found = loaded(shared / NETWORKS / name)
    compared = 0
    for row in interpreter.get_tensor_details():
        layer, _, role = row["name"].rpartition("/")
        renamed = f"{layer}/{ {'weights': 'kernel', 'Conv2D_bias': 'bias'}.get(role, role) }"
        if renamed not in found:
            continue
        values, about = interpreter.get_tensor(row["index"]), row["quantization_parameters"]
        if len(about["scales"]):
            along = [1] * values.ndim
            along[about["quantized_dimension"]] = -1
            scale, zero = (about[key].astype(np.float64).reshape(along) for key in ("scales", "zero_points"))
            values = ((values - zero) * scale).astype(np.float32)
        np.testing.assert_array_equal(found[renamed], values, strict=True)
        compared += 1
    assert compared == len(found)


def test_scales_for_each_channel(tmp_path):
    (tmp_path / "a").write_bytes(writers.tflite_model(per_channel()))
    found = loaded(tmp_path / "a")
    np.testing.assert_array_equal(found["a/kernel"], CODES * np.float32([0.5, 0.25]).reshape(2, 1, 1, 1), strict=True)
    np.testing.assert_array_equal(found["a/bias"], np.float32([100 * np.float32(0.001), -200 * np.float32(0.002)]))


@pytest.mark.parametrize(("axis", "zeros"), [(3, (1, -2, 3)), (1, (7, 0)), (0, (0, -128))])
def test_scales_along_any_axis(tmp_path, axis, zeros):
    values = np.arange(1, 1 + CODES.shape[axis]) / 8
    row = ("a", CODES, scales(*values, zeros=zeros, axis=axis))
    (tmp_path / "a").write_bytes(writers.tflite_model([row]))
    along = [1] * 4
    along[axis] = -1
    expected = (CODES - np.float32(zeros).reshape(along)) * np.float32(values).reshape(along)
    np.testing.assert_array_equal(loaded(tmp_path / "a")["a"], expected, strict=True)


@pytest.mark.parametrize(
    ("values", "zero"),
    [
        (np.uint8([0, 128, 255]), 128),
        (np.int16([-32768, 0, 32767]), 0),
        (np.int32([-(2**31), 16_777_217, 2**31 - 1]), 0),
    ],
)
def test_types_of_codes(tmp_path, values, zero):
    (tmp_path / "a").write_bytes(writers.tflite_model([("a", values, scales(0.1, zeros=(zero,)))]))
    expected = ((values.astype(np.float64) - zero) * np.float64(np.float32(0.1))).astype(np.float32)
    np.testing.assert_array_equal(loaded(tmp_path / "a")["a"], expected, strict=True)


def test_what_is_no_weight_is_left_out(tmp_path):
    rows = [("a", np.float16([1, 2]), {}), ("shape", np.int32([1, 2]), {}), ("computed", None, {})]
    rows += [("epsilon", np.ones((1, 1, 1, 1), "f4"), {}), ("single", np.float32(1), {}), ("no scale", CODES, {})]
    (tmp_path / "a").write_bytes(writers.tflite_model(rows))
    tensors, provenance = tflite.read(tmp_path / "a")
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {"a": np.float16}
    assert provenance.notes == ("left out 4 constants that are no weights: single numbers, shapes, axes",)


def test_numbers_behind_the_flatbuffer(tmp_path):
    """Models beyond 2 GB have them there, since offsets in a flatbuffer end there."""
    values = np.float32([1, 2, 3])

    def change(model):
        model[4][1] = {1: ("<Q", start), 2: ("<Q", values.nbytes)}

    start = 2
    start = len(writers.tflite_model([("a", values, {})], change))
    (tmp_path / "a").write_bytes(writers.tflite_model([("a", values, {})], change) + values.tobytes())
    np.testing.assert_array_equal(loaded(tmp_path / "a")["a"], values)


def test_names_that_are_there_in_two_graphs(tmp_path):
    data = writers.tflite_model([("a", np.float32([1, 2]), {})], lambda model: model[2].append(model[2][0]))
    (tmp_path / "a").write_bytes(data)
    assert list(tflite.read(tmp_path / "a")[0]) == ["a", "graph1/a"]


# --- what is refused ---


def sparse():
    return [("a", np.float32([1, 2]), {6: {0: np.int32([0])}})]


def model_of(rows, change=lambda model: None):
    return writers.tflite_model(rows, change)


PLAIN = [("a", np.float32([1, 2]), {})]
REFUSED = {
    "NaN scales": (model_of(per_channel()).replace(struct.pack("<f", 0.25), struct.pack("<f", float("nan"))), "scales"),
    "negative scales": (model_of([("a", CODES, scales(-1))]), "expected scales of 0 or more"),
    "infinite scales": (model_of([("a", CODES, scales(float("inf")))]), "expected scales of 0 or more"),
    "a zero that is no code": (model_of([("a", CODES, scales(1, zeros=(128,)))]), "zero points from -128 to 127"),
    "a giant zero": (model_of([("a", CODES, scales(1, zeros=(-(2**63),)))]), "zero points from -128 to 127"),
    "too many scales": (model_of([("a", CODES, scales(1, 2, 3))]), r"found 3 and 1 along axis 0"),
    "scales along no axis": (model_of([("a", CODES, scales(1, 2, axis=9))]), "found 2 and 1 along axis 9"),
    "scales along a negative axis": (model_of([("a", CODES, scales(1, 2, axis=-4))]), "along axis -4"),
    "too few zeros": (model_of([("a", CODES, scales(1, 2, zeros=(1, 2, 3)))]), "found 2 and 3"),
    "sparse": (model_of(sparse()), "found a sparse one"),
    "four bits": (model_of([("a", CODES, {1: ("<b", 17)} | scales(1))]), "8 bits or more, found int4"),
    "another shape": (model_of([("a", CODES, {0: np.int32([5])} | scales(1))]), r"expected 5 bytes for shape \[5\]"),
    "a negative length": (model_of([("a", CODES, {0: np.int32([-24])} | scales(1))]), "shape of a tensor"),
    "a giant": (model_of([("a", CODES, {0: np.int32([2**30] * 4)} | scales(1))]), "at most 1000000000 bytes"),
    "many axes": (model_of([("a", CODES, {0: np.int32([1] * 33)})]), "a vector of 33 numbers"),
    "no such buffer": (model_of([("a", None, {2: ("<I", 7)})]), "found buffer 7 of 1"),
    "a long name": (model_of([("a" * 1001, CODES, {})]), "found a text of 1001 bytes"),
    "a name twice": (model_of(PLAIN * 2), "expected a once, found it twice"),
    "no tensors": (model_of([]), "with weights, found none"),
    "only identifier": (b"\x08\0\0\0TFL3" + bytes(8), "found "),
    "nothing": (b"\0\0\0\0TFL3", "an offset of 0 at byte 0"),
    "an offset beyond": (struct.pack("<I", 2**32 - 1) + b"TFL3", "beyond the end of the file"),
    "numbers beyond": (
        model_of(PLAIN, lambda model: model[4].append({1: ("<Q", 2**63), 2: ("<Q", 2**63)})),
        "cut short",
    ),
    "a billion tensors": (
        model_of([("a", None, {})] * 77).replace(struct.pack("<I", 77), struct.pack("<I", 10**9)),
        "4000000000 bytes at byte .*, beyond the end of the file",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(tmp_path, case):
    data, message = REFUSED[case]
    (tmp_path / "a").write_bytes(data)
    assert detect(tmp_path / "a") == "tflite"
    with pytest.raises(UserError, match=message):
        loaded(tmp_path / "a")


def graphs_times_tensors(model):
    """Ten thousand graphs are one, whose ten thousand tensors are one."""
    model[2] = [{0: model[2][0][0] * 10_000}] * 10_000


def one_content_of_many_tensors(model):
    model[2] = [{0: [{0: np.int32([1000]), 2: ("<I", 1), 3: f"a{index}".encode()} for index in range(10_000)]}]
    model[4].append({0: np.zeros(4000, np.uint8)})


def one_table_of_buffers(model):
    model[4] *= 1_000_000


MANY = {
    graphs_times_tensors: "found more than 100000 tables",
    one_content_of_many_tensors: "expected at most 16 times as many bytes in tensors as in the file",
    one_table_of_buffers: "found more than 100000 tables",
}


@pytest.mark.parametrize("change", MANY)
def test_what_is_there_many_times(tmp_path, change):
    (tmp_path / "a").write_bytes(writers.tflite_model([("a", None, {})], change))
    began = time.process_time()
    with pytest.raises(UserError, match=MANY[change]):
        loaded(tmp_path / "a")
    assert time.process_time() - began < 5


def test_no_offset_leaves_the_file():
    with pytest.raises(flatbuffer.MalformedError, match="a vtable of 3 bytes"):
        flatbuffer.Buffer(struct.pack("<IHHi", 8, 3, 4, 4)).root()
    with pytest.raises(flatbuffer.MalformedError, match="beyond the end of its table"):
        flatbuffer.Buffer(struct.pack("<IHHHHi", 12, 6, 4, 4, 0, 8)).root().number(0, "<i")
    with pytest.raises(flatbuffer.MalformedError, match="at byte -"):
        flatbuffer.Buffer(struct.pack("<Ii", 4, 2**30)).root()
    table = flatbuffer.Buffer(struct.pack("<IHHHHiI", 12, 6, 8, 4, 0, 8, 2**32 - 1)).root()
    for read in (lambda: table.vector(0, 4), lambda: table.table(0), lambda: list(table.tables(0))):
        with pytest.raises(flatbuffer.MalformedError, match="beyond the end of the file"):
            read()
    assert table.vector(9, 4) is None
    assert table.text(9, 10) == ""


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_models_are_read_or_refused(mutations, data):
    model = writers.tflite_model([*per_channel(), ("b", np.float16([[1, 2]]), {}), ("c", None, {})])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(data.draw(mutations(model)) or b"\x0a")
        message = refusal_of(path)
    assert message is None or message.isprintable()
