"""The matting Laplacian of a photograph: how far a picture's colours are from what those of the photograph explain.

In each window of 3 × 3 pixels, every channel of the picture is compared with the affine function of the photograph's
colours there that fits it best. A painted stroke is none; another light, haze or palette is, and an edge of the
photograph stays one.

Levin, Lischinski & Weiss, "A Closed-Form Solution to Natural Image Matting", TPAMI 2008: the quadratic form Vᵀ L V.
Luan, Paris, Shechtman & Bala, "Deep Photo Style Transfer", CVPR 2017: as a term of style transfer, Σ_c V_cᵀ L V_c.

No matrix is built. With the mean over a window k in place of the sums in L,

    V_cᵀ L V_c = 9 Σ_k (var_k(V_c) − cov_k(I, V_c)ᵀ S_k⁻¹ cov_k(I, V_c)),    S_k = cov_k(I) + ε/9,

and S_k⁻¹ = R_kᵀ R_k with a triangular R_k, which the photograph alone decides. In flat windows S_k⁻¹ reaches 10⁸, and
along an edge its elements cancel each other: R_k is computed in double precision, and rounded to single it loses the
square root of what S_k⁻¹ would lose. Values are taken relative to the middle of their window, so that variances have
the rounding of differences and not of their squares.
"""

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

EPSILON = 1e-7
"""Levin's ε, as in Luan et al.: by how much a steep function costs more than a gentle one that fits as well."""

HALO = 1
"""Pixels that the window of a position has on each side of it."""

_BAND = 64
"""Rows of the photograph that are handled at once, in double precision."""

_LOWER = [(row, column) for row in range(3) for column in range(row + 1)]
_PLACES = [(down, right) for down in range(3) for right in range(3)]


def constants(photograph: np.ndarray, *, epsilon: float = EPSILON) -> np.ndarray:
    """Returns what the photograph has to do with its matting Laplacian.

    Args:
        photograph: `[H, W, 3]` in [0, 1], 3 × 3 pixels at least.
        epsilon: ε.

    Returns:
        `[H, W, 9]`, of the same type: its pixels, and the lower triangle of R_k, row by row, at the middle of each
        window; zeros on the border.
    """
    height, width, _ = photograph.shape
    found = np.zeros((height, width, 9), photograph.dtype)
    found[..., :3] = photograph
    for top in range(0, height - 2, _BAND):
        rows = photograph[top : top + _BAND + 2].astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(rows, (3, 3), axis=(0, 1)).reshape(-1, width - 2, 3, 9)
        centred = windows - windows.mean(axis=-1, keepdims=True)
        covariance = centred @ centred.swapaxes(-1, -2) / 9 + epsilon / 9 * np.eye(3)
        roots = np.linalg.inv(np.linalg.cholesky(covariance))
        found[top + 1 : top + 1 + len(roots), 1:-1, 3:] = np.stack([roots[..., *at] for at in _LOWER], axis=-1)
    return found


class _Fit(NamedTuple):
    """The affine functions that fit the windows of a picture best; planes of the middles of the windows, `[3, h, w]`.

    Attributes:
        variance: of each channel of the picture.
        whitened: for each row of R_k, its product with the covariances.
        slope: for each channel of the photograph, how much the function changes with it.
        base: mean of the picture less that of the function, relative to the middle.
    """

    variance: jax.Array
    whitened: list[jax.Array]
    slope: list[jax.Array]
    base: jax.Array

    def residuals(self) -> jax.Array:
        """Returns what `residuals` does."""
        return jnp.pad(jnp.sum(self.variance - _sum(map(jnp.square, self.whitened)), axis=0), HALO)


@jax.custom_vjp
def residuals(picture: jax.Array, photograph: jax.Array) -> jax.Array:
    """Returns Σ_c var_k(V_c) − cov_k(I, V_c)ᵀ S_k⁻¹ cov_k(I, V_c) at the middle of each window, zeros on the border.

    That is, over the channels, the mean square of what no affine function of the photograph's colours explains in a
    window, and ε/9 times the square of the function's slope.

    There is a derivative by the picture alone, which is written out: at the best function it is that of the squares,
    2/9 of what is left unexplained at each pixel. JAX's own takes several times as long on a CPU, this one about
    as long as the value.

    Args:
        picture: V, `[H, W, 3]`.
        photograph: the `constants` of the photograph, `[H, W, 9]`.

    Returns:
        `[H, W]`.
    """
    return _fit(picture, photograph).residuals()


