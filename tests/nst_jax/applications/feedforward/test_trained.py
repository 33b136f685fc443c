"""Weight files of networks that paint."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from nst_jax.applications.feedforward import networks, painting, tables, trained
from nst_jax.errors import UserError

NETWORK = networks.pastiche(2, contract=(4, 4, 4), residuals=1, expand=(4, 4))


@pytest.fixture(scope="module")
def tensors():
    params = painting.initial(NETWORK, jax.random.key(0))
    return {
        f"{part}/{name}": np.asarray(values)
        for part, found in params.items()
        for name, values in found["params"].items()
    }


def test_round_trip(tensors, tmp_path, monkeypatch):
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path))
    path = tmp_path / "mine.safetensors"
    trained.write(path, tensors, NETWORK, styles=("dusk", "dawn"), record={"licence": "CC0"})
    found = trained.load("mine")
    assert (found.network, found.styles, found.record["licence"]) == (NETWORK, ("dusk", "dawn"), "CC0")
    for name, values in tensors.items():
        np.testing.assert_array_equal(found.params["painter"]["params"][name.removeprefix("painter/")], values)
    assert trained.load(str(path)).sha256 == found.sha256
    assert trained.installed() == ["any_style", "mine"]
    with pytest.raises(UserError, match=r"installed network that paints \(any_style, mine\)"):
        trained.load("yours")


def test_styles_of_one_name_are_told_apart(tensors, tmp_path):
    path = tmp_path / "a.safetensors"
    trained.write(path, tensors, NETWORK, styles=("x" * 70 + "1", "x" * 70 + "2"))
    first, second = trained.read(path).styles
    assert first != second


def test_styles_without_names(tensors, tmp_path):
    path = tmp_path / "a.safetensors"
    trained.write(path, tensors, NETWORK)
    assert trained.read(path).styles == ("1", "2")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"format_version": 1, "backbone": "vgg19"}, "paints in one pass"),
        ({"format_version": 2}, "format version 2"),
        ({"format_version": 1, "network": {"type": "Popen"}}, "expected one of Transformer"),
        (
            {"format_version": 1, "network": tables.to_json(networks.pastiche(3))},
            "expected the .* tensors of its network",
        ),
        ([], "without its metadata"),
    ],
)
def test_hostile(record, message, tensors, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, metadata={"nst_jax": json.dumps(record)})
    with pytest.raises(UserError, match=message):
        trained.read(path)


def test_wrong_shape(tensors, tmp_path):
    path = tmp_path / "a.safetensors"
    broken = tensors | {"painter/contract1/kernel": np.zeros((9, 9, 3, 5), np.float32)}
    record = {"format_version": 1, "network": tables.to_json(NETWORK)}
    save_file(broken, path, metadata={"nst_jax": json.dumps(record)})
    with pytest.raises(UserError, match="expected shape"):
        trained.read(path)
