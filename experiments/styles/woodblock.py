"""Breaking waves before a red sun, printed from woodblocks in five inks."""

import numpy as np
from PIL import Image
from scipy import ndimage

from . import painting

# The inks of the woodblock, in the order they are printed.
INKS = {"ochre": "#e9b066", "pale": "#93b9bd", "blue": "#2f639c", "red": "#d63a24", "key": "#15224d"}
BARE, OCHRE, PALE, BLUE, RED, KEY = range(6)
# The two sides of a breaking wave from its foot to its tip: a row of x and one of y, upwards; it is 1 high.
BACK = [-1.75, -1.45, -1.05, -0.72, -0.38, 0, 0.36, 0.58, 0.64], [-0.75, -0.2, 0.2, 0.58, 0.88, 1, 0.93, 0.74, 0.55]
FACE = [1.9, 1.1, 0.48, 0.06, -0.14, -0.1, 0.1, 0.36, 0.64], [-0.75, -0.42, -0.22, 0.02, 0.3, 0.56, 0.71, 0.7, 0.55]


def woodblock(rng: np.random.Generator, size: int) -> np.ndarray:
    """Cuts breaking waves before a red sun into wood, one block per ink, and prints them."""
    n = size * painting.OVERSAMPLING
    x, y = painting.grid(n)
    swell = painting.noise(rng, n, (1 / 14, 1 / 6), 2)
    sun = np.hypot(x - 0.70, y - 0.25) + 0.0012 * swell
    wind = y + 0.038 * painting.noise(rng, n, (0.16, 0.35), 2) + 0.35 * sun * np.exp(-((sun / 0.25) ** 2))
    cut = np.abs(wind * 58 % 1 - 0.5) * 2 - 0.15 * swell  # lines along the wind, of a width for each ink
    dusk = 1 - y / 0.62
    layers = [  # the first that holds
        ((sun < 0.165) & ((sun + 0.003 * swell) * 62 % 1 < 0.16 + 0.05 * swell), OCHRE),
        (sun < 0.165, RED),
        (sun < 0.18, BARE),
        (cut < 0.95 * dusk - 0.40, BLUE),
        (cut < 0.24 + 0.30 * dusk, PALE),
        (cut < 2.4 * (y - 0.46), RED),
        (cut < 0.50, OCHRE),
    ]
    where, inks = zip(*layers, strict=True)
    block = np.select(where, inks, BARE)
    image = Image.fromarray(block.astype(np.uint8))
    waves = [  # x, y of the middle of the foot, height, direction; later ones are nearer
        (0.86, 0.72, 0.22, -1),
        (0.55, 0.74, 0.17, 1),
        (0.24, 0.66, 0.50, 1),
        (0.74, 0.84, 0.24, -1),
        (0.10, 0.93, 0.24, 1),
        (0.46, 0.95, 0.22, 1),
        (0.93, 1.00, 0.26, -1),
        (0.66, 1.08, 0.22, -1),
        (0.24, 1.12, 0.24, 1),
    ]
    for cx, cy, height, direction in waves:
        _wave(rng, image, np.array([cx, cy]), height, direction)

    block = np.asarray(image)
    sheet = painting.rgb("#f4e8cd") * (1 + 0.01 * painting.noise(rng, n, 1 / 400))[..., None]
    for ink, color in enumerate(INKS.values(), 1):
        plate = (block == ink).astype(np.float32)
        if ink != KEY:  # the other inks reach under the key lines, or the paper would show beside them
            plate = np.maximum(plate, ndimage.maximum_filter(plate, 1 + n // 300) * (block == KEY))
        plate = ndimage.shift(plate, rng.normal(0, n / 900, 2), order=1, mode="nearest")  # never quite in register
        plate = painting.shaken(rng, ndimage.gaussian_filter(plate, 1), 0.0005, 1 / 120)
        rings = (
            46 * y + 1.6 * painting.noise(rng, n, (1 / 3, 1 / 2), 2) + 0.4 * painting.noise(rng, n, (1 / 40, 1 / 2), 2)
        )
        grain = (0.5 + 0.5 * np.sin(2 * np.pi * rings)) ** 3
        wear = 0.10 * painting.noise(rng, n, 1 / 8, 3) + 0.06 * painting.noise(rng, n, 1 / 400)
        pressed = np.clip(3 * plate - 1, 0, 1) * np.clip(0.95 - 0.2 * grain + wear, 0, 1)
        sheet += pressed[..., None] * (painting.rgb(color) * sheet**0.3 - sheet)
    return painting.finish(sheet)


def _wave(rng: np.random.Generator, image: Image.Image, foot: np.ndarray, height: float, direction: int) -> None:
    """Cuts one wave into the blocks: ribbons that run from its foot to its tip, then claws of foam, then spray."""
    thin = 0.0027 + 0.0033 * height
    scale = np.array([direction, -1]) * height
    moves = rng.normal(0, 0.03, (2, 9, 2))
    moves[:, -1] = 0  # both sides still end in the tip
    sides = np.transpose([BACK, FACE], (0, 2, 1)) + moves
    back, face = (painting.smooth(side * scale + foot, 160) for side in sides)
    painting.fill(image, np.concatenate([back, face[::-1]]), PALE)
    s = np.linspace(0, 1, len(back))[:, None]
    ribbons = 16 if height > 0.3 else 9
    for k in range(ribbons):
        middle, phase = (k + 0.5) / ribbons, rng.uniform(0, 6, 3)
        half = (0.31 + 0.12 * np.sin(7 * s + phase[0])) / ribbons * np.minimum(1, 3 * (1 - s) + 0.15)
        edges = [back + (face - back) * (middle + side * half) for side in (-1, 1)]
        painting.fill(image, np.concatenate([edges[0], edges[1][::-1]]), (BLUE, KEY, BLUE, BARE)[k % 4])
        for side, start in zip((-1, 1), phase[1:], strict=True):
            path = back + (face - back) * (middle + side * 0.55 / ribbons)
            painting.fill(image, painting.line(path, thin * (0.5 + 0.4 * np.sin(11 * s[:, 0] + start))), KEY)
    for path in (back, face):
        painting.fill(image, painting.line(path, 1.5 * thin), KEY)

    lip = [(face, back, 0.20, k, 0.25, (0.5, 1.0)) for k in np.linspace(72, 159, 11).astype(int)]
    crest = [(back, face, 0.07, k, 0.14, (-0.5, -0.1)) for k in np.linspace(66, 158, 13).astype(int)]
    for edge, other, inward, k, length, (low, high) in lip + crest:
        heading = np.arctan2(*(edge[k] - edge[k - 1])[::-1]) + direction * rng.uniform(low, high)
        root = edge[k] + inward * (other[k] - edge[k])
        claws = _claws(rng, root, heading, height * length * rng.uniform(0.8, 1.2), direction * rng.uniform(1.3, 2.2))
        for path, width in claws:
            painting.fill(image, painting.line(path, width + 2 * thin), KEY)
        for path, width in claws:
            painting.fill(image, painting.line(path, width), BARE)
        for path, width in claws[:3]:  # shade
            painting.fill(image, painting.line(path[4:-6] + 0.12 * width[4:-6, None], 0.2 * width[4:-6]), PALE)
    for _ in range(40):
        drop = foot + scale * rng.normal((0.66, 0.62), (0.16, 0.18))
        radius = height * rng.uniform(0.004, 0.013)
        painting.fill(image, painting.placed(painting.arc(1), drop, radius + 0.6 * thin), KEY)
        painting.fill(image, painting.placed(painting.arc(1), drop, radius), BARE)


def _claws(rng, root: np.ndarray, heading: float, length: float, curl: float, depth: int = 1) -> list:
    """Returns a claw of foam and the smaller claws that grow out of it, as pairs (path `[K, 2]`, width `[K]`)."""
    s = np.linspace(0, 1, 24)
    turn = heading + curl * s**1.3
    path = root + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], axis=-1), axis=0) * length / len(s)
    claws = [(path, 0.34 * length * np.minimum(1, 0.55 + 2 * s) * (1 - s) ** 0.8)]
    for at, side in [(2, -1), (4, 1), (8, -1), (12, 1), (16, 1)] * (depth > 0):
        away = turn[at] + side * np.sign(curl) * rng.uniform(0.4, 0.9)
        claws += _claws(rng, path[at], away, length * rng.uniform(0.42, 0.6), curl * rng.uniform(0.8, 1.2), depth - 1)
    return claws
