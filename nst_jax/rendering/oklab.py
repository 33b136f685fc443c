"""OKLab: colours as lightness L and two chromas A (green to red) and B (blue to yellow), of even perceptual steps.

Ottosson, "A perceptual color space for image processing", https://bottosson.github.io/posts/oklab/, 2020, whose
matrices these are. scikit-image has no OKLab.
"""

import numpy as np

from nst_jax.io.colour_profile import light

_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
"""From linear red, green and blue to the responses of three kinds of cones."""

_OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
"""From their cube roots to L, A and B."""


def from_rgb(image: np.ndarray) -> np.ndarray:
    """Returns L, A, B `[..., 3]`, L in [0, 1], of sRGB in [0, 1]."""
    return np.cbrt(light(np.asarray(image, np.float64)) @ _CONES.T) @ _OPPONENTS.T


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """Returns sRGB `[..., 3]`, clipped to [0, 1], of L, A, B."""
    cones = (lab @ np.linalg.inv(_OPPONENTS).T) ** 3
    linear = np.clip(cones @ np.linalg.inv(_CONES).T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
