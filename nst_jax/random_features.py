"""Features of signals, images and volumes without a trained network: random filters at several scales.

Ustyuzhaninov, Brendel, Gatys & Bethge, "Texture Synthesis Using Shallow Convolutional Networks with Random Filters",
arXiv:1606.00021, 2016: the Gram matrices of one layer of rectified random filters of several widths are enough for many
textures. Ulyanov & Lebedev, "Audio texture synthesis and style transfer", 2016, and Antognini, Hoffman & Weiss, "Audio
Texture Synthesis with Random Neural Networks", arXiv:1901.08125, 2019, do so for sound, over spectrograms; here the
signal itself is looked at. The widths are those of one width on a pyramid, each level half as long as the one before,
so that a wide filter costs no more than a narrow one.
"""

import math

import jax

from nst_jax import conv
from nst_jax.errors import UserError
from nst_jax.losses import relative_squared_error
from nst_jax.statistics import gram

Params = dict[str, dict[str, jax.Array]]
"""Layer → `kernel` `[size, ..., C, K]` and `bias` `[K]`."""

BIAS = 0.5
"""Of the filters, in units of their own response to white noise of the variance of a picture."""


def init(key: jax.Array, *, rank: int, channels: int, filters: int, size: int, scales: int) -> Params:
    """Returns the weights of a network: filters as He et al. draw them, arXiv:1502.01852, without their mean.

    Args:
        key: of the weights.
        rank: the number of spatial axes: 1 for signals, 2 for images, 3 for volumes.
        channels: of the input.
        filters: at each scale, K.
        size: of a filter along each axis.
        scales: each twice as wide as the one before.

    Returns:
        `scale1`, `scale2`, ... → kernel and bias.

    Raises:
        UserError: `rank` is not 1, 2 or 3.
    """
    if rank not in (1, 2, 3):
        raise UserError(f"rank: expected 1, 2 or 3 for signals, images or volumes, found {rank}")
    shape = (*(size,) * rank, channels, filters)
    deviation = math.sqrt(2 / math.prod(shape[:-1]))

    def layer(key: jax.Array) -> dict[str, jax.Array]:
        for_kernel, for_bias = jax.random.split(key)
        kernel = deviation * jax.random.normal(for_kernel, shape)
        return {"kernel": kernel, "bias": BIAS * jax.random.normal(for_bias, (filters,))}

    return {f"scale{index}": layer(key) for index, key in enumerate(jax.random.split(key, scales), start=1)}


def features(params: Params, signal: jax.Array) -> dict[str, jax.Array]:
    """Returns the rectified responses of the filters, at those positions alone where they see nothing but the signal.

    Args:
        params: of `init`.
        signal: `[T, C]`, `[H, W, C]` or `[D, H, W, C]`, in [0, 1].

    Returns:
        Layer → `[..., K]`, each at half as many positions along each axis as the one before.

    Raises:
        UserError: the signal has another rank or number of channels than the network, or is too small for it.
    """
    *size, channels, _ = params["scale1"]["kernel"].shape
    reach = size[0] * 2 ** (len(params) - 1)
    if signal.ndim != len(size) + 1 or signal.shape[-1] != channels or min(signal.shape[:-1]) < reach:
        expected = ", ".join([f"≥ {reach}"] * len(size) + [str(channels)])
        raise UserError(f"signal: expected the shape [{expected}], which these filters see, found {list(signal.shape)}")
    found = {}
    level = signal - 0.5
    for index, (name, layer) in enumerate(params.items()):
        level = _halve(level) if index else level
        found[name] = conv.rectify(conv.convolve(level[None], layer["kernel"])[0] + layer["bias"])
    return found


def grams(params: Params, signal: jax.Array) -> dict[str, jax.Array]:
    """Returns layer → Gram matrix `[K, K]` of a signal `[..., C]`: what `loss` compares signals with."""
    return {name: gram(values) for name, values in features(params, signal).items()}


def loss(params: Params, targets: dict[str, jax.Array], signal: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns how far the statistics of a signal are from the targets, the mean over layers, and each layer's by name.

    0 where they are equal, 1 as of a signal without any response; `optimize` brings it down.

    Args:
        params: of `init`.
        targets: layer → Gram matrix `[K, K]`, of `grams`.
        signal: `[..., C]`, of any length.
    """
    found = grams(params, signal)
    terms = {name: relative_squared_error(found[name], target) for name, target in targets.items()}
    return sum(terms.values()) / len(terms), terms


def _halve(signal: jax.Array) -> jax.Array:
    """Returns the averages of pairs along each spatial axis; an odd last position is left out."""
    for axis in range(signal.ndim - 1):
        pairs = signal.shape[axis] // 2
        even, odd = (jax.lax.slice_in_dim(signal, start, 2 * pairs, 2, axis) for start in (0, 1))
        signal = (even + odd) / 2
    return signal
