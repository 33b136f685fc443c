"""Checkpoints of deeplearn.js: a real one, and manifests that nobody honest wrote."""

import json
import os

import numpy as np
import pytest
import weight_writers as writers

from converters.formats import deeplearn_js
from converters.formats.registry import detect
from nst_jax.errors import UserError

REAL = "weights/networks/ff_johnson/mathura"


def test_a_real_checkpoint(shared):
    for path in (shared / REAL, shared / REAL / "manifest.json"):
        assert detect(path) == "deeplearn_js"
        tensors, provenance = deeplearn_js.read(path)
        assert provenance.format == "deeplearn.js checkpoint"
    assert len(tensors) == 48
    assert sum(tensor.load().size for tensor in tensors.values()) == 1_677_638
    assert tensors["Variable_39"].shape == (3, 3, 64, 128)
    found = tensors["Variable_15"].load()
    expected = np.fromfile(shared / REAL / "Variable_15", "<f4").reshape(3, 3, 128, 128)
    np.testing.assert_array_equal(found, expected, strict=True)


def write(folder, manifest, **files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "manifest.json").write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
    return folder


def variable(filename="a", shape=(2,)):
    return {"filename": filename, "shape": shape}


def test_names(tmp_path):
    names = {
        "conv1_W:0": "conv1/kernel",
        "conv1_b:0": "conv1/bias",
        "fire2/squeeze1x1_W:0": "fire2/squeeze1x1/kernel",
        "a/weights": "a/kernel",
        "a/biases": "a/bias",
        "Variable_3": "Variable_3",
    }
    files = {f"f{index}": bytes(4) for index in range(len(names))}
    manifest = {name: variable(file, [1]) for name, file in zip(names, files, strict=True)}
    assert list(deeplearn_js.read(write(tmp_path, manifest, **files))[0]) == list(names.values())


def test_another_description_is_not_taken_for_one(tmp_path):
    assert detect(writers.write_tfjs_network(tmp_path / "a", {}) / "model.json") == "tfjs"


REFUSED = {
    "too short": ({"v": variable(shape=[3])}, r"expected 12 bytes in a for shape \[3\], found 8"),
    "too long": ({"v": variable(shape=[1])}, r"expected 4 bytes in a for shape \[1\], found 8"),
    "a negative length": ({"v": variable(shape=[-1, -2])}, "expected the shape of a tensor"),
    "a giant": ({"v": variable(shape=[2**40])}, "expected the shape of a tensor"),
    "half a length": ({"v": variable(shape=[2.5])}, "expected the name of a file and a shape in whole numbers"),
    "a truth for a length": ({"v": variable(shape=[True, 2])}, "a shape in whole numbers"),
    "no shape": ({"v": {"filename": "a"}, "w": variable()}, "a shape in whole numbers"),
    "a list for a shape": ({"v": variable(shape="2")}, "a shape in whole numbers"),
    "no file": ({"v": variable("b")}, "expected shard b in the same folder, found: No such file"),
    "another folder": ({"v": variable("../a")}, "in the folder of the model"),
    "the root": ({"v": variable("/etc/passwd")}, "in the folder of the model"),
    "no name": ({"v": variable(3)}, "in the folder of the model"),
    "a link": ({"v": variable("link")}, "found a link"),
    "a pipe": ({"v": variable("pipe")}, "expected a regular file"),
    "a file twice": ({"v": variable(), "w": variable()}, "expected a file for each variable, found a twice"),
    "a name twice": ({"v": variable(), "v:0": variable("c")}, "expected v once, found it twice"),
    "a layer twice": ({"v_W": variable(), "v/kernel": variable("c")}, "expected v/kernel once, found it twice"),
    "nothing": ({}, "expected variables by name, found none"),
    "a list": ([], "expected variables by name, found none"),
    "not JSON": ('{"v": ', "expected JSON"),
    "nested": ("[" * 100_000, "expected JSON"),
    "a long number": ('{"v": {"filename": "a", "shape": [' + "9" * 5000 + "]}}", "expected JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(tmp_path, case):
    manifest, message = REFUSED[case]
    write(tmp_path, manifest, a=bytes(8), c=bytes(8))
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    assert detect(tmp_path) == "deeplearn_js"
    with pytest.raises(UserError, match=message):
        deeplearn_js.read(tmp_path)
