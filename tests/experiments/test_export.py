"""`experiments.export` as a person runs it; what is in the files has tests of its own."""

import importlib.util
import subprocess

import numpy as np
import pytest
from PIL import Image

from experiments import export
from experiments.exporting import runtime
from nst_jax.applications.feedforward import networks, trained
from nst_jax.errors import UserError

SEVERAL = networks.pastiche(2, contract=(4, 4, 4), residuals=1, expand=(4, 4))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The file of a network with two styles."""
    path = tmp_path_factory.mktemp("networks") / "mine.safetensors"
    shapes = networks.network_parameters(SEVERAL)
    tensors = {name: np.full(shape, 0.1, np.float32) for name, shape in shapes.items()}
    trained.write(path, tensors, SEVERAL, styles=("dusk", "dawn"))
    return path


@pytest.fixture
def run(network, tmp_path):
    def run(**flags):
        return export.run(export.Config(**{"network": str(network), "workdir": str(tmp_path / "out"), **flags}))

    return run


def test_onnx(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    result = run(format="onnx")
    assert result == (tmp_path / "out" / "mine.onnx", None)
    assert [end.name for end in onnx.load(result.output).graph.input] == ["content", "weights"]
    fixed = run(format="onnx", styles=("dawn",), output=str(tmp_path / "new" / "dawn.onnx"))
    assert [end.name for end in onnx.load(fixed.output).graph.input] == ["content"]


def test_without_onnx(run, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install onnx"):
        run()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flags", [{"sides": (64,)}, {"sides": (64, 8)}, {"format": "webpage", "sides": (64, 64)}])
def test_wrong_sides(run, flags):
    with pytest.raises(UserError, match="--sides: expected"):
        run(**{"format": "stablehlo", **flags})


def test_a_network_without_eyes(run, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "style.png")
    with pytest.raises(UserError, match=r"--style: expected none, as .* has its own 2 styles"):
        run(format="stablehlo", style=(str(tmp_path / "style.png"),))


def test_another_runtime(run, tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "ort.tgz").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"ort\.tgz: expected onnxruntime-web-.* with sha512 q0y.*, found .*--runtime"):
        run(runtime=str(tmp_path / "ort.tgz"))
    assert not list((tmp_path / "out").glob("*"))


def test_npm(monkeypatch, tmp_path):
    def refuses(command, **options):
        assert command[1:3] == ["pack", f"onnxruntime-web@{runtime.VERSION}"]
        return subprocess.CompletedProcess(command, 1, "", "npm error code ENOTFOUND\nnpm error more")

    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"found none; install Node\.js, or get .*--runtime=FILE"):
        runtime.fetch(tmp_path)
    monkeypatch.setattr(runtime.shutil, "which", lambda name: name)
    monkeypatch.setattr(runtime.subprocess, "run", refuses)
    with pytest.raises(UserError, match="found: npm error code ENOTFOUND; get"):
        runtime.fetch(tmp_path)


def test_modules_become_scripts():
    module = "let a=1,b=import.meta.url;export{a as one,b as default,b};\n//# sourceMappingURL=x.map\n"
    assert runtime.as_script(module) == "let a=1,b=self.location.href;const ort={one:a,b:b};\n"
