"""Synthesises signals from noise, several at once, with the statistics of random features of a given one."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.applications import random_features
from nst_jax.loop import run, stage
from nst_jax.problem import seed_key
from nst_jax.stacking import Batch
from nst_jax.surroundings import float32_on_device

from ..running.progress import graceful_interrupt, progress_bar


class Synthesis(NamedTuple):
    """Result of a synthesis.

    Attributes:
        signals: `[seeds, T]` in [0, 1].
        losses: first and last loss, `[2, seeds]`.
        steps: number of steps done.
    """

    signals: np.ndarray
    losses: np.ndarray
    steps: int


def synthesise(
    signal: np.ndarray, *, seed: int, seeds: int, filters: int, size: int, scales: int, steps: int
) -> Synthesis:
    """Returns signals with the length and the texture of a given one, each from different noise.

    Args:
        signal: the original, `[T]` in [0, 1].
        seed: seed of the filters and the noise.
        seeds: number of signals.
        filters: number of filters at each scale.
        size: length of a filter at the finest scale in samples.
        scales: number of scales, each with filters twice as wide as those of the one before.
        steps: number of steps of L-BFGS; Ctrl-C returns the signals after fewer.

    Raises:
        UserError: the signal is shorter than the widest filters.
    """
    for_filters, *for_noise = _keys(seed_key(seed), 1 + seeds)
    original = float32_on_device(signal[:, None])
    make = functools.partial(random_features.init, rank=1, channels=1, filters=filters, size=size, scales=scales)
    params = jax.jit(make)(for_filters)
    texture = jax.jit(random_features.describe)(params, original)
    noise = _shuffled(for_noise, original)
    batch = Batch(random_features.TextureSynthesis(params, texture, original.shape), seeds)
    losses = []
    with graceful_interrupt() as interrupt, progress_bar(steps=steps, done=0) as bar:
        for last in run([stage(batch, noise, steps=steps)]):
            losses.append(last.history.loss[-1])
            done = int(last.history.step[-1])
            bar.update(done, f"loss {losses[-1].mean():.3g}")
            if interrupt.requested:
                break
    return Synthesis(jax.device_get(last.result)[..., 0], np.stack([losses[0], losses[-1]]), done)


@functools.partial(jax.jit, static_argnums=1)
def _keys(key: jax.Array, count: int) -> tuple[jax.Array, ...]:
    return tuple(jax.random.split(key, count))


@jax.jit
def _shuffled(keys: Sequence[jax.Array], original: jax.Array) -> jax.Array:
    return jnp.stack([jax.random.permutation(key, original) for key in keys])
