"""Networks of every kind with every type of step, small enough to be computed in no time."""

import numpy as np

from nst_jax.applications.feedforward import networks
from nst_jax.applications.feedforward.networks import (
    Doodle,
    Matched,
    Output,
    Predicted,
    Transformer,
    network_parameters,
)
from nst_jax.applications.feedforward.steps import Conv, MaxPool, Mean, Norm, Residual, Transposed
from nst_jax.applications.feedforward.trained import Trained, grouped
from nst_jax.backbones.spec import CONVENTIONS

_ENCODER = (Conv("a", 4, kernel=3, bias=True), MaxPool(), Conv("b", 5, kernel=3, bias=True))
_DECODER = (Conv("c", 3, kernel=3, enlarge=2, bias=True, activation=None),)

NETWORKS = {
    "several styles": networks.pastiche(3, contract=(4, 4, 4), residuals=1, expand=(4, 4)),
    "one style": Transformer(
        (
            Conv("a", 4, kernel=5, border="same", norm=Norm(epsilon=1e-3)),
            Conv("b", 6, kernel=3, stride=2, border="same", norm=Norm("batch")),
            Conv("c", 6, kernel=3, stride=2, border="zeros", bias=True),
            Transposed("d", 5, kernel=3, stride=2, border="same", norm=Norm()),
            Transposed("e", 4, kernel=2, stride=2, bias=True),
            Conv("f", 3, kernel=1, activation="tanh"),
        ),
        pixels=networks.BYTES,
        output=Output(scale=150 / 255, shift=0.5),
    ),
    "predicted": Predicted(
        (
            Conv("a", 4, kernel=3, stride=2, border="same", bias=True, activation="relu6"),
            Residual((Conv("b", 4, kernel=3, border="same", bias=True, depthwise=True, activation="relu6"),)),
            Mean(),
            Conv("c", 5, kernel=1, bias=True, activation=None),
        ),
        (
            Conv("a", 4, kernel=3, stride=2, bias=True),
            Residual((Conv("b", 4, kernel=3, norm=Norm(code=5, offset=True), activation=None),)),
            Conv("c", 3, kernel=3, enlarge=2, norm=Norm(code=5, offset=True), activation="sigmoid"),
        ),
        side=16,
    ),
    "moments": Matched(_ENCODER, _DECODER, "moments", CONVENTIONS["caffe"], Output(scale=0.01, shift=0.4)),
    "doodle": Doodle(
        (
            Conv("a", 4, kernel=3, stride=2, norm=Norm()),
            Conv("b", 3, kernel=3, enlarge=2, bias=True, activation="sigmoid"),
        ),
        ((0, 0, 0), (255, 0, 0)),
        noise=2,
    ),
    "covariance": Matched(_ENCODER, _DECODER, "covariance", CONVENTIONS["caffe"], Output(scale=0.01, shift=0.4)),
}


def tensors(network):
    """Returns random weights by name, of a size that keeps activations within bounds."""
    random = np.random.default_rng(0)
    found = {}
    for name, shape in network_parameters(network).items():
        spread = np.float32(np.prod(shape[:-1]) ** -0.5 if name.endswith("kernel") else 0.3)
        found[name] = np.float32(name.endswith("scale")) + spread * random.standard_normal(shape, np.float32)
        if name.endswith("variance"):
            found[name] = np.abs(found[name]) + 0.1
    return found


def trained(name):
    network = NETWORKS[name]
    styles = ("dusk", "dawn", "noon")[: getattr(network, "styles", 0)]
    return Trained(network, grouped(tensors(network), network), styles, "0" * 64, {"licence": "CC0"})


def image(height, width, seed=0, channels=3):
    """Returns an image of soft noise, RGB in [0, 1]."""
    noise = np.random.default_rng(seed).uniform(size=(height + 2, width + 2, channels)).astype(np.float32)
    return sum(noise[y : y + height, x : x + width] for y in range(3) for x in range(3)) / 9
