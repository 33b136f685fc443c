"""Makes quilts, records them, and compares them with the neural picture of the same images."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from nst_jax import pyramid, terms
from nst_jax.applications import quilting
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import make_folder
from nst_jax.loop import run
from nst_jax.problem import Transfer
from nst_jax.rendering.canvas import extend
from nst_jax.surroundings import float32_on_device

from ..cli import transfer_flags
from ..cli.transfer_flags import CONTENT, STYLE
from ..running.job import Job, prepare
from ..running.progress import progress_bar
from ..running.rescue import write_or_rescue
from ..running.run_record import versions, write_json
from ..showing.layout import Heading, Tile
from ..showing.sheet import draw_grid
from . import flags as quilting_flags
from .flags import QuiltingFlags

_TERMS = {terms.CONTENT: "content", terms.STYLE: "style", terms.VARIATION: "total variation"}
_LOSS = "loss"
_SHEET = "sheet.png"


class Result(NamedTuple):
    """Result of a run.

    Attributes:
        output: the quilt.
        sheet: all pictures side by side.
        losses: picture → its loss and terms by name; empty for textures.
    """

    output: Path
    sheet: Path
    losses: dict[str, dict[str, float]]


def compare(flags: QuiltingFlags, paths: Mapping[str, Path], workdir: Path, output: Path) -> Result:
    """Stylises by quilting and by a transfer, and measures both; `output` is the quilt.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the neural run diverged, or the disk is
            full.
    """
    neural = workdir / "neural.png"
    sheet = workdir / _SHEET
    if output.absolute() in (neural.absolute(), sheet.absolute()):
        raise UserError(f"--output: expected another file than {output.name}, which this script writes as well")
    for path in (neural, sheet):
        transfer_flags.check_own(path, paths)
    # Read before the network, so that blocks that do not fit are reported at once.
    content, style = images.read(paths[CONTENT], size=flags.size).pixels, _style_image(flags, paths)
    blocks = quilting_flags.blocks(flags, style.shape, content.shape)
    job = prepare(flags)
    times = [time.monotonic()]
    with _blocks_bar(quilting.schedule(**blocks), content.shape[:2]) as laid:
        quilt = quilting.transfer(
            style,
            content,
            **blocks,
            blur=flags.blur,
            **quilting_flags.choice(flags),
            rng=np.random.default_rng(flags.seed),
            laid=laid,
        )
    times.append(time.monotonic())
    settings = {
        "quilting": quilting_flags.describe(flags, paths, blocks),
        "neural": {**transfer_flags.describe(job.paths, job.identity), "preset": flags.preset, "steps": job.steps},
    }
    make_folder(workdir)
    picture = job.content._replace(pixels=quilt)
    write_or_rescue(output, workdir, lambda path: images.write(path, picture, settings=settings["quilting"]))
    painted = _optimise(job)
    times.append(time.monotonic())
    images.write(neural, job.content._replace(pixels=painted), settings=settings["neural"])
    seconds = dict(zip(settings, np.diff(times).tolist(), strict=True))
    pictures = {"content_image": content, "quilting": quilt, "neural": painted}
    losses = {name: _measure(job, pixels) for name, pixels in pictures.items()}
    _print_table(losses, seconds)
    tiles = {
        "content image": _tile(paths[CONTENT], content),
        "style image": _tile(paths[STYLE], style),
        "image quilting": _tile(output, quilt, _caption(losses["quilting"])),
        "neural": _tile(neural, painted, _caption(losses["neural"])),
    }
    sheet = _record(workdir, tiles, {"settings": settings, "seconds": seconds, "losses": losses})
    return Result(output, sheet, losses)


def enlarge(flags: QuiltingFlags, paths: Mapping[str, Path], workdir: Path, output: Path) -> Result:
    """Continues a style image over a larger area.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or the disk is full.
    """
    style = _style_image(flags, paths)
    height, width = (max(1, round(flags.enlarge * side)) for side in style.shape[:2])
    if min(height, width) < images.MIN_SIDE:
        raise UserError(
            f"--enlarge: expected a short side of {images.MIN_SIDE} px or more, found {width} × {height} px; choose "
            "a larger one, or --style_size"
        )
    blocks = quilting_flags.blocks(flags, style.shape, (height, width))
    passes = quilting.schedule(**blocks)
    began = time.monotonic()
    with _blocks_bar(passes, (height, width)) as laid:
        texture = quilting.synthesize(
            style,
            (height, width),
            patch=passes[0].patch,
            overlap=passes[0].overlap,
            **quilting_flags.choice(flags),
            rng=np.random.default_rng(flags.seed),
            laid=laid,
        )
    seconds = {"quilting": time.monotonic() - began}
    settings = {"quilting": quilting_flags.describe(flags, paths, blocks)}
    make_folder(workdir)
    picture = images.Picture(texture)
    write_or_rescue(output, workdir, lambda path: images.write(path, picture, settings=settings["quilting"]))
    pictures = {"style image": (paths[STYLE], style), "texture": (output, texture)}
    tiles = {
        name: _tile(path, pixels, "{} × {} px".format(*pixels.shape[1::-1]))
        for name, (path, pixels) in pictures.items()
    }
    return Result(output, _record(workdir, tiles, {"settings": settings, "seconds": seconds}), {})


def _style_image(flags: QuiltingFlags, paths: Mapping[str, Path]) -> np.ndarray:
    return transfer_flags.style_images(flags, transfer_flags.styles(paths))[0].read()


@contextmanager
def _blocks_bar(passes: Sequence[quilting.Pass], shape: tuple[int, int]) -> Iterator[Callable[[int], None]]:
    """Shows progress over the blocks of a picture of (height, width); yields a function that adds blocks laid."""
    sides = [single.patch for single in passes for _ in range(math.prod(single.blocks(shape)))]
    done = 0
    with progress_bar(steps=len(sides), done=0) as bar:

        def laid(count: int) -> None:
            nonlocal done
            done += count
            bar.update(done, f"blocks of {sides[done - 1]} px")

        yield laid


def _optimise(job: Job) -> np.ndarray:
    """Runs a transfer to its end; returns the picture `[H, W, 3]`."""
    with progress_bar(steps=job.steps, done=0) as bar:
        for last in run(pyramid.stages(job.transfer, job.image, job.scales, job.begin)):
            bar.show(last.history)
    return jax.device_get(last.result)


def _measure(job: Job, pixels: np.ndarray) -> dict[str, float]:
    """Returns the loss of a picture `[H, W, 3]` by the objective of a transfer, and its terms without weights."""
    finest = job.transfer(len(job.scales) - 1)
    loss, errors = jax.device_get(_evaluate(finest, extend(float32_on_device(pixels), finest.config.margin)))
    return {**{term: float(errors[term]) for term in _TERMS}, _LOSS: float(loss)}


@jax.jit
def _evaluate(transfer: Transfer, canvas: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the loss of a canvas as the network sees it at first, and its terms."""
    return transfer.loss(canvas, jnp.int32(0))


