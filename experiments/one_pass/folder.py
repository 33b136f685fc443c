"""A folder of pictures, or the frames of a video, painted with one style in few programs.

A program is made for one shape. Where a folder has few shapes, each has its own, and a picture is as it would be alone;
where it has more, pictures are extended to one of a few shapes (`instant.with_room`), and no mean or deviation counts
what is added. What is done is known by the settings in each picture, so that the same command goes on after anything.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from nst_jax.applications.feedforward.instant import InstantPainter, check_sides
from nst_jax.applications.feedforward.trained import Trained
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import check_folder, make_folder
from nst_jax.io.image_folder import list_pictures

from ..cli.transfer_flags import CONTENT, check_own, digest
from ..running.progress import graceful_interrupt, progress_bar
from ..running.run_record import versions, write_json
from .choice import chosen, described, painter
from .flags import InstantFlags

_OWN_PROGRAMS = 4
"""Shapes that have a program each, at most; to compile one takes as long as painting some ten pictures."""

_TURNED = range(5, 9)
"""Orientations of EXIF with height and width exchanged."""


class Result(NamedTuple):
    """Result of a run: the folder, how many pictures are done now and were before, and why others are left out."""

    output: Path
    painted: int
    found: int
    left_out: dict[str, str]

    def said(self) -> list[str]:
        """Returns what is printed."""
        before = f", and {self.found} were there" if self.found else ""
        lines = [f"pictures: {self.painted} in {self.output}{before}"]
        if self.left_out:
            lines += [f"left out: {len(self.left_out)}", *self.left_out.values()]
        return lines


def run(flags: InstantFlags, trained: Trained, folder: Path, workdir: Path, output: Path, suffix: str) -> Result:
    """Paints the pictures of a folder, in files with a suffix.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or none of the pictures can be painted, or the
            disk is full.
        KeyboardInterrupt: the run was asked to stop; the same command goes on.
    """
    choice = chosen(flags, trained)
    files = sorted(list_pictures(folder), key=lambda path: natural(path.name))
    check_folder(output)
    if output.resolve() == folder.resolve():
        raise UserError(f"--output: expected another folder than that of the content images, found {output}")
    targets = named(files, output, suffix)
    for target in targets:
        check_own(target, choice.paths)
    shared = {**described(flags, choice), "bits": flags.bits}
    room = many_shapes(files, flags.size)
    done = found = 0
    left_out: dict[str, str] = {}
    paint = painter(flags, choice)
    make_folder(output)
    make_folder(workdir)

    def save_record() -> None:
        record = {"settings": {"contents": str(folder), **shared}, "versions": versions()}
        write_json(workdir / "run.json", {**record, "pictures": len(files), "left_out": left_out})

    with graceful_interrupt() as interrupt, progress_bar(steps=len(files), done=0) as bar:
        for number, (path, target) in enumerate(zip(files, targets, strict=True)):
            if interrupt.requested:
                save_record()
                raise KeyboardInterrupt(f"after {number} of {len(files)} pictures, the same command goes on")
            settings = {CONTENT: str(path), f"{CONTENT}_sha256": digest(path), **shared, "room": room}
            if is_done(target, settings):
                found += 1
            elif problem := _paint(flags, paint, path, target, settings, room=room):
                left_out[path.name] = problem
            else:
                done += 1
            bar.update(number + 1, path.name)
    if left_out and not done + found:
        raise UserError(next(iter(left_out.values())))
    save_record()
    return Result(output, done, found, left_out)


def natural(name: str) -> list[tuple[int, int | str]]:
    """Returns a key by which names are sorted as people count: frame2 before frame10."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in parts] + [(2, name)]


def named(files: Sequence[Path], folder: Path, suffix: str) -> list[Path]:
    """Returns the file of each picture: its own name, with its suffix where two differ in that alone."""
    stems = Counter(path.stem for path in files)
    taken: set[str] = set()
    targets = []
    for path in files:
        name = path.stem if stems[path.stem] == 1 else path.name
        while name in taken:  # as a.jpg, a.png and a.jpg.webp would have two of one name
            name = f"{name}_"
        taken.add(name)
        targets.append(folder / f"{name}.{suffix}")
    return targets


def many_shapes(files: Sequence[Path], size: int) -> bool:
    """Returns whether pictures have more shapes than have programs of their own."""
    return len(Counter(_shape(path, size) for path in files)) > _OWN_PROGRAMS


def is_done(target: Path, settings: Mapping[str, Any]) -> bool:
    """Returns whether a picture is there and was painted with these settings."""
    try:
        return target.is_file() and images.read_settings(target) == json.loads(json.dumps(settings))
    except UserError:  # damaged
        return False


def _shape(path: Path, size: int) -> tuple[int, int]:
    """Returns height and width of a picture as its header has them, resized; zeros for one that has none."""
    try:
        with Image.open(path) as file:
            width, height = file.size
            if file.getexif().get(0x0112) in _TURNED:
                width, height = height, width
    except Exception:  # whatever a damaged file brings Pillow to; why it cannot be read is said in its turn
        return 0, 0
    factor = size / max(width, height) if size else 1
    return round(height * factor), round(width * factor)


def _paint(
    flags: InstantFlags, paint: InstantPainter, path: Path, target: Path, settings: Mapping[str, Any], *, room: bool
) -> str | None:
    """Paints a picture and writes it; returns why it is left out, where the reason lies in the picture itself.

    Raises:
        UserError: it cannot be written for another reason.
    """
    try:
        picture = images.read(path, size=flags.size or None)
        check_sides(paint.trained.network, picture.pixels.shape)
    except UserError as error:
        return str(error) if path.name in str(error) else f"{path}: {error}"
    tile = paint.tile(picture.pixels.shape, flags.tile)
    pixels = paint.paint(picture.pixels, tile=tile, room=room)
    try:
        images.write(target, picture._replace(pixels=pixels), bits=flags.bits, settings=settings)
    except images.UnwritableError as error:
        return str(error)
    return None
