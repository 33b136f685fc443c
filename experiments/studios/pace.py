"""How long a run still takes."""

import itertools
import time

import numpy as np

from nst_jax import pyramid


class Pace:
    """How long a step takes, at the scale at work."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._scale, self._step = -1, 0
        self.per_step: float | None = None

    def at(self, scale: int, step: int) -> None:
        """Notes that a step of a scale is done now."""
        now = time.monotonic()
        if scale == self._scale and step > self._step:
            found = (now - self._since) / (step - self._step)
            self.per_step = found if self.per_step is None else (self.per_step + found) / 2
        elif scale != self._scale:
            self.per_step = None
        self._scale, self._step, self._since = scale, step, now

    def left(self, scales: tuple[pyramid.Scale, ...], index: int, step: int) -> float | None:
        """Returns an estimate of the seconds that are left; a step of another scale takes as much as it has pixels."""
        if self.per_step is None:
            return None
        here = float(np.prod(scales[index].shape))
        seconds = self.per_step * max(0, scales[index].end - step)
        for before, scale in itertools.pairwise(scales[index:]):
            seconds += self.per_step * float(np.prod(scale.shape)) / here * (scale.end - before.end)
        return seconds
