"""Pictures in one pass, of any size: what the styles are, and whether the picture is painted as a whole or in tiles.

    painter = instant.painter(trained.load("any_style"), [painting], strength=0.8)
    picture = painter.paint(photograph)

Programs are compiled once for each shape; `paint` with `room` serves pictures of many shapes with few of them.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax
import numpy as np

from nst_jax.applications.feedforward import painting, tiles
from nst_jax.applications.feedforward.networks import (
    Matched,
    Network,
    Predicted,
    content_steps,
    input_channels,
    network_stride,
)
from nst_jax.applications.feedforward.painting import Code
from nst_jax.applications.feedforward.steps import least_side
from nst_jax.applications.feedforward.trained import Trained
from nst_jax.errors import UserError
from nst_jax.free_memory import USABLE, free_bytes
from nst_jax.io import images
from nst_jax.regions import Regions
from nst_jax.settings import Tiles
from nst_jax.surroundings import float32_on_device

TILES = (2048, 1024, 512, 256)
"""Tiles to choose from; the larger they are, the less is computed twice around them."""

_AROUND = 128
"""Pixels by which windows are larger than tiles, for an estimate."""

_MOST_SQUARES = 8
"""Squares of a style image that a predictor sees, at most."""

_SPARE = 1 / 10
"""Share of a side by which a picture is extended at most, so that one program serves several shapes."""


@dataclasses.dataclass(frozen=True)
class InstantPainter:
    """A network and a style.

    Attributes:
        trained: the network.
        code: the style, on the host; None for a network with a single one. With regions, that of each, with a leading
            axis R.
        strength: from 0, the content image as well as the network can give it back, to 1.
        params: the network's parameters, on the device.
        regions: those of the content image; None if the picture has one style.
    """

    trained: Trained
    code: Code
    strength: float
    params: Any
    regions: Regions | None = None

    def paint(self, content: np.ndarray, *, tile: Tiles = "auto", room: bool = False) -> np.ndarray:
        """Returns the picture, `[H, W, 3]`, RGB in [0, 1].

        Args:
            content: `[H, W, 3]`, RGB in [0, 1]; for a `Doodle` what `doodles.painted_from` returns.
            tile: side of the tiles in pixels; auto means none, unless memory does not hold the whole picture.
            room: whether the picture may be extended by a tenth of each side, see `with_room`. It then differs
                where its lower and right border are near. Not with regions.

        Raises:
            UserError: the network does not paint in tiles, and they were asked for; or the picture is too small, or has
                another shape than its regions.
        """
        network = self.trained.network
        check_sides(network, content.shape)
        if content.shape[2:] != (input_channels(network),):
            raise UserError(
                f"content: expected [H, W, {input_channels(network)}] for this network, found {list(content.shape)}"
            )
        if self.regions is not None:
            self.regions.check(content.shape, [guide.shape for guide in self.regions.styles])
        side = self.tile(content.shape, tile)
        code, strength = self.code, None
        if self.strength != 1:
            if isinstance(network, Matched):
                strength = jax.device_put(np.float32(self.strength))
            else:
                code = painting.strengthen(code_of(self.trained, self.params, content), code, self.strength)
        code = jax.device_put(code)
        guides = None if self.regions is None else self.regions.content
        if isinstance(side, int):
            picture = tiles.paint_in_tiles(
                network, self.params, content, code, tile=side, strength=strength, guides=guides, fast=True
            )
            return self._put_back(picture, content)
        height, width, _ = content.shape
        shape = with_room(network, content.shape) if room else content.shape[:2]
        if shape == (height, width):
            seen = None if guides is None else float32_on_device(guides)
            made = _painted(network, self.params, float32_on_device(content), code, strength, seen)
        else:
            pads = [(0, long - own) for long, own in zip(shape, (height, width), strict=True)]
            wide = float32_on_device(np.pad(content, (*pads, (0, 0)), mode="reflect"))
            meant = jax.device_put(np.array([height, width], np.int32))
            made = _painted_within(network, self.params, wide, meant, code, strength)
        return self._put_back(jax.device_get(made)[:height, :width], content)

    def _put_back(self, picture: np.ndarray, content: np.ndarray) -> np.ndarray:
        """Returns a picture with the content image where its regions leave it as it is."""
        return picture if self.regions is None else self.regions.put_back(picture, content, recoloured=True)

    def tile(self, shape: Sequence[int], asked: Tiles = "auto") -> int | Literal["off"]:
        """Returns the side of the tiles for a picture of this height and width; off if it is painted as a whole.

        Raises:
            UserError: see `paint`.
        """
        problem = tiles.why_untiled(self.trained.network)
        if isinstance(asked, int):
            if problem:
                raise UserError(f"tile: expected off for this network, as {problem}, found {asked}")
            if asked < tiles.SMALLEST:
                raise UserError(f"tile: expected {tiles.SMALLEST} px or more, found {asked}")
            return asked
        return "off" if asked == "off" or problem else _fitting(self.trained.network, shape)


def _fitting(network: Network, shape: Sequence[int]) -> int | Literal["off"]:
    """Returns the side of the largest tiles that memory holds; off if it holds all of a picture of this shape."""
    free = free_bytes()
    if free is None or tiles.needed(network, *shape[:2]) <= USABLE * free:
        return "off"
    sides = [side + 2 * _AROUND for side in TILES]
    fitting = (
        own for own, side in zip(TILES, sides, strict=True) if tiles.needed(network, side, side) <= USABLE * free
    )
    return next(fitting, TILES[-1])


def painter(
    trained: Trained,
    styles: Sequence[np.ndarray] = (),
    shares: Sequence[float] = (),
    *,
    strength: float = 1.0,
    regions: Regions | None = None,
) -> InstantPainter:
    """Returns what paints with a network.

    Args:
        trained: the network.
        styles: style images, `[H, W, 3]`, RGB in [0, 1], for a network that sees them.
        shares: of each style image, or of each style that the network has by number; equal ones by default. They are
            divided by their sum.
        strength: of the style, 0 to 1; see `takes_strength`.
        regions: which parts of the content image follow which style image, or which style by number: those of which
            their guides of it are not zero, by their shares.

    Raises:
        UserError: there are too few style images or shares, or too many, the network has no strength, or regions and
            a single style.
    """
    network = trained.network
    count = len(styles) if takes_images(network) else len(trained.styles)
    if takes_images(network) != bool(len(styles)):
        expected = "style images" if takes_images(network) else "no style images, as the network has its styles in it"
        raise UserError(f"style: expected {expected}, found {len(styles)}")
    of_each = np.array(shares if len(shares) else [1] * count, np.float64)
    if of_each.shape != (count,) or (count and not (of_each.min() >= 0 and 0 < of_each.sum() < np.inf)):
        raise UserError(
            f"shares of styles: expected one for each of {count}, 0 or more, of which one is above 0, found "
            f"{', '.join(f'{share:g}' for share in shares)}"
        )
    if not 0 <= strength <= 1:
        raise UserError(f"strength: expected a number from 0 to 1, found {strength:g}")
    if strength != 1 and not takes_strength(network):
        raise UserError(f"strength: expected 1 for a network with its styles in it, found {strength:g}")
    if regions is not None and len(regions.styles) != count:
        raise UserError(f"regions: expected those of {count} styles, found {len(regions.styles)}")
    params = jax.device_put(trained.params)
    codes: list[Code] = [code_of(trained, params, image) for image in styles]
    if not takes_images(network):
        codes = list(np.eye(count, dtype=np.float32))
    code: Code = None
    if regions is not None:
        of_regions = [_blend(codes, own) for own in regions.shares(of_each).astype(np.float32)]
        code = jax.tree.map(lambda *each: np.stack(each), *of_regions)
    elif count:
        code = _blend(codes, (of_each / of_each.sum()).astype(np.float32))
    return InstantPainter(trained, code, strength, params, regions)


def check_sides(network: Network, shape: Sequence[int]) -> None:
    """Checks that a picture is large enough for its maps to be reflected at their borders.

    Raises:
        UserError: it is not.
    """
    least = least_side(content_steps(network))
    if min(shape[:2]) < least:
        raise UserError(f"content: expected sides of {least} px or more for this network, found {min(shape[:2])}")


def takes_images(network: Network) -> bool:
    """Returns whether a network sees style images; others have their styles in them."""
    return isinstance(network, Predicted | Matched)


def takes_strength(network: Network) -> bool:
    """Returns whether a network can be between a content image and a style: it knows the content's own code."""
    return takes_images(network)


