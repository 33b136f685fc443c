"""Defects of stylised pictures in numbers: grain, border frames, blotches.

Ours: they are what people complain of, and no loss tells of them. All are ratios of what a picture has to what is to be
expected, from its own surroundings or from the content image, so that 1 is a picture without the defect.
"""

import numpy as np

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Shares of red, green and blue in luminance (ITU-R BT.709), taken of the encoded values."""

PERIODS = (2, 4)
"""Periods in pixels of the grids that strides and pools leave."""

FRAME = 8
"""Width of a border frame in pixels."""

_NEAR = 1
_NEIGHBOURS = 12
_BLOTCHES = (4, 16)


def grain(picture: np.ndarray) -> dict[tuple[str, int], float]:
    """Returns how much a grid of each period stands out of a picture.

    That is the power of the luminance's spectrum at the period, as a share of what its neighbours lead to expect there:
    a straight line through the logarithms of their power. Photographs have about 1.

    Args:
        picture: `[H, W, 3]`, RGB in [0, 1], at least 64 pixels on each side.

    Returns:
        Direction (`horizontal`: along the rows) and period in pixels → ratio.
    """
    luminance = np.asarray(picture, np.float64) @ np.array(LUMINANCE)
    found = {}
    for direction, lines in (("horizontal", luminance), ("vertical", luminance.T)):
        length = lines.shape[1] // max(PERIODS) * max(PERIODS)
        lines = lines[:, :length] - lines[:, :length].mean(axis=1, keepdims=True)
        power = np.square(np.abs(np.fft.rfft(lines * np.hanning(length)))).mean(axis=0)
        for period in PERIODS:
            found[direction, period] = _standing_out(np.log(power + 1e-12), length // period)
    return found


def _standing_out(power: np.ndarray, place: int) -> float:
    """Returns by which factor a spectrum's logarithms exceed, at a place and beside it, a line through those around."""
    places = np.arange(max(place - _NEIGHBOURS, 1), min(place + _NEIGHBOURS + 1, len(power)))
    near = np.abs(places - place) <= _NEAR
    slope, height = np.polyfit(places[~near], power[places[~near]], 1)
    return float(np.exp(np.mean(power[places[near]] - (slope * places[near] + height))))


def border_frame(picture: np.ndarray, content: np.ndarray) -> float:
    """Returns how much more the border differs from what is next to it than in the content image.

    The difference is that of mean and deviation of the luminance in the outer 8 pixels and in the 8 pixels within them,
    as a share of the deviation of all; the ratio is that of 1 + difference.

    Args:
        picture: `[H, W, 3]`, RGB in [0, 1].
        content: `[H, W, 3]`, likewise.
    """
    return (1 + _frame(picture)) / (1 + _frame(content))


def _frame(picture: np.ndarray) -> float:
    luminance = np.asarray(picture, np.float64) @ np.array(LUMINANCE)
    depth = np.minimum.outer(*(np.minimum(np.arange(n), np.arange(n)[::-1]) for n in luminance.shape))
    outer, inner = luminance[depth < FRAME], luminance[(depth >= FRAME) & (depth < 2 * FRAME)]
    difference = np.hypot(outer.mean() - inner.mean(), outer.std() - inner.std())
    return float(difference / (luminance.std() + 1e-6))


def blotches(picture: np.ndarray, content: np.ndarray) -> float:
    """Returns the power of large patches in a picture as a share of that in the content image.

    That is the power of RGB with 4 to 16 periods along the longer side; a style without large shapes leaves it alone.

    Args:
        picture: `[H, W, 3]`, RGB in [0, 1].
        content: `[H, W, 3]`, likewise.
    """
    return _patches(picture) / _patches(content)


def _patches(picture: np.ndarray) -> float:
    pixels = np.asarray(picture, np.float64)
    height, width, _ = pixels.shape
    long = max(height, width)
    rows, columns = np.fft.fftfreq(height)[:, None] * long, np.fft.rfftfreq(width)[None] * long
    periods = np.hypot(rows, columns)
    spectrum = np.square(np.abs(np.fft.rfft2(pixels - pixels.mean(axis=(0, 1)), axes=(0, 1))))
    power = spectrum[(periods >= _BLOTCHES[0]) & (periods <= _BLOTCHES[1])].sum() / (height * width) ** 2
    return float(power + 1e-12)
