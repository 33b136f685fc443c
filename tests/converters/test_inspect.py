from pathlib import Path

import commands
import h5py
import numpy as np
import pytest
import weight_writers as writers

from converters import inspect
from converters.table import aligned, spans
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import parameter_shapes
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]


def test_what_is_in_a_real_file(shared):
    result = commands.run("inspect", shared / "weights/real/keras205_tiny_XCEPTION_KDEF.hdf5")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        "legacy Keras HDF5, whole model, names as in Keras 2, written by Keras 2.0.5",
        "sha256 b625521c168f14acbeee033dc263276cb76ee6ed4a6de6b7482713ee34fc4ef1",
    ]
    with h5py.File(shared / "weights/real/keras205_tiny_XCEPTION_KDEF.hdf5") as file:
        kernel = file["model_weights/conv2d_1/conv2d_1/kernel:0"][()]
    expected = ["conv2d_1/kernel", "[3, 3, 1, 5]", "float32", f"{kernel.min():.4g}", f"{kernel.max():.4g}"]
    assert lines[3].split("  ")[0] == expected[0]
    assert [cell.strip() for cell in lines[3].split("  ") if cell.strip()] == expected


def test_no_backbone_and_nothing_usable_is_needed(tmp_path):
    arrays = {"a\nb/kernel": np.full((1, 1, 1, 1), np.nan, "f4"), "a\nb/bias": np.zeros(1, "f4")}
    result = commands.run("inspect", writers.write_caffemodel(tmp_path / "a", arrays))
    assert result.returncode == 0
    assert r"a\nb/kernel  [1, 1, 1, 1]  float32  nan       nan" in result.stdout.splitlines()
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_networks_that_paint_at_once(shared):
    for name, described, network in (
        ("pastiche26/stylize_quantized.pb", "frozen graph of TensorFlow, 1464 nodes, 8-bit quantisation", "pastiche26"),
        (
            "arbitrary_magenta/transfer.tflite",
            "TensorFlow Lite model, 8-bit quantisation, written by TOCO",
            "any_style (painter)",
        ),
        ("ff_johnson/small_candy.onnx", "ONNX graph, 38 nodes, written by pytorch 1.8", "full_resolution"),
        ("ff_johnson/mathura", "deeplearn.js checkpoint", "lengstrom"),
    ):
        first, *_, last = inspect.inspect(shared / "weights" / "networks" / name).splitlines()
        assert (first, last) == (described, f"weights of the network that paints {network}")


def test_which_backbone_it_belongs_to(random_for, tmp_path):
    arrays = random_for(parameter_shapes(BACKBONES["squeezenet1_1"]))
    last = inspect.inspect(writers.write_caffemodel(tmp_path / "a", arrays)).splitlines()[-1]
    assert last == "weights of squeezenet1_1"
    last = inspect.inspect(writers.write_onnx(tmp_path / "b", arrays, "squeezenet1_1")).splitlines()[-1]
    assert last == "weights of squeezenet1_1 or squeezenet1_1_torchvision"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: expected FILE, found nothing; see --help"),
        (["missing"], "error: missing: expected a file that can be read, found: No such file"),
        (["a", "--format=kers"], "error: unknown format 'kers'; expected one of: keras_"),
        (["a", "--formt=x"], "error: unknown flag 'formt'; expected one of: format"),
    ],
    ids=str,
)
def test_errors_are_one_line(arguments, message):
    result = commands.run("inspect", *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_the_format_can_be_said(tmp_path):
    path = writers.write_caffemodel(
        tmp_path / "a", {"a/kernel": np.ones((1, 1, 1, 1), "f4"), "a/bias": np.ones(1, "f4")}
    )
    assert inspect.inspect(path, "caffemodel") == inspect.inspect(path)
    with pytest.raises(UserError, match="expected"):
        inspect.inspect(path, "keras_h5")


def test_columns_and_ranges():
    assert aligned([("a", "bcd"), ("ef", "g")]) == ["a   bcd", "ef  g"]
    assert spans(np.array([2, -1], "i8")) == ("-1", "2")
    assert spans(np.array([1.5, np.inf], "f4")) == ("1.5", "inf")
    assert spans(np.array([np.nan, 1], "f4")) == ("nan", "nan")
    assert spans(np.zeros(2, "V4")) == spans(np.zeros(0)) == ("–", "–")


def test_a_file_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    result = commands.run("inspect", "~/none.h5")
    assert result.stderr.startswith(f"error: {tmp_path / 'none.h5'}: ")
