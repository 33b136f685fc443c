"""Convolution, and the choice of its algorithm.

Channels are last everywhere: images are `[N, H, W, C]`; `convolve` also takes signals `[N, T, C]` and volumes.

| where | kernel | algorithm |
|---|---|---|
| CPU | 3×3, stride 1, at least `WINOGRAD_CHANNELS` channels in and out | Winograd's, if the kernel was prepared |
| else | any | XLA's |

Milliseconds of one convolution on two cores (Zen 4, AVX-512, jax 0.10.2), direct and by Winograd's:

| positions | channels | direct | Winograd |
|---|---|---|---|
| 256 × 256 | 64 → 64 | 24.4 | 19.0 |
| 128 × 128 | 64 → 128 | 12.1 | 5.4 |
| 128 × 128 | 128 → 128 | 23.8 | 11.0 |
| 64 × 64 | 256 → 256 | 24.5 | 9.1 |
| 32 × 32 | 512 → 512 | 25.6 | 10.5 |
| 512 × 512 | 64 → 64 | 107 | 90 |
| 256 × 256 | 128 → 128 | 112 | 64 |
| 128 × 128 | 256 → 256 | 95 | 50 |

Tried without gain: F(6×6, 3×3) (a fifth fewer products, in matrices that XLA multiplies at a lower rate), groups of
frequencies, strips of fewer than 40 MB, strips in a loop, Winograd's for 3 channels.
"""

import functools

import jax
import jax.numpy as jnp

from nst_jax.ops import circular_padding, winograd
from nst_jax.surroundings import per_channel
from nst_jax.vocabulary import Padding

WINOGRAD_CHANNELS = 32

_PAD_MODE: dict[Padding, str] = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}


def prepare(kernel: jax.Array, *, stride: int) -> winograd.Kernels | None:
    """Returns constants that speed up convolutions with a kernel `[size, size, C, K]`; None if there are none."""
    size, _, *channels = kernel.shape
    if jax.default_backend() == "cpu" and (size, stride) == (3, 1) and min(channels) >= WINOGRAD_CHANNELS:
        return winograd.transform(kernel)
    return None


def conv2d(
    images: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *,
    stride: int,
    padding: int,
    mode: Padding,
    precision: jax.lax.Precision = jax.lax.Precision.HIGHEST,
    prepared: winograd.Kernels | None = None,
) -> jax.Array:
    """Returns the cross-correlation of `images` with `kernel`, plus `bias`.

    Args:
        images: `[N, H, W, C]`.
        kernel: `[size, size, C, K]`.
        bias: `[K]`.
        stride: distance between output positions.
        padding: positions added on each side; with `circular`, above and to the left, and enough for a whole period
            below and to the right.
        mode: kind of padding; `replicate_first` is none of a single convolution.
        precision: precision of the products, on accelerators.
        prepared: result of `prepare` for the kernel; without derivative by the kernel.

    Returns:
        `[N, H', W', K]`.
    """
    if mode == circular_padding.CIRCULAR:
        images, padding = circular_padding.wrap(images, size=kernel.shape[0], stride=stride, before=padding), 0
    elif padding and mode != "zeros":
        pads = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
        images, padding = jnp.pad(images, pads, mode=_PAD_MODE[mode]), 0
    if prepared is not None:
        maps = winograd.convolve(images, prepared, padding)
    else:
        maps = convolve(images, kernel, stride, padding, precision)
    return maps + per_channel(bias, maps.ndim)


def _correlate(
    images: jax.Array, kernel: jax.Array, stride: int, padding: int, precision: jax.lax.Precision
) -> jax.Array:
    rank = kernel.ndim - 2
    spatial = "DHW"[-rank:]
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (stride,) * rank,
        ((padding, padding),) * rank,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        precision=precision,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def convolve(
    images: jax.Array,
    kernel: jax.Array,
    stride: int = 1,
    padding: int = 0,
    precision: jax.lax.Precision = jax.lax.Precision.HIGHEST,
) -> jax.Array:
    """Returns the cross-correlation of signals, images or volumes with a kernel; its derivative is fast in `lax.scan`.

    JAX's own derivative swaps the kernel's channels by dimension numbers. In a loop XLA's CPU compiler does not
    normalise these and falls back on a generic convolution, 2.6 times slower for a whole VGG-19 step (jax 0.10). A
    kernel that is really flipped, behind a barrier so that the compiler does not undo it, takes the fast path; XLA
    moves the flip, which is invariant, out of the loop.

    Args:
        images: `[N, ..., C]` with one to three spatial axes.
        kernel: `[..., C, K]` with as many.
        stride: distance between output positions.
        padding: zeros added on each side.
        precision: precision of the products, on accelerators.

    Returns:
        `[N, ..., K]`.
    """
    return _correlate(images, kernel, stride, padding, precision)


def _convolve_forward(
    images: jax.Array, kernel: jax.Array, stride: int, padding: int, precision: jax.lax.Precision
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _correlate(images, kernel, stride, padding, precision), (images, kernel)


def _convolve_backward(
    stride: int,
    padding: int,
    precision: jax.lax.Precision,
    saved: tuple[jax.Array, jax.Array],
    cotangent: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved
    size = kernel.shape[0]
    if stride == 1:
        turned = jax.lax.optimization_barrier(jnp.flip(kernel, tuple(range(kernel.ndim - 2))).swapaxes(-2, -1))
        to_images = _correlate(cotangent, turned, 1, size - 1 - padding, precision)
    else:
        (to_images,) = jax.linear_transpose(lambda x: _correlate(x, kernel, stride, padding, precision), images)(
            cotangent
        )
    (to_kernel,) = jax.linear_transpose(lambda k: _correlate(images, k, stride, padding, precision), kernel)(cotangent)
    return to_images, to_kernel


convolve.defvjp(_convolve_forward, _convolve_backward)


@jax.custom_vjp
def rectify(linear: jax.Array) -> jax.Array:
    """Returns the maximum of 0 and each value; its derivative stores one byte per value, where XLA's stores four."""
    return jnp.maximum(linear, 0)


def _rectify_forward(linear: jax.Array) -> tuple[jax.Array, jax.Array]:
    return rectify(linear), jax.lax.optimization_barrier(linear > 0)


def _rectify_backward(positive: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    return (jnp.where(positive, cotangent, jnp.zeros((), cotangent.dtype)),)


rectify.defvjp(_rectify_forward, _rectify_backward)
