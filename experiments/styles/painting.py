"""The tools of all painters: noise, brush strokes, cut shapes and raking light.

A canvas is square and `OVERSAMPLING` times as large as the picture it becomes. As an array it is `[N, N, 3]` or
`[N, N, 4]`: red, green and blue in [0, 1] and, fourth, thickness of paint. Positions (x, y), from the upper left
corner, and lengths are fractions of its side, so that a composition is the same at every size.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.interpolate import CubicSpline
from scipy.spatial import KDTree

OVERSAMPLING = 2  # paint at twice the size and average: the only antialiasing there is

_SAMPLES_PER_PIXEL = 1.45  # strokes are scattered, not filled: with fewer than √2 they would have holes
_STROKES_AT_ONCE = 128  # bounds the memory of one scatter


def rgb(color: str) -> np.ndarray:
    """Converts '#rrggbb' to an array `[3]` in [0, 1]."""
    return np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def ramp(colors: list[str], values: np.ndarray) -> np.ndarray:
    """Interpolates a row of '#rrggbb' colours at values `[...]` in [0, 1]; returns `[..., 3]`."""
    table = np.stack([rgb(color) for color in colors])
    stops = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(values, stops, channel) for channel in table.T], axis=-1).astype(np.float32)


def grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns x and y of every pixel of a canvas, each `[N, N]`."""
    y, x = np.mgrid[:n, :n].astype(np.float32) / n
    return x, y


def noise(rng: np.random.Generator, n: int, cell: float | tuple[float, float], octaves: int = 1) -> np.ndarray:
    """Makes smooth noise from random lattices, enlarged; each has half the cell and amplitude of the one before.

    Args:
        rng: Source of randomness.
        n: Side of the canvas, pixels.
        cell: Side of a cell of the first lattice; (height, width) for streaks.
        octaves: How many lattices to add.

    Returns:
        Array `[N, N]`, zero mean, unit standard deviation.
    """
    total = np.zeros((n, n), np.float32)
    for octave in range(octaves):
        cells = np.minimum(2**octave / np.broadcast_to(cell, 2), n)
        lattice = rng.standard_normal(np.ceil(cells).astype(int) + 1, np.float32) / 2**octave
        total += np.asarray(Image.fromarray(lattice).resize((n, n), Image.Resampling.BICUBIC))
    return (total - total.mean()) / (total.std() + 1e-6)