def _print_table(losses: Mapping[str, Mapping[str, float]], seconds: Mapping[str, float]) -> None:
    table = Table("", box=SIMPLE_HEAD)
    for heading in (*_TERMS.values(), _LOSS, "seconds"):
        table.add_column(heading, justify="right")
    for name, found in losses.items():
        took = f"{seconds[name]:.0f}" if name in seconds else "–"
        table.add_row(name.replace("_", " "), *(f"{value:.4g}" for value in found.values()), took)
    Console(highlight=False).print(table)


def _caption(found: Mapping[str, float]) -> str:
    return ", ".join(f"{_TERMS[term]} {found[term]:.2g}" for term in (terms.CONTENT, terms.STYLE))


def _tile(path: Path, pixels: np.ndarray, caption: str = "") -> Tile:
    return Tile(path, pixels.shape[1::-1], caption=caption)


def _record(workdir: Path, tiles: Mapping[str, Tile], record: Mapping[str, Any]) -> Path:
    """Writes the record and the sheet; returns the path of the sheet."""
    write_json(workdir / "quilting.json", {**record, "versions": versions()})
    sheet = workdir / _SHEET
    places = {(0, column): tile for column, tile in enumerate(tiles.values())}
    draw_grid(sheet, places, columns=[Heading("", tuple(tiles))])
    return sheet
