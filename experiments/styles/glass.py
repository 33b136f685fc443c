"""A rose window with the sun behind it."""

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from . import painting


def glass(rng: np.random.Generator, size: int) -> np.ndarray:
    """Builds a rose window and lets the sun shine through it."""
    n = size * painting.OVERSAMPLING
    x, y = (
        axis - 0.5 + 0.003 * painting.noise(rng, n, 1 / 9, 3) for axis in painting.grid(n)
    )  # no curve is quite true
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
    streaks = painting.noise(rng, n, (1 / 150, 1 / 7), 3)
    for index, family in enumerate(hues):
        inside = lights == index
        if not inside.any():  # in a tiny picture
            continue
        points = np.stack([x[inside], y[inside]], axis=-1)
        seeds = painting.spread(rng, points, max(5, int(len(points) / n**2 / rng.uniform(0.0008, 0.0014))))
        near, owners = KDTree(seeds).query(points, k=3)
        pane, between = owners[:, 0], np.linalg.norm(seeds[owners[:, 0]] - seeds[owners[:, 1]], axis=-1)
        solder = 0.0022 * np.exp(-(((near[:, 2] - near[:, 0]) / 0.006) ** 2))  # a drop where three panes meet
        to_lead[inside] = (near[:, 1] ** 2 - near[:, 0] ** 2) / (2 * between + 1e-9) - solder
        # Each pane was cut from its own sheet: how its streaks lie, its hue, how dark it is, what is painted on it.
        turn, hue, dark, kind = rng.uniform(0, 1, (4, len(seeds), 1))[:, pane, 0]
        cos, sin = np.cos(np.pi * turn), np.sin(np.pi * turn)
        along, across = points[:, 0] * cos + points[:, 1] * sin, points[:, 1] * cos - points[:, 0] * sin
        streak = painting.mirrored(streaks, along + 9 * hue, across + 9 * dark)
        pattern = np.select([kind < 0.2, kind < 0.4], [near[:, 0] * 120, across * 130], 0)  # rings, hatching, nothing
        engraved = np.abs(pattern % 1 - 0.5) < 0.17
        thickness = 0.25 + 1.1 * dark + 0.22 * streak + 14 * near[:, 0] + 1.1 * engraved
        dye = painting.ramp(family, hue + 0.13 * streak)
        color[inside] = dye ** np.clip(thickness, 0.6, 5)[:, None]  # Beer–Lambert: thicker glass is deeper, never grey

    sun = 1.12 + 0.25 * np.exp(-(x**2 + y**2) / 0.08) + 0.08 * painting.noise(rng, n, 1 / 5, 3)
    color *= (sun * (1 + 0.07 * painting.noise(rng, n, 1 / 500)))[..., None]
    uneven = 1 + 0.22 * painting.noise(rng, n, 1 / 30, 2)
    came = np.maximum(1 - to_lead / (0.0027 * uneven), 1 - to_stone / (0.0055 * uneven))  # > 0 on lead
    color *= 0.5 + 0.5 * np.clip(-came * 0.5, 0, 1)[..., None]  # dirt gathers along the lead
    metal = (0.07 + 0.025 * painting.noise(rng, n, 1 / 300, 2))[..., None] * np.array([0.9, 0.95, 1.15])
    color = np.where(came[..., None] > 0, metal, color)
    color = painting.rake(color, np.sqrt(np.clip(came, 0, 1)) * n / 300, strength=1.0, gloss=0.22)
    halo = np.clip(ndimage.gaussian_filter(color, (n / 90, n / 90, 0), truncate=2), 0, 1)
    return painting.finish(1 - (1 - color) * (1 - 0.2 * halo))
