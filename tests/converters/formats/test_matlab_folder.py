"""Folders of MATLAB's files with a tensor each: a real one, and folders that nobody honest made."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import weight_writers as writers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array

from converters import convert, regions, source
from converters.containers import sandbox
from converters.formats import matlab_folder
from converters.formats.registry import detect
from nst_jax.errors import UserError

REAL = "weights/networks/googlenet_bvlc/Params"
KERNEL = np.arange(3 * 2 * 4 * 5, dtype=np.float32).reshape(3, 2, 4, 5)


def save(folder, name, *arrays, **variables):
    folder.mkdir(exist_ok=True)
    scipy.io.savemat(folder / name, variables or {"weights": arrays[0]}, do_compression=True)
    return folder


def refusal_of(folder):
    try:
        tensors = matlab_folder.read(folder)[0]
        assert all(tensor.load().shape == tensor.shape for tensor in tensors.values())
    except UserError as error:
        return str(error)
    return None


def test_a_real_folder(shared):
    assert detect(shared / REAL) == "matlab_folder"
    tensors, provenance = matlab_folder.read(shared / REAL)
    assert provenance.format == "MATLAB files with a tensor each, 116"
    assert provenance.producer.startswith("MATLAB 5.0 MAT-file, Platform: PCWIN64")
    assert len(tensors) == 116
    assert sum(tensor.load().size for tensor in tensors.values()) == 6_998_552
    assert tensors["conv1_7x7_s2/kernel"].shape == (7, 7, 3, 64)
    assert tensors["loss3_classifier/kernel"].shape == (1024, 1000)
    assert tensors["inception_4c_5x5/bias"].shape == (64,)
    found = tensors["inception_3a_5x5/kernel"].load()
    expected = scipy.io.loadmat(shared / REAL / "inception_3a_5x5_w.mat")["weights"]
    np.testing.assert_array_equal(found, expected, strict=True)


def test_values_to_the_bit(tmp_path):
    folder = save(tmp_path / "a", "conv_1_w.mat", KERNEL)
    save(folder, "conv_1_b.mat", np.arange(5, dtype=np.float32)[:, None])
    save(folder, "one_w.mat", KERNEL[:, :, :, :1])  # MATLAB drops the last axis
    save(folder, "fc_w.mat", np.ones((4, 7), np.float32))
    (folder / "README.txt").write_text("left alone")
    save(folder, "mean.mat", KERNEL)
    assert detect(folder) == "matlab_folder"
    tensors, provenance = matlab_folder.read(folder)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "conv_1/bias": (5,),
        "conv_1/kernel": (3, 2, 4, 5),
        "fc/kernel": (4, 7),
        "one/kernel": (3, 2, 4, 1),
    }
    np.testing.assert_array_equal(tensors["conv_1/kernel"].load(), KERNEL, strict=True)
    files = [folder / name for name in ("conv_1_b.mat", "conv_1_w.mat", "fc_w.mat", "one_w.mat")]
    assert provenance.sha256 == regions.sha256(files)
    assert provenance.layout == source.Layout(conv="WHIO", dense="IHWO")


def test_width_comes_before_height(tmp_path, tiny, tiny_arrays):
    folder = writers.write_matlab_folder(tmp_path / "a", tiny_arrays)
    stored = scipy.io.loadmat(folder / "conv1_w.mat")["weights"]
    np.testing.assert_array_equal(stored[2, 0, 1], tiny_arrays["conv1/kernel"][0, 2, 1])
    found = convert.convert(folder, tiny.name, tmp_path / "out.safetensors").tensors
    for name, values in tiny_arrays.items():
        np.testing.assert_array_equal(found[name], values, strict=True)


@pytest.mark.parametrize(
    "content", [{}, {"a.mat": b"x"}, {"a_b.mat": b"x"}, {"README": b"_w.mat"}], ids=["empty", "other", "bias", "text"]
)
def test_other_folders(tmp_path, content):
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    assert not matlab_folder.recognises(tmp_path)
    with pytest.raises(UserError, match=r"or MATLAB files with a tensor each, found another folder$"):
        detect(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    folder = save(tmp_path / "a", "a_w.mat", KERNEL)
    assert not matlab_folder.recognises(folder / "a_w.mat")
    assert detect(folder / "a_w.mat") == "matconvnet"


REFUSED = {
    "two variables": ({"a": KERNEL, "b": KERNEL}, "a_w.mat: expected one variable, the tensor, found a, b$"),
    "text": ({"a": "text"}, "a_w.mat: expected an array of numbers, found text of size 1; "),
    "a struct": ({"a": {"b": 1}}, "a_w.mat: expected an array of numbers, found a struct"),
    "a cell array": ({"a": np.array([[1, "x"]], object)}, "a_w.mat: expected an array of numbers, found a cell array"),
    "sparse": ({"a": csc_array(np.eye(3))}, "a_w.mat: expected an array of numbers, found a sparse matrix"),
    "complex": ({"a": KERNEL + 1j}, "a_w.mat: expected real numbers as weights, found complex numbers"),
}


@pytest.mark.parametrize(("variables", "message"), REFUSED.values(), ids=REFUSED)
def test_unusable_arrays(tmp_path, variables, message):
    found = refusal_of(save(tmp_path / "a", "a_w.mat", **variables))
    assert found is not None
    assert re.search(message, found)
    assert found.isprintable()


SPOILED = {
    "text": (b"text", "a_w.mat: expected a MAT-file, found a file that starts with 74 65 78 74"),
    "MATLAB 7.3": (b"MATLAB 7.3 MAT-file".ljust(200), "a_w.mat: expected a MAT-file of version 7, found one of 7.3"),
    "nothing": (b"", "a_w.mat: expected weights, found an empty file"),
    "a header": (
        b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM",
        "a_w.mat: expected one variable, the tensor, found none",
    ),
}


@pytest.mark.parametrize(("content", "message"), SPOILED.values(), ids=SPOILED)
def test_spoiled_files(tmp_path, content, message):
    save(tmp_path, "b_w.mat", KERNEL)
    (tmp_path / "a_w.mat").write_bytes(content)
    assert detect(tmp_path) == "matlab_folder"
    assert re.search(message, refusal_of(tmp_path))


@pytest.mark.parametrize("length", [150, 0.5, 0.99])
def test_truncated_files(tmp_path, length):
    path = save(tmp_path, "a\n_w.mat", np.random.default_rng(0).random((9, 9, 9, 9), np.float32)) / "a\n_w.mat"
    content = path.read_bytes()
    path.write_bytes(content[: length if length > 1 else int(length * len(content))])
    assert re.search(r"a\\n_w.mat: expected an intact MAT-file, found: .*; fetch or make", refusal_of(tmp_path))


def test_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 3)
    monkeypatch.setattr(regions, "LARGEST", 1 << 24)
    save(tmp_path, "a_w.mat", np.zeros((64, 64, 64, 64), np.float32))
    assert (tmp_path / "a_w.mat").stat().st_size < 100_000
    assert "expected at most 16777216 bytes in all tensors together, found more" in refusal_of(tmp_path)


def test_links_loops_pipes_and_folders(tmp_path):
    save(tmp_path, "a_w.mat", KERNEL)
    path = tmp_path / "b_w.mat"
    for make, message in (
        (lambda: path.symlink_to(tmp_path / "a_w.mat"), "expected a file as b_w.mat, found a link; copy the file"),
        (lambda: path.symlink_to(path), "expected a file as b_w.mat, found a link; copy the file"),
        (lambda: os.mkfifo(path), "b_w.mat: expected a regular file, found a folder, pipe or device"),
        (path.mkdir, "b_w.mat: expected a regular file, found a folder, pipe or device"),
    ):
        make()
        assert message in refusal_of(tmp_path)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match="expected a file that can be read, found: Too many levels of symbolic links"):
        detect(tmp_path / "loop")


def test_far_too_many_files(tmp_path):
    for index in range(matlab_folder._MOST_FILES + 1):
        (tmp_path / f"{index}_w.mat").touch()
    assert "expected 1 to 2000 files that end in _w.mat or _b.mat, found 2001" in refusal_of(tmp_path)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_files_are_read_or_refused(mutations, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "CPU_SECONDS", 1)
        path = save(Path(folder), "a_w.mat", KERNEL) / "a_w.mat"
        path.write_bytes(data.draw(mutations(path.read_bytes())) or b"\0")
        message = refusal_of(path.parent)
        assert message is None or message.isprintable()
