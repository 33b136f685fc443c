"""Painting in one pass: the code of a style, blends of codes and their strength, and the picture.

    code = encode(network, params, style)
    picture = paint(network, params, content, code)

A style is a pytree of numbers, its code (see `networks.py`), and codes blend linearly. The strength of a style is a
blend with the content image's own code, with which a network gives back the content image as well as it can (Ghiasi et
al. 2017, section 4.4; Huang & Belongie 2017, equation 14, which for the moments of features is the same).
"""

from collections.abc import Sequence
from typing import Any, assert_never

import jax
import jax.numpy as jnp

from nst_jax.applications.feedforward.interpreter import Measure, Painter, own_moments
from nst_jax.applications.feedforward.networks import (
    ENCODER,
    PAINTER,
    PREDICTOR,
    Matched,
    Matching,
    Network,
    Output,
    Predicted,
    Transformer,
    network_stride,
    parts,
)
from nst_jax.applications.feedforward.steps import Step, layers
from nst_jax.backbones.features import preprocess

Code = Any
"""What stands for a style, a pytree of arrays; None for a network with a single style."""

Params = Any
"""Part → variables of `Painter`."""

_INITIAL_SIDE = 64

LEAST_SPREAD = 1e-5
"""What is added to variances and, relative to the largest, to eigenvalues of covariances."""


def initial(network: Network, key: jax.Array) -> Params:
    """Returns parameters from which a network is trained.

    Kernels are normal with a standard deviation of 0.01, as are the differences between styles (Magenta's numbers).

    Args:
        network: the network.
        key: a random key.
    """
    found = {}
    for part, (steps, channels) in parts(network).items():
        key, own = jax.random.split(key)
        maps = jnp.zeros((1, _INITIAL_SIDE, _INITIAL_SIDE, channels), jnp.float32)
        lengths = {layer.norm.code for layer, _ in layers(steps, channels) if layer.norm is not None}
        code = jnp.zeros((1, max(lengths, default=0)), jnp.float32)
        found[part] = jax.jit(Painter(steps).init)(own, maps, code)
    return found


def encode(network: Network, params: Params, image: jax.Array) -> Code:
    """Returns the code of a style image, or a content image's own.

    Args:
        network: one that sees style images.
        params: its parameters.
        image: `[H, W, 3]`, RGB in [0, 1]; that of a `Predicted` has its `side`.

    Raises:
        ValueError: the network has its styles in it, by number.
    """
    match network:
        case Predicted():
            seen = _apply(network.predictor, params[PREDICTOR], preprocess(image[None], network.pixels))
            return seen.reshape(-1)
        case Matched():
            return _statistics(network.matching, _encoded(network, params, image))
        case Transformer():
            raise ValueError("expected a network that sees style images, found one with its styles in it")
        case _:
            assert_never(network)


def paint(
    network: Network, params: Params, content: jax.Array, code: Code = None, measure: Measure = own_moments
) -> jax.Array:
    """Returns the picture.

    Args:
        network: the network.
        params: its parameters.
        content: `[H, W, 3]`, RGB in [0, 1].
        code: the style.
        measure: the moments that instance normalisations take, see `interpreter.Measure`.

    Returns:
        `[H, W, 3]`, RGB in [0, 1].
    """
    height, width, _ = content.shape
    whole = _to_multiples(content, network_stride(network))
    match network:
        case Matched():
            features = _encoded(network, params, whole)
            values = _matched(network.matching, features, code)[None]
            code = None
        case Transformer() | Predicted():
            values = preprocess(whole[None], network.pixels)
            code = None if code is None else code[None]
        case _:
            assert_never(network)
    values = _apply(network.steps, params[PAINTER], values, code, measure)
    return _pixels(values[0, :height, :width], network.output)


def blend(codes: Sequence[Code], weights: jax.Array) -> Code:
    """Returns the sum of codes with weights `[N]`, which should sum to 1."""
    return jax.tree.map(lambda *leaves: jnp.tensordot(weights, jnp.stack(leaves), axes=1), *codes)


def strengthen(own: Code, code: Code, strength: jax.Array | float) -> Code:
    """Returns the code between a content image's own, at strength 0, and that of a style, at 1."""
    return jax.tree.map(lambda from_, to: from_ + strength * (to - from_), own, code)


def _pixels(values: jax.Array, output: Output) -> jax.Array:
    return jnp.clip(values * output.scale + output.shift, 0.0, 1.0)


def _encoded(network: Matched, params: Params, image: jax.Array) -> jax.Array:
    return _apply(network.encoder, params[ENCODER], preprocess(image[None], network.pixels))[0]


def _apply(steps: tuple[Step, ...], variables: Any, maps: jax.Array, *further: Any) -> jax.Array:
    made: Any = Painter(steps).apply(variables, maps, *further)
    return made


def _statistics(matching: Matching, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns mean `[C]` and deviation `[C]`, or mean and the root of the covariance `[C, C]`."""
    flat = features.reshape(-1, features.shape[-1])
    mean = flat.mean(axis=0)
    centred = flat - mean[None]
    if matching == "moments":
        return mean, jnp.sqrt(jnp.square(centred).mean(axis=0) + LEAST_SPREAD)
    return mean, _power(_covariance(centred), 0.5)


def _covariance(centred: jax.Array) -> jax.Array:
    return jnp.dot(centred.T, centred, precision=jax.lax.Precision.HIGHEST) / centred.shape[0]


def _power(covariance: jax.Array, exponent: float) -> jax.Array:
    """Returns a power of a covariance within the directions in which there is any to speak of."""
    values, vectors = jnp.linalg.eigh(covariance)
    large = values > LEAST_SPREAD * values[-1]
    powers = jnp.where(large, jnp.where(large, values, 1.0) ** exponent, 0.0)
    return jnp.dot(vectors * powers[None], vectors.T, precision=jax.lax.Precision.HIGHEST)


def _matched(matching: Matching, features: jax.Array, code: Code) -> jax.Array:
    """Returns features `[H, W, C]` with the statistics of a code."""
    flat = features.reshape(-1, features.shape[-1])
    mean = flat.mean(axis=0)
    centred = flat - mean[None]
    to_mean, spread = code
    if matching == "moments":
        moved = centred / jnp.sqrt(jnp.square(centred).mean(axis=0) + LEAST_SPREAD)[None] * spread[None]
    else:
        map_ = jnp.dot(_power(_covariance(centred), -0.5), spread, precision=jax.lax.Precision.HIGHEST)
        moved = jnp.dot(centred, map_, precision=jax.lax.Precision.HIGHEST)
    return (moved + to_mean[None]).reshape(features.shape)


def _to_multiples(image: jax.Array, multiple: int) -> jax.Array:
    """Returns an image `[H, W, 3]` that is reflected at its lower and right border, up to multiples of a number."""
    pads = [(0, -length % multiple) for length in image.shape[:2]]
    return jnp.pad(image, (*pads, (0, 0)), mode="reflect") if any(after for _, after in pads) else image
