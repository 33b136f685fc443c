"""Maps of regions from files: pictures in a few flat colours, or soft masks in grey or transparency.

Drawn by hand, maps have fringes where colours meet, from brushes or from JPEG; and specks that nobody meant.
"""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from nst_jax.io.files import file_error
from nst_jax.io.image_decoding import decode, decoding, frames
from nst_jax.io.stores import located
from nst_jax.vocabulary import MOST_REGIONS, Colour

LEAST_AREA = 0.005
"""The share of a map that a region has at least."""

_ALIKE = 8
"""Colours whose channels differ by no more, of 255, are one: as JPEG leaves it, and as two programs write it."""

_FRINGE = 32
_MOST_FRINGES = 0.25
"""More than this share of pixels that differ by more than `_FRINGE` from every region are no fringes."""

_NEAR = 16
"""Pixels around a region in which its fringes lie: the blocks of JPEG with colours at half the resolution."""


class RegionMap(NamedTuple):
    """The regions of an image.

    Attributes:
        path: the file.
        labels: `[H, W]`, the number of each pixel's region, uint8; of a soft mask, where it has more of it.
        colours: the colour of each region, in 8 bits; in the order in which they appear, read as a text is.
        soft: `[H, W]` in [0, 1], how much of each pixel is white; None for a map of flat colours.
        specks: colours that were too small for a region, and their shares of the map; their surroundings have them now.
    """

    path: Path
    labels: np.ndarray
    colours: tuple[Colour, ...]
    soft: np.ndarray | None = None
    specks: tuple[tuple[Colour, float], ...] = ()

    @property
    def areas(self) -> np.ndarray:
        """The share of each region."""
        return np.bincount(self.labels.ravel(), minlength=len(self.colours)) / self.labels.size

    def guide(self, region: int, shape: Sequence[int]) -> np.ndarray:
        """Returns how much each pixel of an image with another height and width belongs to a region, float32 `[H, W]`.

        Each has the mean of what it covers.
        """
        if self.soft is None:
            own = (self.labels == region).astype(np.float32)
        else:
            own = self.soft if self.colours[region] == WHITE else 1 - self.soft
        height, width = shape[:2]
        if own.shape == (height, width):
            return own
        return np.clip(np.asarray(Image.fromarray(own).resize((width, height), Image.Resampling.BOX)), 0, 1)

    def find(self, colour: Colour) -> int | None:
        """Returns the number of the region with a colour, or nearly so where no other is as near; None without one."""
        far = [_distance(own, colour) for own in self.colours]
        apart = min((_distance(*pair) for pair in itertools.combinations(self.colours, 2)), default=256)
        return int(np.argmin(far)) if min(far) <= min(_ALIKE, (apart - 1) // 2) else None


def _distance(one: Colour, another: Colour) -> int:
    return max(abs(ours - theirs) for ours, theirs in zip(one, another, strict=True))


WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def hexadecimal(colour: Sequence[int]) -> str:
    """Returns a colour as it is written, as #ff8000."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def read(path: str | os.PathLike) -> RegionMap:
    """Reads a map of regions, upright, without its colour profile.

    Equal colours are one region; a map with more than 16 of them has fringes, which go to the region of the nearest
    colour around them. A grey picture with more than 16 levels, or one that is partly transparent, is a soft mask: of
    white on black, or of what is opaque.

    Raises:
        UserError: the file is no picture, has several, no flat colours, more than 16 of them, or both colours and
            transparency.
    """
    path = located(path)
    with decoding(path) as file:
        if (count := frames(file)) > 1:
            raise file_error(path, f"expected one picture as a map, found {count}, an animation or pages; save one")
        source = decode(file)
    count = source.colours.shape[-1]
    if count == 4:
        raise file_error(path, "expected a map in RGB, indexed colours or grey, found CMYK; convert it")
    colours = np.round(source.colours.astype(np.float64) * 255 / source.white).astype(np.uint8)
    if source.alpha is not None:
        alpha = (source.alpha / np.float32(source.white)).astype(np.float32)
        opaque = colours[alpha >= 0.5].astype(int)
        if len(opaque) and np.ptp(opaque, axis=0).max() > _FRINGE:
            raise file_error(
                path, "expected flat colours or transparency, found both; put the colours on a background of their own"
            )
        return _soft(path, alpha)
    if count == 1:
        if len(np.unique(colours)) > MOST_REGIONS:
            return _soft(path, (source.colours[..., 0] / np.float32(source.white)).astype(np.float32))
        colours = np.repeat(colours, 3, axis=-1)
    return _flat(path, colours)


def _soft(path: Path, mask: np.ndarray) -> RegionMap:
    """Returns the two regions of a soft mask, where each has a pixel of which it has more."""
    black = (mask < 0.5).astype(np.uint8)
    first = black[0, 0]
    labels, colours = black ^ first, (BLACK, WHITE) if first else (WHITE, BLACK)
    return RegionMap(path, labels, colours if labels.any() else colours[:1], mask)


def _flat(path: Path, colours: np.ndarray) -> RegionMap:
    """Returns the regions of a map in flat colours `[H, W, 3]`, uint8."""
    height, width, _ = colours.shape
    packed = colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    values, numbers, counts = np.unique(packed, return_inverse=True, return_counts=True)
    exact = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=-1).astype(int)
    areas, fringed = counts / packed.size, len(values) > MOST_REGIONS
    regions: list[int] = []
    region_of = np.full(len(values), -1)
    for index in np.argsort(-areas, kind="stable"):
        if areas[index] < LEAST_AREA:
            break
        far = np.abs(exact[regions] - exact[index]).max(axis=1) if regions else np.array([256])
        if fringed and far.min() <= _ALIKE:
            region_of[index] = np.argmin(far)
        else:
            region_of[index] = len(regions)
            regions.append(int(index))
    if len(regions) > MOST_REGIONS:
        raise file_error(
            path, f"expected at most {MOST_REGIONS} regions in flat colours, found {len(regions)}; draw fewer"
        )
    far = np.abs(exact[:, None] - exact[regions]).max(axis=2).min(axis=1) if regions else np.full(len(values), 256)
    astray = float(areas[far > _FRINGE].sum())
    if fringed and astray > _MOST_FRINGES:
        raise file_error(
            path,
            f"expected a map in at most {MOST_REGIONS} flat colours, found {len(values):,} colours and "
            f"{astray:.0%} of the pixels in none that has {LEAST_AREA:.1%} of the map",
        )
    labels = region_of[numbers].reshape(height, width)
    labels = _without_fringes(labels, colours, exact[regions]) if fringed else _without_specks(labels)
    order = np.argsort(np.unique(labels, return_index=True)[1])  # every region has a pixel
    specks = [(_colour(exact[index]), float(areas[index])) for index in np.flatnonzero(region_of < 0)]
    return RegionMap(
        path,
        np.argsort(order).astype(np.uint8)[labels],
        tuple(map(_colour, exact[regions][order])),
        specks=() if fringed else tuple(specks),
    )


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = map(int, values)
    return red, green, blue


def _without_specks(labels: np.ndarray) -> np.ndarray:
    """Returns labels with those below 0 replaced by the nearest others."""
    if (labels >= 0).all():
        return labels
    rows, columns = ndimage.distance_transform_edt(labels < 0, return_distances=False, return_indices=True)
    return labels[rows, columns]


def _without_fringes(labels: np.ndarray, colours: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Returns labels of a map, all but those in the middle of a region replaced by that of the nearest colour around.

    In a smooth edge between red and blue there may be the very purple of a region elsewhere.
    """
    inner = np.full(labels.shape, -1)
    for number in range(len(regions)):
        own = labels == number
        middle = ndimage.minimum_filter(own, size=3)
        inner[middle if middle.any() else own] = number
    fringes = inner < 0
    best = np.full(fringes.sum(), np.inf)
    found = np.full(fringes.sum(), -1)
    for number, colour in enumerate(regions):
        around = ndimage.maximum_filter(inner == number, size=2 * _NEAR + 1)[fringes]
        far = np.square(colours[fringes].astype(float) - colour).sum(axis=1)
        closer = around & (far < best)
        best[closer], found[closer] = far[closer], number
    inner[fringes] = found
    return _without_specks(inner)
