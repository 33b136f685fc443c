"""Textures without a trained network: random filters at several scales, for signals, images and volumes.

Ustyuzhaninov, Brendel, Gatys & Bethge, "Texture Synthesis Using Shallow Convolutional Networks with Random Filters",
arXiv:1606.00021, 2016: the Gram matrices of one layer of rectified random filters of several widths are enough for many
textures. Ulyanov & Lebedev, "Audio texture synthesis and style transfer", 2016, and Antognini, Hoffman & Weiss, "Audio
Texture Synthesis with Random Neural Networks", arXiv:1901.08125, 2019, do so for sound, over spectrograms; here the
filters see the signal itself. The widths are those of one filter on a pyramid whose levels halve in length, so that a
wide filter costs no more than a narrow one.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from nst_jax import optimize
from nst_jax.errors import UserError
from nst_jax.lbfgs import lbfgs
from nst_jax.losses import relative_squared_error
from nst_jax.ops import conv
from nst_jax.statistics import gram
from nst_jax.surroundings import per_channel

BIAS = 0.5
"""Standard deviation of the biases, which give each filter its own threshold, so that its rectified response shows more
than a sign. Responses to white noise of variance 1 have standard deviation √2."""

_NEXT_TO_NOTHING = 1e-6


class Layer(NamedTuple):
    """Filters at one scale.

    Attributes:
        kernel: `[size, ..., C, K]`.
        bias: `[K]`.
    """

    kernel: jax.Array
    bias: jax.Array


Params = tuple[Layer, ...]
"""The finest scale first."""


class Texture(NamedTuple):
    """The texture of a signal.

    Attributes:
        mean: mean of each channel, `[C]`.
        deviation: standard deviation from the mean, over all channels.
        grams: scale → Gram matrix `[K, K]` of the standardised signal.
    """

    mean: jax.Array
    deviation: jax.Array
    grams: dict[str, jax.Array]


def init(key: jax.Array, *, rank: int, channels: int, filters: int, size: int, scales: int) -> Params:
    """Returns random weights of a network (He et al., arXiv:1502.01852, but with biases).

    Args:
        key: random key.
        rank: number of spatial axes: 1 for signals, 2 for images, 3 for volumes.
        channels: number of channels of the input.
        filters: number of filters at each scale, K.
        size: length of a filter along each axis.
        scales: number of scales, each twice as wide as the one before.

    Raises:
        UserError: `rank` is not 1, 2 or 3.
    """
    if rank not in (1, 2, 3):
        raise UserError(f"rank: expected 1, 2 or 3 for signals, images or volumes, found {rank}")
    shape = (*(size,) * rank, channels, filters)
    deviation = math.sqrt(2 / math.prod(shape[:-1]))

    def layer(key: jax.Array) -> Layer:
        for_kernel, for_bias = jax.random.split(key)
        kernel = deviation * jax.random.normal(for_kernel, shape, jnp.float32)
        return Layer(kernel, BIAS * jax.random.normal(for_bias, (filters,), jnp.float32))

    return tuple(layer(key) for key in jax.random.split(key, scales))


def features(params: Params, signal: jax.Array, *, periodic: bool = False) -> dict[str, jax.Array]:
    """Returns the rectified responses of the filters.

    Args:
        params: result of `init`.
        signal: `[T, C]`, `[H, W, C]` or `[D, H, W, C]`, of mean about 0 and variance about 1.
        periodic: whether the signal repeats; else filters stay within it.

    Returns:
        `scale1`, `scale2`, ... → `[..., K]`, each at half as many positions along each axis as the one before.

    Raises:
        UserError: the signal has another rank or number of channels than the network, or is too small for it.
    """
    *size, channels, _ = params[0].kernel.shape
    reach = size[0] * 2 ** (len(params) - 1)
    if signal.ndim != len(size) + 1 or signal.shape[-1] != channels or min(signal.shape[:-1]) < reach:
        expected = ", ".join([f"≥ {reach}"] * len(size) + [str(channels)])
        raise UserError(f"signal: expected the shape [{expected}], which these filters see, found {list(signal.shape)}")
    overlap = [(0, length - 1) for length in size] if periodic else [(0, 0)] * len(size)
    found = {}
    for index, (kernel, bias) in enumerate(params):
        signal = _halve(signal) if index else signal
        seen = jnp.pad(signal, (*overlap, (0, 0)), mode="wrap")
        found[f"scale{index + 1}"] = conv.rectify(conv.convolve(seen[None], kernel)[0] + per_channel(bias, seen.ndim))
    return found


def describe(params: Params, signal: jax.Array) -> Texture:
    """Returns the texture of a signal `[..., C]`, in any unit."""
    mean = signal.mean(axis=tuple(range(signal.ndim - 1)))
    centred = signal - per_channel(mean, signal.ndim)
    deviation = jnp.maximum(centred.std(), _NEXT_TO_NOTHING)  # a constant signal has a texture too
    return Texture(mean, deviation, _grams(params, centred / deviation))


def loss(params: Params, texture: Texture, signal: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the mean over scales of the relative errors of a signal against a texture, and these errors by name.

    The signal counts as periodic, so that its ends are not special and the result can be repeated.

    Args:
        params: result of `init`.
        texture: target, a result of `describe`.
        signal: `[..., C]`, in the unit of the texture's signal, of any size.
    """
    found = _grams(params, (signal - per_channel(texture.mean, signal.ndim)) / texture.deviation, periodic=True)
    terms = {name: relative_squared_error(found[name], target) for name, target in texture.grams.items()}
    return sum(terms.values(), start=jnp.zeros((), jnp.float32)) / len(terms), terms


