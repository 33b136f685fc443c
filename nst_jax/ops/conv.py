"""Convolution, and the choice of its algorithm.

Channels are last everywhere: images are `[N, H, W, C]`; `convolve` also takes signals `[N, T, C]` and volumes.

| where | kernel | algorithm |
|---|---|---|
| CPU | 3×3, stride 1, at least `WINOGRAD_CHANNELS` channels in and out | Winograd's, if the kernel was prepared |
| CPU | one a channel (depthwise) | shifted maps, weighed and added |
| anywhere | of a few groups | XLA's for each group |
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

Milliseconds of processor time of one gradient step in `lax.scan`, on the same cores with others at work, with what is
here, with XLA's depthwise convolution, with XLA's derivative, and with both of XLA's:

| network | pixels | here | depthwise | derivative | both |
|---|---|---|---|---|---|
| MobileNet v2 | 192 × 192 | 28 | 39 | 37 | 44 |
| ResNet-50 | 128 × 128 | 36 | none | 46 | |

Tried without gain: F(6×6, 3×3) (a fifth fewer products, in matrices that XLA multiplies at a lower rate), groups of
frequencies, strips of fewer than 40 MB, strips in a loop, Winograd's for 3 channels.
"""

import functools
import itertools

import jax
import jax.numpy as jnp

from nst_jax.ops import circular_padding, winograd
from nst_jax.surroundings import per_channel
from nst_jax.vocabulary import Padding

WINOGRAD_CHANNELS = 32

Pads = tuple[tuple[int, int], ...]
"""Numbers of positions added before the first and after the last, along each spatial axis."""

_NONE: Pads = ((0, 0), (0, 0))

_PAD_MODE: dict[Padding, str] = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}


def prepare(kernel: jax.Array, *, stride: int) -> winograd.Kernels | None:
    """Returns constants that speed up convolutions with a kernel `[height, width, C, K]`; None if there are none."""
    high, wide, *channels = kernel.shape
    if jax.default_backend() == "cpu" and (high, wide, stride) == (3, 3, 1) and min(channels) >= WINOGRAD_CHANNELS:
        return winograd.transform(kernel)
    return None


def conv2d(
    images: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    *,
    stride: int,
    pads: Pads,
    mode: Padding,
    precision: jax.lax.Precision = jax.lax.Precision.HIGHEST,
    prepared: winograd.Kernels | None = None,
) -> jax.Array:
    """Returns the cross-correlation of `images` with `kernel`, plus `bias`.

    Args:
        images: `[N, H, W, C]`.
        kernel: `[height, width, C / groups, K]`.
        bias: `[K]`.
        stride: distance between output positions.
        pads: positions added above and below, and left and right; with `circular`, above and to the left, and enough
            for a whole period below and to the right.
        mode: kind of padding; `replicate_first` is none of a single convolution.
        precision: precision of the products, on accelerators.
        prepared: result of `prepare` for the kernel; without derivative by the kernel.

    Returns:
        `[N, H', W', K]`.
    """
    if mode == circular_padding.CIRCULAR:
        (above, _), (left, _) = pads
        images = circular_padding.wrap(
            images, size=(kernel.shape[0], kernel.shape[1]), stride=stride, before=(above, left)
        )
        pads = _NONE
    elif pads != _NONE and mode != "zeros":
        images, pads = jnp.pad(images, ((0, 0), *pads, (0, 0)), mode=_PAD_MODE[mode]), _NONE
    if prepared is not None:
        maps = winograd.convolve(images, prepared, pads[0][0])
    else:
        maps = _convolve_groups(images, kernel, stride, pads, precision)
    return maps + per_channel(bias, maps.ndim)