def code_of(trained: Trained, params: Any, image: np.ndarray) -> Code:
    """Returns the code of an image of any size, on the host.

    A predictor sees squares of one side: those that cover the image along its long side, as few as can be, whose codes
    are averaged. So it sees all of the image, and strokes keep their proportions; of one whose long side is more than
    eight times the short one it sees eight. An encoder sees the image as it is, in tiles where memory is short.
    """
    network = trained.network
    if isinstance(network, Matched) and not tiles.why_untiled(network):
        side = _fitting(network, image.shape)
        if isinstance(side, int):
            spread = tiles.spread_in_tiles(network, params, image, tile=side, fast=True)
            code: Code = jax.device_get(_own_code(network, spread))
            return code
    seen = _squares(image, network.side) if isinstance(network, Predicted) else [image]
    codes = [jax.device_get(_encoded(network, params, float32_on_device(each))) for each in seen]
    return _blend(codes, np.full(len(codes), 1 / len(codes), np.float32))


def with_room(network: Network, shape: Sequence[int]) -> tuple[int, int]:
    """Returns the height and width of the program that paints pictures of about this shape.

    Sides are multiples of the stride times a power of two, the largest that is no more than a tenth of the side; half
    of that is added on average. A long side of 512, 768, 1024 or 1920 px stays as it is, so that a tenth of the pixels
    is lost at most, and there are some eight lengths of the short side: compiling for one takes as long as painting ten
    pictures of 1024 px.
    """
    multiple = network_stride(network)

    def longer(length: int) -> int:
        step = multiple
        while 2 * step <= length * _SPARE:
            step *= 2
        return length + -length % step

    height, width, *_ = shape
    return longer(height), longer(width)


