"""The dials are flags of stylize."""

import dataclasses
from pathlib import Path

import pytest

from experiments.cli.run_flags import SingleFlags
from experiments.cli.transfer_flags import resolve
from experiments.studios import dials
from nst_jax.errors import UserError
from nst_jax.presets import PRESETS
from nst_jax.settings import WEIGHING

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def embedded_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path))


def flags_of(given):
    return dials.flags_of(given, Path("photo, 1"), [Path("a"), Path("b,c")])


def test_every_dial_is_a_flag_with_its_help_and_range():
    fields = {field.name: field for field in dataclasses.fields(SingleFlags)}
    for dial in dials.dials(["squeezenet1_1"]):
        assert dial.help
        for end in dial.slider or ():
            assert dial.least is None or end >= dial.least
            assert dial.most is None or end <= dial.most
        if dial.scale == "log":
            assert dial.slider[0] > 0
        assert dial.name in fields
    at_once = {dial.name for dial in dials.dials([]) if dial.acts == "at once"}
    sometimes = {"laplacian_weight", "matting_weight"}
    assert at_once == {*set(WEIGHING).intersection(dials.NAMES), "coarse_content", "colour_finish"} - sometimes


def test_values_are_those_of_a_command_line():
    flags = flags_of(
        {"style_weight": 300, "size": 128.0, "blend_weights": [1, 3], "style_flip": True, "keep": "red,#00ff00"}
    )
    assert flags == SingleFlags(
        content="photo, 1",
        style=r"a,b\,c",
        style_weight=300.0,
        size=128,
        blend_weights=(1.0, 3.0),
        style_flip=True,
        keep=("red", "#00ff00"),
    )
    assert dials.as_json(flags) == {
        "style_weight": 300.0,
        "size": 128,
        "blend_weights": [1.0, 3.0],
        "style_flip": True,
        "keep": ["red", "#00ff00"],
    }
    assert flags_of(dials.as_json(flags)) == flags


@pytest.mark.parametrize(
    "given",
    [
        {"workdir": "/tmp"},
        {"output": "x.png"},
        {"content": "/etc/passwd"},
        {"init": "/etc/passwd"},
        {"regions": "x"},
        {"style_weight": "much"},
        {"style_weight": float("nan")},
        {"style_weight": float("inf")},
        {"style_weight": {}},
        {"style_weight": None, "size": 0},
        {"size": 10**6},
        {"size": 96.5},
        {"steps": -1},
        {"steps": 10**6},
        {"backbone": "../../x"},
        {"preset": "none"},
        {"style_loss": "hypercolumns", "shifts": 8},
        {"keep": ["red" * 1000]},
        {"blend_weights": [[1]]},
    ],
)
def test_what_no_dial_may_be_is_refused_in_one_line(given):
    with pytest.raises(UserError) as refused:
        flags_of(given)
    assert "\n" not in str(refused.value)


def test_defaults_are_those_of_the_preset():
    found = dials.defaults("auto", "auto")
    assert found.keys() == set(dials.NAMES)
    assert found["style_weight"] == PRESETS["squeezenet"].style_weight
    assert dials.defaults("vgg19", "gatys")["steps"] == 500
    settings = resolve(SingleFlags(), "squeezenet1_1")
    assert all(getattr(settings, name) == value for name, value in found.items() if hasattr(settings, name))


@pytest.mark.parametrize(
    ("begun", "wanted", "expected"),
    [
        ({}, {"strength": 0.7, "content_weight": 3, "blend_weights": [1, 2]}, "at once"),
        ({}, {"colour_finish": "oklab", "coarse_content": 2, "learning_rate": 0.1}, "at once"),
        ({}, {"size": 256}, "stage"),
        ({}, {"seed": 1, "strength": 0.7}, "stage"),
        ({}, {"laplacian_weight": 20}, "stage"),
        ({"laplacian_weight": 20}, {"laplacian_weight": 0}, "at once"),
        ({"laplacian_weight": 20}, {"laplacian_weight": 50}, "at once"),
        ({"matting_weight": 5}, {"laplacian_weight": 5, "matting_weight": 5}, "stage"),
    ],
)
def test_what_weighs_acts_at_once(begun, wanted, expected):
    assert dials.acts(flags_of(begun), flags_of(wanted)) == expected
