"""The network and the styles that flags choose."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_jax.applications.feedforward import instant
from nst_jax.applications.feedforward.instant import InstantPainter
from nst_jax.applications.feedforward.networks import Predicted
from nst_jax.applications.feedforward.trained import Trained, style_index
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import sha256

from .flags import InstantFlags, style_paths

_SEEN = 3
"""Long side at which a style image is read for a predictor, in sides of the squares that it sees: of use is no more,
but where it is longer than three times its height."""

_STYLE_SIZE = 1024
"""Long side of style images that are seen as they are, where the picture's is left to the photograph."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A network and what it takes for a style.

    Attributes:
        trained: the network.
        paths: `style`, `style2`, ... → files of the style images; empty if the styles are in the network.
        shares: of the style images or of all styles in the network; empty for equal ones.
    """

    trained: Trained
    paths: Mapping[str, Path]
    shares: tuple[float, ...]


def chosen(flags: InstantFlags, trained: Trained) -> Chosen:
    """Returns what flags choose.

    Raises:
        UserError: flags are given that the network does not have, or name styles that it does not have.
    """
    if instant.takes_images(trained.network):
        _refuse(flags, ("styles", "style_weights"), f"as {flags.network} has no styles in it, but sees style images")
        if flags.style_size and isinstance(trained.network, Predicted):
            _refuse(flags, ("style_size",), f"as {flags.network} sees style images at one size")
        paths = style_paths(flags)
        shares = flags.blend_weights or ()
        if len(shares) not in (0, len(paths)):
            raise UserError(f"--blend_weights: expected one for each of {len(paths)} style images, found {len(shares)}")
        return Chosen(trained, paths, _checked("blend_weights", shares))
    its_own = "style" if len(trained.styles) < 2 else f"{len(trained.styles)} styles"
    _refuse(flags, ("style", "blend_weights", "style_size"), f"as {flags.network} has its own {its_own}")
    if flags.strength != 1:
        raise UserError(
            f"--strength: expected 1 with {flags.network}, which has its own {its_own}, found {flags.strength:g}; "
            "networks that see style images have a strength"
        )
    if not trained.styles:
        _refuse(flags, ("styles", "style_weights"), f"as {flags.network} has a single style")
        return Chosen(trained, {}, ())
    return Chosen(trained, {}, _shares(flags, trained.styles))


def painter(flags: InstantFlags, choice: Chosen) -> InstantPainter:
    """Returns what paints, with the style images read.

    Raises:
        UserError: one cannot be read.
    """
    network = choice.trained.network
    size = _SEEN * network.side if isinstance(network, Predicted) else flags.style_size or flags.size or _STYLE_SIZE
    pixels = [images.read(path, size=size).pixels for path in choice.paths.values()]
    return instant.painter(choice.trained, pixels, choice.shares, strength=flags.strength)


def described(flags: InstantFlags, choice: Chosen) -> dict[str, Any]:
    """Returns everything that pictures depend on beside their content images, as records have it."""
    return {
        "network": flags.network,
        "network_sha256": choice.trained.sha256,
        **{name: str(path) for name, path in choice.paths.items()},
        **{f"{name}_sha256": sha256(path) for name, path in choice.paths.items()},
        "style_size": flags.style_size or flags.size,
        "shares": list(choice.shares),
        "strength": flags.strength,
        "size": flags.size,
    }


def _refuse(flags: InstantFlags, names: Sequence[str], reason: str) -> None:
    for name in names:
        if getattr(flags, name) is not None:
            raise UserError(f"--{name}: expected none, {reason}; leave it out, or choose another --network")


def _checked(name: str, shares: tuple[float, ...]) -> tuple[float, ...]:
    if shares and not sum(shares) > 0:
        raise UserError(f"--{name}: expected shares of which one or more are above 0, found {serialized(shares)}")
    return shares


def _shares(flags: InstantFlags, names: Sequence[str]) -> tuple[float, ...]:
    """Returns the share of each style in the network."""
    wanted = flags.styles or names
    weights = flags.style_weights or (1.0,) * len(wanted)
    if len(weights) != len(wanted):
        raise UserError(
            f"--style_weights: expected one for each of {len(wanted)} styles, found {len(weights)}; --styles chooses "
            "some of them"
        )
    shares = [0.0] * len(names)
    checked = _checked("style_weights", weights)
    places = range(len(names)) if flags.styles is None else [style_index(names, name) for name in flags.styles]
    for place, weight in zip(places, checked, strict=True):
        shares[place] += weight
    return tuple(shares)


def serialized(shares: Sequence[float]) -> str:
    """Returns numbers as a command line has them."""
    return ",".join(f"{share:g}" for share in shares)
