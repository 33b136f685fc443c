"""The styles that flags choose for a network that paints: held to its kind, and read.

Such flags are `style` and `blend_weights` for a network that sees style images, `styles` and `style_weights` for one
that has its styles in it by number.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax.applications.feedforward.instant import takes_images
from nst_jax.applications.feedforward.networks import Predicted
from nst_jax.applications.feedforward.trained import Trained, style_index
from nst_jax.errors import UserError
from nst_jax.io import images

from ..cli.flags import serialize

SIZE = 1024
"""Long side of style images that are seen as they are, where no flag says another and no picture has one."""

_SEEN = 3
"""Long side at which a style image is read for a predictor, in sides of the squares that it sees: of use is no more,
but where it is longer than three times its height."""


def check(trained: Trained, network: str, given: Mapping[str, Any]) -> None:
    """Checks that flags suit a network.

    Args:
        trained: the network.
        network: what it is called in messages.
        given: flag → its value, for those of the flags about styles that a script has.

    Raises:
        UserError: a flag is given that the network has no use for.
    """
    if takes_images(trained.network):
        _refuse(given, ("styles", "style_weights"), f"as {network} has no styles in it, but sees style images")
        if isinstance(trained.network, Predicted):
            _refuse(given, ("style_size",), f"as {network} sees style images at one size")
        return
    its_own = "style" if len(trained.styles) < 2 else f"{len(trained.styles)} styles"
    _refuse(given, ("style", "blend_weights", "style_size"), f"as {network} has its own {its_own}")
    if given.get("strength", 1) != 1:
        raise UserError(
            f"--strength: expected 1 with {network}, which has its own {its_own}, found {given['strength']:g}; "
            "networks that see style images have a strength"
        )
    if not trained.styles:
        _refuse(given, ("styles", "style_weights"), f"as {network} has a single style")


def _refuse(given: Mapping[str, Any], names: Sequence[str], reason: str) -> None:
    for name in names:
        if given.get(name) not in (None, ()):
            raise UserError(f"--{name}: expected none, {reason}; leave it out, or choose another --network")


def shares(flag: str, given: Sequence[float] | None, count: int, *, what: str, advice: str = "") -> tuple[float, ...]:
    """Returns shares as they are given; equal ones if none are.

    Raises:
        UserError: there are not as many as styles, or none is above 0.
    """
    found = tuple(given or (1.0,) * count)
    if len(found) != count:
        raise UserError(f"--{flag}: expected one for each of {count} {what}, found {len(found)}{advice}")
    if count and not sum(found) > 0:
        raise UserError(f"--{flag}: expected shares of which one or more are above 0, found {serialize(found)}")
    return found


def numbers(trained: Trained, named: Sequence[str] | None) -> list[int]:
    """Returns the indices of styles in the network, by name or by number from 1; all of them if none is named.

    Raises:
        UserError: there is no style of a name.
    """
    if not named:
        return list(range(len(trained.styles)))
    return [style_index(trained.styles, name) for name in named]


def shares_of_numbers(
    trained: Trained, named: Sequence[str] | None, weights: Sequence[float] | None
) -> tuple[float, ...]:
    """Returns the share of each style in the network.

    Raises:
        UserError: there is no style of a name, or weights are no shares of those that are named.
    """
    places = numbers(trained, named)
    found = [0.0] * len(trained.styles)
    given = shares("style_weights", weights, len(places), what="styles", advice="; --styles chooses some of them")
    for place, share in zip(places, given, strict=True):
        found[place] += share
    return tuple(found)


def read(trained: Trained, paths: Sequence[Path], size: int | None = None) -> list[np.ndarray]:
    """Returns style images, `[H, W, 3]` each, at the size at which a network sees them.

    Args:
        trained: the network.
        paths: their files.
        size: their long side in pixels, for a network that sees them as they are.

    Raises:
        UserError: one cannot be read.
    """
    if isinstance(trained.network, Predicted):
        size = _SEEN * trained.network.side
    return [images.read(path, size=size or SIZE).pixels for path in paths]
