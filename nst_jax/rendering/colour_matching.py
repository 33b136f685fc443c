"""The images of a transfer with their colours moved to each other's, before anything is measured: `matched`.

Gatys, Bethge, Hertzmann & Shechtman, "Preserving Color in Neural Artistic Style Transfer", 2016 (arXiv:1606.05897),
and Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", 2017 (arXiv:1611.07865), section 5. A
linear match x' = A (x − μ_S) + μ_T gives an image the mean and the covariance of another one's pixels. A is not unique:

- `cholesky`: A = L_T L_S⁻¹ of the Cholesky factors, which depends on the order of the channels;
- `pca`: A = Σ_T^½ Σ_S^−½, which whitens in between;
- `symmetric`: A = Σ_S^−½ (Σ_S^½ Σ_T Σ_S^½)^½ Σ_S^−½, which moves the colours least (the linear solution of Monge's and
  Kantorovich's problem; Pitié & Kokaram, "The Linear Monge-Kantorovitch Linear Colour Mapping", 2007).

`histogram` gives each channel the distribution of the other's instead.

The authors' program adds 1e-5 to both variances. Here nothing is added, so that moments are met, but what hardly varies
is no colour: see `NOISE`. Pixels count alike, also those under alpha, as the network sees them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from nst_jax.errors import UserError
from nst_jax.rendering.grey import is_grey
from nst_jax.rendering.luminance import luminance
from nst_jax.settings import Settings
from nst_jax.vocabulary import LUMINANCE, ColourMatch

NOISE = 2 / 255
"""Deviation below which pixels vary along some direction of colour by noise alone, such as the levels of an 8-bit file.

Of a grey image, or one of a single colour, some or all directions are such: stretched to the other image's colours they
would be speckles. What varies less is therefore taken to vary as much, and then reduced by the cube of the ratio; so
there is no jump at the threshold, and half of it leaves a sixteenth of the other image's deviation. Of 58 coloured
photographs all but two vary by more in every direction (1.6 and 1.7 levels; 7 in the median).
"""

_ROWS = 1 << 20
"""Pixels that are computed with in float64 at once: all of a large picture would take gigabytes."""

_SAMPLES = 1 << 16
"""Values per channel that stand for several images in the histogram of their mixture."""


class Moments(NamedTuple):
    """Mean `[C]` and covariance `[C, C]` of pixels, float64."""

    mean: np.ndarray
    covariance: np.ndarray


def moves(settings: Settings) -> Literal["", "content", "style"]:
    """Returns of which images `matched` changes the colours; an empty word if of none."""
    if settings.colours == LUMINANCE:
        return "style"
    if settings.colour_match == "none":
        return ""
    return "content" if settings.colour_match_to == "style" else "style"


def matched(settings: Settings, content: Any, styles: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Returns the content image and the style images with their colours matched as the settings say.

    With `colours` luminance, each style image becomes its luminance (three equal channels) with the mean and deviation,
    or the histogram, of the content's, and the content image stays as it is; of a single channel every linear match is
    that one, to the bit, so that a sweep may cross them. Otherwise each style image gets the
    colours of the content image; or the content image those of the style images together, by their shares. The colours
    of a grey image are its greys: then luminances are matched, and the result is grey.

    Args:
        settings: of the transfer.
        content: the content image, `[H, W, 3]`, RGB in [0, 1], in the size of the picture.
        styles: the style images, of any sizes.

    Returns:
        The images, in place of those that change float32, clipped to [0, 1]; the others are those given.
    """
    match moves(settings):
        case "":
            return content, list(styles)
        case "content":
            shares = settings.blend_weights or (1 / len(styles),) * len(styles)
            return _moved(settings.colour_match, content, styles, shares), list(styles)
    if settings.colours == LUMINANCE:
        content_luminance = luminance(np.asarray(content, np.float32))
        method: ColourMatch = "histogram" if settings.colour_match == "histogram" else "none"
        return content, [
            _three(_matched(method, luminance(np.asarray(style, np.float32)), [content_luminance], (1.0,)))
            for style in styles
        ]
    return content, [_moved(settings.colour_match, style, [content], (1.0,)) for style in styles]


def check_without_content(settings: Settings) -> None:
    """Checks the settings of a picture that has no content image, as a texture, or of a dream.

    Raises:
        UserError: they would take colours of a content image.
    """
    if settings.colours == LUMINANCE:
        raise UserError(
            "colours: expected auto, free or grey where no content image gives luminance and chroma, found luminance"
        )
    if settings.colour_match != "none":
        raise UserError(
            f"colour_match: expected none where there is no content image, whose colours it takes or moves, found "
            f"{settings.colour_match}"
        )


