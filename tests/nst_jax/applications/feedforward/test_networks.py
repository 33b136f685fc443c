"""Published designs: their numbers of parameters, their sides, and their tables as JSON."""

import dataclasses
import json

import numpy as np
import pytest

from nst_jax.applications.feedforward import networks, tables
from nst_jax.applications.feedforward.steps import Conv, Norm, Residual, least_side, stride

DESIGNS = {
    "johnson": networks.johnson(),
    "johnson transposed": networks.johnson(upsampling="transposed", norm=Norm("batch")),
    "lengstrom": networks.lengstrom(),
    "full_resolution": networks.full_resolution(),
    "pastiche26": networks.pastiche26(),
    "pastiche": networks.pastiche(3),
    "any_style": networks.any_style(),
    "adain": networks.adain(),
    "wct": networks.wct(),
    "predicted": networks.predicted(),
    "doodle": networks.doodle(((0, 0, 0), (255, 128, 0))),
}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("johnson", 1_679_235),  # torch: sum of TransformerNet().parameters() of the examples
        ("lengstrom", 1_677_638),  # what ml5's files hold
        ("full_resolution", 90_147),  # the ONNX files
        ("pastiche26", 166_104),  # the GraphDef
        ("any_style", 177_830 + 2_334_804),  # the two TFLite files
    ],
)
def test_parameters(name, count):
    shapes = networks.network_parameters(DESIGNS[name])
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == count


def test_strides():
    assert {name: networks.network_stride(network) for name, network in DESIGNS.items()} == {
        "johnson": 4,
        "johnson transposed": 4,
        "lengstrom": 4,
        "full_resolution": 1,
        "pastiche26": 4,
        "pastiche": 4,
        "any_style": 4,
        "adain": 8,
        "wct": 4,
        "predicted": 4,
        "doodle": 4,
    }
    assert stride(networks.any_style().predictor) == 32


@pytest.mark.parametrize("name", DESIGNS)
def test_json(name):
    text = json.dumps(tables.to_json(DESIGNS[name]))
    assert tables.from_json(json.loads(text)) == DESIGNS[name]


def changed(path, value):
    table = tables.to_json(networks.pastiche(2, contract=(4, 4, 4), residuals=1, expand=(4, 4)))
    at = table
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return table


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["type"], "Popen", "expected one of Transformer"),
        (["type"], 3, "expected one of Transformer"),
        (["steps"], 3, "expected a list"),
        (["steps", 0, "features"], 10**9, "expected 1 to 4096"),
        (["steps", 0, "features"], True, "expected int"),
        (["steps", 0, "kernel"], 0, "expected 1 to 31"),
        (["steps", 0, "kernel"], 8, "an odd kernel"),
        (["steps", 0, "enlarge"], 2, "maps of the picture's size to 1/64"),
        (["steps", 0, "stride"], 2, "size at its end, found 1/2"),
        (["steps"], [], "one step or more"),
        (["steps", 3, "steps", 0], {"type": "Mean"}, "in a predictor alone"),
        (["steps", 0, "norm", "epsilon"], 10**400, "expected a number"),
        (["steps", 0, "name"], "../x", "expected a name"),
        (["steps", 0, "border"], "wrap", "expected one of reflect"),
        (["steps", 0, "activation"], "__import__", "relu"),
        (["steps", 0, "norm", "epsilon"], float("nan"), "expected a number"),
        (["steps", 0, "norm", "epsilon"], -1.0, "expected a number"),
        (["steps", 0, "norm", "code"], 7, "expected a style code of 2"),
        (["steps", 1, "name"], "contract1", "different names"),
        (["steps", 3, "steps", 0, "stride"], 2, "keeps channels and sides"),
        (["steps", 0, "depthwise"], True, "one a channel"),
        (["pixels", "mean"], [0.0, 0.0], "expected a list of 3"),
        (["surplus"], 1, "missing or unknown"),
    ],
)
def test_hostile_table(path, value, message):
    with pytest.raises(tables.TableError, match=message):
        tables.from_json(changed(path, value))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regions": [[0, 0, 0]]}, "2 to 16 different colours, found 1"),
        ({"regions": [[0, 0, 0], [0, 0, 0]]}, "2 to 16 different colours, found 2"),
        ({"regions": [[n, 0, 0] for n in range(17)]}, "2 to 16 different colours, found 17"),
        ({"regions": [[0, 0, 0], [0, 256, 0]]}, r"regions\[1\]\[1\]: expected 0 to 255, found 256"),
        ({"regions": [[0, 0, 0], [0, 0]]}, "expected a list of 3"),
        ({"regions": "red"}, "expected a list of steps"),
        ({"noise": 65}, "noise: expected 0 to 64"),
        ({"pixels": None}, "missing or unknown"),
    ],
)
def test_hostile_doodle(changes, message):
    with pytest.raises(tables.TableError, match=message):
        tables.from_json(tables.to_json(DESIGNS["doodle"]) | changes)


def test_a_doodle_reads_its_regions_and_noise():
    shapes = networks.network_parameters(DESIGNS["doodle"])
    assert shapes["painter/contract1/kernel"] == (9, 9, 2 + 4, 32)


def test_deep_table():
    inner = {"type": "Residual", "steps": []}
    for _ in range(50):
        inner = {"type": "Residual", "steps": [inner]}
    with pytest.raises(tables.TableError, match="levels"):
        tables.from_json(changed(["steps"], [inner]))


def test_predictors_end_in_one_position():
    """A code of many positions would be no code."""
    network = networks.any_style()
    without = dataclasses.replace(network, predictor=network.predictor[:3])
    with pytest.raises(tables.TableError, match="one mean"):
        tables.check(without)
    larger = dataclasses.replace(network.predictor[-1], kernel=3)
    with pytest.raises(tables.TableError, match="1 × 1 behind the mean"):
        tables.check(dataclasses.replace(network, predictor=(*network.predictor[:-1], larger)))


def test_least_sides():
    """A 9 × 9 kernel reflects four positions of five; a map of 3 × 3 kernels needs two, a quarter as many as pixels."""
    assert least_side(networks.full_resolution().steps) == 5
    assert least_side(networks.any_style().steps) == 8


def test_residual_must_fit():
    table = networks.Transformer((Residual((Conv("a", 5, kernel=3),)),))
    with pytest.raises(tables.TableError, match="keeps channels"):
        tables.check(table)
