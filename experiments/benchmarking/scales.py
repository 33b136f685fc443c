"""Measures the time to the same picture: from coarse to fine, at one scale, and in PyTorch at the same scales."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import loop, pyramid
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.defects import blotches, border_frame, grain
from nst_jax.errors import UserError
from nst_jax.presets import LEARNING_RATES, PRESETS
from nst_jax.problem import Transfer
from nst_jax.pyramid import Scale
from nst_jax.rendering.canvas import crop, extend
from nst_jax.settings import Settings
from nst_jax.terms import CONTENT, STYLE
from nst_jax.transfer import initial_image
from nst_jax.vocabulary import Precision

from . import pytorch, workload

ONE, SCALES, RIVAL = "one_scale", "coarse_to_fine", "rival"
"""The sides."""

SMALLEST = 64
"""Side in pixels of the smallest picture whose grain can be told."""

Report = dict[str, Any]


def same_picture(network: Pretrained, size: int, precision: Precision, *, rival: str | None) -> Report:
    """Measures how soon a picture has the style of one that was painted at its final size from the first step.

    Both have the default preset of the backbone and the sample images.

    Args:
        network: the network.
        size: side of the picture in pixels.
        precision: precision of the network.
        rival: a name in `pytorch.RIVALS`, or None.

    Returns:
        `scales`, their sides in pixels; `sides`: name → what each came to in `seconds`, without compilation, with
        `evaluations` of loss and gradient, `style` and `content` error, and the defects of its picture, `grain`,
        `border_frame` and `blotches`; `seconds_to_style` that coarse to fine takes to the style error of one scale, if
        need be with more steps at the final size than its own, None if not even as many as the other has are enough;
        and `rival_problem`, why the rival is not among the sides.
    """
    preset = dataclasses.replace(PRESETS[network.backbone.family.preset], precision=precision)
    content, style = workload.pictures(size)

    def run(settings: Settings) -> _Run:
        scales = pyramid.scales_of(network.backbone, settings, content.shape, [style.shape])
        return _Run(network, settings, content, style, scales)

    alone, ours = run(dataclasses.replace(preset, scales=(0,), scale_steps=())), run(preset)
    sides = {ONE: alone.paint(), SCALES: ours.paint()}
    found = {
        "backbone": network.backbone.name,
        "size": size,
        "scales": [max(scale.shape) for scale in ours.scales],
        "seconds_to_style": ours.seconds_to(sides[ONE]["style"], steps=preset.steps),
        "rival_problem": None,
        "sides": sides,
    }
    try:
        if rival:
            sides[RIVAL] = _rival(rival, ours)
    except UserError as error:
        found["rival_problem"] = str(error)
    return found


class Moment(NamedTuple):
    """A step of a run: the seconds and evaluations up to it, and the errors after it."""

    seconds: float
    evaluations: int
    style: float
    content: float


class _Run:
    """A picture that is painted beside a clock, with everything compiled before.

    Attributes:
        content: the content image, `[H, W, 3]`.
        scales: from coarse to fine.
        transfers: one per scale.
        start: the initial image of the first.
        moments: those of each scale.
    """

    def __init__(
        self, network: Pretrained, settings: Settings, content: np.ndarray, style: np.ndarray, scales: Sequence[Scale]
    ) -> None:
        self.content, self.scales = content, scales
        make = pyramid.transfers(network, settings, content, [style], scales)
        self.transfers = [make(index) for index in range(len(scales))]
        self._programs = [loop.compile_chunk(transfer, loop.state_shapes(transfer)) for transfer in self.transfers]
        self.start = initial_image(settings, pyramid.at_scale(content, scales[0].shape), seed=0)
        self.begin = pyramid.starts(settings, scales, content)
        self._stages = [
            stage._replace(advance=program)
            for stage, program in zip(pyramid.stages(make, self.start, scales, self.begin), self._programs, strict=True)
        ]
        # What is small, such as enlarging, is compiled by one step at each scale.
        for _ in loop.run([stage._replace(steps=index + 1) for index, stage in enumerate(self._stages)]):
            pass
        self.moments: list[list[Moment]] = [[] for _ in scales]

    def paint(self) -> Report:
        """Runs all steps; returns what they came to."""
        for progress in self._timed(loop.run(self._stages)):
            last = progress
        self._state, picture = last.state, jax.device_get(last.result)
        end = self.moments[-1][-1]
        return {**end._asdict(), **defects(picture, self.content)}

    def seconds_to(self, style: float, *, steps: int) -> float | None:
        """Returns the seconds to a style error at the final size; may go on for that, up to a number of steps in all.

        To be called once, after `paint`.
        """
        longer = [*self._stages[:-1], self._stages[-1]._replace(steps=steps)]
        goes_on = self._timed(loop.run(longer, first=len(longer) - 1, state=self._state))
        own = len(self.moments[-1])
        while not (reached := [moment.seconds for moment in self.moments[-1] if moment.style <= style]):
            if next(goes_on, None) is None:
                break
        del self.moments[-1][own:]
        return reached[0] if reached else None

    def errors(self, picture: jax.Array) -> dict[str, float]:
        """Returns the style and the content error of any picture of the final size."""
        transfer = self.transfers[-1]
        start = jax.jit(Transfer.init)(transfer, picture)
        state, _ = self._programs[-1](transfer, start, jnp.int32(1))  # which evaluates it
        terms = jax.device_get(state.evaluation.terms)
        return {"style": float(terms[STYLE]), "content": float(terms[CONTENT])}

    def _timed(self, progresses: Iterator[loop.Progress]) -> Iterator[loop.Progress]:
        """Passes progresses on, adding their steps to the moments; those of one have equal shares of its time."""
        *_, last = (Moment(0, 0, 0, 0), *(moment for of in self.moments for moment in of))
        began = time.perf_counter() - last.seconds
        for progress in progresses:
            now, terms = time.perf_counter() - began, progress.history.terms
            counts = np.cumsum(progress.history.evaluations)
            times = last.seconds + (now - last.seconds) * counts / counts[-1]
            found = zip(times, last.evaluations + counts, terms[STYLE], terms[CONTENT], strict=True)
            self.moments[progress.stage] += [Moment(float(s), int(n), float(a), float(b)) for s, n, a, b in found]
            last = self.moments[progress.stage][-1]
            yield progress


def defects(picture: np.ndarray, content: np.ndarray) -> dict[str, float]:
    """Returns the defects of a picture in numbers, see `nst_jax.defects`; its worst grain."""
    return {
        "grain": max(grain(picture).values()),
        "border_frame": border_frame(picture, content),
        "blotches": blotches(picture, content),
    }


def _rival(name: str, ours: _Run) -> Report:
    """Returns what the rival's steps of Adam come to, as many at each scale as ours evaluated.

    Raises:
        UserError: it cannot run the preset.
    """
    picture, seconds, before = ours.start, 0.0, 0
    for index, transfer in enumerate(ours.transfers):
        margin = transfer.config.margin
        if index:
            picture = ours.begin(index, picture)
        canvas = np.asarray(extend(picture, margin))
        side = pytorch.RIVALS[name](transfer, canvas, learning_rate=LEARNING_RATES["adam"])
        side.run(1)
        after = ours.moments[index][-1].evaluations
        began = time.perf_counter()
        side.run(after - before - 1)
        seconds += (time.perf_counter() - began) * (after - before) / (after - before - 1)
        before, picture = after, crop(jnp.asarray(side.image), margin)
    found = np.asarray(picture)
    return {"seconds": seconds, "evaluations": before, **ours.errors(picture), **defects(found, ours.content)}
