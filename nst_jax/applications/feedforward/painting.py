"""Painting in one pass: the code of a style, blends of codes and their strength, and the picture.

    code = encode(network, params, style)
    picture = paint(network, params, content, code)

A style is a pytree of numbers, its code (see `networks.py`), and codes blend linearly. The strength of a style is a
blend with the content image's own code, with which a network gives back the content image as well as it can (Ghiasi et
al. 2017, section 4.4; Huang & Belongie 2017, equation 14, which for the moments of features is the same).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.applications.feedforward.interpreter import (
    INITIAL_SPREAD,
    Measure,
    Moments,
    Painter,
    Regional,
    at_positions,
    own_moments,
    shares_of,
)
from nst_jax.applications.feedforward.networks import (
    ENCODER,
    PAINTER,
    PREDICTOR,
    Doodle,
    Matched,
    Matching,
    Network,
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


class Spread(NamedTuple):
    """Statistics of features over all positions of a picture.

    Attributes:
        mean: of each channel, `[C]`.
        variance: of each channel, `[C]`, or the covariance of all, `[C, C]`, as the network matches them.
    """

    mean: jax.Array
    variance: jax.Array


_INITIAL_SIDE = 64

LEAST_SPREAD = 1e-5
"""What is added to variances and, relative to the largest, to eigenvalues of covariances."""


def initial(network: Network, key: jax.Array) -> Params:
    """Returns parameters from which a network is trained.

    Kernels are normal with a standard deviation of 0.01, as are the differences between styles (Magenta's numbers).
    Nothing in a predictor is normalised, which elsewhere makes up for that: its kernels are those of He et al. 2015,
    with which a code is as large as what is seen.

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
    if PREDICTOR in found:
        found[PREDICTOR] = jax.tree.map(_as_large, found[PREDICTOR])
    return found


def _as_large(kernel: jax.Array) -> jax.Array:
    """Returns a kernel `[h, w, C, K]` of new numbers with a variance of 2 / (h w C); a bias stays as it is."""
    if kernel.ndim < 4:
        return kernel
    return kernel * np.float32(math.sqrt(2 / math.prod(kernel.shape[:3])) / INITIAL_SPREAD)


def encode(network: Network, params: Params, image: jax.Array, *, fast: bool = False) -> Code:
    """Returns the code of a style image, or a content image's own.

    Args:
        network: one that sees style images.
        params: its parameters.
        image: `[H, W, 3]`, RGB in [0, 1]; that of a `Predicted` has its `side`.
        fast: see `paint`.

    Raises:
        ValueError: the network has its styles in it, by number.
    """
    match network:
        case Predicted():
            seen = _apply(network.predictor, params[PREDICTOR], preprocess(image[None], network.pixels), fast=fast)
            return seen.reshape(-1)
        case Matched():
            return own_code(network, spread_of(network, encoded(network, params, image, fast=fast)))
        case Transformer() | Doodle():
            raise ValueError("expected a network that sees style images, found one with its styles in it")
        case _:
            assert_never(network)


def paint(
    network: Network,
    params: Params,
    content: jax.Array,
    code: Code = None,
    measure: Measure = own_moments,
    *,
    spread: Spread | None = None,
    strength: jax.Array | float | None = None,
    guides: jax.Array | None = None,
    fast: bool = False,
) -> jax.Array:
    """Returns the picture.

    Args:
        network: the network.
        params: its parameters.
        content: `[H, W, 3]`, RGB in [0, 1]; for a `Doodle` what `doodles.painted_from` returns.
        code: the style.
        measure: the moments that instance normalisations take, see `interpreter.Measure`.
        spread: what a `Matched` network takes for the statistics of the content's features; by default its own.
        strength: of the style of a `Matched` network, which knows the content's own code here; others' codes are
            strengthened before.
        guides: `[H, W, R]` in [0, 1], how much each pixel belongs to each region; then code and spread are those of
            regions, with a leading axis R.
        fast: whether the network is computed as CPUs do it fastest, see `interpreter.Painter`.

    Returns:
        `[H, W, 3]`, RGB in [0, 1].
    """
    picture = unclipped(
        network, params, content, code, measure, spread=spread, strength=strength, guides=guides, fast=fast
    )
    return jnp.clip(picture, 0.0, 1.0)


def unclipped(
    network: Network,
    params: Params,
    content: jax.Array,
    code: Code = None,
    measure: Measure = own_moments,
    *,
    spread: Spread | None = None,
    strength: jax.Array | float | None = None,
    guides: jax.Array | None = None,
    precision: jax.lax.Precision = jax.lax.Precision.HIGHEST,
    fast: bool = False,
) -> jax.Array:
    """Returns the picture before its values are cut to [0, 1], where training still has a gradient.

    Args:
        network: the network.
        params: its parameters.
        content: as above; in the type in which the network computes.
        code: as above.
        measure: as above.
        spread: as above.
        strength: as above.
        guides: as above.
        precision: precision of the products, on accelerators.
        fast: as above.
    """
    height, width, _ = content.shape
    whole = _to_multiples(content, network_stride(network))
    if guides is not None:
        guides = _to_multiples(guides, network_stride(network))
    match network:
        case Matched():
            features = encoded(network, params, whole, fast=fast)
            values = _restyled(network, features, code, spread, strength, guides)[None]
            code = None
        case Transformer() | Predicted():
            values = preprocess(whole[None], network.pixels).astype(content.dtype)
            if code is not None:
                code = code[None] if guides is None else Regional(code, guides)
        case Doodle():
            values = whole[None]
        case _:
            assert_never(network)
    painter: Any = Painter(network.steps, precision, fast)
    made = painter.apply(params[PAINTER], values, code, measure)
    return network.output.pixels(made[0, :height, :width])


def paint_within(
    network: Network,
    params: Params,
    content: jax.Array,
    shape: jax.Array,
    code: Code = None,
    *,
    strength: jax.Array | float | None = None,
    fast: bool = False,
) -> jax.Array:
    """Returns a picture of which only the upper left part is meant, so that one program serves pictures of many shapes.

    All statistics are those of the part. Beyond its lower and right border convolutions read what `content` has there,
    where they would reflect their own map: far from them the picture is that of `paint`.

    Args:
        network: the network.
        params: its parameters.
        content: `[H, W, 3]`, RGB in [0, 1], with sides that are multiples of the network's stride.
        shape: height and width of the part, whole numbers.
        code: the style.
        strength: as in `paint`.
        fast: as in `paint`.
    """
    multiple = network_stride(network)
    meant = -(-shape // multiple) * multiple  # `paint` extends a picture to multiples, which count there

    def inside(maps: jax.Array) -> jax.Array:
        """Returns which positions of a map `[N, H, W, C]` are meant, `[1, H, W, 1]`."""
        rows, columns = (_before(maps.shape[axis + 1], content.shape[axis], meant[axis]) for axis in (0, 1))
        return (rows[:, None] & columns[None, :])[None, :, :, None]

    def measure(name: str, maps: jax.Array) -> Moments:  # noqa: ARG001 - a `Measure`
        counts = inside(maps).astype(maps.dtype)
        number = counts.sum()
        mean = (maps * counts).sum(axis=(1, 2), keepdims=True) / number
        return Moments(mean, (jnp.square(maps - mean) * counts).sum(axis=(1, 2), keepdims=True) / number)

    spread = None
    if isinstance(network, Matched):
        features = encoded(network, params, content, fast=fast)
        spread = spread_of(network, features, inside(features[None])[0])
    return paint(network, params, content, code, measure, spread=spread, strength=strength, fast=fast)


def _before(length: int, pixels: int, meant: jax.Array) -> jax.Array:
    """Returns which of `length` positions, which share `pixels`, lie in the first `meant` of these, `[length]`."""
    common = math.gcd(length, pixels)  # so that no product exceeds an int32, however long a picture is
    return jnp.arange(length, dtype=jnp.int32) * (pixels // common) < meant * (length // common)


def blend(codes: Sequence[Code], weights: jax.Array) -> Code:
    """Returns the sum of codes with weights `[N]`, which should sum to 1."""
    return jax.tree.map(lambda *leaves: jnp.tensordot(weights, jnp.stack(leaves), axes=1), *codes)


def strengthen(own: Code, code: Code, strength: jax.Array | np.floating | float) -> Code:
    """Returns the code between a content image's own, at strength 0, and that of a style, at 1."""
    return jax.tree.map(lambda from_, to: from_ + strength * (to - from_), own, code)


def encoded(network: Matched, params: Params, image: jax.Array, *, fast: bool = False) -> jax.Array:
    """Returns the features of an image `[H, W, 3]`, `[h, w, C]`."""
    return _apply(network.encoder, params[ENCODER], preprocess(image[None], network.pixels), fast=fast)[0]


def _apply(steps: tuple[Step, ...], variables: Any, maps: jax.Array, *, fast: bool) -> jax.Array:
    made: Any = Painter(steps, fast=fast).apply(variables, maps)
    return made


def spread_of(network: Matched, features: jax.Array, inside: jax.Array | None = None) -> Spread:
    """Returns the statistics of features `[H, W, C]`, over positions as much as they are inside, `[H, W, 1]`."""
    flat = features.reshape(-1, features.shape[-1])
    counts = jnp.ones((1, 1), flat.dtype) if inside is None else inside.reshape(-1, 1).astype(flat.dtype)
    number = flat.shape[0] if inside is None else counts.sum()
    mean = (flat * counts).sum(axis=0) / number
    centred = flat - mean[None]
    if network.matching == "moments":
        return Spread(mean, (jnp.square(centred) * counts).sum(axis=0) / number)
    return Spread(mean, jnp.dot((centred * counts).T, centred, precision=jax.lax.Precision.HIGHEST) / number)


def own_code(network: Matched, spread: Spread) -> Code:
    """Returns the code of an image whose features have these statistics."""
    mean, variance = spread
    return mean, jnp.sqrt(variance + LEAST_SPREAD) if network.matching == "moments" else _power(variance, 0.5)


def _power(covariance: jax.Array, exponent: float) -> jax.Array:
    """Returns a power of a covariance within the directions in which there is any to speak of."""
    values, vectors = jnp.linalg.eigh(covariance)
    large = values > LEAST_SPREAD * values[-1]
    powers = jnp.where(large, jnp.where(large, values, 1.0) ** exponent, 0.0)
    return jnp.dot(vectors * powers[None], vectors.T, precision=jax.lax.Precision.HIGHEST)


def _restyled(
    network: Matched, features: jax.Array, code: Code, spread: Spread | None, strength: Any, guides: jax.Array | None
) -> jax.Array:
    """Returns features `[h, w, C]` with the statistics of a code, or in each region with those of its own."""

    def restyled(code: Code, spread: Spread | None, inside: jax.Array | None) -> jax.Array:
        spread = spread_of(network, features, inside) if spread is None else spread
        if strength is not None:
            code = strengthen(own_code(network, spread), code, strength)
        return _matched(network.matching, features, spread, code)

    if guides is None:
        return restyled(code, spread, None)
    belongs = at_positions(guides, *features.shape[:2])
    shares, total = shares_of(belongs), jnp.zeros_like(features)
    for region in range(guides.shape[-1]):
        one = slice(region, region + 1)
        its_code, its_spread = jax.tree.map(lambda of: of[region], (code, spread))  # noqa: B023 - called at once
        total = total + shares[..., one] * restyled(its_code, its_spread, belongs[..., one])
    return total


def _matched(matching: Matching, features: jax.Array, spread: Spread, code: Code) -> jax.Array:
    """Returns features `[H, W, C]` with the statistics of a code."""
    centred = features.reshape(-1, features.shape[-1]) - spread.mean[None]
    to_mean, to_spread = code
    if matching == "moments":
        moved = centred / jnp.sqrt(spread.variance + LEAST_SPREAD)[None] * to_spread[None]
    else:
        map_ = jnp.dot(_power(spread.variance, -0.5), to_spread, precision=jax.lax.Precision.HIGHEST)
        moved = jnp.dot(centred, map_, precision=jax.lax.Precision.HIGHEST)
    return (moved + to_mean[None]).reshape(features.shape)


def _to_multiples(image: jax.Array, multiple: int) -> jax.Array:
    """Returns an image `[H, W, 3]` that is reflected at its lower and right border, up to multiples of a number."""
    pads = [(0, -length % multiple) for length in image.shape[:2]]
    return jnp.pad(image, (*pads, (0, 0)), mode="reflect") if any(after for _, after in pads) else image
