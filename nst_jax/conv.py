"""Convolution and pooling: which algorithm computes them is decided here alone.

Everywhere: channels last, float32, images `[N, H, W, C]`.
"""

import functools

import jax
import jax.numpy as jnp

from nst_jax.settings import Padding, Pooling

_PAD_MODE: dict[Padding, str] = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}


def conv2d(
    images: jax.Array, kernel: jax.Array, bias: jax.Array, *, stride: int, padding: int, mode: Padding
) -> jax.Array:
    """Returns the cross-correlation of `images` with `kernel`, plus `bias`.

    Args:
        images: `[N, H, W, C]`.
        kernel: `[size, size, C, K]`.
        bias: `[K]`.
        stride: of the output positions.
        padding: positions added on each side.
        mode: what they hold.

    Returns:
        `[N, H', W', K]`.
    """
    pads = [(padding, padding)] * 2
    if padding and mode != "zeros":
        images = jnp.pad(images, [(0, 0), *pads, (0, 0)], mode=_PAD_MODE[mode])
        pads = [(0, 0)] * 2
    return _convolve(images, kernel, stride, pads[0]) + bias


def _correlate(images: jax.Array, kernel: jax.Array, stride: int, pad: tuple[int, int]) -> jax.Array:
    return jax.lax.conv_general_dilated(
        images, kernel, (stride, stride), (pad, pad), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(images: jax.Array, kernel: jax.Array, stride: int, pad: tuple[int, int]) -> jax.Array:
    """Convolution whose derivative stays fast inside `lax.scan` on CPU.

    JAX's own derivative asks for the kernel with its channels swapped by dimension numbers. In a loop XLA's CPU
    compiler does not normalise these and falls back on a generic convolution, 2.6 times slower for a whole VGG-19 step
    (jax 0.10). A kernel that really is turned, behind a barrier so that the compiler does not undo it, meets the fast
    path; it is invariant, so XLA moves the turning out of the loop.
    """
    return _correlate(images, kernel, stride, pad)


def _convolve_forward(
    images: jax.Array, kernel: jax.Array, stride: int, pad: tuple[int, int]
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _correlate(images, kernel, stride, pad), (images, kernel)


def _convolve_backward(
    stride: int, pad: tuple[int, int], saved: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved
    size = kernel.shape[0]
    if stride == 1:
        turned = jax.lax.optimization_barrier(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
        to_images = _correlate(cotangent, turned, 1, (size - 1 - pad[0], size - 1 - pad[1]))
    else:
        (to_images,) = jax.linear_transpose(lambda x: _correlate(x, kernel, stride, pad), images)(cotangent)
    (to_kernel,) = jax.linear_transpose(lambda k: _correlate(images, k, stride, pad), kernel)(cotangent)
    return to_images, to_kernel


_convolve.defvjp(_convolve_forward, _convolve_backward)


def pool(images: jax.Array, *, size: int, stride: int, overhang: tuple[int, int], kind: Pooling) -> jax.Array:
    """Returns the maximum or the average over windows of `size` × `size`.

    Of a window that sticks out only the part within counts: the average divides by the positions that it really covers,
    as Caffe does.

    Args:
        images: `[N, H, W, C]`.
        size: of a window.
        stride: between windows.
        overhang: by how many positions the last windows stick out at the bottom and at the right.
        kind: of pooling.

    Returns:
        `[N, H', W', C]`.
    """
    windows = (1, size, size, 1), (1, stride, stride, 1)
    pads = [(0, 0), (0, overhang[0]), (0, overhang[1]), (0, 0)]
    if kind == "max":
        return jax.lax.reduce_window(images, -jnp.inf, jax.lax.max, *windows, pads)
    total = jax.lax.reduce_window(images, 0.0, jax.lax.add, *windows, pads)
    if not any(overhang):
        return total / size**2
    covered = jax.lax.reduce_window(jnp.ones((1, *images.shape[1:3], 1)), 0.0, jax.lax.add, *windows, pads)
    return total / covered
