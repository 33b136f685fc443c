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

from nst_jax.applications.feedforward.instant import InstantPainter, check_sides, with_room
from nst_jax.applications.feedforward.trained import Trained
from nst_jax.errors import UserError
from nst_jax.io import images
from nst_jax.io.files import check_folder, make_folder
from nst_jax.io.image_folder import list_pictures

from ..cli.transfer_flags import CONTENT, check_own, digest
from ..running.progress import Interrupt, graceful_interrupt, progress_bar
from ..running.run_record import versions, write_json
from . import shares
from .choice import Chosen, check_styles, chosen, described, painter
from .flags import InstantFlags
from .shares import Pictured, Share

_OWN_PROGRAMS = 4
"""Shapes that have a program each, at most; to compile one takes as long as painting some ten pictures."""

_TURNED = range(5, 9)
"""Orientations of EXIF with height and width exchanged."""


class Result(NamedTuple):
    """Result of a run.

    Attributes:
        output: the folder of what is painted.
        painted: number of pictures painted now.
        found: number of those that were there.
        left_out: name of each picture that is left out → why.
        left: number of those not come to, as the run was asked to stop.
    """

    output: Path
    painted: int
    found: int
    left_out: dict[str, str]
    left: int = 0

    @property
    def stopped(self) -> bool:
        """Whether the run was asked to stop before its end."""
        return self.left > 0

    def said(self) -> list[str]:
        """Returns what is printed."""
        before = f", and {self.found} were there" if self.found else ""
        lines = [f"pictures: {self.painted} in {self.output}{before}"]
        if self.left_out:
            lines += [f"left out: {len(self.left_out)}", *self.left_out.values()]
        if self.stopped:
            lines.append(f"stopped with {self.left} pictures left; the same command goes on")
        return lines


def run(flags: InstantFlags, trained: Trained, folder: Path, workdir: Path, output: Path, suffix: str) -> Result:
    """Paints the pictures of a folder, in files with a suffix: here, by an engine's workers, or as one of these.

    Raises:
        UserError: the input cannot be used, and then nothing is written; or none of the pictures can be painted, the
            disk is full, or an engine's workers have left some.
    """
    choice = chosen(flags, trained)
    shared = {**described(flags, choice), "bits": flags.bits}
    with graceful_interrupt() as interrupt:
        if flags.task is not None:
            share = shares.of_task(flags, workdir, shared)
            result = _here(flags, choice, share, shared, output, interrupt)
            if not result.stopped and share.record:
                shares.write_record(share.record, result.painted, result.found, result.left_out)
            return result
        files = sorted(list_pictures(folder), key=lambda path: natural(path.name))
        check_folder(output)
        if output.resolve() == folder.resolve():
            raise UserError(f"--output: expected another folder than that of the content images, found {output}")
        targets = named(files, output, suffix)
        for target in targets:
            check_own(target, choice.paths)
        shapes = [_shape(path, flags.size) for path in files]
        room = len(set(shapes)) > _OWN_PROGRAMS
        if flags.engine == "none":
            share = shares.Share(list(zip(files, targets, strict=True)), room)
            result = _here(flags, choice, share, shared, output, interrupt)
        else:
            programs = [with_room(trained.network, shape) if room and any(shape) else shape for shape in shapes]
            pictures = list(map(shares.Pictured, files, targets, programs))
            result = _elsewhere(flags, choice, pictures, room, shared, workdir, output, interrupt)
    if result.left_out and not result.painted + result.found:
        raise UserError(next(iter(result.left_out.values())))
    make_folder(workdir)
    record = {"settings": {"contents": str(folder), **shared}, "versions": versions()}
    write_json(workdir / "run.json", {**record, "pictures": len(files), "left_out": result.left_out})
    if result.stopped and not interrupt.requested:
        raise UserError(
            f"expected all pictures to be painted, found {result.left} left by workers that ended before; the same "
            "command goes on"
        )
    return result


def _here(
    flags: InstantFlags, choice: Chosen, share: Share, shared: Mapping[str, Any], output: Path, interrupt: Interrupt
) -> Result:
    """Paints pictures in this process, until it is asked to stop."""
    done = found = 0
    left_out: dict[str, str] = {}
    paint = painter(flags, choice)
    make_folder(output)
    count = len(share.pictures)
    with progress_bar(steps=count, done=0) as bar:
        for number, (path, target) in enumerate(share.pictures):
            if interrupt.requested:
                return Result(output, done, found, left_out, left=count - number)
            settings = _settings(path, shared, room=share.room)
            if is_done(target, settings):
                found += 1
            elif problem := _paint(flags, paint, path, target, settings, room=share.room):
                left_out[path.name] = problem
            else:
                done += 1
            bar.update(number + 1, path.name)
    return Result(output, done, found, left_out)


def _elsewhere(
    flags: InstantFlags,
    choice: Chosen,
    pictures: Sequence[Pictured],
    room: bool,
    shared: Mapping[str, Any],
    workdir: Path,
    output: Path,
    interrupt: Interrupt,
) -> Result:
    """Has pictures painted by an engine's workers, until it is asked to stop."""
    check_styles(flags, choice)
    make_folder(output)
    given = shares.Given(
        flags,
        workdir,
        pictures,
        shared,
        room=room,
        is_done=lambda picture: is_done(picture.target, _settings(picture.path, shared, room=room)),
    )
    with progress_bar(steps=len(pictures), done=0) as bar:
        for done in given.follow(bar.say, lambda: interrupt.requested):
            bar.update(done, "")
    ended = given.ended()
    return Result(output, ended.painted, ended.found, ended.left_out, ended.missing)


def _settings(path: Path, shared: Mapping[str, Any], *, room: bool) -> dict[str, Any]:
    """Returns everything that the painted picture depends on, as the picture has it in it."""
    return {CONTENT: str(path), f"{CONTENT}_sha256": digest(path), **shared, "room": room}


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
