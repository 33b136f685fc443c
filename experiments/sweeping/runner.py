"""Runs a grid, batch after batch, each cell with its own checkpoints and record: here, or as tasks of an engine.

A process that is killed at any moment and started again keeps the finished cells and continues the others; so does one
that gives its cells to workers, and each of these.
"""

import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from nst_jax import batches, parallel
from nst_jax.errors import UserError
from nst_jax.history import History
from nst_jax.io import images
from nst_jax.io.files import check_folder, make_folder, names_in, remove_folder, sha256
from nst_jax.scaled_batches import ScaledGroup
from nst_jax.stacking import state_of

from ..cli.run_flags import RunFlags
from ..cli.transfer_flags import CONTENT, StyleImage, style_images, styles
from ..engines import giving
from ..running.checkpoints import Checkpoints, DamagedError, Restored
from ..running.job import initial_image
from ..running.loop import Courses, follow
from ..running.progress import Bar, Interrupt, graceful_interrupt, progress_bar
from ..running.records import write_losses
from ..running.run_record import versions
from ..running.standstill import standstill
from . import shares
from .cells import Pictures, PreparedCell, groups, prepare
from .folder import FAILED, FINISHED
from .gallery import Gallery
from .grid import Grid
from .naming import named
from .outcome import CELLS, CHECKPOINTS, Outcome
from .records import Records

_WORTH_SAYING = 0.5  # seconds


def run_grid(
    grid: Grid, flags: RunFlags, workdir: Path, *, bits: Literal[8, 16] = 8, interrupt: Interrupt | None = None
) -> Outcome:
    """Runs all cells that are not done yet, and writes everything.

    Args:
        grid: the cells.
        flags: the flags of the run.
        workdir: the folder for everything.
        bits: per channel of the pictures.
        interrupt: what asks the run to stop; by default a signal does.

    Raises:
        UserError: the input cannot be used, and then nothing is computed; or something cannot be written, and then the
            finished cells are kept.
    """
    giving.check(flags)
    with graceful_interrupt() if interrupt is None else contextlib.nullcontext(interrupt) as interrupt:
        check_folder(workdir)
        run = _run_whole if flags.task is None else _run_task
        outcome = run(grid, flags, workdir, bits, interrupt)
        _remove_if_empty(workdir / CHECKPOINTS)  # it has those of unfinished cells otherwise
        return outcome


def _run_whole(grid: Grid, flags: RunFlags, workdir: Path, bits: Literal[8, 16], interrupt: Interrupt) -> Outcome:
    """Runs all cells here, or has workers run them, and writes what covers them all."""
    pictures = Pictures()
    prepared = prepare(grid, pictures, keep_going=flags.keep_going)
    found, shown = named(workdir, prepared)
    cells = _as_begun(found, workdir)
    names = {before.name: cell.name for before, cell in zip(prepared, cells, strict=True)}
    make_folder(workdir / CELLS)
    records = Records(workdir, cells, retry_failed=flags.retry_failed)
    about = {"versions": versions(), "device": jax.devices()[0].device_kind}
    gallery = Gallery(workdir, grid, records, about, shown=shown)
    _remove_left(records, workdir)
    _say_left_out(cells)
    print(f"{_cells(len(cells))}, {sum(map(records.is_done, cells))} done already")
    with progress_bar(steps=_steps(cells), done=records.steps_done) as bar:
        refresh = functools.partial(_refresh, gallery, bar)
        if flags.engine == "none":
            _Runner(flags, workdir, records, pictures, bar, interrupt, bits, refresh).run(cells)
        else:
            gallery.refresh(now=True)  # for whoever watches
            for _ in shares.given_out(flags, workdir, records, names, bar, lambda: interrupt.requested):
                bar.update(records.steps_done, "")
                refresh()
    gallery.refresh(now=True)
    finished, failed = records.summary()
    missing = 0 if interrupt.requested else len(cells) - finished - len(failed)
    return Outcome(workdir, finished, failed, missing, interrupt.requested, names)


def _run_task(grid: Grid, flags: RunFlags, workdir: Path, bits: Literal[8, 16], interrupt: Interrupt) -> Outcome:
    """Runs the cells of a task; whoever gave it out writes what covers all."""
    assert flags.task is not None
    task = shares.of_task(workdir, flags.task)
    pictures = Pictures()
    found, mine = task.named(workdir, prepare(task.part_of(grid), pictures, keep_going=flags.keep_going))
    cells = _as_begun(found, workdir)
    own = [cell for cell in cells if cell.name in mine]
    make_folder(workdir / CELLS)
    records = Records(workdir, own)
    _remove_left(records, workdir)
    _say_left_out(cells)
    print(f"{len(own)} of {_cells(len(grid.cells))}, {sum(map(records.is_done, own))} of these done already")
    with progress_bar(steps=_steps(own), done=records.steps_done) as bar:
        _Runner(flags, workdir, records, pictures, bar, interrupt, bits, lambda: None).run(cells)
    finished, failed = records.summary()
    return Outcome(workdir, finished, failed, 0, interrupt.requested, task.files, partial=True)


