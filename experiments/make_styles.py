"""Paints style pictures: ours, so free to use, and made for the job, with texture at every scale and no empty corner.

    python -m experiments.make_styles --workdir=results/styles --size=768 --seed=0

Takes about 30 s on a 2-core machine and writes `flow.jpg` (oil: brush strokes along a whirling night sky), `glass.jpg`
(a rose window), `woodblock.jpg` (engraved waves in five inks) and `abstract.jpg` (a crowd of overlapping shapes).
Another seed varies the details and keeps the compositions, but for `abstract`, which is new each time. The four of
seed 0 are in `experiments/samples`. A new painter is one more function in `STYLES`.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import KDTree

from nst_jax.io.files import atomic_write, make_folder

from .cli.flags import Checked, flag, option_flag, run_script
from .styles import painting as paint

JPEG_QUALITY = 90  # with colour at full resolution: chroma subsampling would smear the strokes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The flags."""

    workdir: str = flag("results/styles", "Folder for the pictures.")
    size: int = flag(768, "Side of the square pictures in pixels.", least=16)
    seed: int = option_flag("seed", 0)


def flow(rng: np.random.Generator, size: int) -> np.ndarray:
    """Paints a night of whirling stars over fields, in oil."""
    n = size * paint.OVERSAMPLING
    x, y = paint.grid(n)
    # The sky flows along the level lines of a stream function, hence without divergence: a drift and a hill a whirl.
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
    stream = y + 0.12 * paint.noise(rng, n, 0.4)
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
    bands = 0.20 * np.sin(30 * stream - spiral) + 0.11 * paint.noise(rng, n, 0.12, 2)
    bands = 0.36 + (1 - 0.4 * glow) * bands + 0.55 * glow
    rows = 0.45 + 0.27 * np.sin(50 * depth + 5 * x) + 0.20 * paint.noise(rng, n, 0.06, 2)
    color = np.where(land, paint.ramp(wheat, rows), paint.ramp(night, bands))
    canvas = np.concatenate([color, np.zeros((n, n, 1), np.float32)], axis=-1)
    layers = [(0.034, 0.15, 800, 0.05), (0.018, 0.10, 3000, 0.07), (0.012, 0.07, 2200, 0.09)]
    paint.brush_over(canvas, field, layers, rng)
    return paint.finish(paint.rake(canvas[..., :3], canvas[..., 3], strength=1.4, gloss=0.2))


