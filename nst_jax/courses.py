"""The cells of a batch on their way: what each has lost so far, and which have diverged."""

from collections.abc import Mapping

from nst_jax.history import DivergedError, History, diverged, join
from nst_jax.loop import Progress
from nst_jax.stacking import state_of


class Courses:
    """Follows the cells of a running batch.

    Attributes:
        histories: place of a cell in the batch → its losses so far; those of a diverged cell end before that step.
        diverged: place of a cell in the batch → the error.
    """

    def __init__(self, count: int, histories: Mapping[int, History] | None = None) -> None:
        """Takes the number of cells, and the histories of those that resume."""
        self._count = count
        self.histories = dict(histories or {})
        self.diverged: dict[int, DivergedError] = {}

    @property
    def running(self) -> list[int]:
        """The places of the cells that have not diverged."""
        return [place for place in range(self._count) if place not in self.diverged]

    def add(self, progress: Progress) -> None:
        """Adds the new losses of all cells that have not diverged before."""
        for place in self.running:
            news, before = progress.history.of(place), self.histories.get(place)
            if not progress.finite[:, place].all():
                self.diverged[place] = diverged(state_of(progress.state, place), news)
                news = self.diverged[place].history
            self.histories[place] = join([before, news]) if before else news
