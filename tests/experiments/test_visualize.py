"""`experiments.visualize` as a person runs it, and units as a person names them."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from experiments import visualize
from experiments.units.units import Unit, channel_units, class_units
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv
from nst_jax.backbones.spec import parameter_shapes, with_head
from nst_jax.errors import UserError

SQUEEZENET = with_head(BACKBONES["squeezenet1_1"])


def config(workdir, **changes):
    flags = {"size": 64, "steps": 2, "classes": ("banana",), "channels": ("fire3/concat:7",)}
    return visualize.Config(workdir=str(workdir), **{**flags, **changes})


def test_units_by_name():
    assert class_units(SQUEEZENET, ["Banana", "310"]) == [
        Unit("banana", "conv10/linear", (954,), is_class=True),
        Unit("ant", "conv10/linear", (310,), is_class=True),
    ]
    units = channel_units(SQUEEZENET, ["fire8/concat", "conv10:3", "fire4/concat:12-0.5*40+7"])
    assert [unit[1:4] for unit in units] == [
        ("fire8/concat", (), ()),
        ("conv10", (3,), ()),
        ("fire4/concat", (12, 40, 7), (1.0, -0.5, 1.0)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fire8/concatt:3",
            "layer of squeezenet1_1 'fire8/concatt'; expected one of 90, such as: fire8/concat",
        ),
        ("fire8/concat:512", "channel of fire8/concat: expected 0 to 511, found 512"),
        ("fire8/concat:", "expected a layer, layer:channel or layer:direction"),
        ("fire8/concat:1*", "expected a layer, layer:channel or layer:direction"),
        ("fire8/concat:a", "expected a layer, layer:channel or layer:direction"),
    ],
)
def test_units_that_there_are_not(text, message):
    with pytest.raises(UserError, match=message):
        channel_units(SQUEEZENET, [text])


def test_classes_of_other_networks():
    assert class_units(with_head(BACKBONES["vgg19"]), ["ant"]) == [Unit("ant", "fc8", (310,), (), True)]


def test_classes_need_a_classifier():
    message = "expected a network with a classifier, found vgg19_normalized; use one of: vgg16, vgg19, vgg16_t"
    with pytest.raises(UserError, match=message):
        class_units(with_head(BACKBONES["vgg19_normalized"]), ["banana"])
    with pytest.raises(UserError, match=r"unknown class 'bananna'.*banana"):
        class_units(SQUEEZENET, ["bananna"])


def test_one_command_paints_all_units_and_finds_their_patches(tmp_path, count_compilations, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("red", (200, 30, 30)), ("green", (20, 180, 40))):
        Image.effect_noise((70, 60), 80).convert("RGB").point(lambda value: value).save(folder / f"{name}.png")
        Image.blend(Image.open(folder / f"{name}.png"), Image.new("RGB", (70, 60), colour), 0.5).save(
            folder / f"{name}.png"
        )
    whole = (folder / "red.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"^--patches: .*cut.png.*--keep_going leaves out"):
        visualize.run(config(tmp_path / "out", patches=str(folder)))
    assert not (tmp_path / "out").exists()  # found before anything is painted
    with count_compilations() as compiled:
        outcome = visualize.run(config(tmp_path / "out", patches=str(folder), seeds=(0, 1), keep_going=True))
    assert outcome.finished == 4
    assert capsys.readouterr().out.startswith(f"left out of --patches: {folder}/cut.png: expected a whole picture")
    assert sum("chunk" in name for name in compiled) == 2  # of classes, and of channels
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [cell["settings"]["dream_layers"] for cell in manifest["cells"][:2]] == [["conv10/linear"], ["fire3/concat"]]
    assert "style" not in manifest["cells"][0]["settings"]
    assert (tmp_path / "out" / "sheet.png").exists()
    assert (tmp_path / "out" / "patches_fire3-concat.png").exists()


def test_a_vgg_with_its_head_paints_classes(tmp_path, monkeypatch):
    # VGG-16 with 4 features in each layer but the last: its own head alone is half a gigabyte.
    def thin(row):
        return dataclasses.replace(row, features=4) if isinstance(row, Conv) and row.name != "fc8" else row

    vgg = BACKBONES["vgg16"]
    network = dataclasses.replace(vgg, rows=tuple(map(thin, vgg.rows)), head=tuple(map(thin, vgg.head)))
    random = np.random.default_rng(0)
    shapes = parameter_shapes(with_head(network))
    monkeypatch.setitem(BACKBONES, "vgg16", network)
    monkeypatch.setenv(pretrained.FOLDER_VARIABLE, str(tmp_path))
    params = {
        name: random.normal(0.1, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    pretrained.write(tmp_path / "vgg16.safetensors", params, with_head(network), {})
    flags = {"backbone": "vgg16", "size": 224, "channels": None, "steps": 1}
    assert visualize.run(config(tmp_path / "out", **flags)).finished == 1
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [cell["settings"]["dream_layers"] for cell in manifest["cells"]] == [["fc8"]]


@pytest.mark.parametrize("parameterization", ["pixels", pytest.param("coordinates", marks=pytest.mark.slow)])
def test_other_parameterizations(parameterization, tmp_path):
    flags = {"parameterization": parameterization, "classes": None, "channels": ("fire2/concat:3",), "size": 40}
    assert visualize.run(config(tmp_path, **flags)).finished == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": ("banana", "954")},
            "expected each unit once, found banana twice, as banana and as 954;",
        ),
        ({"classes": ("tench", "Tinca tinca")}, "found tench twice, as tench and as Tinca tinca"),
        ({"classes": ("ant", "ant")}, "found ant twice; leave out one"),
        ({"classes": None, "channels": ("conv1:3", "conv1:1*3")}, "found conv1:1.3 twice, as conv1:3 and as conv1:1.3"),
        ({"classes": (), "channels": ()}, "expected one unit or more, found none"),
        ({"seeds": ()}, "--seeds: expected one or more"),
        ({"patches": "nowhere"}, "nowhere.*expected a folder of pictures"),
    ],
)
def test_bad_input_writes_nothing(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        visualize.run(config(tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()
