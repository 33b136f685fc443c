"""The interchange file, and tensors in it that are 8-bit numbers with scales."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nst_jax.errors import UserError
from nst_jax.io import weight_file

RANDOM = np.random.default_rng(0)
CODES = RANDOM.integers(-127, 128, (3, 3, 4, 5), dtype=np.int8)
SCALES = RANDOM.uniform(1e-3, 1e-2, 5).astype(np.float32)


@pytest.mark.parametrize("greatest", [127, 90, 1])
def test_packing_loses_nothing(greatest):
    codes = np.clip(CODES, -greatest, greatest)
    values = codes.astype(np.float32) * SCALES
    found, scales = weight_file.pack(values)
    np.testing.assert_array_equal(found.astype(np.float32) * scales, values)
    assert found.dtype == np.int8


def test_packing_of_zeros():
    values = CODES.astype(np.float32) * SCALES
    values[..., 2] = 0
    codes, scales = weight_file.pack(values)
    np.testing.assert_array_equal(codes * scales, values)


def test_what_cannot_be_packed():
    with pytest.raises(ValueError, match="products of 8-bit numbers"):
        weight_file.pack(RANDOM.standard_normal((3, 3, 4, 5), np.float32))


def test_packed_file(tmp_path):
    path = tmp_path / "a.safetensors"
    values = {"a/kernel": CODES.astype(np.float32) * SCALES, "a/bias": SCALES}
    shapes = {name: array.shape for name, array in values.items()}
    weight_file.write(path, values, shapes, {"x": 1}, packed={"a/kernel"})
    assert {name: array.dtype.name for name, array in load_file(path).items()} == {
        "a/kernel": "int8",
        "a/kernel:scale": "float32",
        "a/bias": "float32",
    }
    with weight_file.opened(path, whose="x", advice="") as file:
        assert (file.names, file.record["x"]) == (set(values), 1)
        for name, expected in values.items():
            np.testing.assert_array_equal(file.tensor(name, shapes[name]), expected, strict=True)
    tensors = load_file(path)
    tensors["a/kernel:scale"] = np.full(5, np.nan, np.float32)
    save_file(tensors, path, metadata={"nst_jax": '{"format_version": 1}'})
    with weight_file.opened(path, whose="x", advice="") as file, pytest.raises(UserError, match="finite"):
        file.tensor("a/kernel", shapes["a/kernel"])
    del tensors["a/kernel:scale"]
    save_file(tensors, path, metadata={"nst_jax": '{"format_version": 1}'})
    with weight_file.opened(path, whose="x", advice="") as file, pytest.raises(UserError, match="found I8"):
        file.tensor("a/kernel", shapes["a/kernel"])