@functools.lru_cache(maxsize=1)
def _enter(program: Any) -> None:  # noqa: ARG001 - another one than before
    """Frees what JAX keeps of the program before, on a CPU 70 MB and more that nothing else would free."""
    jax.clear_caches()


def _refresh(gallery: Gallery, bar: Bar) -> None:
    """Writes what covers all cells, if it is time."""
    try:
        gallery.refresh()
    except UserError as error:  # only at the end is it an error
        bar.say(f"sheet and page are not updated now: {error}")


@dataclasses.dataclass(frozen=True)
class _Runner:
    """Runs groups of cells, each with one program.

    Attributes:
        flags: the flags of the run.
        workdir: the folder for everything that is written.
        records: those of the cells of this process.
        pictures: reads the images.
        bar: shows the steps of the cells of this process.
        interrupt: whether to stop.
        bits: per channel of the pictures.
        refresh: writes what covers all cells, if that is for this process and it is time.
    """

    flags: RunFlags
    workdir: Path
    records: Records
    pictures: Pictures
    bar: Bar
    interrupt: Interrupt
    bits: Literal[8, 16]
    refresh: Callable[[], None]

    def run(self, cells: Sequence[PreparedCell]) -> None:
        """Runs the unfinished cells that belong to this process, program after program.

        Args:
            cells: they, and others that are of their programs.
        """
        mine = {cell.name for cell in self.records.cells}
        for group in groups(cells):
            own: dict[tuple[Any, ...], list[int]] = {}
            for index, cell in enumerate(group):
                if cell.name in mine:
                    own.setdefault(tuple(cell.chosen.items()), []).append(index)
            for chosen, indices in own.items():  # of which nobody else's memory decides
                self._run_group([cell.choosing(dict(chosen)) for cell in group], indices)

    def _run_group(self, cells: Sequence[PreparedCell], own: Sequence[int]) -> None:
        """Runs the unfinished ones of some cells of a group, in batches.

        Each time that memory runs out, batches get smaller. The program is that of the whole group, so that no number
        depends on which cells are done already, or by which process.
        """
        left = [index for index in own if not self.records.is_done(cells[index])]
        if not left or self.interrupt.requested:
            return
        _enter((cells[0].program, tuple(cells[0].chosen.items())))
        group = self._group(cells)
        wanted = self.flags.cells_per_batch
        finest = group.finest
        size = finest.fitting(len(own)) if wanted == "auto" else finest.balanced(len(own), wanted)
        while left and not self.interrupt.requested:
            try:
                self._compile(group, size, len(left))
                self._run_batch(group, cells, left, size)
            except RuntimeError as error:
                smaller = finest.smaller(size, error)
                self.bar.say(f"not enough memory for {size} cells at once: continuing with {smaller}")
                size = smaller
            left = [index for index in left if not self.records.is_done(cells[index])]

    def _group(self, cells: Sequence[PreparedCell]) -> ScaledGroup:
        recipes = [
            batches.Recipe(
                cell.settings,
                content=(cell.paths[CONTENT], cell.grid.flags.size),
                styles=tuple(style_images(cell.grid.flags, styles(cell.paths))),
                seed=cell.grid.flags.seed,
                regions=cell.regions,
            )
            for cell in cells
        ]

        def read(picture: StyleImage | tuple[Path, int]) -> np.ndarray:
            if isinstance(picture, StyleImage):
                return picture.placed(self.pictures.read(picture.path, picture.size).pixels)
            return self.pictures.read(*picture).pixels

        return ScaledGroup(cells[0].pretrained, recipes, read, mesh=parallel.make_mesh(devices=jax.local_devices()))

    def _compile(self, group: ScaledGroup, size: int, count: int) -> None:
        began = time.monotonic()
        group.compile(size)
        seconds = time.monotonic() - began
        if seconds > _WORTH_SAYING:
            self.bar.say(f"compiled in {seconds:.1f} s, for {_cells(count)}, {size} at once")

    def _run_batch(self, group: ScaledGroup, cells: Sequence[PreparedCell], left: Sequence[int], size: int) -> None:
        """Runs the first cell that is left, together with others at the same step."""
        began = time.monotonic()
        indices, restored = self._at_one_step(group, cells, left, size)
        chosen = [cells[index] for index in indices]
        steps, before = chosen[0].settings.steps, self.records.steps_done
        states = [found.state for found in restored if found]
        chunks = group.run(
            indices,
            size,
            images=[] if states else [self._initial_image(group, cells, index) for index in indices],
            states=states,
            first=max((found.scale for found in restored if found), default=0),
            pause_every=self.flags.save_every,
        )
        courses = Courses([self._checkpoints(cell) for cell in chosen], restored)
        failed: set[int] = set()
        last, starts = None, None
        for last in follow(
            chunks,
            courses,
            steps=steps,
            save_every=self.flags.save_every,
            stopping=lambda: self.interrupt.requested,
        ):
            for place in courses.diverged.keys() - failed:
                self._fail(chosen[place], courses.diverged[place])
                failed.add(place)
            done = int(last.history.step[-1])
            if done == 0:
                starts = np.asarray(last.result)
            self.bar.update(before + done * len(chosen), f"{chosen[0].name}, step {done} of {steps}")
            self.refresh()
        if last is None or not courses.running or int(last.history.step[-1]) < steps:
            return
        pictures = jax.device_get(last.result)
        seconds = (time.monotonic() - began) / len(chosen)
        for place in courses.running:
            start = starts[place] if starts is not None else self._initial_image(group, cells, indices[place])
            reason = standstill(np.asarray(start), pictures[place], state_of(last.state, place))
            if reason and steps and chosen[place].settings.strength:
                self.bar.say(f"{chosen[place].name}: {reason}")
            self._finish(chosen[place], pictures[place], courses.histories[place], seconds, len(chosen))

    def _at_one_step(
        self, group: ScaledGroup, cells: Sequence[PreparedCell], left: Sequence[int], size: int
    ) -> tuple[list[int], list[Restored | None]]:
        """Returns at most `size` cells with the same steps done and to do as the first one left, and their states."""
        begun = names_in(self.workdir / CHECKPOINTS)  # all at once, as a look at each may be a request over a network

        def newest(index: int) -> int | None:
            return self._checkpoints(cells[index]).newest() if cells[index].name in begun else None

        def steps(index: int) -> Any:
            return group.scales(index), newest(index)

        first = steps(left[0])
        # No further than needed: to look at all that are left before each batch would take their square.
        alike = list(itertools.islice((index for index in left if steps(index) == first), size))
        restored = {
            index: self._restore(cells[index], group, index) if cells[index].name in begun else None for index in alike
        }
        at = {
            index: found and (found.scale, int(jax.device_get(found.state.step))) for index, found in restored.items()
        }
        together = [index for index in alike if at[index] == at[alike[0]]]  # a checkpoint may be damaged
        return together, [restored[index] for index in together]

    def _restore(self, cell: PreparedCell, group: ScaledGroup, index: int) -> Restored | None:
        checkpoints = self._checkpoints(cell)
        try:
            return checkpoints.restore(functools.partial(group.state_shapes, index))
        except DamagedError as error:
            self.bar.say(f"{cell.name} starts again: {error}")
            checkpoints.clear()
            return None

    def _checkpoints(self, cell: PreparedCell) -> Checkpoints:
        return _checkpoints(self.workdir, cell)

    def _initial_image(self, group: ScaledGroup, cells: Sequence[PreparedCell], index: int) -> Any:
        cell = cells[index]
        return initial_image(cell.grid.flags, cell.settings, cell.paths, group.content(index))

    def _finish(self, cell: PreparedCell, pixels: np.ndarray, history: History, seconds: float, together: int) -> None:
        content = self.pictures.read(cell.paths[CONTENT], cell.grid.flags.size)
        path = self.records.path(cell, ".png")
        if cell.regions is not None:
            pixels = cell.regions.put_back(pixels, content.pixels)
        images.write(path, content._replace(pixels=pixels), bits=self.bits, settings=cell.description)
        write_losses(self.records.path(cell, ".csv"), history, cell.scales)
        self.records.add(
            cell,
            {
                "status": FINISHED,
                "sha256": sha256(path),
                "seconds": round(seconds, 3),
                "cells_in_batch": together,
                "losses": {
                    "loss": float(history.loss[-1]),
                    **{name: float(of[-1]) for name, of in history.terms.items()},
                },
            },
        )
        remove_folder(self.workdir / CHECKPOINTS / cell.name)

    def _fail(self, cell: PreparedCell, error: UserError) -> None:
        self.bar.say(f"{cell.name}: {error}")
        self.records.add(cell, {"status": FAILED, "error": str(error)})
        remove_folder(self.workdir / CHECKPOINTS / cell.name)