def glass(rng: np.random.Generator, size: int) -> np.ndarray:
    """Builds a rose window and lets the sun shine through it."""
    n = size * paint.OVERSAMPLING
    x, y = (axis - 0.5 + 0.003 * paint.noise(rng, n, 1 / 9, 3) for axis in paint.grid(n))  # no curve is quite true
    blue, green, night = (
        ["#0a1c8a", "#1437b8", "#1d6be0", "#0d2a9a", "#6ab8f8"],
        ["#0a6a4c", "#0fa06f", "#56d49a", "#0a7f9a", "#d8e860"],
        ["#4a1f9c", "#1c3fbf", "#0a7a9e", "#9a1a60", "#1aa0a0"],
    )
    red, rose = ["#a00a1e", "#d8141e", "#f04a1a", "#ff9a20"], ["#6a1490", "#a01f98", "#d8307a", "#ff86a0"]
    fire, gold = ["#ffd040", "#f79a13", "#ffe88a", "#e8551a"], ["#fff0a0", "#ffd84a", "#fffbe0"]
    tracery = [  # how many, at what distance, half width, length by width, hues in turn, first angle; later ones on top
        (1, 0, 9, 1, [night], 0),
        (1, 0, 0.487, 1, [green], 0),
        (16, 0.428, 0.055, 1, [red, fire], 0),
        (1, 0, 0.368, 1, [blue], 0),
        (12, 0.255, 0.052, 2.05, [rose, red], 0),
        (1, 0, 0.15, 1, [blue], 0),
        (12, 0.112, 0.028, 1, [fire, green], 0),
        (1, 0, 0.076, 1, [rose], 0),
        (1, 0, 0.034, 1, [gold], 0),
        (4, 0.63, 0.14, 1, [blue], np.pi / 4),
    ]
    hues: list[list[str]] = []
    lights = np.zeros((n, n), int)  # a light is what the tracery of a window encloses
    to_stone = np.ones((n, n), np.float32)
    for count, distance, half, stretch, families, start in tracery:
        for i in range(count):
            angle = start + 2 * np.pi * i / count
            along, across = x * np.cos(angle) + y * np.sin(angle) - distance, y * np.cos(angle) - x * np.sin(angle)
            inward = half - np.hypot(along / stretch, across)
            to_stone = np.where(inward > 0, inward, np.minimum(to_stone, -inward))
            lights[inward > 0] = len(hues)
            hues.append(families[i % len(families)])

    color, to_lead = np.zeros((n, n, 3), np.float32), np.ones((n, n), np.float32)
    streaks = paint.noise(rng, n, (1 / 150, 1 / 7), 3)
    for index, family in enumerate(hues):
        inside = lights == index
        if not inside.any():  # in a tiny picture
            continue
        points = np.stack([x[inside], y[inside]], axis=-1)
        seeds = paint.spread(rng, points, max(5, int(len(points) / n**2 / rng.uniform(0.0008, 0.0014))))
        near, owners = KDTree(seeds).query(points, k=3)
        pane, between = owners[:, 0], np.linalg.norm(seeds[owners[:, 0]] - seeds[owners[:, 1]], axis=-1)
        solder = 0.0022 * np.exp(-(((near[:, 2] - near[:, 0]) / 0.006) ** 2))  # a drop where three panes meet
        to_lead[inside] = (near[:, 1] ** 2 - near[:, 0] ** 2) / (2 * between + 1e-9) - solder
        # Each pane was cut from its own sheet: how its streaks lie, its hue, how dark it is, what is painted on it.
        turn, hue, dark, kind = rng.uniform(0, 1, (4, len(seeds), 1))[:, pane, 0]
        cos, sin = np.cos(np.pi * turn), np.sin(np.pi * turn)
        along, across = points[:, 0] * cos + points[:, 1] * sin, points[:, 1] * cos - points[:, 0] * sin
        streak = paint.mirrored(streaks, along + 9 * hue, across + 9 * dark)
        pattern = np.select([kind < 0.2, kind < 0.4], [near[:, 0] * 120, across * 130], 0)  # rings, hatching, nothing
        engraved = np.abs(pattern % 1 - 0.5) < 0.17
        thickness = 0.25 + 1.1 * dark + 0.22 * streak + 14 * near[:, 0] + 1.1 * engraved
        dye = paint.ramp(family, hue + 0.13 * streak)
        color[inside] = dye ** np.clip(thickness, 0.6, 5)[:, None]  # Beer–Lambert: thicker glass is deeper, never grey

    sun = 1.12 + 0.25 * np.exp(-(x**2 + y**2) / 0.08) + 0.08 * paint.noise(rng, n, 1 / 5, 3)
    color *= (sun * (1 + 0.07 * paint.noise(rng, n, 1 / 500)))[..., None]
    uneven = 1 + 0.22 * paint.noise(rng, n, 1 / 30, 2)
    came = np.maximum(1 - to_lead / (0.0027 * uneven), 1 - to_stone / (0.0055 * uneven))  # > 0 on lead
    color *= 0.5 + 0.5 * np.clip(-came * 0.5, 0, 1)[..., None]  # dirt gathers along the lead
    metal = (0.07 + 0.025 * paint.noise(rng, n, 1 / 300, 2))[..., None] * np.array([0.9, 0.95, 1.15])
    color = np.where(came[..., None] > 0, metal, color)
    color = paint.rake(color, np.sqrt(np.clip(came, 0, 1)) * n / 300, strength=1.0, gloss=0.22)
    halo = np.clip(ndimage.gaussian_filter(color, (n / 90, n / 90, 0), truncate=2), 0, 1)
    return paint.finish(1 - (1 - color) * (1 - 0.2 * halo))


