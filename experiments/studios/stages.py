"""The stages of runs: what their dials and images mean as flags, how one follows on another, and their files."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nst_jax.errors import UserError, choose, one_line
from nst_jax.io.files import file_error

from ..cli.flags import command_line
from ..cli.run_flags import SingleFlags
from . import dials, first_looks
from .folders import DEEP_PICTURE, MARKS, stage_folder, start_picture
from .gallery import Gallery
from .protocol import MOST_STYLES, Dials, Entry, Images, Mark, Moved, NewRun, NewSweep, Stage
from .sweeps import SweepFlags, link, named, sweep_flags
from .uploads import Uploads, shown_name

FEW_STEPS = 5
"""A first stage that has not done more is not worth being gone on from: other dials begin it anew."""

_OF_STAGES = ("init", "coarsest", "scales")
"""Flags that say where a stage behind the first one starts."""


class Stages:
    """The stages of the runs of a gallery."""

    def __init__(self, gallery: Gallery, uploads: Uploads) -> None:
        """Takes the runs, and their images."""
        self._gallery, self._uploads = gallery, uploads

    # What is meant.

    def check(self, new: NewRun | NewSweep) -> None:
        """Checks that a run can be begun.

        Raises:
            UserError: the dials cannot be used, or there are too few images or too many.
            LookupError: an image is not there.
        """
        images = images_of(new)
        check_number(images)
        if isinstance(new, NewSweep):
            sweep_flags(Path(), new.dials, new.axes, *self._paths(images), each_style=new.each_style)
        else:
            choose(new.first_look, first_looks.names(), what="first look")
            dials.flags_of(new.dials, *self._paths(images))

    def name(self, new: NewRun | NewSweep) -> str:
        """Returns what a new run is called: by default, after its images."""
        if new.name:
            return shown_name(new.name)
        content, *styles = (Path(self._uploads.image(name).name).stem for name in (new.content, *new.styles))
        return one_line(f"{content}, {' and '.join(styles)}")

    def flags(self, entry: Entry, given: Dials, images: Images | None = None) -> SingleFlags:
        """Returns the flags that dials mean for the last stage of a run, by default with its images of now.

        Raises:
            UserError: the dials cannot be used.
            LookupError: an image is not there.
        """
        others: dict[str, Any] = {}
        if len(entry.stages) > 1:
            start = start_picture(self._gallery.folder(entry.id), len(entry.stages) - 1)
            others = {"init": str(start), "coarsest": entry.stages[-1].coarsest, "scales": None}
        return dials.flags_of(given, *self._paths(images or entry.images), **others)

    def dials_of(self, entry: Entry, flags: SingleFlags) -> Dials:
        """Returns the dials of which `flags` makes these in the last stage of a run."""
        found, begun = dials.as_json(flags), entry.stages[-1].begun
        if len(entry.stages) == 1:
            return found
        # Where a stage starts follows from the one before, whatever these dials say.
        return {name: value for name, value in found.items() if name not in _OF_STAGES} | {
            name: begun[name] for name in _OF_STAGES if name in begun
        }

    def begun(self, entry: Entry) -> SingleFlags:
        """Returns the flags with which the last stage of a run began."""
        return self.flags(entry, entry.stages[-1].begun, entry.stages[-1].images)

    def moves(self, entry: Entry, moves: Sequence[tuple[int, Dials]]) -> list[tuple[int, SingleFlags]]:
        """Returns moves of dials in the last stage of a run as flags."""
        return [(step, self.flags(entry, given, entry.stages[-1].images)) for step, given in moves]

    def sweep_flags(self, entry: Entry) -> SweepFlags:
        """Returns the flags of a sweep, whose images have names there that people can tell apart."""
        content, styles, regions, style_regions = self._paths(entry.images)
        folder = self._gallery.folder(entry.id)
        shown = named(folder, [content], "content")[0], named(folder, styles, "style")
        return sweep_flags(folder, entry.dials, entry.axes, *shown, regions, style_regions, each_style=entry.each_style)

    def link_images(self, entry: Entry) -> None:
        """Gives the images of a sweep these names.

        Raises:
            UserError: they cannot be written.
        """
        content, styles, *_ = self._paths(entry.images)
        folder = self._gallery.folder(entry.id)
        link([content], named(folder, [content], "content"))
        link(styles, named(folder, styles, "style"))

    def command(self, entry: Entry) -> str:
        """Returns the command that makes the picture of a run with its dials as they are; "" if something is gone."""
        try:
            if entry.kind == "sweep":
                return command_line("experiments.sweep", self.sweep_flags(entry))
            return command_line("experiments.stylize", self.flags(entry, entry.dials))
        except (UserError, LookupError):
            return ""

    # How one follows on another.

    def acts(self, entry: Entry, wanted: SingleFlags) -> str:
        """Returns how a run comes to other flags, see `dials.acts`."""
        return dials.acts(self.begun(entry), wanted) if entry.stages else dials.AT_ONCE

    def needs_another(self, entry: Entry) -> bool:
        """Returns whether a run of the gallery goes on in a new stage, and not from its checkpoint."""
        done = entry.step >= entry.steps > 0
        return bool(entry.stages) and (done or self.acts(entry, self.flags(entry, entry.dials)) == dials.STAGE)

    def begin_next(self, entry: Entry) -> Path:
        """Returns the file for the picture that the next stage of a run starts from, which is not there."""
        start = start_picture(self._gallery.folder(entry.id), len(entry.stages))
        start.unlink(missing_ok=True)
        return start

    def add(self, entry: Entry, start: Path, side: int = 0) -> None:
        """Adds a stage, which begins with the picture so far; or has the first begin anew, if hardly anything is done.

        Args:
            entry: the run.
            start: from `begin_next`; by default, if nobody has written it, the picture as it was written last.
            side: long side of the picture so far; by default that of a whole one.

        Raises:
            UserError: the picture cannot be written.
        """
        folder = self._gallery.folder(entry.id)
        picture = folder / DEEP_PICTURE
        if (len(entry.stages) == 1 and entry.step <= FEW_STEPS) or not picture.is_file():
            self.forget(entry)
            return
        if not start.is_file():
            try:
                shutil.copyfile(picture, start)
            except OSError as error:
                raise file_error(start, f"cannot be written ({error.strerror or error}): make room") from error
        before, size = self.begun(entry).size, self.flags(entry, entry.dials).size
        side = min(side or before, size)
        # What was painted at this scale need not be again, if there is a larger one.
        entry.stages.append(Stage(dict(entry.dials), entry.images, min(side + (size > before), size)))
        entry.step, entry.steps, entry.from_mark = 0, 0, None

    def back_to(self, entry: Entry, mark: Mark) -> None:
        """Has a run that is not at work be where it was at a mark."""
        for stage in range(mark.stage + 1, len(entry.stages)):
            self._remove(entry, stage)
        del entry.stages[mark.stage + 1 :]
        entry.images, entry.stages[-1].moves = entry.stages[-1].images, list(mark.moves)
        entry.marks = [other for other in entry.marks if other.stage <= mark.stage]
        entry.dials, entry.step, entry.from_mark = dict(mark.dials), mark.step, mark.number

    def forget(self, entry: Entry) -> None:
        """Has a run that is not at work be as before its first step."""
        for stage in range(len(entry.stages)):
            self._remove(entry, stage)
        entry.stages, entry.marks, entry.step, entry.steps, entry.from_mark = [], [], 0, 0, None

    def forget_mark(self, entry: Entry, mark: Mark) -> None:
        """Removes a mark of a run."""
        entry.marks.remove(mark)
        entry.from_mark = None if entry.from_mark == mark.number else entry.from_mark
        folder = stage_folder(self._gallery.folder(entry.id), mark.stage)
        shutil.rmtree(folder / MARKS / str(mark.number), ignore_errors=True)

    def _remove(self, entry: Entry, stage: int) -> None:
        folder = self._gallery.folder(entry.id)
        shutil.rmtree(stage_folder(folder, stage), ignore_errors=True)
        start_picture(folder, stage).unlink(missing_ok=True)

    def _paths(self, images: Images) -> tuple[Path, list[Path], Path | None, list[Path]]:
        path = self._uploads.path
        regions = None if images.regions is None else path(images.regions)
        return path(images.content), list(map(path, images.styles)), regions, list(map(path, images.style_regions))


def images_of(new: NewRun | NewSweep) -> Images:
    """Returns the images of a new run."""
    return Images(new.content, list(new.styles), new.regions, list(new.style_regions))


def changed(images: Images, news: Moved) -> Images:
    """Returns images with those that are given anew.

    Raises:
        UserError: there are too few or too many then.
    """
    found = Images(
        images.content,
        images.styles if news.styles is None else news.styles,
        images.regions if news.regions is None else news.regions or None,
        images.style_regions if news.style_regions is None else news.style_regions,
    )
    check_number(found)
    return found


def check_number(images: Images) -> None:
    """Checks the numbers of images.

    Raises:
        UserError: they are others than there may be.
    """
    styles, maps = len(images.styles), len(images.style_regions)
    if not 1 <= styles <= MOST_STYLES:
        raise UserError(f"expected 1 to {MOST_STYLES} style images, found {styles}")
    if maps not in (0, styles):
        raise UserError(f"expected a map for each of {styles} style images, found {maps}")
