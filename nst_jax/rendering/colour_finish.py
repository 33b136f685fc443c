"""The colour of a finished picture, smoothed and brought to the palette of the style image.

Matches of features take over colours with everything else, and where neighbouring positions copy patches of different
colours the picture is mottled. Kolkin et al. ("Neural Neighbor Style Transfer", 2022) therefore let the coarse part of
the two chromas of OKLab be an affine image of the content's, with mean and covariance of the style image; the
lightness, and the fine part of the chromas, stay.
"""

from collections.abc import Sequence

import numpy as np

from nst_jax.rendering import oklab
from nst_jax.rendering.colour_matching import Moments, mixture, moments

_ROUNDS = 5
_EDGE = 10.0
"""Rounds of the filter, and how sharply it ends at an edge of the lightness: exp(−10 |ΔL|), of Kolkin et al. 2022."""

_RIDGE = 1e-4
"""Added to the variances, so that a colour that hardly varies is not amplified without bounds; likewise."""

_FLAT = 6e-5
"""Below this covariance a style image counts as one colour, which no affine map can vary; likewise."""


def finish(
    picture: np.ndarray, content: np.ndarray, styles: Sequence[np.ndarray], *, shares: Sequence[float] = ()
) -> np.ndarray:
    """Returns a picture in the colours of a style image, laid out as those of the content image.

    In the program of Kolkin et al. the filtered chromas of the content image replace those of the picture as a whole,
    and pixels count as linear light. Here, as in their text, the fine part of the picture's own chromas stays: what
    the filter takes from them.

    Args:
        picture: the stylised image, `[H, W, 3]`, RGB in [0, 1].
        content: the content image, of the same size.
        styles: one or more style images of any sizes.
        shares: their shares, which add up to 1; equal by default.

    Returns:
        The picture, float32 `[H, W, 3]`, RGB in [0, 1].
    """
    lab = oklab.from_rgb(picture)
    lightness, chroma = lab[..., :1], lab[..., 1:]
    palettes = [oklab.from_rgb(style).reshape(-1, 3) for style in styles]
    each = [moments(palette[:, 1:]) for palette in palettes]
    wanted = mixture(each, shares or [1 / len(styles)] * len(styles))
    if np.abs(wanted.covariance).max() < _FLAT:
        moved = _moved(chroma, np.diag(_deviation(wanted) / _deviation(moments(chroma))), wanted.mean)
    else:
        of_content = oklab.from_rgb(content)[..., 1:]
        coarse = _moved(of_content, _affine(moments(of_content), wanted), wanted.mean)
        moved = chroma + _smooth(coarse - chroma, lightness)
    least = np.min([palette.min(axis=0) for palette in palettes], axis=0)
    most = np.max([palette.max(axis=0) for palette in palettes], axis=0)
    return oklab.to_rgb(np.clip(np.concatenate([lightness, moved], axis=-1), least, most)).astype(np.float32)


def _deviation(of: Moments) -> np.ndarray:
    return np.sqrt(np.diag(of.covariance) + _RIDGE)


def _affine(found: Moments, wanted: Moments) -> np.ndarray:
    """Returns the matrix A = Σ_s^½ Σ_c^−½, by which whitened chromas get another covariance (ZCA)."""
    return _power(wanted.covariance, 0.5) @ _power(found.covariance, -0.5)


def _power(covariance: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance + _RIDGE * np.eye(2))
    return (vectors * values**exponent) @ vectors.T


def _moved(chroma: np.ndarray, matrix: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Returns chromas `[H, W, 2]` multiplied by a matrix and moved to a mean."""
    return (chroma - chroma.mean(axis=(0, 1))) @ matrix.T + mean


def _smooth(chroma: np.ndarray, lightness: np.ndarray) -> np.ndarray:
    """Returns chromas `[H, W, 2]` averaged again and again with the eight pixels around that are about as light."""
    height, width, _ = chroma.shape

    def around(values: np.ndarray) -> list[np.ndarray]:
        padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
        return [padded[down : down + height, right : right + width] for down in range(3) for right in range(3)]

    weights = [np.exp(-_EDGE * np.abs(other - lightness)) for other in around(lightness)]
    for _ in range(_ROUNDS):
        total = sum(weight * other for weight, other in zip(weights, around(chroma), strict=True))
        chroma = np.asarray(total / sum(weights))
    return chroma
