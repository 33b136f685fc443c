"""Image quilting: a picture assembled from blocks of the style image, joined along the least visible cuts.

Efros & Freeman, "Image Quilting for Texture Synthesis and Transfer", SIGGRAPH 2001: style transfer before neural
networks, and a baseline for them. Blocks are laid from left to right and from top to bottom, each overlapping those
before it: one of the best matching blocks of the texture is drawn, and joined to its neighbours along the cheapest path
through the overlap. In a transfer the blocks also match the brightness of the content image.

Images are float32 RGB in [0, 1]. Nothing here needs JAX.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from nst_jax.applications.block_matching import Matcher
from nst_jax.applications.boundary_cut import new_pixels
from nst_jax.errors import UserError

OVERLAP = 1 / 3
"""Overlap of neighbouring blocks, as a share of their side. The paper's sixth leaves no room for a cut in the last
pass, whose blocks have about 8 pixels: the edges were straight."""
TOLERANCE = 0.1
"""Excess of a block's error over the least one, as a share of the least, up to which it may be drawn; the paper's."""
ALPHA = (0.1, 0.9)
"""α of the first and of the last pass; the paper's αᵢ = 0.8 (i − 1) / (N − 1) + 0.1."""
SHRINKAGE = 2 / 3
"""Ratio of the sides of blocks from one pass to the next; the paper's."""
SMALLEST = 3
"""Least side of a block with pixels between its overlaps."""
PASSES = 3
"""Default number of passes of a transfer, if the blocks have room for them."""

