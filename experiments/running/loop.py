"""The loop under every script that runs transfers: running cells, with their losses and checkpoints.

A single transfer is a batch of one cell and runs exactly as each cell of a sweep does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from nst_jax import courses
from nst_jax.loop import Progress
from nst_jax.stacking import state_of

from .checkpoints import Checkpoints, Restored


class Courses(courses.Courses):
    """The running cells of a batch, with their checkpoints."""

    def __init__(self, checkpoints: Sequence[Checkpoints], restored: Sequence[Restored | None]) -> None:
        """Takes the checkpoints of each cell, and what was restored from them: all at the same step, or nothing."""
        super().__init__(
            len(checkpoints), {place: found.history for place, found in enumerate(restored) if found is not None}
        )
        self._checkpoints = checkpoints

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint of each cell that has not diverged.

        Raises:
            UserError: it cannot be written.
        """
        for place in self.running:
            self._checkpoints[place].save(state_of(progress.state, place), self.histories[place])


def follow(
    run: Iterable[Progress], courses: Courses, *, steps: int, save_every: int, stopping: Callable[[], bool]
) -> Iterator[Progress]:
    """Follows the run of a batch until it ends, all its cells have diverged, or it is asked to stop.

    Args:
        run: the progress of the batch, which must yield at each multiple of `save_every`.
        courses: its cells, which are updated.
        steps: number of steps at which the run ends.
        save_every: steps between two checkpoints; 0 for none.
        stopping: whether the run was asked to stop; then a checkpoint is written in any case.

    Yields:
        The progress, already added to `courses`.

    Raises:
        UserError: a checkpoint cannot be written.
    """
    for progress in run:
        courses.add(progress)
        yield progress
        done = int(progress.history.step[-1])
        wanted = save_every and done and done % save_every == 0
        stop = stopping()
        if done < steps and (wanted or stop):
            courses.save(progress)
        if stop or not courses.running:
            return
