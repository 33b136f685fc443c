"""A training whose processes an engine starts, and starts again where some are lost; this one watches their files."""

import json
from collections.abc import Collection
from pathlib import Path

from nst_jax.backbones import pretrained
from nst_jax.errors import UserError
from nst_jax.io.files import make_folder

from ..engines import giving
from ..running.progress import graceful_interrupt, progress_bar
from .flags import TrainFlags, recipe_of
from .running import RECORD, STEPS_DONE, Result
from .samples import PAGE


def run(flags: TrainFlags, workdir: Path, output: Path) -> Result:
    """Has a network trained, and waits for it.

    Raises:
        UserError: the engine does not take it, or its processes have ended before the training has.
    """
    if flags.distributed:
        raise UserError(
            f"--distributed: expected none with --engine={flags.engine}, which gives it itself; leave it out"
        )
    steps = recipe_of(flags, pretrained.resolve(flags.backbone)).steps
    make_folder(workdir)
    work = giving.work_of(flags, workdir, {0: 0.0}, changes={"output": output.absolute()}, together=True)

    # Whether a training that has ended before is this one, its processes know, which then write all once more.
    before = [_written(path) for path in (output, workdir / PAGE)]

    def ended() -> bool:
        """Returns whether everything is written, of which the page is the last."""
        network, page = _written(output), _written(workdir / PAGE)
        new = network != before[0] and page != before[1]
        return new and page >= _written(workdir / RECORD) and _steps_done(workdir) >= steps

    def done(left: Collection[int]) -> Collection[int]:
        return left if ended() else ()

    with graceful_interrupt() as interrupt, progress_bar(steps=steps, done=_steps_done(workdir)) as bar:
        for _ in giving.given_out(
            flags.engine,
            work,
            say=bar.say,
            done=done,
            about=lambda _: "the training",
            stopping=lambda: interrupt.requested,
        ):
            bar.update(_steps_done(workdir), "")
    result = Result(output, workdir / PAGE, _steps_done(workdir), ended())
    if result.stopped and not interrupt.requested:
        raise UserError(
            f"expected the training to end, found its processes gone after step {result.steps}; the same command "
            "continues"
        )
    return result


def _steps_done(workdir: Path) -> int:
    """Returns the number of steps of the last checkpoint."""
    try:
        return int(json.loads((workdir / RECORD).read_text(encoding="utf-8"))[STEPS_DONE])
    except (OSError, ValueError, LookupError, TypeError):  # not yet, or of something else
        return 0


def _written(path: Path) -> int:
    """Returns when a file was written, 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
