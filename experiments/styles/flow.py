"""A night of whirling stars over fields, in oil."""

import numpy as np
from scipy import ndimage

from . import painting


def flow(rng: np.random.Generator, size: int) -> np.ndarray:
    """Paints a night of whirling stars over fields, in oil."""
    n = size * painting.OVERSAMPLING
    x, y = painting.grid(n)
    # The sky flows along the level lines of a stream function, hence without divergence: a drift, and a hill per whirl.
    whirls = [  # x, y, radius, turn, light
        (0.33, 0.33, 0.15, 1, 0.0),
        (0.62, 0.43, 0.13, -1, 0.0),
        (0.86, 0.13, 0.10, 1, 1.0),
        (0.09, 0.13, 0.05, -1, 1.0),
        (0.50, 0.10, 0.045, -1, 0.9),
        (0.10, 0.55, 0.05, 1, 0.9),
        (0.90, 0.50, 0.06, 1, 1.0),
        (0.37, 0.64, 0.04, -1, 0.9),
    ]
    stream = y + 0.12 * painting.noise(rng, n, 0.4)
    glow, spiral = np.zeros((2, n, n), np.float32)
    for cx, cy, radius, turn, light in whirls:
        far = ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
        near = np.exp(-far / 1.7**2)
        stream += near * (stream[int(cy * n), int(cx * n)] - stream)  # or the drift would carry the whirl away
        stream += turn * 4 * radius * np.exp(-far / 1.3**2)
        glow = np.maximum(glow, light * np.exp(-far / 0.62**2))
        spiral += near * np.arctan2(y - cy, x - cx) * turn
    down, right = np.gradient(ndimage.gaussian_filter(stream, n / 200))
    horizon = 0.80 - 0.06 * np.sin(5 * x + 0.6) - 0.025 * np.sin(13 * x + 2)
    depth = y - horizon
    furrows = np.gradient(horizon, axis=1) * n + 0.6 * np.sin(9 * x + 20 * depth)
    land = (depth > 0)[..., None]
    field = np.where(land, np.stack([np.ones_like(x), furrows], axis=-1), np.stack([down, -right], axis=-1))
    field /= np.linalg.norm(field, axis=-1, keepdims=True) + 1e-9

    night = ["#0a1338", "#122a78", "#1c4fb0", "#3b86c4", "#7fb9bf", "#cfd8a8", "#f4d24a", "#f5a623", "#fff1bd"]
    wheat = ["#0a1730", "#123b4a", "#2c6450", "#7d8a35", "#d9a92f", "#f3d66b"]
    bands = 0.20 * np.sin(30 * stream - spiral) + 0.11 * painting.noise(rng, n, 0.12, 2)
    bands = 0.36 + (1 - 0.4 * glow) * bands + 0.55 * glow
    rows = 0.45 + 0.27 * np.sin(50 * depth + 5 * x) + 0.20 * painting.noise(rng, n, 0.06, 2)
    color = np.where(land, painting.ramp(wheat, rows), painting.ramp(night, bands))
    canvas = np.concatenate([color, np.zeros((n, n, 1), np.float32)], axis=-1)
    layers = [(0.034, 0.15, 800, 0.05), (0.018, 0.10, 3000, 0.07), (0.012, 0.07, 2200, 0.09)]
    painting.brush_over(canvas, field, layers, rng)
    return painting.finish(painting.rake(canvas[..., :3], canvas[..., 3], strength=1.4, gloss=0.2))
