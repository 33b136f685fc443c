"""Smoothed activations against NumPy, and where a transfer has them."""

import dataclasses

import jax
import numpy as np
import pytest

import nst_jax
from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.registry import BACKBONES
from nst_jax.checks import check_canvas
from nst_jax.errors import UserError
from nst_jax.presets import PRESETS
from nst_jax.smoothing import smoothed

pytestmark = pytest.mark.quick

SETTINGS = dataclasses.replace(
    PRESETS["squeezenet"],
    content_layers=("fire2/concat",),
    style_layers=("conv1",),
    style_loss="gram_error",
    content_loss="mean_squared_error",
    antialias=False,
    shifts=1,
    margin=0,
    tv_weight=0.0,
    smoothing="softmax",
)


def picture(seed):
    return np.random.default_rng(seed).uniform(size=(24, 32, 3)).astype(np.float32)


def softmax(features):
    """Over all of a map, with a mean of 1; Wang, Li & Vasconcelos 2021, equation 9, times the number of activations."""
    powers = np.exp(features.astype(np.float64) - features.max())
    return powers / powers.mean()


def test_against_numpy():
    features = np.random.default_rng(0).normal(scale=20, size=(5, 7, 3)).astype(np.float32)
    np.testing.assert_allclose(smoothed(features, "softmax"), softmax(features), rtol=1e-4)
    assert smoothed(features, "none") is features
    np.testing.assert_allclose(smoothed(features + 1000, "softmax"), softmax(features), rtol=1e-3)  # no overflow


def test_content_and_style_are_compared_smoothed():
    network = pretrained.load("squeezenet1_1")
    read = Features(network.backbone, SETTINGS.pooling, SETTINGS.padding).apply
    content, style, canvas = (
        {layer: softmax(np.asarray(read(network.params, picture(seed))[layer])) for layer in ("conv1", "fire2/concat")}
        for seed in range(3)
    )
    problem = nst_jax.prepare(network, SETTINGS, picture(0), picture(1))
    _, terms = jax.jit(lambda of: of.loss(picture(2), 0))(problem)

    def gram(features):
        rows = features["conv1"].reshape(-1, 64)
        return rows.T @ rows

    positions = canvas["conv1"][..., 0].size
    style_error = np.square(gram(canvas) - gram(style)).sum() / (4 * 64**2 * positions**2)
    content_error = np.square(canvas["fire2/concat"] - content["fire2/concat"]).mean()
    np.testing.assert_allclose(terms["style"], style_error, rtol=1e-3)
    np.testing.assert_allclose(terms["content"], content_error, rtol=1e-3)


def test_a_softmax_sees_the_whole_picture():
    with pytest.raises(UserError, match="expected off with smoothing softmax, which sees the whole of a layer"):
        check_canvas(BACKBONES["squeezenet1_1"], dataclasses.replace(SETTINGS, tile=64), 96, 96)
