"""ONNX graphs against Flax: in onnxruntime, where it is installed, else in the reference evaluator of ONNX itself."""

import importlib
import importlib.util
import json

import jax
import numpy as np
import pytest
import tiny

from nst_jax.applications.feedforward import networks, painting
from nst_jax.errors import UserError

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
onnx_graph = pytest.importorskip("experiments.exporting.onnx_graph")

SIZES = ((16, 24), (19, 17), (30, 22))
PAINT = jax.jit(painting.paint, static_argnums=0)


def session(model):
    if importlib.util.find_spec("onnxruntime") is None:  # which is no dependency
        return reference.ReferenceEvaluator(model)
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def planes(image):
    return image.transpose(2, 0, 1)[None]


def code_of(trained):
    network = trained.network
    if hasattr(network, "regions"):
        return None
    if hasattr(network, "styles"):
        return np.array([0.2, 0.5, 0.3], np.float32) if network.styles else None
    return painting.encode(network, trained.params, tiny.image(16, 16, seed=1))


@pytest.mark.parametrize("name", ["several styles", "one style", "predicted", "moments", "doodle"])
def test_pictures_are_those_of_flax(name):
    trained = tiny.trained(name)
    code = code_of(trained)
    feeds = onnx_graph.named(trained.network, code)
    opened, fixed = session(onnx_graph.painter(trained)), session(onnx_graph.painter(trained, feeds))
    for height, width in SIZES:
        content = tiny.image(height, width, channels=networks.input_channels(trained.network))
        expected = PAINT(trained.network, trained.params, content, code)
        assert expected.shape == (height, width, 3)
        assert np.std(expected) > 0.05  # neither grey nor cut to nothing
        for run, more in ((opened, feeds), (fixed, {})):
            (found,) = run.run(None, {"content": planes(content), **more})
            np.testing.assert_allclose(found, planes(np.asarray(expected)), atol=1e-4)
    still = onnx_graph.painter(trained, feeds, content.shape[:2])
    sides = [side.dim_value for side in still.graph.input[0].type.tensor_type.shape.dim]
    assert sides == list(planes(content).shape)
    np.testing.assert_allclose(session(still).run(None, {"content": planes(content)})[0], found, atol=1e-6)


@pytest.mark.parametrize("name", ["predicted", "moments"])
def test_styles_are_those_of_flax(name):
    trained = tiny.trained(name)
    coder = onnx_graph.coder(trained)
    style = tiny.image(16, 16, seed=1)
    expected = onnx_graph.named(trained.network, painting.encode(trained.network, trained.params, style))
    assert [output.name for output in coder.graph.output] == list(expected)
    for found, values in zip(session(coder).run(None, {"style": planes(style)}), expected.values(), strict=True):
        np.testing.assert_allclose(found, values, atol=1e-4, rtol=1e-5)


def test_interface():
    model = onnx_graph.painter(tiny.trained("several styles"))
    ends = {end.name: end.type.tensor_type for end in (*model.graph.input, *model.graph.output)}
    sides = {name: [side.dim_param or side.dim_value for side in end.shape.dim] for name, end in ends.items()}
    image = [1, 3, "height", "width"]
    assert sides == {"content": image, "weights": [3], "picture": image}
    facts = {fact.key: fact.value for fact in model.metadata_props}
    assert facts["licence"] == "CC0"
    assert json.loads(facts["styles"]) == ["dusk", "dawn", "noon"]
    with pytest.raises(UserError, match="its styles in it"):
        onnx_graph.coder(tiny.trained("several styles"))


def test_a_doodle_says_its_regions():
    facts = {fact.key: fact.value for fact in onnx_graph.painter(tiny.trained("doodle")).metadata_props}
    assert json.loads(facts["regions"]) == ["#000000", "#ff0000"]


def test_no_eigenvectors():
    with pytest.raises(UserError, match="--format=stablehlo"):
        onnx_graph.painter(tiny.trained("covariance"))