SYNTHESIS_UNIFORMITY, TRANSFER_UNIFORMITY = 0.3, 0.02
"""Penalty of a place in the texture that has been used as often as if all were used equally, as a share of the mean
error of all places; 0 in the paper.

The paper's textures are homogeneous, a painting is not. Its blocks go best with their own neighbours, and dark ones
with the darkest corner, from which nothing leads away; an even sky is tiled with the one block that is as even. This is
the spatial uniformity of Kaspar et al., "Self Tuning Texture Optimization", Eurographics 2015, for blocks."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

Laid = Callable[[int], None]
"""Called after every row of blocks with their number."""


class Pass(NamedTuple):
    """One pass over the picture.

    Attributes:
        patch: side of the blocks in pixels.
        overlap: overlap of neighbouring blocks in pixels.
        alpha: α, the share in the error of the match with pixels already laid; the rest is the match in brightness.
    """

    patch: int
    overlap: int
    alpha: float

    def blocks(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Returns the numbers of rows and columns of blocks that cover a picture of (height, width)."""
        height, width = (-(-max(0, side - self.patch) // (self.patch - self.overlap)) + 1 for side in shape)
        return height, width

    def canvas(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Returns (height, width) of the area of these blocks, which may exceed the picture."""
        height, width = (self.patch + (count - 1) * (self.patch - self.overlap) for count in self.blocks(shape))
        return height, width


def synthesize(
    texture: np.ndarray,
    shape: tuple[int, int],
    *,
    patch: int,
    overlap: int | None = None,
    tolerance: float = TOLERANCE,
    uniformity: float = SYNTHESIS_UNIFORMITY,
    rng: np.random.Generator,
    laid: Laid | None = None,
) -> np.ndarray:
    """Synthesises more of a texture (section 2 of the paper).

    Args:
        texture: `[H, W, 3]`.
        shape: (height, width) of the result.
        patch: side of the blocks in pixels.
        overlap: overlap of neighbouring blocks in pixels; by default a third of their side.
        tolerance: see `TOLERANCE`.
        uniformity: see `TRANSFER_UNIFORMITY`; 0 in the paper.
        rng: source of randomness.
        laid: called after every row of blocks with their number.

    Returns:
        `[*shape, 3]`.

    Raises:
        UserError: a number is out of its range; `patch` may not exceed either picture.
    """
    (only,) = schedule(patch=patch, overlap=overlap, alpha=(1.0, 1.0), iterations=1)
    _check_fit(patch, texture.shape, shape)
    brightness, wanted = (np.zeros((*size[:2], 0), np.float32) for size in (texture.shape, shape))
    return _quilt(texture, None, brightness, wanted, only, tolerance, uniformity, rng, laid)


def transfer(
    texture: np.ndarray,
    content: np.ndarray,
    *,
    patch: int,
    overlap: int | None = None,
    alpha: tuple[float, float] = ALPHA,
    iterations: int | None = None,
    blur: float = 0.0,
    tolerance: float = TOLERANCE,
    uniformity: float = TRANSFER_UNIFORMITY,
    rng: np.random.Generator,
    laid: Laid | None = None,
) -> np.ndarray:
    """Renders the content image with the texture of the style image (section 3 of the paper).

    Several passes, each with smaller blocks. From the second pass on, blocks match the result of the pass before and,
    where they overlap their new neighbours, these instead; the paper counts both there.

    Args:
        texture: the style image, `[H, W, 3]`.
        content: the content image, `[H', W', 3]`.
        patch: side of the blocks of the first pass in pixels.
        overlap: overlap of those blocks in pixels; by default a third of their side.
        alpha: α of the first and last pass, each in [0, 1]; a single pass has the first.
        iterations: number of passes; by default 3, or as many as blocks of that side have room for.
        blur: standard deviation, in pixels, of the smoothing of both pictures' brightness.
        tolerance: see `TOLERANCE`.
        uniformity: see `TRANSFER_UNIFORMITY`; 0 in the paper.
        rng: source of randomness.
        laid: called after every row of blocks with their number.

    Returns:
        `[H', W', 3]`.

    Raises:
        UserError: a number is out of its range; `patch` may not exceed either picture.
    """
    first, *others = schedule(patch=patch, overlap=overlap, alpha=alpha, iterations=iterations)
    _check_fit(patch, texture.shape, content.shape)
    _check("blur", blur, 0, math.inf)
    brightness, wanted = correspondence(texture, content, blur=blur)
    picture = _quilt(texture, None, brightness, wanted, first, tolerance, uniformity, rng, laid)
    for current in others:
        picture = _quilt(texture, picture, brightness, wanted, current, tolerance, uniformity, rng, laid)
    return picture


def schedule(
    *, patch: int, overlap: int | None, alpha: tuple[float, float], iterations: int | None
) -> tuple[Pass, ...]:
    """Returns the passes of a `transfer` with these arguments.

    Raises:
        UserError: a number is out of its range; `iterations` may not make blocks too small.
    """
    _check("patch", patch, SMALLEST, math.inf)
    overlap = max(1, round(OVERLAP * patch)) if overlap is None else overlap
    _check("overlap", overlap, 1, patch - 1)
    for value in alpha:
        _check("alpha", value, 0, 1)
    sides = [patch]
    while (smaller := round(SHRINKAGE * sides[-1])) >= SMALLEST and smaller < sides[-1]:
        sides.append(smaller)
    if iterations is None:
        iterations = min(PASSES, len(sides))
    if not 1 <= iterations <= len(sides):
        raise UserError(
            f"iterations: expected 1 to {len(sides)}, found {iterations}; "
            f"more than {len(sides)} need blocks (patch) of more than {patch} pixels"
        )
    shares = np.linspace(*alpha, iterations).tolist()
    return tuple(
        Pass(side, min(side - 1, max(1, round(overlap * side / patch))), share)
        for side, share in zip(sides, shares, strict=False)
    )


def correspondence(texture: np.ndarray, content: np.ndarray, *, blur: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the correspondence maps of a transfer: the brightness of the texture, and the remapped one of the
    content.

    The paper compares brightness as it is. Here that of the content image gets the distribution of the texture's, else
    a sunny scene would match only the few lights of a night scene, over and over.

    Args:
        texture: `[H, W, 3]`.
        content: `[H', W', 3]`.
        blur: standard deviation in pixels.

    Returns:
        `[H, W, 1]` and `[H', W', 1]`.
    """
    of_texture, of_content = (ndimage.gaussian_filter(image @ _LUMA, blur) for image in (texture, content))
    return of_texture[..., None], match_distribution(of_content, of_texture)[..., None]


def match_distribution(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns values `[...]` in their order, with the distribution of a reference `[...]`; equal ones stay equal."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / values.size
    spread = (np.arange(reference.size) + 0.5) / reference.size
    matched = np.interp(ranks, spread, np.sort(reference, axis=None)).astype(values.dtype)
    return matched[place].reshape(values.shape)


def _quilt(
    texture: np.ndarray,
    picture: np.ndarray | None,
    brightness: np.ndarray,
    wanted: np.ndarray,
    current: Pass,
    tolerance: float,
    uniformity: float,
    rng: np.random.Generator,
    laid: Laid | None,
) -> np.ndarray:
    """Lays one pass of blocks over a picture, or over nothing; returns `[H', W', 3]`.

    Args:
        texture: `[H, W, 3]`.
        picture: `[H', W', 3]`, or None.
        brightness: brightness of the texture, `[H, W, 1]`, or `[H, W, 0]` without a target.
        wanted: target brightness of the result, `[H', W', 1]` or `[H', W', 0]`.
        current: the pass.
        tolerance: see `synthesize`.
        uniformity: see `synthesize`.
        rng: see `synthesize`.
        laid: see `synthesize`.
    """
    _check("tolerance", tolerance, 0, math.inf)
    _check("uniformity", uniformity, 0, math.inf)
    patch, overlap, alpha = current
    shape = wanted.shape[:2]
    canvas = _extended(np.zeros((*shape, 3), np.float32) if picture is None else picture, current.canvas(shape))
    wanted = _extended(wanted, canvas.shape[:2])
    described = np.concatenate([texture, brightness], axis=-1)

    @functools.cache
    def matcher(above: bool, left: bool) -> Matcher:
        """Returns the matcher of blocks with these neighbours; over a picture, all pixels count."""
        there = np.full((patch, patch, 1), picture is not None, np.float32)
        there[: above * overlap] = there[:, : left * overlap] = 1
        shares = np.full_like(brightness, 1 - alpha, shape=(patch, patch, brightness.shape[-1]))
        # A mean over the channels, so that colours and brightness are compared by the same measure.
        return Matcher(described, np.concatenate([np.repeat(alpha / 3 * there, 3, axis=-1), shares], axis=-1))

    rows, columns = current.blocks(shape)
    places = tuple(length - patch + 1 for length in texture.shape[:2])
    used = np.zeros(places, np.float32)  # how often each place has been used, overlapping ones in part
    penalty = uniformity * math.prod(texture.shape[:2]) / (rows * columns * patch**2)
    for row in range(rows):
        for column in range(columns):
            down, right = row * (patch - overlap), column * (patch - overlap)
            window = np.s_[down : down + patch, right : right + patch]
            above, left = row > 0, column > 0
            match = matcher(above, left) if picture is None else matcher(False, False)
            errors = match(np.concatenate([canvas[window], wanted[window]], axis=-1))
            y, x = _drawn(errors + penalty * errors.mean() * used if penalty else errors, tolerance, rng)
            used += np.outer(*(_shared(length, at, patch) for length, at in zip(places, (y, x), strict=True)))
            block = texture[y : y + patch, x : x + patch]
            differences = np.square(canvas[window] - block).sum(axis=-1)
            new = new_pixels(differences, overlap, above=above, left=left)
            canvas[window][new] = block[new]
        if laid:
            laid(columns)
    return canvas[: shape[0], : shape[1]]


def _drawn(errors: np.ndarray, tolerance: float, rng: np.random.Generator) -> tuple[int, int]:
    """Returns (row, column) of a random one of the least errors."""
    candidates = np.flatnonzero(errors <= (1 + tolerance) * errors.min())
    row, column = divmod(int(rng.choice(candidates)), errors.shape[1])
    return row, column


def _shared(count: int, at: int, patch: int) -> np.ndarray:
    """Returns the share of its pixels that each patch at 0, 1, ... has in common with the patch at `at`, `[count]`."""
    return np.maximum(0, 1 - np.abs(np.arange(count, dtype=np.float32) - at) / patch)


def _extended(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns a copy of an image `[H, W, C]` extended by mirroring to (height, width)."""
    missing = [(0, length - have) for length, have in zip(shape, image.shape, strict=False)]
    return np.pad(image, (*missing, (0, 0)), mode="symmetric")


def _check_fit(patch: int, texture: tuple[int, ...], picture: tuple[int, ...]) -> None:
    _check("patch", patch, SMALLEST, min(*texture[:2], *picture[:2]))


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # NaN fails too
        valid = f"{least} or more" if most == math.inf else f"{least} to {most}"
        raise UserError(f"{name}: expected {valid}, found {value}")
