"""DeepDream: amplifies whatever a network sees in a picture, from coarse to fine.

Mordvintsev, Olah & Tyka, "Inceptionism: Going Deeper into Neural Networks", 2015, and the notebook that Google
published with it: gradient ascent with normalised gradients and jitter, on the picture at several sizes (octaves),
where each octave adds its detail to the next. A guided dream amplifies the features of another picture.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from nst_jax import transfer
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import Backbone, least_side
from nst_jax.checks import check_canvas
from nst_jax.history import History, join
from nst_jax.io import images
from nst_jax.loop import Stage, run
from nst_jax.presets import LEARNING_RATES, PRESETS
from nst_jax.problem import Transfer
from nst_jax.rendering.colour_matching import check_without_content
from nst_jax.settings import Settings
from nst_jax.surroundings import float32_on_device

OCTAVES = 4
"""Number of octaves, as in the notebook."""


class Octave(NamedTuple):
    """The dream at one size.

    Attributes:
        stage: index of the octave; 0 is the smallest.
        picture: `[H, W, 3]`, RGB in [0, 1].
        history: losses of its steps.
        finished: whether all of its steps are done.
    """

    stage: int
    picture: np.ndarray
    history: History
    finished: bool = True


def dream_settings(backbone: str, *, guided: bool = False) -> Settings:
    """Returns the settings of the notebook on a backbone: steps of 1.5 / 255 on average.

    Deviation: an octave has 20 steps, in the notebook 10, with which these networks dream faintly.
    """
    family = BACKBONES[backbone].family
    return dataclasses.replace(
        PRESETS[family.preset],
        content_layers=(),
        style_layers=(),
        tv_weight=0.0,
        pooling="max",
        margin=0,
        scales=(0,),  # octaves are scales of its own
        antialias=False,
        shifts=1,
        dream_layers=family.dream_layers,
        dream_objective="guided" if guided else "log_deepdream",
        jitter=32,
        optimizer="gradient",
        learning_rate=LEARNING_RATES["gradient"],
        steps=20,
        init="content",
    )


def octave_shapes(shape: tuple[int, ...], *, count: int | None, scale: float, least: int) -> list[tuple[int, int]]:
    """Returns heights and widths of octaves, each `scale` times as large as the one before, up to `shape`.

    Args:
        shape: shape of the last octave, `[H, W, ...]`.
        count: number of octaves; by default `OCTAVES`, without those that are too small.
        scale: ratio of sizes from one octave to the next.
        least: short side in pixels below which an octave is too small; ignored with a count.
    """
    height, width = shape[:2]
    sizes = [scale**-index for index in reversed(range(count or OCTAVES))]
    shapes = [(max(1, round(height * size)), max(1, round(width * size))) for size in sizes]
    return [shape for shape in shapes[:-1] if count or min(shape) >= least] + shapes[-1:]


def least_octave(backbone: Backbone, settings: Settings) -> int:
    """Returns the least short side of an octave, in pixels, for which the dream layers have positions."""
    return max(images.MIN_SIDE, *(least_side(backbone, layer) for layer in settings.dream_layers))


def stages(
    network: Pretrained,
    settings: Settings,
    picture: np.ndarray,
    *,
    shapes: Sequence[tuple[int, int]],
    guide: np.ndarray | None = None,
    seed: int = 0,
) -> list[Stage]:
    """Returns the stages of a dream, one per octave.

    Args:
        network: the backbone.
        settings: settings of each octave, see `dream_settings`.
        picture: the content image, `[H, W, 3]`, RGB in [0, 1].
        shapes: shapes of the octaves, from the smallest to that of the picture, see `octave_shapes`.
        guide: an image `[H', W', 3]`, RGB in [0, 1], whose features are amplified, for `guided`.
        seed: seed of the jitter.

    Raises:
        UserError: a layer or a channel is unknown, an octave is too small for a layer, or the settings do not fit the
            guide.
    """
    for shape in shapes:
        check_canvas(network.backbone, settings, *shape, guided=guide is not None)
    bases = [images.resize(picture, shape) for shape in shapes]
    network = transfer.ready(network, settings)  # shared by all octaves

    def octave(index: int) -> Stage:
        return Stage(
            lambda: prepare(network, settings, shapes[index], guide=guide, seed=(seed + index) % 2**32),
            lambda dreamt: float32_on_device(_start(bases, index, dreamt)),
            settings.steps,
        )

    return [octave(index) for index in range(len(shapes))]


def _start(bases: Sequence[np.ndarray], index: int, dreamt: jax.Array | None) -> np.ndarray:
    """Returns the initial image of an octave: the picture at its size plus the detail of the octave before."""
    if dreamt is None:
        return bases[index]
    return _with_detail(bases[index], jax.device_get(dreamt) - bases[index - 1])


def _with_detail(base: np.ndarray, detail: np.ndarray) -> np.ndarray:
    """Returns a picture plus the detail `[H, W, 3]` of another size."""
    return np.clip(base + images.resize(detail, base.shape[:2]), 0, 1)


def so_far(picture: np.ndarray, octave: Octave) -> np.ndarray:
    """Returns the dream after an octave, in the size of the content image `[H, W, 3]`."""
    if octave.picture.shape == picture.shape:
        return octave.picture
    return _with_detail(picture, octave.picture - images.resize(picture, octave.picture.shape[:2]))


def prepare(
    network: Pretrained,
    settings: Settings,
    shape: tuple[int, ...],
    *,
    guide: np.ndarray | None = None,
    seed: int = 0,
) -> Transfer:
    """Returns the transfer that dreams over any picture of one shape `[H, W, ...]`.

    Raises:
        UserError: as in `stages`.
    """
    check_without_content(settings)
    blank = np.full((*shape[:2], 3), 0.5, np.float32)
    return transfer.prepare(network, settings, blank, [], guide=guide, seed=seed)


def dream(
    network: Pretrained,
    settings: Settings,
    picture: np.ndarray,
    *,
    octaves: int | None = None,
    scale: float = 1.4,
    guide: np.ndarray | None = None,
    seed: int = 0,
    stopping: Callable[[], bool] = lambda: False,
    follow: Callable[[int, int], object] = lambda *_: None,
) -> Iterator[Octave]:
    """Dreams over a picture, octave by octave, from the smallest to its own size.

    Args:
        network: the backbone.
        settings: settings of each octave, see `dream_settings`.
        picture: the content image, `[H, W, 3]`, RGB in [0, 1].
        octaves: number of octaves; by default `OCTAVES`, or fewer where the smallest would be too small for the layers.
        scale: ratio of sizes from one octave to the next.
        guide: see `stages`.
        seed: seed of the jitter.
        stopping: called about once a second; if true, the dream ends with the current octave as it is.
        follow: called as often, with the index of the octave and the number of its steps that are done.

    Yields:
        The octaves; the last one of a dream that was stopped is not finished.

    Raises:
        UserError: as in `stages`.
        DivergedError: the loss is not finite.
    """
    shapes = octave_shapes(picture.shape, count=octaves, scale=scale, least=least_octave(network.backbone, settings))
    histories: list[History] = []
    for progress in run(stages(network, settings, picture, shapes=shapes, guide=guide, seed=seed)):
        histories.append(progress.history)
        done = int(progress.history.step[-1])
        follow(progress.stage, done)
        finished, stop = done == settings.steps, stopping()
        if finished or stop:
            yield Octave(progress.stage, jax.device_get(progress.result), join(histories), finished)
            histories = []
        if stop:
            return


def zoom(picture: np.ndarray, factor: float) -> np.ndarray:
    """Returns a picture `[H, W, 3]` enlarged around its middle by a factor and cropped to its size."""
    height, width, _ = picture.shape
    scale = np.array([factor, factor], np.float32)
    offset = np.array([height, width], np.float32) * np.float32(1 - factor) / 2
    larger = _scaled(float32_on_device(picture), float32_on_device(scale), float32_on_device(offset))
    return np.clip(jax.device_get(larger), 0, 1)


@jax.jit
def _scaled(picture: jax.Array, scale: jax.Array, offset: jax.Array) -> jax.Array:
    return jax.image.scale_and_translate(picture, picture.shape, (0, 1), scale, offset, "cubic", antialias=False)
