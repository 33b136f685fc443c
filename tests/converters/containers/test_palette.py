"""Weights as codes into a palette, in a state dict of PyTorch, as published files and hostile ones have them."""

import collections
import io
import pickle

import numpy as np
import pytest
import safetensors
from torch_writers import state_of, storages_of, write_legacy, write_zip

from converters import convert
from converters.formats import torch_legacy, torch_zip
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

RANDOM = np.random.default_rng(0)
TABLE = np.linspace(-1, 1, 256, dtype=np.float32) ** 3
CODES = RANDOM.integers(0, 256, (4, 3, 3, 3)).astype(np.uint8)
ARRAYS = {"block1_conv1_W_q": CODES, "block1_conv1_W_table": TABLE, "block1_conv1_b": np.arange(4, dtype=np.float32)}


def read_arrays(container, path, arrays):
    sizes = {str(index): array.itemsize for index, array in enumerate(arrays.values())}
    if container == "legacy":
        return torch_legacy.read(write_legacy(path, state_of(arrays), storages_of(arrays), sizes=sizes))
    return torch_zip.read(write_zip(path, state_of(arrays), storages_of(arrays)))


def read(tmp_path, **changes):
    arrays = {name: array for name, array in (ARRAYS | changes).items() if array is not None}
    return read_arrays("legacy", tmp_path / "a.bin", arrays)


@pytest.mark.parametrize("container", ["legacy", "zip"])
def test_codes_are_looked_up(container, tmp_path):
    tensors, provenance = read_arrays(container, tmp_path / "a.pth", ARRAYS)
    assert list(tensors) == ["block1_conv1/kernel", "block1_conv1/bias"]
    kernel = tensors["block1_conv1/kernel"]
    assert (kernel.shape, kernel.dtype) == (CODES.shape, np.float32)
    np.testing.assert_array_equal(kernel.load(), TABLE[CODES], strict=True)
    assert provenance.numbers == "8-bit palette"
    assert provenance.described == f"PyTorch {container} archive, 8-bit palette"


def test_names_of_pytorch_may_have_palettes_too(tmp_path):
    arrays = {"features.0.weight_q": CODES, "features.0.weight_table": TABLE[:256].astype(np.float16)}
    tensors, _ = read_arrays("zip", tmp_path / "a.pth", arrays)
    assert list(tensors) == ["features.0/kernel"]
    assert tensors["features.0/kernel"].dtype == np.float16


@pytest.mark.parametrize("alone", ["block1_conv1_W_q", "block1_conv1_W_table"])
def test_half_of_a_pair_is_what_it_is(alone, tmp_path):
    tensors, provenance = read(tmp_path, **{alone: None})
    assert "block1_conv1/kernel" not in tensors
    assert provenance.numbers is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block1_conv1_W_q": CODES.astype(np.int64)}, "unsigned integers, found int64"),
        ({"block1_conv1_W_q": CODES.astype(np.float32)}, "unsigned integers, found float32"),
        ({"block1_conv1_W_table": TABLE.reshape(16, 16)}, r"in a row, found float32 of shape \[16, 16\]"),
        ({"block1_conv1_W_table": np.arange(256)}, "in a row, found int64"),
        ({"block1_conv1_W": CODES.astype(np.float32)}, "with and without a palette"),
    ],
)
def test_what_is_no_palette_is_refused(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read(tmp_path, **changes)


@pytest.mark.parametrize("length", [0, 1, 255])
def test_codes_beyond_the_palette_are_refused(length, tmp_path):
    codes = CODES.copy()
    codes[0, 0, 0, 0] = 255
    tensors, _ = read(tmp_path, block1_conv1_W_q=codes, block1_conv1_W_table=TABLE[:length])
    with pytest.raises(UserError, match=f"expected codes below {length}, .* found 255"):
        tensors["block1_conv1/kernel"].load()


def test_the_published_file(shared, tmp_path):
    """Its tensors beside what NumPy makes of its bytes, and what the weights say of themselves."""
    path = next((shared / "weights" / "vgg19_kmeans").iterdir())
    output = tmp_path / "vgg19.safetensors"
    converted = convert.convert(path, "vgg19", output)
    assert "8-bit palette" in convert.report(converted)
    assert pretrained.read(output, BACKBONES["vgg19"]).numbers == "8-bit palette"
    with safetensors.safe_open(output, framework="numpy") as file:
        kernel = file.get_tensor("conv3_1/kernel")
    assert kernel.shape == (3, 3, 128, 256)
    assert len(np.unique(kernel)) <= 256
    # Where it stands in the file: the codes of this layer, and of its palette the one behind them.
    data = path.read_bytes()
    order, start = storages_in(data)
    codes = np.frombuffer(data, np.uint8, 256 * 128 * 9, start[order["block3_conv1_W_q"]]).reshape(256, 128, 3, 3)
    table = np.frombuffer(data, "<f4", 256, start[order["block3_conv1_W_table"]])
    np.testing.assert_array_equal(kernel, table[codes].transpose(2, 3, 1, 0))


def storages_in(data):
    """Returns name of a tensor → key of its storage, and key → offset, by Python's own pickle, not our reader."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if (module, name) == ("collections", "OrderedDict"):
                return collections.OrderedDict
            if name == "_rebuild_tensor_v2":
                return lambda storage, *_: storage
            return name

        def persistent_load(self, description):
            return description[2], description[1], description[4]

    stream = io.BytesIO(data)
    *_, state, keys = (Unpickler(stream).load() for _ in range(5))
    sizes = {key: (4 if kind == "FloatStorage" else 1) * count for key, kind, count in state.values()}
    starts, position = {}, stream.tell()
    for key in keys:
        starts[key] = position + 8
        position += 8 + sizes[key]
    assert position == len(data)
    return {name: storage[0] for name, storage in state.items()}, starts
