"""The loop under every script that runs transfers: cells on their way, with their losses and checkpoints.

A single transfer is a batch of one cell, and runs as each cell of a sweep does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from nst_jax.history import DivergedError, History, diverged, join
from nst_jax.loop import Progress
from nst_jax.stacking import state_of

from .checkpoints import Checkpoints, Restored


class Courses:
    """The cells of a batch on their way.

    Attributes:
        histories: place of a cell in the batch → its losses so far.
        diverged: place of a cell in the batch → what is wrong with it.
    """

    def __init__(self, checkpoints: Sequence[Checkpoints], restored: Sequence[Restored | None]) -> None:
        """Takes the checkpoints of each cell, and what was restored of them, all at the same step or none at all."""
        self._checkpoints = checkpoints
        self.histories: dict[int, History] = {place: found.history for place, found in enumerate(restored) if found}
        self.diverged: dict[int, DivergedError] = {}

    @property
    def running(self) -> list[int]:
        """The places of the cells that have not diverged."""
        return [place for place in range(len(self._checkpoints)) if place not in self.diverged]

    def add(self, progress: Progress) -> None:
        """Takes the news of all cells that have not diverged before."""
        for place in self.running:
            news, before = progress.history.of(place), self.histories.get(place)
            if not progress.finite[:, place].all():
                self.diverged[place] = diverged(state_of(progress.state, place), news)
                news = self.diverged[place].history
            self.histories[place] = join([before, news]) if before else news

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
    """Follows a run of a batch to its end, until all its cells have diverged, or until it is asked to stop.

    Args:
        run: of the batch, which yields at each multiple of `save_every`.
        courses: of its cells, which are told everything.
        steps: at which the run ends.
        save_every: steps between two checkpoints; 0 for none.
        stopping: whether somebody asked to stop; then there is a checkpoint in any case.

    Yields:
        The progress, with its news in `courses`.

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