def _convolve_groups(
    images: jax.Array, kernel: jax.Array, stride: int, pads: Pads, precision: jax.lax.Precision
) -> jax.Array:
    """Returns the cross-correlation with a kernel `[height, width, C / groups, K]`, group by group."""
    groups = images.shape[-1] // kernel.shape[2]
    if groups == 1:
        return convolve(images, kernel, stride, pads, precision)
    if groups == kernel.shape[3]:
        return convolve_each(jnp.pad(images, ((0, 0), *pads, (0, 0))), kernel, stride, precision)
    parts = zip(jnp.split(images, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
    return jnp.concatenate([convolve(part, of_part, stride, pads, precision) for part, of_part in parts], axis=-1)


def convolve_each(
    images: jax.Array, kernel: jax.Array, stride: int, precision: jax.lax.Precision, *, shifted: bool | None = None
) -> jax.Array:
    """Returns the cross-correlation of each channel by itself, without padding: `[N, H', W', C]`.

    Args:
        images: `[N, H, W, C]`.
        kernel: `[height, width, 1, C]`.
        stride: distance between output positions.
        precision: precision of the products, on accelerators.
        shifted: whether shifted maps are weighed and added; by default on CPUs, where XLA's own convolution takes up to
            forty times as long forwards, and with its derivative 1.4 times in MobileNet v2.
    """
    high, wide = kernel.shape[:2]
    if not (jax.default_backend() == "cpu" if shifted is None else shifted):
        return jax.lax.conv_general_dilated(
            images,
            kernel,
            (stride,) * 2,
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=images.shape[-1],
            precision=precision,
        )
    down, across = (length - side + 1 for length, side in zip(images.shape[1:3], (high, wide), strict=True))
    parts = (
        images[:, y : y + down : stride, x : x + across : stride] * kernel[y, x]
        for y, x in itertools.product(range(high), range(wide))
    )
    return functools.reduce(jnp.add, parts)


def _correlate(
    images: jax.Array, kernel: jax.Array, stride: int, pads: Pads, precision: jax.lax.Precision
) -> jax.Array:
    rank = kernel.ndim - 2
    spatial = "DHW"[-rank:]
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (stride,) * rank,
        pads or ((0, 0),) * rank,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        precision=precision,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def convolve(
    images: jax.Array,
    kernel: jax.Array,
    stride: int = 1,
    pads: Pads = (),
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
        pads: zeros added before and after, along each spatial axis; by default none.
        precision: precision of the products, on accelerators.

    Returns:
        `[N, ..., K]`.
    """
    return _correlate(images, kernel, stride, pads, precision)


def _convolve_forward(
    images: jax.Array, kernel: jax.Array, stride: int, pads: Pads, precision: jax.lax.Precision
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _correlate(images, kernel, stride, pads, precision), (images, kernel)


def _convolve_backward(
    stride: int,
    pads: Pads,
    precision: jax.lax.Precision,
    saved: tuple[jax.Array, jax.Array],
    cotangent: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved
    if stride == 1:
        sides = kernel.shape[:-2]
        around = pads or ((0, 0),) * len(sides)
        beyond = tuple(
            (side - 1 - before, side - 1 - after) for side, (before, after) in zip(sides, around, strict=True)
        )
        turned = jax.lax.optimization_barrier(jnp.flip(kernel, tuple(range(kernel.ndim - 2))).swapaxes(-2, -1))
        to_images = _correlate(cotangent, turned, 1, beyond, precision)
    else:
        (to_images,) = jax.linear_transpose(lambda x: _correlate(x, kernel, stride, pads, precision), images)(cotangent)
    (to_kernel,) = jax.linear_transpose(lambda k: _correlate(images, k, stride, pads, precision), kernel)(cotangent)
    return to_images, to_kernel


convolve.defvjp(_convolve_forward, _convolve_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def rectify(linear: jax.Array, ceiling: float | None = None) -> jax.Array:
    """Returns each value, at least 0 and at most the ceiling (6 in ReLU6); its derivative is 0 at and beyond both.

    The derivative stores one byte per value, where XLA's stores four.
    """
    rectified = jnp.maximum(linear, 0)
    return rectified if ceiling is None else jnp.minimum(rectified, ceiling)


def _rectify_forward(linear: jax.Array, ceiling: float | None) -> tuple[jax.Array, jax.Array]:
    rectified = rectify(linear, ceiling)
    passes = linear > 0 if ceiling is None else (linear > 0) & (linear < ceiling)
    return rectified, jax.lax.optimization_barrier(passes)


def _rectify_backward(ceiling: float | None, passes: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:  # noqa: ARG001
    return (jnp.where(passes, cotangent, jnp.zeros((), cotangent.dtype)),)


rectify.defvjp(_rectify_forward, _rectify_backward)