def moments(pixels: np.ndarray) -> Moments:
    """Returns mean and covariance of pixels `[..., C]`."""
    rows = pixels.reshape(-1, pixels.shape[-1])
    mean = sum(band.sum(axis=0) for band in _bands(rows)) / len(rows)
    covariance = sum((band - mean).T @ (band - mean) for band in _bands(rows)) / len(rows)
    return Moments(np.asarray(mean), np.asarray(covariance))


def mixture(each: Sequence[Moments], shares: Sequence[float]) -> Moments:
    """Returns the moments of pixels of which each image has its share; shares add up to 1."""
    mean = sum(share * of.mean for share, of in zip(shares, each, strict=True))
    squares = sum(share * (of.covariance + np.outer(of.mean, of.mean)) for share, of in zip(shares, each, strict=True))
    return Moments(np.asarray(mean), np.asarray(squares - np.outer(mean, mean)))


def affine(method: ColourMatch, source: Moments, target: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Returns matrix `[C, C]` and offset `[C]` of the linear match x' = A x + b of one image's moments to another's.

    Args:
        method: `symmetric`, `pca` or `cholesky`; any other for a single channel, where all are the same.
        source: the moments of the pixels that are moved.
        target: those that they get, but for directions in which they do not vary, see `NOISE`.
    """
    values, vectors = np.linalg.eigh(source.covariance)
    varying = np.maximum(values, NOISE**2)
    root, inverse = (vectors * varying**power @ vectors.T for power in (0.5, -0.5))
    if method == "pca":
        matrix = _root(target.covariance) @ inverse
    elif method == "symmetric":
        matrix = inverse @ _root(root @ target.covariance @ root) @ inverse
    else:
        matrix = _triangular(target.covariance) @ np.linalg.inv(_triangular(root @ root))
    kept = (np.maximum(values, 0) / varying) ** 1.5
    matrix = matrix @ (vectors * kept @ vectors.T)
    return matrix, target.mean - matrix @ source.mean


def _moved(method: ColourMatch, image: Any, targets: Sequence[Any], shares: Sequence[float]) -> np.ndarray:
    """Returns an image `[H, W, 3]` in the colours of others: grey if all of these are, and have a share."""
    image = np.asarray(image, np.float32)
    given = [(np.asarray(target, np.float32), share) for target, share in zip(targets, shares, strict=True) if share]
    targets, shares = zip(*given, strict=True)
    if all(map(is_grey, targets)):
        return _three(_matched(method, luminance(image), [luminance(target) for target in targets], shares))
    return _matched(method, image, targets, shares)


def _matched(
    method: ColourMatch, image: np.ndarray, targets: Sequence[np.ndarray], shares: Sequence[float]
) -> np.ndarray:
    """Returns an image `[H, W, C]` matched to others, float32 in [0, 1]."""
    if method == "histogram":
        return _histogram(image, targets, shares)
    matrix, offset = affine(method, moments(image), mixture([moments(target) for target in targets], shares))
    found = np.empty(image.shape, np.float32)
    rows, into = image.reshape(-1, image.shape[-1]), found.reshape(-1, image.shape[-1])
    for index, band in enumerate(_bands(rows)):
        into[index * _ROWS : index * _ROWS + len(band)] = np.clip(band @ matrix.T + offset, 0, 1)
    return found


def _histogram(image: np.ndarray, targets: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
    """Returns an image `[H, W, C]` whose channels have the distributions of others' channels, float32 in [0, 1]."""
    from skimage.exposure import match_histograms  # half a second to import

    reference = targets[0] if len(targets) == 1 else _mixed_values(targets, shares)
    found = match_histograms(image, reference, channel_axis=-1)
    mean = reference.reshape(-1, reference.shape[-1]).mean(axis=0, dtype=np.float64)
    deviation = np.sqrt(np.diag(moments(image).covariance))
    return np.clip(mean + np.minimum(deviation / NOISE, 1) ** 3 * (found - mean), 0, 1).astype(np.float32)


def _mixed_values(images: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
    """Returns values `[N, 1, C]` of several images, of each its quantiles, as many as it has a share."""
    each = []
    for image, share in zip(images, shares, strict=True):
        count = max(1, round(share * _SAMPLES))
        places = (np.arange(count) + 0.5) / count
        each.append(np.quantile(image.reshape(-1, image.shape[-1]), places, axis=0))
    return np.concatenate(each)[:, None]


def _three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey, 3, axis=-1)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Returns the symmetric root of a covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def _triangular(covariance: np.ndarray) -> np.ndarray:
    """Returns the Cholesky factor of a covariance, which may be singular: the root, turned until it is triangular."""
    upper = np.linalg.qr(_root(covariance)).R
    return upper.T * np.where(np.diag(upper) < 0, -1, 1)


def _bands(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yields rows `[N, C]` in float64, some at a time."""
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS].astype(np.float64)
