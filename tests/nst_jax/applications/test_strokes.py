"""Fine strokes in coarse forms: which layers, and what stays of either image."""

import dataclasses

import numpy as np
import pytest

from nst_jax.applications import strokes
from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError
from nst_jax.presets import PRESETS
from nst_jax.rendering.luminance import chroma, luminance
from nst_jax.settings import Settings


def test_the_layers_up_to_the_given_one_are_the_fine_image_s():
    vgg = BACKBONES["vgg19"]
    assert strokes.stroke_settings(vgg, Settings()).style_layers == ("relu1_1", "relu2_1")
    assert strokes.stroke_settings(vgg, Settings(), "relu3_2").style_layers == ("relu1_1", "relu2_1", "relu3_1")
    assert strokes.stroke_settings(vgg, PRESETS["gatys"], "relu2_1").style_layers == ("conv1_1", "conv2_1")  # the same
    squeezenet = strokes.stroke_settings(BACKBONES["squeezenet1_1"], PRESETS["squeezenet"])
    assert squeezenet.style_layers == ("conv1", "fire2/concat")
    assert squeezenet.content_layers == ()


def test_layer_weights_go_with_their_layers():
    weighted = Settings(style_layers=("relu4_1", "relu2_1", "relu1_1"), style_layer_weights=(4.0, 2.0, 1.0))
    settings = strokes.stroke_settings(BACKBONES["vgg19"], weighted)
    assert (settings.style_layers, settings.style_layer_weights) == (("relu2_1", "relu1_1"), (2.0, 1.0))
    assert strokes.stroke_settings(
        BACKBONES["vgg19"], dataclasses.replace(weighted, style_layer_weights=(3.0,))
    ).style_layer_weights == (3.0,)


def test_what_does_not_suit_is_said():
    with pytest.raises(UserError, match="unknown layer in fine_until of squeezenet1_1 'relu2_1'"):
        strokes.stroke_settings(BACKBONES["squeezenet1_1"], PRESETS["squeezenet"], "relu2_1")
    with pytest.raises(UserError, match="fine_until: expected a layer with a style layer at it or before it, found"):
        strokes.stroke_settings(BACKBONES["vgg19"], Settings(style_layers=("relu4_1",)))


def test_strokes_are_those_of_one_image_and_colours_those_of_the_other():
    random = np.random.default_rng(0)
    y, x = np.mgrid[:48, :64].astype(np.float32) / 64
    coarse = np.stack([0.3 + 0.4 * x, 0.5 + 0.2 * y, 0.6 - 0.3 * x], axis=-1)
    fine = random.uniform(0.2, 0.8, (40, 40, 3)).astype(np.float32)
    settings = Settings(**vars(PRESETS["squeezenet"]) | {"steps": 8, "shifts": 1})
    found = strokes.combine(coarse, fine, pretrained.load("squeezenet1_1"), settings=settings)
    assert found.shape == coarse.shape
    np.testing.assert_allclose(np.asarray(chroma(found)), np.asarray(chroma(coarse)), atol=1e-3)  # no gamut is near

    def roughness(image):
        return np.abs(np.diff(luminance(image)[..., 0], axis=1)).mean()

    assert roughness(found) > 5 * roughness(coarse)
    blurred = [luminance(image)[..., 0].reshape(6, 8, 8, 8).mean(axis=(1, 3)) for image in (coarse, found)]
    assert np.abs(blurred[0] - blurred[1]).max() < 0.05  # the forms are where they were
