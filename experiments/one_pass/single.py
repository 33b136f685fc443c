"""A single picture, painted and written."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.applications.feedforward.trained import Trained
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import make_folder, sha256

from ..cli.transfer_flags import CONTENT
from ..running.rescue import SavedElsewhereError, write_or_rescue
from ..running.run_record import versions, write_json
from .choice import chosen, described, painter
from .flags import InstantFlags


class Result(NamedTuple):
    """Result of a run.

    Attributes:
        output: the picture.
        seconds: that painting took, without reading, writing and compiling as far as they are told apart.
        tile: side of the tiles; off if it was painted as a whole.
    """

    output: Path
    seconds: float
    tile: int | str

    def said(self) -> list[str]:
        """Returns what is printed."""
        tiles = "" if self.tile == "off" else f", in tiles of {self.tile} px"
        return [f"picture: {self.output}{tiles}"]


def run(flags: InstantFlags, trained: Trained, content: Path, workdir: Path, output: Path) -> Result:
    """Paints a picture and writes it.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the picture cannot be written.
    """
    choice = chosen(flags, trained)
    with ThreadPoolExecutor(1) as beside:  # a third of a second, while the program that sees the style image is traced
        reading = beside.submit(images.read, content, size=flags.size or None)
        paint = painter(flags, choice)
        picture = reading.result()
    tile = paint.tile(picture.pixels.shape, flags.tile)
    began = time.monotonic()
    pixels = paint.paint(picture.pixels, tile=tile)
    seconds = time.monotonic() - began
    settings: dict[str, Any] = {
        CONTENT: str(content),
        f"{CONTENT}_sha256": sha256(content),
        **described(flags, choice),
        "tile": tile,
        "bits": flags.bits,
    }
    make_folder(workdir)
    failure: UserError | None = None
    try:
        write_or_rescue(
            output,
            workdir,
            lambda path: images.write(path, picture._replace(pixels=pixels), bits=flags.bits, settings=settings),
        )
    except SavedElsewhereError as error:
        failure = error
    record = {"settings": settings, "versions": versions(), "seconds": {"paint": seconds}}
    write_json(workdir / "run.json", record)
    if failure:
        raise failure
    return Result(output, seconds, tile)
