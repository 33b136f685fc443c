"""A single picture, painted and written."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nst_jax.applications.feedforward import doodles
from nst_jax.applications.feedforward.instant import InstantPainter
from nst_jax.applications.feedforward.instant import painter as network_painter
from nst_jax.applications.feedforward.networks import Doodle
from nst_jax.applications.feedforward.trained import Trained
from nst_jax.errors import UserError
from nst_jax.io import images, region_maps
from nst_jax.io.files import make_folder, sha256
from nst_jax.io.images import Picture
from nst_jax.pyramid import scaled

from ..cli.transfer_flags import CONTENT, REGIONS
from ..running.rescue import SavedElsewhereError, write_or_rescue
from ..running.run_record import versions, write_json
from .choice import chosen, described, painter, regions_of
from .flags import InstantFlags


class Result(NamedTuple):
    """Result of a run.

    Attributes:
        output: the picture.
        seconds: that painting took, without reading, writing and compiling as far as they are told apart.
        tile: side of the tiles; off if it was painted as a whole.
        regions: what there is to say of regions.
    """

    output: Path
    seconds: float
    tile: int | str
    regions: list[str]

    def said(self) -> list[str]:
        """Returns what is printed."""
        tiles = "" if self.tile == "off" else f", in tiles of {self.tile} px"
        return [*self.regions, f"picture: {self.output}{tiles}"]


class _Work(NamedTuple):
    """What is to be painted: with what, from what, whose metadata it has, what it depends on, what is to be said."""

    painter: InstantPainter
    painted_from: np.ndarray
    picture: Picture
    settings: dict[str, Any]
    said: list[str]


def run(flags: InstantFlags, trained: Trained, content: Path, workdir: Path, output: Path) -> Result:
    """Paints a photograph and writes the picture.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the picture cannot be written.
    """
    choice = chosen(flags, trained)
    with ThreadPoolExecutor(1) as beside:  # a third of a second, while the program that sees the style image is traced
        reading = beside.submit(images.read, content, size=flags.size or None)
        if REGIONS in choice.paths:
            picture = reading.result()
            regions, lines = regions_of(flags, choice, picture.pixels.shape)
            paint = painter(flags, choice, regions)
        else:
            paint, lines = painter(flags, choice), []
            picture = reading.result()
    settings = {CONTENT: str(content), f"{CONTENT}_sha256": sha256(content), **described(flags, choice)}
    return _finish(flags, _Work(paint, picture.pixels, picture, settings, lines), workdir, output)


def run_doodle(
    flags: InstantFlags, trained: Trained, network: Doodle, path: Path, workdir: Path, output: Path
) -> Result:
    """Paints a map of regions and writes the picture.

    Raises:
        UserError: as above.
    """
    found = region_maps.read(path)
    height, width = found.labels.shape
    shape = scaled((height, width), flags.size / max(height, width)) if flags.size else (height, width)
    if min(shape) < images.MIN_SIDE:
        raise UserError(f"--size: expected a short side of {images.MIN_SIDE} px or more, found {min(shape)}; change it")
    seed = flags.seed or 0
    guides = doodles.guides_of(network, found, shape)
    painted_from = doodles.painted_from(network, guides, np.random.default_rng(seed))
    settings = {
        "network": flags.network,
        "network_sha256": trained.sha256,
        REGIONS: str(path),
        f"{REGIONS}_sha256": sha256(path),
        "size": flags.size,
        "seed": seed,
    }
    picture = Picture(np.zeros((*shape, 3), np.float32))
    return _finish(flags, _Work(network_painter(trained), painted_from, picture, settings, []), workdir, output)


def _finish(flags: InstantFlags, work: _Work, workdir: Path, output: Path) -> Result:
    """Paints and writes a picture and its record."""
    tile = work.painter.tile(work.painted_from.shape, flags.tile)
    began = time.monotonic()
    pixels = work.painter.paint(work.painted_from, tile=tile)
    seconds = time.monotonic() - began
    settings = {**work.settings, "tile": tile, "bits": flags.bits}
    make_folder(workdir)
    failure: UserError | None = None
    try:
        write_or_rescue(
            output,
            workdir,
            lambda path: images.write(path, work.picture._replace(pixels=pixels), bits=flags.bits, settings=settings),
        )
    except SavedElsewhereError as error:
        failure = error
    record = {"settings": settings, "versions": versions(), "seconds": {"paint": seconds}}
    write_json(workdir / "run.json", record)
    if failure:
        raise failure
    return Result(output, seconds, tile, work.said)
