"""The losses of the run at work, which pages are told from where they have them."""

from typing import Any

from .gallery import finite
from .protocol import Losses

Seen = tuple[int, int]
"""What a page has: of which course of the run, and how many losses of it."""

NOTHING: Seen = (0, 0)


class Curves:
    """Losses that grow, and begin anew where the run does."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {"step": [], "loss": []}
        self._course = 1

    def forget(self) -> None:
        """Begins anew."""
        self._columns = {"step": [], "loss": []}
        self._course += 1

    def add(self, begin: int, losses: dict[str, list[float]]) -> None:
        """Adds losses, of which the first has an index."""
        for name, values in losses.items():
            self._columns.setdefault(name, [])[begin:] = [finite(value) for value in values]

    def newest(self) -> tuple[float | None, dict[str, float]]:
        """Returns the newest loss, and the newest value of each term."""
        last = {name: values[-1] for name, values in self._columns.items() if values and name != "step"}
        return last.pop("loss", None), last

    def since(self, run: str, seen: Seen) -> tuple[Losses | None, Seen]:
        """Returns the losses that are new to a page, None if none are, and what it then has.

        Args:
            run: id of the run.
            seen: what it had; `NOTHING` at first.
        """
        course, begin = seen if seen[0] == self._course else (self._course, 0)
        count = len(self._columns["step"])
        if count == begin and seen[0] == course:
            return None, seen
        step, loss, *others = (values[begin:] for values in self._columns.values())
        terms = dict(zip([name for name in self._columns if name not in ("step", "loss")], others, strict=True))
        return Losses(run, begin, step, loss, terms), (course, count)