def _squares(image: np.ndarray, side: int) -> list[np.ndarray]:
    height, width, _ = image.shape
    short, long = min(height, width), max(height, width)
    reduced = [round(length * side / short) for length in (height, width)]
    pixels = np.clip(images.resize(image, (reduced[0], reduced[1])), 0, 1)
    count = min(-(-long // short), _MOST_SQUARES)
    starts = [round(place * (max(reduced) - side) / max(count - 1, 1)) for place in range(count)]
    if height >= width:
        return [pixels[start : start + side] for start in starts]
    return [pixels[:, start : start + side] for start in starts]


def _blend(codes: Sequence[Code], shares: np.ndarray) -> Code:
    """Returns the sum of codes on the host."""
    return jax.tree.map(lambda *leaves: sum(share * leaf for share, leaf in zip(shares, leaves, strict=True)), *codes)


@functools.partial(jax.jit, static_argnames=("network",))
def _own_code(network: Matched, spread: painting.Spread) -> Code:
    return painting.own_code(network, spread)


@functools.partial(jax.jit, static_argnames=("network",))
def _encoded(network: Network, params: Any, image: jax.Array) -> Code:
    return painting.encode(network, params, image, fast=True)


@functools.partial(jax.jit, static_argnames=("network",))
def _painted(
    network: Network, params: Any, content: jax.Array, code: Code, strength: Any, guides: jax.Array | None
) -> jax.Array:
    return painting.paint(network, params, content, code, strength=strength, guides=guides, fast=True)


@functools.partial(jax.jit, static_argnames=("network",))
def _painted_within(
    network: Network, params: Any, content: jax.Array, shape: jax.Array, code: Code, strength: Any
) -> jax.Array:
    return painting.paint_within(network, params, content, shape, code, strength=strength, fast=True)
