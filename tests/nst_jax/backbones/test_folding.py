"""Batch normalisation as a part of the convolution before it, against the definition, channel by channel."""

import dataclasses

import numpy as np
import pytest

from nst_jax.backbones import pretrained
from nst_jax.backbones.features import Features
from nst_jax.backbones.folding import fold
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import BatchNorm, Conv
from nst_jax.backbones.spec import INPUT, Backbone, parameter_shapes
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick

NORM = BatchNorm(1e-3)
CONVOLUTIONS = {
    "with a bias": Conv("a", INPUT, 6, kernel=3, padding=1, norm=NORM),
    "without a bias": Conv("a", INPUT, 6, kernel=3, padding=1, bias=False, norm=NORM),
    "without a scale": Conv("a", INPUT, 6, kernel=3, padding=1, bias=False, norm=BatchNorm(1e-3, scale=False)),
    "depthwise": Conv("a", INPUT, 3, kernel=3, padding=1, groups=3, bias=False, norm=NORM),
    "oblong, rectified": Conv("a", INPUT, 6, kernel=(1, 7), padding=(0, 3), relu="b", ceiling=6.0, norm=NORM),
}


def network(row: Conv) -> Backbone:
    return dataclasses.replace(BACKBONES["vgg19"], name="tiny", rows=(row,), head=())


def published(row: Conv) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    found = {
        name: random.normal(size=shape).astype(np.float32) for name, shape in parameter_shapes(network(row)).items()
    }
    return found | {name: np.abs(values) for name, values in found.items() if name.endswith("variance")}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_against_the_unfolded_network(kind):
    row = CONVOLUTIONS[kind]
    arrays = published(row)
    plain = dataclasses.replace(row, norm=None, relu=None, bias=True)
    bias = arrays.get("a/bias", np.zeros(row.features, np.float32))
    pixels = np.random.default_rng(1).uniform(size=(1, 9, 8, 3)).astype(np.float32)
    linear = Features(network(plain)).apply({"params": {"a/kernel": arrays["a/kernel"], "a/bias": bias}}, pixels)["a"]
    # Ioffe & Szegedy, algorithm 2, for each channel.
    expected = np.stack(
        [
            arrays.get("a/scale", np.ones(row.features))[k]
            * (np.float64(linear[..., k]) - arrays["a/mean"][k])
            / np.sqrt(np.float64(arrays["a/variance"][k]) + 1e-3)
            + arrays["a/shift"][k]
            for k in range(row.features)
        ],
        axis=-1,
    )
    found = Features(network(row)).apply({"params": fold(arrays, network(row))}, pixels)
    size = np.abs(expected).max()
    np.testing.assert_allclose(found["a/linear" if row.relu else "a"], expected, atol=1e-5 * size, rtol=0)
    if row.relu:
        np.testing.assert_allclose(found["b"], np.clip(expected, 0, 6), atol=1e-5 * size, rtol=0)


def test_what_is_not_normalised_stays_as_it_is():
    row = Conv("a", INPUT, 6, kernel=3)
    arrays = published(row)
    folded = fold(arrays, network(row))
    assert folded.keys() == arrays.keys()
    assert all(folded[name] is arrays[name] for name in arrays)


def test_a_silent_channel_is_its_shift():
    # A channel that never answered: variance and scale are next to nothing, as in the published MobileNet v2.
    row = CONVOLUTIONS["without a bias"]
    arrays = published(row)
    arrays["a/variance"][2], arrays["a/scale"][2], arrays["a/mean"][2] = 4e-36, 1e-30, 0
    folded = fold(arrays, network(row))
    assert np.abs(folded["a/kernel"][..., 2]).max() < 1e-27
    assert folded["a/bias"][2] == arrays["a/shift"][2]


@pytest.mark.parametrize(
    ("role", "value", "message"),
    [
        ("variance", -1e-3, r"a/variance: expected no number below 0, found -0.001"),
        ("scale", 3e38, "a: expected numbers of single precision behind its normalisation, found larger ones"),
    ],
)
def test_impossible_numbers(role, value, message, tmp_path):
    row = CONVOLUTIONS["without a bias"]
    arrays = published(row)
    arrays["a/variance"][3] = 0
    arrays[f"a/{role}"][3] = value
    with pytest.raises(UserError, match=message):
        fold(arrays, network(row))
    path = tmp_path / "tiny.safetensors"
    pretrained.write(path, arrays, network(row), {})
    with pytest.raises(UserError, match=rf"tiny.safetensors: {message}; convert or fetch it again"):
        pretrained.read(path, network(row))


def test_the_file_keeps_what_was_published(tmp_path):
    row = CONVOLUTIONS["without a bias"]
    arrays = published(row)
    path = tmp_path / "tiny.safetensors"
    pretrained.write(path, arrays, network(row), {})
    read = pretrained.read(path, network(row))
    folded = {name: values.shape for name, values in read.params["params"].items()}
    assert folded == {"a/kernel": (3, 3, 3, 6), "a/bias": (6,)}
