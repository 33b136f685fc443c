"""The interchange file: strict about everything, and where files are looked for."""

import json

import numpy as np
import pytest
import safetensors.numpy

from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import parameter_shapes, with_head
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

SQUEEZENET = BACKBONES["squeezenet1_1"]
HEAD = {n: s for n, s in parameter_shapes(with_head(SQUEEZENET)).items() if n.startswith("conv10/")}


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.standard_normal(shape, np.float32) for name, shape in parameter_shapes(SQUEEZENET).items()}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def save(path, tensors, metadata=None):
    record = {"format_version": 1, "backbone": SQUEEZENET.name} if metadata is None else metadata
    path.write_bytes(safetensors.numpy.save(tensors, metadata={"nst_jax": json.dumps(record)}))
    return path


def test_what_is_written_is_read(tensors, tmp_path):
    # A transposed view, which safetensors alone would write in the order of its memory.
    name = "fire2/expand3x3/kernel"
    tensors[name] = np.ascontiguousarray(tensors[name].transpose(3, 2, 0, 1)).transpose(2, 3, 1, 0)
    path = tmp_path / "weights.safetensors"
    pretrained.write(path, tensors, SQUEEZENET, {"source": "test"})
    network = pretrained.read(path, SQUEEZENET)
    assert network.params["params"].keys() == tensors.keys()
    for name, values in network.params["params"].items():
        np.testing.assert_array_equal(values, tensors[name])
    first = path.read_bytes()
    pretrained.write(path, tensors, SQUEEZENET, {"source": "test"})
    assert path.read_bytes() == first


def test_the_embedded_backbone_is_small_and_whole():
    network = pretrained.load("squeezenet1_1")
    assert network.backbone is SQUEEZENET
    assert pretrained.find("squeezenet1_1").stat().st_size <= 2.6e6
    assert all(values.dtype == np.float32 for values in network.params["params"].values())


def test_the_head_is_read_on_request_only(home, tensors):
    head = {name: np.ones(shape, np.float32) for name, shape in HEAD.items()}
    pretrained.write(home / "squeezenet1_1.safetensors", tensors | head, with_head(SQUEEZENET), {})
    assert pretrained.load("squeezenet1_1").params["params"].keys() == tensors.keys()
    whole = pretrained.load_classifier("squeezenet1_1")
    assert whole.params["params"].keys() == tensors.keys() | head.keys()
    assert whole.backbone == with_head(SQUEEZENET)


def test_a_missing_head_says_how_to_get_it(home, tensors):
    pretrained.write(home / "squeezenet1_1.safetensors", tensors, SQUEEZENET, {})
    with pytest.raises(UserError, match="without conv10/bias and 1 more; convert or fetch it again, with --classifier"):
        pretrained.load_classifier("squeezenet1_1")


def test_half_a_head(tensors, tmp_path):
    tensors["conv10/bias"] = np.zeros(1000, np.float32)
    with pytest.raises(UserError, match="with the unknown conv10/bias"):
        pretrained.read(save(tmp_path / "x.safetensors", tensors), SQUEEZENET)


def test_auto_prefers_installed_vgg19(home):
    assert pretrained.resolve("auto") == "squeezenet1_1"
    (home / "vgg19.safetensors").touch()
    assert pretrained.resolve("auto") == "vgg19"
    assert str(home) in pretrained.origin("vgg19")


def test_an_installed_file_goes_before_the_embedded_one(home, tensors):
    pretrained.write(home / "squeezenet1_1.safetensors", tensors, SQUEEZENET, {})
    found = pretrained.load("squeezenet1_1").params["params"]
    np.testing.assert_array_equal(found["conv1/bias"], tensors["conv1/bias"])


def test_missing_weights_name_the_folder_and_the_command(home):
    with pytest.raises(
        UserError,
        match=r"vgg16 are not installed: expected .*vgg16\.safetensors; .*fetch vgg16, or .*\.convert FILE",
    ):
        pretrained.load("vgg16")


def test_unknown_backbones_list_the_known_ones_nearest_first():
    with pytest.raises(UserError, match=r"unknown backbone 'vgg18'; expected one of: vgg1.*squeezenet1_1"):
        pretrained.load("vgg18")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("conv1/bias"), "without conv1/bias"),
        (lambda t: t.update({"conv11/bias": np.zeros(1, np.float32)}), "unknown conv11/bias"),
        (
            lambda t: t.update({"conv1/bias": np.zeros(65, np.float32)}),
            r"conv1/bias: expected shape \[64\], found \[65\]",
        ),
        (lambda t: t.update({"conv1/bias": np.zeros(64)}), "expected F32 or F16, found F64"),
        (lambda t: t["conv1/bias"].__setitem__(3, np.nan), "expected finite numbers"),
    ],
)
def test_wrong_tensors(spoil, message, tensors, tmp_path):
    spoil(tensors)
    with pytest.raises(UserError, match=message):
        pretrained.read(save(tmp_path / "x.safetensors", tensors), SQUEEZENET)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format_version": 1, "backbone": "vgg19"}, "found those of vgg19"),
        ({"format_version": 2, "backbone": "squeezenet1_1"}, "format version 2"),
        ({}, "without its metadata"),
        ([1], "without its metadata"),
    ],
)
def test_wrong_metadata(metadata, message, tensors, tmp_path):
    with pytest.raises(UserError, match=message):
        pretrained.read(save(tmp_path / "x.safetensors", tensors, metadata), SQUEEZENET)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8 + b"{}", b"<html></html>", None])
def test_what_is_no_safetensors_file(content, tensors, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(save(path, tensors).read_bytes()[:-1] if content is None else content)
    with pytest.raises(UserError, match="expected a safetensors file") as caught:
        pretrained.read(path, SQUEEZENET)
    assert "\n" not in str(caught.value)


def test_wrong_tensors_are_not_written(tensors, tmp_path):
    del tensors["conv1/bias"]
    with pytest.raises(UserError, match="without conv1/bias"):
        pretrained.write(tmp_path / "x.safetensors", tensors, SQUEEZENET, {})
    assert not list(tmp_path.iterdir())


def test_the_folder_of_weights_may_begin_with_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, "~/weights")
    assert pretrained.folder() == tmp_path / "weights"