class TextureSynthesis(struct.PyTreeNode):
    """The problem of changing a signal `[..., C]` with values in [0, 1] until it has a texture.

    Attributes:
        params: result of `init`.
        texture: the target.
        shape: shape of the signal.
    """

    params: Params
    texture: Texture
    shape: tuple[int, ...] = struct.field(pytree_node=False)

    axes = None
    """Stacked problems share all arrays."""

    def init(self, signal: jax.Array) -> optimize.State:
        """Returns the state of a signal, which the first step evaluates."""
        return _SOLVER.init(self.evaluate, signal)

    def step(self, state: optimize.State) -> tuple[optimize.State, optimize.Info]:
        """Returns the state after one step, and the loss found in it."""
        return _SOLVER.step(self.evaluate, state)

    def result(self, state: optimize.State) -> jax.Array:
        """Returns the signal."""
        return state.variables

    def evaluate(self, signal: jax.Array, _: jax.Array) -> optimize.Evaluation:
        """Returns the `loss` of a signal and its gradient."""
        (value, terms), gradient = jax.value_and_grad(loss, argnums=2, has_aux=True)(self.params, self.texture, signal)
        return optimize.Evaluation(signal, value, terms, gradient)

    @property
    def start_shape(self) -> jax.ShapeDtypeStruct:
        """The shape of the signal."""
        return jax.ShapeDtypeStruct(self.shape, jnp.float32)


_SOLVER = lbfgs(1.0, bounds=(0.0, 1.0))


def _grams(params: Params, signal: jax.Array, *, periodic: bool = False) -> dict[str, jax.Array]:
    return {name: gram(values) for name, values in features(params, signal, periodic=periodic).items()}


def _halve(signal: jax.Array) -> jax.Array:
    """Returns the averages of pairs along each spatial axis, without an odd last position."""
    for axis in range(signal.ndim - 1):
        pairs = signal.shape[axis] // 2
        even, odd = (jax.lax.slice_in_dim(signal, start, 2 * pairs, 2, axis) for start in (0, 1))
        signal = (even + odd) / 2
    return signal
