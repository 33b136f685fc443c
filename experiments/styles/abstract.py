"""A crowd of overlapping shapes on a warm ground."""

import numpy as np
from scipy import ndimage

from . import painting


def abstract(rng: np.random.Generator, size: int) -> np.ndarray:
    """Composes overlapping shapes, from broad washes to small signs, on a warm ground."""
    n = size * painting.OVERSAMPLING
    x, y = painting.grid(n)
    ground = ["#c9483a", "#f0b95a", "#f6e6bf", "#f3dca0", "#e59a3f", "#f4e9cf", "#8fbcb5", "#3f6fae"]
    warm = ["#d7261e", "#f2a900", "#e8662a", "#f6cf3a", "#c2185b", "#f6e7c1", "#8c1d18", "#e77fa0"]
    cool = ["#1f4fa8", "#0f2a5f", "#1d8a6b", "#5fb0cf", "#5a2f8f", "#fff8e6", "#b7d14a", "#f2c230"]
    clouds = painting.shaken(rng, painting.noise(rng, n, 1 / 4, 3), 0.08, 1 / 4)
    canvas = np.concatenate([painting.ramp(ground, 0.45 + 0.24 * clouds), np.zeros((n, n, 1), np.float32)], axis=-1)
    angle = 2.5 * painting.noise(rng, n, 1 / 3, 2)
    layers = [(0.03, 0.09, 1500, 0.05), (0.014, 0.05, 4000, 0.05)]
    painting.brush_over(canvas, np.stack([np.cos(angle), np.sin(angle)], axis=-1), layers, rng)
    warmth = painting.noise(rng, n, 1 / 3)  # hues keep company: warm regions and cool ones
    bristles = painting.noise(rng, n, (1 / 350, 1 / 14), 2)

    def pick(center) -> np.ndarray:
        column, row = np.clip(np.asarray(center) * n, 0, n - 1).astype(int)
        return painting.rgb(rng.choice(warm if warmth[row, column] > rng.normal(0, 0.6) else cool))

    def lay(polygon, color, other, fade=0.0, glaze=False):
        """Paints a shape in streaks from one colour to another; it may fade out, or let what is below shine through."""
        box, mask = painting.cutting(polygon, n)
        if not mask.any():
            return
        turn = rng.uniform(0, 2 * np.pi)
        u, v = x[box] * np.cos(turn) + y[box] * np.sin(turn), y[box] * np.cos(turn) - x[box] * np.sin(turn)
        streak = painting.mirrored(bristles, u, v)
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
        black = painting.rgb("#17130f")
        lay(painting.line(path, swell * width + 0.001), black, black + rng.uniform(0, 0.15))

    def disc(center, r, turn):
        shape(painting.placed(painting.arc(1), center, r), center, rng.choice([0, 0.9]), rng.random() < 0.4)
        if rng.random() < 0.6:
            stroke(painting.placed(painting.arc(1, 0, rng.uniform(2, 6.3)), center, r, turn), 0.006 + 0.02 * r)

    def target(center, r, turn):
        for radius in np.linspace(1, 0.15, rng.integers(4, 8)):
            ring = painting.placed(painting.arc(radius), center + rng.normal(0, 0.03, 2) * r, r, turn)
            shape(ring, center)
            if rng.random() < 0.6:
                stroke(ring, 0.025 * r)

    def triangle(center, r, turn):
        half = rng.uniform(0.2, 0.7)
        corners = painting.placed([(-1, -half), (1.3, 0), (-1, half), (-1, -half)], center, r, turn)
        shape(corners, center, rng.choice([0, 0.8]), rng.random() < 0.4)
        for k in np.nonzero(rng.random(3) < 0.6)[0]:
            stroke(np.linspace(corners[k], corners[k + 1], 12), 0.025 * r)

    def crescent(center, r, turn):
        outer = painting.arc(1, 0, rng.uniform(1.2, 2.6))
        hollow = outer[30] * rng.uniform(0.15, 0.45) * np.sin(np.linspace(0, np.pi, len(outer)))[:, None]
        shape(painting.placed(np.concatenate([outer, (outer - hollow)[::-1]]), center, r, turn), center, 0.3)
        stroke(painting.placed(outer, center, r, turn), 0.03 * r)

    def rainbow(center, r, turn):
        sweep = rng.uniform(1.0, 2.4)
        for k in range(rng.integers(3, 7)):
            outer, inner = (
                painting.arc(1 - 0.09 * k, 0, sweep),
                painting.arc(0.92 - 0.09 * k, 0.06 * k, sweep - 0.05 * k),
            )
            shape(painting.placed(np.concatenate([outer, inner[::-1]]), center, r, turn), center)
        stroke(painting.placed(painting.arc(1.02, -0.1, sweep), center, r, turn), 0.03 * r)

    def checker(center, r, turn):
        colors, bend = [pick(center) for _ in range(3)], rng.normal(0, 0.25, 2)
        u, v = np.meshgrid(np.linspace(-1, 1, rng.integers(5, 9)), np.linspace(-0.7, 0.7, rng.integers(4, 7)))
        corners = np.stack([u + bend[0] * v**2, v * (0.6 + 0.35 * u) + bend[1] * u**2], axis=-1)
        for i, j in np.ndindex(u.shape[0] - 1, u.shape[1] - 1):
            color = colors[(i + j) % 2 if rng.random() < 0.8 else 2]
            cell = corners[[i, i, i + 1, i + 1], [j, j + 1, j + 1, j]]
            lay(painting.placed(cell, center, r, turn), color, 0.75 * color + 0.25 * pick(center))
        for row in corners[[0, -1]]:
            stroke(painting.placed(row, center, r, turn), 0.03 * r)

    def comb(center, r, turn):
        for k in range(rng.integers(4, 9)):
            tooth = painting.arc(2, -0.5 + 0.03 * k, 0.5 - 0.05 * k) - [2 - 0.15 * k, 0]
            stroke(painting.placed(tooth, center, r, turn), 0.035 * r)

    def whip(center, r, turn):
        rise = np.cumsum(rng.normal(0, 0.35, 6))
        path = painting.smooth(np.stack([np.linspace(-1.3, 1.3, 6), rise - rise.mean()], axis=-1))
        stroke(painting.placed(path, center, r, turn), min(0.05 * r, 0.007))

    def zigzag(center, r, turn):
        path = np.stack([np.linspace(-1, 1, 9), 0.22 * (-1.0) ** np.arange(9)], axis=-1)
        stroke(painting.placed(path, center, r, turn), min(0.05 * r, 0.007))

    def blob(center, r, turn):
        radii = rng.uniform(0.5, 1.1, 9)
        radii[-1] = radii[0]
        outline = painting.smooth(painting.arc(1, count=9) * [1, 0.7] * radii[:, None])
        shape(painting.placed(outline, center, r, turn), center, rng.choice([0.3, 1.0]), rng.random() < 0.3)

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
    canvas = painting.shaken(rng, canvas, 0.0006, 1 / 60)
    return painting.finish(painting.rake(np.clip(canvas[..., :3], 0, 1), canvas[..., 3], strength=0.9, gloss=0.1))
