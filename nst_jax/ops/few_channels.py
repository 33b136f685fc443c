"""Convolutions at the end of networks that paint, in forms that XLA's CPU compiler computes at full speed.

It is slow where there are few output channels (jax 0.10): of two cores' 80 GFLOP/s, 10 are left for 32 → 16 channels
and for the last layer, 9 × 9 from 16 channels to 3 colours. Both functions here make channels of positions: a square of
neighbouring output positions is one position with as many times the channels. CPU milliseconds of the result, and of
the derivatives by images and by kernel, before and after:

| convolution | before | after |
|---|---|---|
| 64 → 32 at 128 × 128, of an enlarged map | 32, 10, 8 | 4, 4, 7 |
| 32 → 16 at 256 × 256, of an enlarged map | 60, 41, 16 | 6, 6, 7 |
| 9 × 9, 16 → 3 at 256 × 256 | 47, 20, 47 | 14, 20, 14 |
"""

import functools

import jax
import jax.numpy as jnp

from nst_jax.ops.conv import convolve

_BLOCK = 4


def convolve_doubled(
    images: jax.Array, kernel: jax.Array, precision: jax.lax.Precision = jax.lax.Precision.HIGHEST
) -> jax.Array:
    """Returns the convolution of images whose positions are repeated twice along both axes, without repeating them.

    Of three taps along an axis, two fall on the same position: so each of the four output positions that come of one
    has a kernel of 2 × 2, and all four are one convolution with four times the channels, of 4/9 of the products (the
    sub-pixel convolution of Shi et al. 2016).

    Args:
        images: `[N, H + 2, W + 2, C]`, with the positions beyond their border.
        kernel: `[3, 3, C, K]`.
        precision: precision of the products, on accelerators.

    Returns:
        `[N, 2 H, 2 W, K]`.
    """
    count, height, width, _ = images.shape
    height, width, features = height - 2, width - 2, kernel.shape[-1]
    taps = jnp.concatenate([part for row in _taps(kernel, 0) for part in _taps(row, 1)], axis=-1)
    # Position (i, j) has what is painted up and to the left of the original position (i, j), and down and to the right
    # of the one before it.
    maps = convolve(images, taps, precision=precision)
    corners = [
        [
            maps[:, down : down + height, right : right + width, place * features : (place + 1) * features]
            for right, place in ((0, 2 * down), (1, 2 * down + 1))
        ]
        for down in (0, 1)
    ]
    rows = jnp.stack([jnp.stack(row, axis=3) for row in corners], axis=2)
    return rows.reshape(count, 2 * height, 2 * width, features)


def _taps(kernel: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Returns the two kernels of size 2 along an axis, of the first and the second of two repeated positions."""
    first, second, third = (jax.lax.slice_in_dim(kernel, index, index + 1, axis=axis) for index in range(3))
    return jnp.concatenate([first, second + third], axis), jnp.concatenate([first + second, third], axis)


def suits_blocks(height: object, width: object, kernel: tuple[int, ...]) -> bool:
    """Returns whether `convolve_in_blocks` is the faster one for a kernel, and output sides that it can divide."""
    size, _, _, features = kernel
    whole = all(isinstance(side, int) and side % _BLOCK == 0 for side in (height, width))
    return whole and size >= 2 * _BLOCK and features < _BLOCK and jax.default_backend() == "cpu"


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_in_blocks(
    images: jax.Array, kernel: jax.Array, precision: jax.lax.Precision = jax.lax.Precision.HIGHEST
) -> jax.Array:
    """Returns what `conv.convolve` does without stride and padding, in blocks of 4 × 4 positions.

    Args:
        images: `[N, H, W, C]`.
        kernel: `[size, size, C, K]`; the sides of the result are multiples of 4.
        precision: precision of the products, on accelerators.
    """
    return _in_blocks(images, kernel, precision)


def _in_blocks(images: jax.Array, kernel: jax.Array, precision: jax.lax.Precision) -> jax.Array:
    size, _, channels, features = kernel.shape
    count, height, width = images.shape[0], images.shape[1] - size + 1, images.shape[2] - size + 1
    places = [(down, right) for down in range(_BLOCK) for right in range(_BLOCK)]
    moved = jnp.stack(
        [
            jnp.pad(kernel, ((down, _BLOCK - 1 - down), (right, _BLOCK - 1 - right), (0, 0), (0, 0)))
            for down, right in places
        ],
        axis=-2,
    )
    wide = moved.reshape(size + _BLOCK - 1, size + _BLOCK - 1, channels, len(places) * features)
    maps = convolve(images, wide, _BLOCK, precision=precision)
    blocks = maps.reshape(count, height // _BLOCK, width // _BLOCK, _BLOCK, _BLOCK, features)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, height, width, features)


def _blocks_forward(
    images: jax.Array, kernel: jax.Array, precision: jax.lax.Precision
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _in_blocks(images, kernel, precision), (images, kernel)


def _blocks_backward(
    precision: jax.lax.Precision, saved: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved
    _, by_images = jax.vjp(lambda images: convolve(images, kernel, precision=precision), images)
    _, by_kernel = jax.vjp(lambda kernel: _in_blocks(images, kernel, precision), kernel)
    return *by_images(cotangent), *by_kernel(cotangent)


convolve_in_blocks.defvjp(_blocks_forward, _blocks_backward)
