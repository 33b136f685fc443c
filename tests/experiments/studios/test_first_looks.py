"""Which networks may paint the first look, and that they do."""

import numpy as np
import pytest

from experiments.studios import first_looks, preview
from nst_jax.applications.feedforward import networks, trained
from nst_jax.applications.feedforward.networks import Matched, Predicted, Transformer, network_parameters
from nst_jax.applications.feedforward.steps import Conv, Mean, Norm


def last(norm=None):
    return Conv("last", 3, kernel=3, bias=norm is None, norm=norm, activation="sigmoid")


NETWORKS = {
    "sees": Predicted((Conv("see", 2, kernel=3, stride=2, bias=True), Mean()), (last(Norm(code=2)),), side=16),
    "three": Transformer((last(Norm(code=3)),), styles=3),
    "alone": Transformer((last(),)),
    "matches": Matched((Conv("in", 4, kernel=1, bias=True),), (last(),), "moments", networks.UNIT),
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Has these networks installed, with a file that is damaged."""
    random = np.random.default_rng(0)
    for name, network in NETWORKS.items():
        shapes = network_parameters(network)
        numbers = {key: random.standard_normal(shape, np.float32) for key, shape in shapes.items()}
        styles = ("calm", "loud", "odd") if name == "three" else ()
        trained.write(tmp_path / f"{name}.safetensors", numbers, network, styles=styles, record={})
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path))
    preview._network.cache_clear()
    yield
    preview._network.cache_clear()


def test_networks_that_see_paintings_or_were_trained_for_one_suit(installed):
    assert first_looks.names() == ["any_style", "alone", "matches", "sees"]


@pytest.mark.parametrize("name", ["alone", "sees"])
def test_each_paints(installed, pictures, name):
    """One that sees paintings paints another picture after another one; one with a style of its own the same."""
    after = [
        preview.paint(pictures / "photo.png", [pictures / f"{style}.png"], size=64, network=name)
        for style in ("first", "second")
    ]
    assert after[0].shape == (48, 64, 3)
    assert np.array_equal(*after) == (name == "alone")
