"""DeepDream on the embedded network."""

import dataclasses

import jax
import numpy as np
import pytest
from runs import finish

from nst_jax import transfer
from nst_jax.applications import dream
from nst_jax.backbones import pretrained
from nst_jax.configuration import make_config
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.presets import PRESETS
from nst_jax.terms import ACTIVATION

LAYER = "fire3/concat"


@pytest.fixture(scope="module")
def network():
    return pretrained.load("squeezenet1_1")


def settings(**changes):
    options = dream.dream_settings("squeezenet1_1", guided=changes.get("dream_objective") == "guided")
    return dataclasses.replace(options, **{"dream_layers": (LAYER,), "jitter": 4, "steps": 4, **changes})


def picture(seed, shape):
    coarse = np.random.default_rng(seed).uniform(0.2, 0.8, size=(8, 8, 3))
    return np.float32(np.kron(coarse, np.ones((-(-shape[0] // 8), -(-shape[1] // 8), 1)))[: shape[0], : shape[1]])


def test_octaves_grow_to_the_size_of_the_picture():
    assert dream.octave_shapes((100, 200, 3), count=3, scale=2, least=1) == [(25, 50), (50, 100), (100, 200)]
    assert dream.octave_shapes((99, 7), count=1, scale=1.4, least=1) == [(99, 7)]


def test_octaves_by_default_fit_the_picture(network):
    assert dream.octave_shapes((100, 200, 3), count=None, scale=2, least=32) == [(50, 100), (100, 200)]
    assert dream.octave_shapes((20, 20, 3), count=None, scale=2, least=32) == [(20, 20)]
    octaves = dream.dream(network, settings(steps=0), picture(0, (40, 40)))
    assert [octave.picture.shape for octave in octaves] == [(40, 40, 3)]


def test_a_dream_makes_its_layer_more_active_and_keeps_the_picture(network):
    content = picture(0, (56, 72))
    options = settings(steps=8)
    octaves = list(dream.dream(network, options, content, octaves=2, scale=1.5))
    assert [octave.picture.shape for octave in octaves] == [(37, 48, 3), (56, 72, 3)]
    dreamt = octaves[-1].picture
    assert 0 <= dreamt.min() <= dreamt.max() <= 1
    assert 0.005 < np.abs(dreamt - content).mean() < 0.2
    before, after = (np.mean(np.square(activations(network, options, image))) for image in (content, dreamt))
    assert after > 1.5 * before


def activations(network, options, image):
    objective = make_config(network.backbone, options).objective
    return objective.statistics(network.params, image, ACTIVATION, (LAYER,))[LAYER]


def ascend(problem, options, content):
    last, history = finish(problem, content, steps=options.steps)
    return np.asarray(last.result), history


def test_a_step_is_that_of_the_notebook(network):
    """x += rate · g / mean |g|, with g the derivative of ½ Σ F²: the activations as the gradient at their own layer."""
    content = picture(1, (40, 40))
    options = settings(steps=1, jitter=0, dream_objective="deepdream")
    dreamt, _ = ascend(dream.prepare(network, options, content.shape), options, content)
    features, pull = jax.vjp(lambda image: activations(network, options, image), content)
    (gradient,) = pull(features)
    expected = np.clip(content + 1.5 / 255 * gradient / np.abs(gradient).mean(), 0, 1)
    np.testing.assert_allclose(dreamt, expected, atol=2e-4)


def test_a_guided_dream_comes_nearer_to_its_guide(network):
    content, guide = picture(2, (40, 48)), picture(3, (48, 40))
    options = settings(dream_objective="guided")
    _, history = ascend(dream.prepare(network, options, content.shape, guide=guide), options, content)
    response = history.terms["activation"]
    assert response[-1] > 1.1 * response[0]
    with pytest.raises(UserError, match="expected guided with a guide"):
        dream.prepare(network, options, content.shape)


def test_octaves_are_stages_that_carry_their_detail(network):
    """A dream of two octaves is two dreams of one, the second over the first one's detail."""
    content, options = picture(4, (48, 64)), settings(steps=2)
    small, large = dream.dream(network, options, content, octaves=2, scale=1.5, seed=3)
    base = images.resize(content, (32, 43))
    first, _ = ascend(dream.prepare(network, options, base.shape, seed=3), options, base)
    np.testing.assert_array_equal(small.picture, first)
    begin = np.clip(content + images.resize(first - base, (48, 64)), 0, 1)
    second, _ = ascend(dream.prepare(network, options, begin.shape, seed=4), options, begin)
    np.testing.assert_array_equal(large.picture, second)


def test_channels_and_jitter_count(network):
    content = picture(4, (40, 40))
    pictures = [
        ascend(dream.prepare(network, options, content.shape, seed=seed), options, content)[0]
        for options, seed in [(settings(), 0), (settings(), 1), (settings(dream_channels=(5,)), 0), (settings(), 0)]
    ]
    np.testing.assert_array_equal(pictures[0], pictures[3])
    assert all(np.abs(pictures[0] - other).mean() > 1e-3 for other in pictures[1:3])


def test_a_zoom_enlarges_the_middle():
    image = picture(5, (32, 48))
    assert dream.zoom(image, 1.0) == pytest.approx(image, abs=1e-5)
    enlarged = dream.zoom(image, 2.0)
    np.testing.assert_allclose(enlarged[4:-4:2, 4:-4:2][:12, :20], image[10:22, 14:34], atol=0.25)
    assert np.abs(enlarged[4:-4:2, 4:-4:2][:12, :20] - image[10:22, 14:34]).mean() < 0.03


def test_octaves_too_small_for_the_layer_are_refused(network):
    with pytest.raises(UserError, match="dream layer fire8/concat: nothing is left"):
        list(dream.dream(network, settings(dream_layers=("fire8/concat",)), picture(6, (24, 24)), octaves=6, scale=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dream_layers": ("fire3/concat",)}, "dream_layers: expected layers that neither content nor style uses"),
        ({"dream_layers": ("relu_conv1",)}, "found relu_conv1; choose from"),
        ({"dream_layers": ("fire33",)}, "unknown dream layer of squeezenet1_1 'fire33'"),
        ({"dream_layers": ("fire9/concat",), "dream_channels": (512,)}, "channel of fire9/concat: expected 0 to 511"),
    ],
)
def test_dreams_inside_style_transfer_refuse_what_they_cannot(changes, message, network):
    options = dataclasses.replace(PRESETS["squeezenet"], margin=0, **changes)
    with pytest.raises(UserError, match=message):
        transfer.prepare(network, options, picture(0, (48, 48)), picture(1, (48, 48)))


def test_dreams_inside_style_transfer(network):
    """The dream weighs against the rest: with it the layer is more active at the end, without it the loss is lower."""
    options = dataclasses.replace(
        PRESETS["squeezenet"],
        margin=0,
        content_layers=("fire2/concat",),
        style_layers=("conv1",),
        optimizer="adam",
        learning_rate=0.02,
        shifts=1,  # which move noise by as much as what is amplified
        steps=8,
        dream_layers=("fire4/concat",),
    )
    content, style = picture(0, (48, 48)), picture(1, (48, 48))
    found = {}
    for weight in (0.0, 2.0):
        changed = dataclasses.replace(options, dream_weight=weight)
        problem = transfer.prepare(network, changed, content, style)
        _, history = finish(problem, content, steps=options.steps)
        found[weight] = history.terms
        total = sum(
            factor * history.terms[name][-1]
            for name, factor in [
                *(("content", options.content_weight), ("style", options.style_weight)),
                *(("total_variation", options.tv_weight), ("activation", -weight)),
            ]
        )
        assert history.loss[-1] == pytest.approx(total, rel=1e-4)
    assert found[2.0]["activation"][-1] > found[0.0]["activation"][-1] + 0.1
    problem = transfer.prepare(
        network, dataclasses.replace(options, dream_layers=("conv1",), dream_anywhere=True), content, style
    )
    assert set(problem.targets[ACTIVATION]) == {"conv1"}