def _as_begun(cells: Sequence[PreparedCell], workdir: Path) -> list[PreparedCell]:
    """Returns cells with the options that they chose by the free memory when they were begun, where they go on."""
    begun = names_in(workdir / CHECKPOINTS)

    def of(cell: PreparedCell) -> PreparedCell:
        if cell.name not in begun or cell.error is not None:
            return cell
        return cell.choosing(_checkpoints(workdir, cell).chosen(cell.asked))

    return list(map(of, cells))


def _checkpoints(workdir: Path, cell: PreparedCell) -> Checkpoints:
    return Checkpoints(workdir / CHECKPOINTS / cell.name, cell.identity, cell.chosen)


def _remove_left(records: Records, workdir: Path) -> None:
    """Removes the checkpoints of cells that are done: they are left where a run was killed between the two."""
    begun = names_in(workdir / CHECKPOINTS)
    for cell in records.cells:
        if cell.name in begun and records.is_done(cell):
            remove_folder(workdir / CHECKPOINTS / cell.name)


def _say_left_out(cells: Sequence[PreparedCell]) -> None:
    for cell in cells:
        if cell.error is not None:
            print(f"left out: {cell.name}: {cell.error}")


def _steps(cells: Sequence[PreparedCell]) -> int:
    """Returns the number of steps of the cells that can be run."""
    return sum(cell.settings.steps for cell in cells if cell.error is None)


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
