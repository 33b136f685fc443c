"""The network and the styles that flags choose."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax.applications.feedforward import instant
from nst_jax.applications.feedforward.instant import InstantPainter
from nst_jax.applications.feedforward.trained import Trained
from nst_jax.errors import UserError
from nst_jax.io import region_maps
from nst_jax.io.files import sha256
from nst_jax.regions import Regions, from_maps

from ..cli.transfer_flags import CONTENT, REGIONS
from ..running import network_styles
from ..running.regions import account, colour
from .flags import InstantFlags, map_path, style_paths

_ABOUT_STYLES = ("style", "blend_weights", "style_size", "styles", "style_weights", "strength")


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A network and what it takes for a style.

    Attributes:
        trained: the network.
        paths: `style`, `style2`, ... → files of the style images, none if the styles are in the network; and perhaps
            `regions` → a map.
        shares: of the style images or of all styles in the network; empty for equal ones.
    """

    trained: Trained
    paths: Mapping[str, Path]
    shares: tuple[float, ...]

    @property
    def styles(self) -> list[Path]:
        """The files of the style images."""
        return [path for name, path in self.paths.items() if name != REGIONS]


def chosen(flags: InstantFlags, trained: Trained) -> Chosen:
    """Returns what flags choose.

    Raises:
        UserError: flags are given that the network does not have, or name styles that it does not have.
    """
    network_styles.check(trained, flags.network, {name: getattr(flags, name) for name in _ABOUT_STYLES})
    if flags.seed is not None:
        raise UserError(f"--seed: expected none with {flags.network}, which paints without noise; leave it out")
    maps = map_path(flags)
    if instant.takes_images(trained.network):
        paths = style_paths(flags)
        shares = network_styles.shares("blend_weights", flags.blend_weights, len(paths), what="style images")
        return Chosen(trained, {**paths, **maps}, shares if flags.blend_weights else ())
    if maps and not trained.styles:
        raise UserError(f"--regions: expected none, as {flags.network} has a single style; choose another --network")
    shares = network_styles.shares_of_numbers(trained, flags.styles, flags.style_weights)
    return Chosen(trained, maps, shares)


def regions_of(flags: InstantFlags, choice: Chosen, shape: Sequence[int]) -> tuple[Regions | None, list[str]]:
    """Returns the regions of a content image of this shape, None if it has one style, and what there is to say of them.

    Raises:
        UserError: the map cannot be read, or does not suit the image or the styles.
    """
    if REGIONS not in choice.paths:
        return None, []
    of_network = choice.trained.styles
    places = list(range(len(choice.styles))) or network_styles.numbers(choice.trained, flags.styles)
    found = from_maps(
        region_maps.read(choice.paths[REGIONS]),
        [],
        shape,
        [(1, 1)] * len(places),  # regions take whole styles
        region_styles=flags.region_styles or (),
        keep=tuple(map(colour, flags.keep or ())),
    )
    paths = {CONTENT: Path(str(flags.content)), **choice.paths}
    names = [of_network[place] for place in places] if of_network else []
    lines = account(paths, found, shape, names=names)
    if found is None:
        return None, lines
    for name in ("blend_weights", "style_weights"):
        if found.count > 1 and getattr(flags, name):
            raise UserError(f"--{name}: expected none with regions, each of which has a style of its own; leave it out")
    guides = [np.zeros((1, 1, found.count), np.float32) for _ in of_network or choice.styles]
    for place, guide in zip(places, found.styles, strict=True):
        guides[place] = np.maximum(guides[place], guide)
    return dataclasses.replace(found, styles=tuple(guides)), lines


def painter(flags: InstantFlags, choice: Chosen, regions: Regions | None = None) -> InstantPainter:
    """Returns what paints, with the style images read.

    Raises:
        UserError: one cannot be read.
    """
    pixels = network_styles.read(choice.trained, choice.styles, flags.style_size or flags.size)
    return instant.painter(choice.trained, pixels, choice.shares, strength=flags.strength, regions=regions)


def check_styles(flags: InstantFlags, choice: Chosen) -> None:
    """Checks that the style images can be read, for a process that does not paint.

    Raises:
        UserError: one cannot.
    """
    network_styles.read(choice.trained, choice.styles, flags.style_size or flags.size)


def described(flags: InstantFlags, choice: Chosen) -> dict[str, Any]:
    """Returns everything that pictures depend on beside their content images, as records have it."""
    of_regions = {"region_styles": list(flags.region_styles or ()), "keep": list(flags.keep or ())}
    return {
        "network": flags.network,
        "network_sha256": choice.trained.sha256,
        **{name: str(path) for name, path in choice.paths.items()},
        **{f"{name}_sha256": sha256(path) for name, path in choice.paths.items()},
        **(of_regions if REGIONS in choice.paths else {}),
        "style_size": flags.style_size or flags.size,
        "shares": list(choice.shares),
        "strength": flags.strength,
        "size": flags.size,
    }
