"""What a network that paints from maps of regions reads: a channel for each region, and noise; random maps to train it.

Ulyanov's feed-forward doodles (github.com/DmitryUlyanov/online-neural-doodle, 2016) train with contours of random
landscapes, in which each region has the same two neighbours everywhere. Here each region has a landscape of its own,
and a pixel is of the region whose is the highest there, so that any may border on any.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from nst_jax.applications.feedforward.networks import Doodle
from nst_jax.errors import UserError
from nst_jax.io.region_maps import RegionMap, hexadecimal

_CELLS = 4
"""Factor of the side, in pixels, of the cells of noise from each channel to the next."""

_LEAST_AREA = 0.03
"""The share of a random map that a region has at least: of less a layer has too few positions for statistics."""

_GRAINS = (1 / 40, 1 / 6)
"""The least and the largest radius of the hills of a landscape, as a share of the map's side."""

_SLOPE = 1.5
"""Deviation of the slope of a whole landscape: people's skies are above and their meadows below."""


def guides_of(network: Doodle, region_map: RegionMap, shape: tuple[int, int]) -> np.ndarray:
    """Returns how much each pixel belongs to each region of a network, `[H, W, R]` in [0, 1].

    Args:
        network: the network.
        region_map: a map with some of its colours.
        shape: height and width of the picture; the map may have another size.

    Raises:
        UserError: the map has a colour that the network does not know.
    """
    guides = np.zeros((*shape, len(network.regions)), np.float32)
    known = RegionMap(region_map.path, region_map.labels, network.regions)
    for region, colour in enumerate(region_map.colours):
        place = known.find(colour)
        if place is None:
            raise UserError(
                f"{region_map.path}: expected the colours of the network's regions, "
                f"{', '.join(map(hexadecimal, network.regions))}, found {hexadecimal(colour)} as well; draw with these"
            )
        guides[..., place] += region_map.guide(region, shape)
    return np.clip(guides, 0, 1)


def painted_from(network: Doodle, guides: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns what a network paints a picture from: guides `[H, W, R]` and its noise, `[H, W, R + N]`, float32.

    The noise of channel n is white between cells of 4ⁿ × 4ⁿ pixels: what differs in a region may be of any size.
    """
    height, width, _ = guides.shape
    channels = [guides.astype(np.float32)]
    for index in range(network.noise):
        side = _CELLS**index
        cells = random.standard_normal((-(-height // side), -(-width // side)), np.float32)
        smooth = Image.fromarray(cells).resize((cells.shape[1] * side, cells.shape[0] * side), Image.Resampling.BICUBIC)
        channels.append(np.asarray(smooth)[:height, :width, None])
    return np.concatenate(channels, axis=-1)


def random_guides(regions: int, side: int, random: np.random.Generator) -> np.ndarray:
    """Returns a random map of some of a number of regions, `[side, side, R]`: 1 where a pixel is of the region."""
    present = random.permutation(regions)[: random.integers(1, regions + 1)]
    across = np.linspace(-1, 1, side, dtype=np.float32)
    landscapes = np.full((side, side, regions), -np.inf, np.float32)
    for region in present:
        low, high = np.log(_GRAINS)
        grain = side * np.exp(random.uniform(low, high))
        hills = ndimage.gaussian_filter(random.standard_normal((side, side), np.float32), grain, mode="wrap")
        down, right, height = random.standard_normal(3, np.float32) * (_SLOPE, _SLOPE, 0.5)
        landscapes[..., region] = hills / hills.std() + down * across[:, None] + right * across[None] + height
    while True:
        guides = np.eye(regions, dtype=np.float32)[landscapes.argmax(axis=-1)]
        areas = guides.mean(axis=(0, 1))
        small = (areas > 0) & (areas < _LEAST_AREA)
        if not small.any():
            return guides
        landscapes[..., small] = -np.inf