def _fit(picture: jax.Array, photograph: jax.Array) -> _Fit:
    height, width, _ = picture.shape
    inside = height - 2 * HALO, width - 2 * HALO
    values, known = jnp.moveaxis(picture, -1, 0), jnp.moveaxis(photograph, -1, 0)
    colours, roots = known[:3], _part(known[3:], (HALO, HALO), inside)
    mean = square = mean_colour = jnp.zeros((3, *inside), picture.dtype)
    products = [mean, mean, mean]
    for place in _PLACES:
        if place == (HALO, HALO):
            continue  # the middle itself, to which all are relative
        value, colour = (
            _part(planes, place, inside) - _part(planes, (HALO, HALO), inside) for planes in (values, colours)
        )
        mean, square, mean_colour = mean + value / 9, square + value * value / 9, mean_colour + colour / 9
        products = [product + colour[channel][None] * value / 9 for channel, product in enumerate(products)]
    covariance = [product - mean_colour[channel][None] * mean for channel, product in enumerate(products)]
    root = {(row, column): roots[index][None] for index, (row, column) in enumerate(_LOWER)}
    whitened = [_sum(root[row, column] * covariance[column] for column in range(row + 1)) for row in range(3)]
    slope = [_sum(root[row, column] * whitened[row] for row in range(column, 3)) for column in range(3)]
    base = mean - _sum(slope[channel] * mean_colour[channel][None] for channel in range(3))
    return _Fit(square - mean * mean, whitened, slope, base)


def _residuals_forward(picture: jax.Array, photograph: jax.Array) -> tuple[jax.Array, Any]:
    found = _fit(picture, photograph)
    return found.residuals(), (picture, photograph, found.slope, found.base)


def _residuals_backward(saved: Any, cotangent: jax.Array) -> tuple[jax.Array, None]:
    """Returns the derivative: of every pixel, what it adds to the nine windows that have it."""
    picture, photograph, slope, base = saved
    height, width, _ = picture.shape
    values, colours = jnp.moveaxis(picture, -1, 0), jnp.moveaxis(photograph[..., :3], -1, 0)
    share = cotangent[None, HALO:-HALO, HALO:-HALO] * (2 / 9)

    def around(planes: jax.Array, by: int) -> jax.Array:
        return jnp.pad(planes, ((0, 0), (by, by), (by, by)))

    shares, bases = around(share, 2 * HALO), around(share * base, 2 * HALO)
    slopes = [around(share * of, 2 * HALO) for of in slope]
    wide_values, wide_colours = around(values, HALO), around(colours, HALO)
    total = jnp.zeros_like(values)
    for place in _PLACES:
        at = functools.partial(_part, place=place, shape=(height, width))
        total = total + at(shares) * (values - at(wide_values)) - at(bases)
        apart = colours - at(wide_colours)
        total = total - _sum(at(slopes[channel]) * apart[channel][None] for channel in range(3))
    return jnp.moveaxis(total, 0, -1), None


residuals.defvjp(_residuals_forward, _residuals_backward)


def _part(planes: jax.Array, place: tuple[int, int], shape: tuple[int, int]) -> jax.Array:
    """Returns the part of planes `[N, H, W]` that begins at a place and has a height and width."""
    (down, right), (height, width) = place, shape
    return planes[:, down : down + height, right : right + width]


def _sum(parts: Iterable[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, parts)


def windows(height: int, width: int) -> int:
    """Returns the number of windows of a picture of this size."""
    return (height - 2) * (width - 2)


def error(picture: jax.Array, photograph: jax.Array) -> jax.Array:
    """Returns Σ_c V_cᵀ L V_c / (9 · number of windows): the mean over windows of `residuals`.

    The division makes it a mean square of pixels, as total variation is one: strokes have the size in pixels that the
    network's layers give them, however large the picture is, so that one weight serves all sizes. Luan et al. have the
    sum, and one size.
    """
    return jnp.sum(residuals(picture, photograph)) / windows(*picture.shape[:2])