def mirrored(texture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Looks a texture `[N, N]` up at any positions; beyond its borders it is mirrored, so that it has no seams."""
    n = len(texture)
    column, row = ((np.abs(position % 2 - 1) * (n - 1)).astype(int) for position in (x, y))
    return texture[row, column]


def shaken(rng: np.random.Generator, image: np.ndarray, amount: float, cell: float) -> np.ndarray:
    """Displaces an image `[N, N]` or `[N, N, C]` by noise, as an unsteady hand does."""
    n = len(image)
    where = np.mgrid[:n, :n] + amount * n * np.stack([noise(rng, n, cell, octaves=3) for _ in range(2)])
    layers = image.reshape(n, n, -1)
    moved = [ndimage.map_coordinates(layers[..., i], where, order=1, mode="nearest") for i in range(layers.shape[-1])]
    return np.stack(moved, axis=-1).reshape(image.shape)


def spread(rng: np.random.Generator, points: np.ndarray, count: int, rounds: int = 3) -> np.ndarray:
    """Spreads `count` seeds over points `[P, 2]` by Lloyd's algorithm, stopped early: even, but no honeycomb."""
    seeds = rng.choice(points, count)
    for _ in range(rounds):
        sample = rng.choice(points, 60 * count)
        owner = KDTree(seeds).query(sample)[1]
        sums = [np.bincount(owner, axis, count) for axis in sample.T]
        seeds = np.stack(sums, axis=-1) / np.maximum(np.bincount(owner, minlength=count), 1)[:, None]
    return seeds


def smooth(points: np.ndarray | list, count: int = 120) -> np.ndarray:
    """Returns `[count, 2]` positions on a cubic spline through points `[K, 2]`."""
    return CubicSpline(np.linspace(0, 1, len(points)), points)(np.linspace(0, 1, count))


def arc(radius: float, start: float = 0.0, end: float = 2 * np.pi, count: int = 60) -> np.ndarray:
    """Returns `[count, 2]` positions on a circle around the origin, between two angles in radians."""
    angle = np.linspace(start, end, count)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def placed(points: np.ndarray | list, center: np.ndarray | tuple, scale: float, turn: float = 0.0) -> np.ndarray:
    """Scales points `[K, 2]`, turns them by an angle in radians and moves their origin to a center."""
    cos, sin = np.cos(turn), np.sin(turn)
    return np.asarray(points) @ np.array([[cos, sin], [-sin, cos]]) * scale + np.asarray(center)


def line(path: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Returns the outline `[2 K, 2]` of a line along a path `[K, 2]`, of one width or of `[K]` widths."""
    tangent = np.gradient(path, axis=0)
    normal = tangent[:, ::-1] * [-1, 1] / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    half = normal * np.broadcast_to(width, len(path))[:, None] / 2
    return np.concatenate([path + half, (path - half)[::-1]])


def fill(image: Image.Image, polygon: np.ndarray, value: int, origin: np.ndarray | tuple = (0, 0), n: int = 0) -> None:
    """Sets the pixels inside a polygon `[K, 2]`; an image that shows only a part of a canvas has an origin on it.

    Args:
        image: One channel; changed in place.
        polygon: `[K, 2]` positions.
        value: What to set them to.
        origin: Where the upper left corner of the image lies on its canvas, pixels.
        n: Side of the canvas, pixels; 0 if the image is the whole of it.
    """
    corners = polygon * (n or image.width) - np.asarray(origin)
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners.tolist()], fill=value)


def cutting(polygon: np.ndarray, n: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """Returns the smallest window of a canvas that holds a polygon, and which of its pixels are inside, {0, 1}."""
    low, high = (np.clip(edge * n, 0, n).astype(int) for edge in (polygon.min(axis=0), polygon.max(axis=0) + 1 / n))
    image = Image.new("L", tuple(np.maximum(high - low, 0).tolist()))
    fill(image, polygon, 1, low, n)
    return (slice(low[1], high[1]), slice(low[0], high[0])), np.asarray(image, np.float32)


def follow(field: np.ndarray, starts: np.ndarray, length: float, steps: int) -> np.ndarray:
    """Traces paths of one length along unit vectors `[N, N, 2]` from starts `[S, 2]`; returns `[S, steps + 1, 2]`."""
    n = len(field)
    paths = [starts]
    for _ in range(steps):
        column, row = np.clip(paths[-1] * n, 0, n - 1).astype(int).T
        paths.append(paths[-1] + field[row, column] * (length / steps))
    return np.stack(paths, axis=1).astype(np.float32)


def brush(canvas: np.ndarray, paths: np.ndarray, width: float, colors: np.ndarray, rng: np.random.Generator) -> None:
    """Paints strokes in order, later ones over earlier ones.

    A stroke is a ribbon of bristles, each with its own load of paint: a load makes tint and thickness, and as the brush
    runs dry the bristles with the least of it leave the canvas first.

    Args:
        canvas: `[N, N, 4]`; changed in place.
        paths: `[S, K, 2]`, the centre lines, all of one length.
        width: Width of the strokes.
        colors: `[S, 3]`, in [0, 1].
        rng: Source of randomness.
    """
    n, knots = len(canvas), paths.shape[1]
    pixels, samples = canvas.reshape(-1, 4), n * _SAMPLES_PER_PIXEL
    length = np.linalg.norm(np.diff(paths[0], axis=0), axis=-1).sum()
    along = np.linspace(0, 1, max(4, int(length * samples)), dtype=np.float32)  # [U]
    across = np.linspace(-1, 1, max(4, int(width * samples)), dtype=np.float32)  # [V]
    taper = np.minimum(1, (along / 0.12) ** 0.5) * (1 - 0.65 * along**3)  # a blunt start, a pointed end
    offset = across * taper[:, None] * (width / 2)  # [U, V]
    dry = 3.2 * along[:, None] ** 2 - 4.7 + 1.2 * across**6  # the load a bristle needs to still leave paint, [U, V]
    knot = np.minimum((along * (knots - 1)).astype(int), knots - 2)
    part = (along * (knots - 1) - knot)[:, None]
    for first in range(0, len(paths), _STROKES_AT_ONCE):
        path, color = (batch[first : first + _STROKES_AT_ONCE] for batch in (paths, colors))
        center = path[:, knot] * (1 - part) + path[:, knot + 1] * part  # [S, U, 2]
        tangent = np.gradient(center, axis=1)
        normal = (
            tangent[..., ::-1]
            * np.array([-1, 1], np.float32)
            / (np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-9)
        )
        x, y = (center[..., i, None] + normal[..., i, None] * offset for i in range(2))  # [S, U, V]
        loads = ndimage.gaussian_filter1d(rng.standard_normal((2, len(path), 1, len(across)), np.float32), 0.8) * 1.6
        load = loads[0] + (loads[1] - loads[0]) * along[:, None]  # [S, U, V]
        wet = np.nonzero((load > dry) & (x >= 0) & (x < 1) & (y >= 0) & (y < 1))
        # The brush pushes paint to the rims of its stroke: ridges, for the light to find.
        thickness = 0.5 + 0.22 * load[wet] + 0.35 * across[wet[2]] ** 4
        tint = color[wet[0]] + 0.055 * load[wet][:, None]
        where = (y[wet] * n).astype(int) * n + (x[wet] * n).astype(int)
        pixels[where] = np.concatenate([tint, thickness[:, None]], axis=-1)


def brush_over(canvas: np.ndarray, field: np.ndarray, layers: list[tuple], rng: np.random.Generator) -> None:
    """Repaints a canvas in strokes along a field, each in the colour found where it starts.

    Args:
        canvas: `[N, N, 4]`, the picture to imitate; changed in place.
        field: `[N, N, 2]`, the direction of the strokes, unit vectors.
        layers: (width, length, number of strokes, how much their colours vary), the first at the bottom.
        rng: Source of randomness.
    """
    n = len(canvas)
    model = canvas[..., :3].copy()
    for width, length, count, variety in layers:
        starts = rng.uniform(-0.04, 1.02, (count, 2))
        column, row = np.clip(starts * n, 0, n - 1).astype(int).T
        varied = rng.standard_normal((count, 1)) + 0.6 * rng.standard_normal((count, 3))  # in lightness, then in hue
        brush(canvas, follow(field, starts, length, steps=10), width, model[row, column] + variety * varied, rng)


def rake(color: np.ndarray, thickness: np.ndarray, strength: float, gloss: float) -> np.ndarray:
    """Lights a surface from the upper left, as a lamp does with thick paint.

    Args:
        color: `[N, N, 3]`, in [0, 1].
        thickness: `[N, N]`, in pixels of an oil painting's canvas: a stroke is about one thick.
        strength: How much slopes brighten and darken.
        gloss: How white the steepest slopes gleam.

    Returns:
        Array `[N, N, 3]`, in [0, 1].
    """
    down, right = np.gradient(ndimage.gaussian_filter(thickness, 0.9))
    slope = (down + right)[..., None]
    return np.clip(color * (1 + np.clip(strength * slope, -0.5, 0.5)) + gloss * np.clip(slope - 0.12, 0, 0.5), 0, 1)


def finish(color: np.ndarray) -> np.ndarray:
    """Averages blocks of `OVERSAMPLING` pixels: `[N, N, 3]` to the picture, `[H, W, 3]` float32 in [0, 1]."""
    side = len(color) // OVERSAMPLING
    blocks = color.reshape(side, OVERSAMPLING, side, OVERSAMPLING, 3)
    return np.clip(blocks.mean(axis=(1, 3)), 0, 1).astype(np.float32)