# The inks of the woodblock, in the order they are printed.
INKS = {"ochre": "#e9b066", "pale": "#93b9bd", "blue": "#2f639c", "red": "#d63a24", "key": "#15224d"}
BARE, OCHRE, PALE, BLUE, RED, KEY = range(6)
# The two sides of a breaking wave from its foot to its tip: a row of x and one of y, upwards; it is 1 high.
BACK = [-1.75, -1.45, -1.05, -0.72, -0.38, 0, 0.36, 0.58, 0.64], [-0.75, -0.2, 0.2, 0.58, 0.88, 1, 0.93, 0.74, 0.55]
FACE = [1.9, 1.1, 0.48, 0.06, -0.14, -0.1, 0.1, 0.36, 0.64], [-0.75, -0.42, -0.22, 0.02, 0.3, 0.56, 0.71, 0.7, 0.55]


def woodblock(rng: np.random.Generator, size: int) -> np.ndarray:
    """Cuts breaking waves before a red sun into wood, one block an ink, and prints them."""
    n = size * paint.OVERSAMPLING
    x, y = paint.grid(n)
    swell = paint.noise(rng, n, (1 / 14, 1 / 6), 2)
    sun = np.hypot(x - 0.70, y - 0.25) + 0.0012 * swell
    wind = y + 0.038 * paint.noise(rng, n, (0.16, 0.35), 2) + 0.35 * sun * np.exp(-((sun / 0.25) ** 2))
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
    sheet = paint.rgb("#f4e8cd") * (1 + 0.01 * paint.noise(rng, n, 1 / 400))[..., None]
    for ink, color in enumerate(INKS.values(), 1):
        plate = (block == ink).astype(np.float32)
        if ink != KEY:  # the other inks reach under the key lines, or the paper would show beside them
            plate = np.maximum(plate, ndimage.maximum_filter(plate, 1 + n // 300) * (block == KEY))
        plate = ndimage.shift(plate, rng.normal(0, n / 900, 2), order=1, mode="nearest")  # never quite in register
        plate = paint.shaken(rng, ndimage.gaussian_filter(plate, 1), 0.0005, 1 / 120)
        rings = 46 * y + 1.6 * paint.noise(rng, n, (1 / 3, 1 / 2), 2) + 0.4 * paint.noise(rng, n, (1 / 40, 1 / 2), 2)
        grain = (0.5 + 0.5 * np.sin(2 * np.pi * rings)) ** 3
        wear = 0.10 * paint.noise(rng, n, 1 / 8, 3) + 0.06 * paint.noise(rng, n, 1 / 400)
        pressed = np.clip(3 * plate - 1, 0, 1) * np.clip(0.95 - 0.2 * grain + wear, 0, 1)
        sheet += pressed[..., None] * (paint.rgb(color) * sheet**0.3 - sheet)
    return paint.finish(sheet)


def _wave(rng: np.random.Generator, image: Image.Image, foot: np.ndarray, height: float, direction: int) -> None:
    """Cuts one wave into the blocks: ribbons that run from its foot to its tip, then claws of foam, then spray."""
    thin = 0.0027 + 0.0033 * height
    scale = np.array([direction, -1]) * height
    moves = rng.normal(0, 0.03, (2, 9, 2))
    moves[:, -1] = 0  # both sides still end in the tip
    sides = np.transpose([BACK, FACE], (0, 2, 1)) + moves
    back, face = (paint.smooth(side * scale + foot, 160) for side in sides)
    paint.fill(image, np.concatenate([back, face[::-1]]), PALE)
    s = np.linspace(0, 1, len(back))[:, None]
    ribbons = 16 if height > 0.3 else 9
    for k in range(ribbons):
        middle, phase = (k + 0.5) / ribbons, rng.uniform(0, 6, 3)
        half = (0.31 + 0.12 * np.sin(7 * s + phase[0])) / ribbons * np.minimum(1, 3 * (1 - s) + 0.15)
        edges = [back + (face - back) * (middle + side * half) for side in (-1, 1)]
        paint.fill(image, np.concatenate([edges[0], edges[1][::-1]]), (BLUE, KEY, BLUE, BARE)[k % 4])
        for side, start in zip((-1, 1), phase[1:], strict=True):
            path = back + (face - back) * (middle + side * 0.55 / ribbons)
            paint.fill(image, paint.line(path, thin * (0.5 + 0.4 * np.sin(11 * s[:, 0] + start))), KEY)
    for path in (back, face):
        paint.fill(image, paint.line(path, 1.5 * thin), KEY)

    lip = [(face, back, 0.20, k, 0.25, (0.5, 1.0)) for k in np.linspace(72, 159, 11).astype(int)]
    crest = [(back, face, 0.07, k, 0.14, (-0.5, -0.1)) for k in np.linspace(66, 158, 13).astype(int)]
    for edge, other, inward, k, length, (low, high) in lip + crest:
        heading = np.arctan2(*(edge[k] - edge[k - 1])[::-1]) + direction * rng.uniform(low, high)
        root = edge[k] + inward * (other[k] - edge[k])
        claws = _claws(rng, root, heading, height * length * rng.uniform(0.8, 1.2), direction * rng.uniform(1.3, 2.2))
        for path, width in claws:
            paint.fill(image, paint.line(path, width + 2 * thin), KEY)
        for path, width in claws:
            paint.fill(image, paint.line(path, width), BARE)
        for path, width in claws[:3]:  # shade
            paint.fill(image, paint.line(path[4:-6] + 0.12 * width[4:-6, None], 0.2 * width[4:-6]), PALE)
    for _ in range(40):
        drop = foot + scale * rng.normal((0.66, 0.62), (0.16, 0.18))
        radius = height * rng.uniform(0.004, 0.013)
        paint.fill(image, paint.placed(paint.arc(1), drop, radius + 0.6 * thin), KEY)
        paint.fill(image, paint.placed(paint.arc(1), drop, radius), BARE)


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


def abstract(rng: np.random.Generator, size: int) -> np.ndarray:
    """Composes overlapping shapes, from broad washes to small signs, on a warm ground."""
    n = size * paint.OVERSAMPLING
    x, y = paint.grid(n)
    ground = ["#c9483a", "#f0b95a", "#f6e6bf", "#f3dca0", "#e59a3f", "#f4e9cf", "#8fbcb5", "#3f6fae"]
    warm = ["#d7261e", "#f2a900", "#e8662a", "#f6cf3a", "#c2185b", "#f6e7c1", "#8c1d18", "#e77fa0"]
    cool = ["#1f4fa8", "#0f2a5f", "#1d8a6b", "#5fb0cf", "#5a2f8f", "#fff8e6", "#b7d14a", "#f2c230"]
    clouds = paint.shaken(rng, paint.noise(rng, n, 1 / 4, 3), 0.08, 1 / 4)
    canvas = np.concatenate([paint.ramp(ground, 0.45 + 0.24 * clouds), np.zeros((n, n, 1), np.float32)], axis=-1)
    angle = 2.5 * paint.noise(rng, n, 1 / 3, 2)
    layers = [(0.03, 0.09, 1500, 0.05), (0.014, 0.05, 4000, 0.05)]
    paint.brush_over(canvas, np.stack([np.cos(angle), np.sin(angle)], axis=-1), layers, rng)
    warmth = paint.noise(rng, n, 1 / 3)  # hues keep company: warm regions and cool ones
    bristles = paint.noise(rng, n, (1 / 350, 1 / 14), 2)

    def pick(center) -> np.ndarray:
        column, row = np.clip(np.asarray(center) * n, 0, n - 1).astype(int)
        return paint.rgb(rng.choice(warm if warmth[row, column] > rng.normal(0, 0.6) else cool))

    def lay(polygon, color, other, fade=0.0, glaze=False):
        """Paints a shape in streaks from one colour to another; it may fade out, or let what is below shine through."""
        box, mask = paint.cutting(polygon, n)
        if not mask.any():
            return
        turn = rng.uniform(0, 2 * np.pi)
        u, v = x[box] * np.cos(turn) + y[box] * np.sin(turn), y[box] * np.cos(turn) - x[box] * np.sin(turn)
        streak = paint.mirrored(bristles, u, v)
        blend = np.clip(1.2 * (u - u.min()) / (np.ptp(u) + 1e-6) - 0.1, 0, 1)
        tint = color + blend[..., None] * (other - color) + 0.04 * streak[..., None]
        if glaze:
            tint = tint * (0.25 + 0.85 * canvas[box][..., :3])
        rim = mask - ndimage.uniform_filter(mask, 1 + n // 160)
        layer = np.concatenate([tint, (0.45 + 0.22 * streak + 0.9 * rim)[..., None]], axis=-1)
        cover = mask * np.clip(1 - fade * (blend - 0.15 * streak), 0, 1)
        canvas[box] += cover[..., None] * (layer - canvas[box])

    def shape(polygon, center, fade=0.0, glaze=False):
        color = pick(center)
        lay(polygon, color, 0.55 * color + 0.45 * pick(center), fade, glaze)

    def stroke(path, width):
        swell = 0.45 + 0.9 * np.sin(np.pi * np.linspace(0, 1, len(path)) ** rng.uniform(0.5, 2))
        black = paint.rgb("#17130f")
        lay(paint.line(path, swell * width + 0.001), black, black + rng.uniform(0, 0.15))

    def disc(center, r, turn):
        shape(paint.placed(paint.arc(1), center, r), center, rng.choice([0, 0.9]), rng.random() < 0.4)
        if rng.random() < 0.6:
            stroke(paint.placed(paint.arc(1, 0, rng.uniform(2, 6.3)), center, r, turn), 0.006 + 0.02 * r)

    def target(center, r, turn):
        for radius in np.linspace(1, 0.15, rng.integers(4, 8)):
            ring = paint.placed(paint.arc(radius), center + rng.normal(0, 0.03, 2) * r, r, turn)
            shape(ring, center)
            if rng.random() < 0.6:
                stroke(ring, 0.025 * r)

    def triangle(center, r, turn):
        half = rng.uniform(0.2, 0.7)
        corners = paint.placed([(-1, -half), (1.3, 0), (-1, half), (-1, -half)], center, r, turn)
        shape(corners, center, rng.choice([0, 0.8]), rng.random() < 0.4)
        for k in np.nonzero(rng.random(3) < 0.6)[0]:
            stroke(np.linspace(corners[k], corners[k + 1], 12), 0.025 * r)

    def crescent(center, r, turn):
        outer = paint.arc(1, 0, rng.uniform(1.2, 2.6))
        hollow = outer[30] * rng.uniform(0.15, 0.45) * np.sin(np.linspace(0, np.pi, len(outer)))[:, None]
        shape(paint.placed(np.concatenate([outer, (outer - hollow)[::-1]]), center, r, turn), center, 0.3)
        stroke(paint.placed(outer, center, r, turn), 0.03 * r)

    def rainbow(center, r, turn):
        sweep = rng.uniform(1.0, 2.4)
        for k in range(rng.integers(3, 7)):
            outer, inner = paint.arc(1 - 0.09 * k, 0, sweep), paint.arc(0.92 - 0.09 * k, 0.06 * k, sweep - 0.05 * k)
            shape(paint.placed(np.concatenate([outer, inner[::-1]]), center, r, turn), center)
        stroke(paint.placed(paint.arc(1.02, -0.1, sweep), center, r, turn), 0.03 * r)

    def checker(center, r, turn):
        colors, bend = [pick(center) for _ in range(3)], rng.normal(0, 0.25, 2)
        u, v = np.meshgrid(np.linspace(-1, 1, rng.integers(5, 9)), np.linspace(-0.7, 0.7, rng.integers(4, 7)))
        corners = np.stack([u + bend[0] * v**2, v * (0.6 + 0.35 * u) + bend[1] * u**2], axis=-1)
        for i, j in np.ndindex(u.shape[0] - 1, u.shape[1] - 1):
            color = colors[(i + j) % 2 if rng.random() < 0.8 else 2]
            cell = corners[[i, i, i + 1, i + 1], [j, j + 1, j + 1, j]]
            lay(paint.placed(cell, center, r, turn), color, 0.75 * color + 0.25 * pick(center))
        for row in corners[[0, -1]]:
            stroke(paint.placed(row, center, r, turn), 0.03 * r)

    def comb(center, r, turn):
        for k in range(rng.integers(4, 9)):
            tooth = paint.arc(2, -0.5 + 0.03 * k, 0.5 - 0.05 * k) - [2 - 0.15 * k, 0]
            stroke(paint.placed(tooth, center, r, turn), 0.035 * r)

    def whip(center, r, turn):
        rise = np.cumsum(rng.normal(0, 0.35, 6))
        path = paint.smooth(np.stack([np.linspace(-1.3, 1.3, 6), rise - rise.mean()], axis=-1))
        stroke(paint.placed(path, center, r, turn), min(0.05 * r, 0.007))

    def zigzag(center, r, turn):
        path = np.stack([np.linspace(-1, 1, 9), 0.22 * (-1.0) ** np.arange(9)], axis=-1)
        stroke(paint.placed(path, center, r, turn), min(0.05 * r, 0.007))

    def blob(center, r, turn):
        radii = rng.uniform(0.5, 1.1, 9)
        radii[-1] = radii[0]
        outline = paint.smooth(paint.arc(1, count=9) * [1, 0.7] * radii[:, None])
        shape(paint.placed(outline, center, r, turn), center, rng.choice([0.3, 1.0]), rng.random() < 0.3)

    crowd = [  # radius, how many, of what
        (0.22, 24, [blob, blob, disc, crescent, triangle]),
        (0.14, 36, [triangle, rainbow, crescent, blob, disc]),
        (0.09, 50, [target, checker, triangle, rainbow, comb, whip, blob]),
        (0.30, 5, [whip]),
        (0.05, 90, [target, triangle, checker, crescent, disc, zigzag, comb, whip]),
        (0.018, 120, [disc, triangle, disc, crescent]),
    ]
    for radius, count, kinds in crowd:
        side = int(np.ceil(np.sqrt(count)))
        for cell in rng.permutation(side * side)[:count]:  # one in each cell of a grid: no heap and no hole
            center = (np.array(divmod(cell, side)) + rng.uniform(0, 1, 2)) / side
            turn = rng.normal(-0.75, 0.5) + rng.choice([0, np.pi / 2, np.pi])  # the picture leans along its diagonals
            kinds[rng.choice(len(kinds))](center, radius * rng.uniform(0.7, 1.4), turn)
    canvas = paint.shaken(rng, canvas, 0.0006, 1 / 60)
    return paint.finish(paint.rake(np.clip(canvas[..., :3], 0, 1), canvas[..., 3], strength=0.9, gloss=0.1))


STYLES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "flow": flow,
    "glass": glass,
    "woodblock": woodblock,
    "abstract": abstract,
}


def run(config: Config) -> dict[str, np.ndarray]:
    """Paints every style and saves it in the workdir.

    Returns:
        name → picture `[H, W, 3]`, float32 in [0, 1].

    Raises:
        UserError: a picture cannot be written.
    """
    folder = pathlib.Path(config.workdir)
    make_folder(folder)
    pictures = {}
    for name, style in STYLES.items():
        pictures[name] = style(np.random.default_rng(config.seed), config.size)
        image = Image.fromarray(np.rint(pictures[name] * 255).astype(np.uint8))
        path = folder / f"{name}.jpg"
        with atomic_write(path) as file:
            image.save(file, "jpeg", quality=JPEG_QUALITY, subsampling="4:4:4", optimize=True, progressive=True)
        print(path)
    return pictures


if __name__ == "__main__":
    run_script(Config, run)
