"""DeepDream: whatever a network sees in a picture, more of it, from coarse to fine.

Mordvintsev, Olah & Tyka, "Inceptionism: Going Deeper into Neural Networks", 2015, and the notebook that Google
published with it: gradient ascent with normalised gradients and jitter, on the picture at several sizes (octaves), the
detail that was added at one carried over to the next. Guided, the features of another picture are made large instead.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import image_io, transfer
from nst_jax.backbones.spec import Backbone
from nst_jax.backbones.weights import Pretrained
from nst_jax.errors import UserError
from nst_jax.history import History, join
from nst_jax.method import Transfer
from nst_jax.settings import LEARNING_RATES, PRESETS, Settings, default_preset

LAYERS = {"vgg": ("conv4_3", "conv5_1"), "squeezenet": ("fire6/concat", "fire8/concat")}
"""That are dreamt of if nothing is said, by preset; chosen by looking."""


class Octave(NamedTuple):
    """What was dreamt at one size.

    Attributes:
        index: from 0, the smallest.
        picture: `[H, W, 3]`, RGB in [0, 1].
        history: of its steps.
    """

    index: int
    picture: np.ndarray
    history: History


def dream_settings(backbone: str, *, guided: bool = False) -> Settings:
    """Returns the settings of the notebook on a backbone: steps of 1.5 of 255 in the mean.

    An octave has 20 steps, the notebook 10: with these networks its dreams stay faint.
    """
    preset = default_preset(backbone)
    return dataclasses.replace(
        PRESETS[preset],
        content_layers=(),
        style_layers=(),
        tv_weight=0.0,
        pooling="max",
        margin=0,
        dream_layers=LAYERS[preset],
        dream_gain="matched_response" if guided else "log_mean_square",
        jitter=32,
        optimizer="gradient",
        learning_rate=LEARNING_RATES["gradient"],
        steps=20,
        init="content",
    )


def octave_shapes(shape: tuple[int, ...], *, count: int, scale: float) -> list[tuple[int, int]]:
    """Returns heights and widths of so many octaves, each `scale` times as large as the one before, up to `shape`."""
    height, width = shape[:2]
    sizes = [scale**-index for index in reversed(range(count))]
    return [(max(1, round(height * size)), max(1, round(width * size))) for size in sizes]


def check(backbone: Backbone, settings: Settings, shape: tuple[int, ...], *, guide: np.ndarray | None) -> None:
    """Checks what `prepare` would find, without computing anything.

    Raises:
        UserError: a layer or a channel is unknown, or nothing is left of these shapes there; or the settings do not fit
            the guide.
    """
    guided = settings.dream_gain == "matched_response"
    if (guide is None) == guided:
        raise UserError("dream_gain: expected matched_response with a guide, and only then")
    if guided and (settings.dream_channels or settings.dream_channel_weights):
        raise UserError("dream_channels: expected none with a guide, whose features say what becomes large; found some")
    plain = dataclasses.replace(settings, dream_gain="mean_response") if guided else settings
    transfer.check_dream(backbone, plain, shape[:2])
    if guide is not None:
        transfer.check_layers(backbone, settings.dream_layers, guide.shape, what="dream layer of the guide")


def prepare(
    pretrained: Pretrained,
    settings: Settings,
    shape: tuple[int, ...],
    *,
    guide: np.ndarray | None = None,
    seed: int = 0,
) -> Transfer:
    """Returns what to do with pictures of one shape.

    Args:
        pretrained: the backbone.
        settings: as of `dream_settings`.
        shape: `[H, W, ...]`.
        guide: a picture `[H', W', 3]`, RGB in [0, 1], whose features are to become large, for `matched_response`.
        seed: of the jitter.

    Raises:
        UserError: a layer or a channel is unknown, or nothing is left of these shapes there.
    """
    check(pretrained.backbone, settings, shape, guide=guide)
    plain = dataclasses.replace(settings, dream_gain="mean_response") if guide is not None else settings
    job = transfer.prepare(pretrained, plain, np.full((*shape[:2], 3), 0.5, np.float32), [], seed=seed)
    if guide is None:
        return job
    layers, method = settings.dream_layers, transfer.make_method(pretrained.backbone, settings)
    features = job.method.objective.content_targets(job.params, jnp.asarray(guide), layers)
    rows = {layer: maps.reshape(-1, maps.shape[-1]) for layer, maps in features.items()}
    return job.replace(method=method, targets=job.targets.replace(activation=rows))


def ascend(job: Transfer, settings: Settings, picture: np.ndarray) -> tuple[np.ndarray, History]:
    """Returns a picture `[H, W, 3]` after the steps of the settings, and their history.

    Raises:
        DivergedError: the loss is no number.
    """
    state = transfer.start(job, picture, settings.learning_rate)
    histories = []
    for reached, history in transfer.run(job, state, steps=settings.steps):
        state = reached
        histories.append(history)
    return transfer.picture(job, state), join(histories)


def dream(
    pretrained: Pretrained,
    settings: Settings,
    picture: np.ndarray,
    *,
    octaves: int = 4,
    scale: float = 1.4,
    guide: np.ndarray | None = None,
    seed: int = 0,
) -> Iterator[Octave]:
    """Dreams over a picture `[H, W, 3]`, RGB in [0, 1], octave by octave, from the smallest to its own size.

    Raises:
        UserError: as of `prepare`; an octave is too small for the layers.
    """
    shapes = octave_shapes(picture.shape, count=octaves, scale=scale)
    check(pretrained.backbone, settings, shapes[0], guide=guide)
    detail = np.zeros((*shapes[0], 3), np.float32)
    for index, shape in enumerate(shapes):
        base = image_io.resize(picture, shape)
        start = np.clip(base + image_io.resize(detail, shape), 0, 1)
        job = prepare(pretrained, settings, shape, guide=guide, seed=(seed + index) % 2**32)
        dreamt, history = ascend(job, settings, start)
        detail = dreamt - base
        yield Octave(index, dreamt, history)


def zoom(picture: np.ndarray, factor: float) -> np.ndarray:
    """Returns the middle of a picture `[H, W, 3]`, `factor` times as large, in its size."""
    height, width, _ = picture.shape
    scale = jnp.float32([factor, factor])
    offset = jnp.float32([height, width]) * (1 - factor) / 2
    larger = jax.image.scale_and_translate(picture, picture.shape, (0, 1), scale, offset, "cubic", antialias=False)
    return np.clip(np.asarray(larger), 0, 1)
