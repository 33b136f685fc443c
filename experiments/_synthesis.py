"""Signals synthesised from noise, several at once, so that random features have the statistics of a given one."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments._progress import graceful_interrupt, progress_bar
from nst_jax import optimize, random_features
from nst_jax.compilation import Jit
from nst_jax.method import LONGEST_CHUNK
from nst_jax.transfer import drive


class Synthesis(NamedTuple):
    """What came of it.

    Attributes:
        signals: `[seeds, T]` in [0, 1].
        losses: before and after, `[2, seeds]`.
        steps: done.
    """

    signals: np.ndarray
    losses: np.ndarray
    steps: int


def synthesise(
    signal: np.ndarray, *, seed: int, seeds: int, filters: int, size: int, scales: int, steps: int
) -> Synthesis:
    """Returns signals of the length of a given one that have its texture, each from other noise.

    Args:
        signal: to resemble, `[T]` in [0, 1].
        seed: of the filters and the noise.
        seeds: number of signals.
        filters: at each scale.
        size: of a filter in samples.
        scales: each twice as wide as the one before.
        steps: of L-BFGS; Ctrl-C makes do with those that are done.

    Raises:
        UserError: the signal is shorter than what the widest filters see.
    """
    for_filters, *for_noise = jax.random.split(jax.random.key(seed), 1 + seeds)
    original = jnp.asarray(signal, jnp.float32)[:, None]
    params = random_features.init(for_filters, rank=1, channels=1, filters=filters, size=size, scales=scales)
    texture = jax.jit(random_features.describe)(params, original)
    noise = jnp.stack([jax.random.permutation(key, original) for key in for_noise])
    start = _BEGIN(params, texture, noise)
    first, last = np.asarray(start.point.loss), start
    with graceful_interrupt() as interrupt, progress_bar(steps=steps, done=0) as bar:
        advance = functools.partial(_ADVANCE, params, texture)
        for last, done, info in drive(advance, start, done=0, steps=steps, pause_every=0):
            bar.update(done + len(info.loss), f"loss {last.point.loss.mean():.3g}")
            if interrupt.requested:
                break
    losses = np.stack([first, np.asarray(last.point.loss)])
    return Synthesis(np.asarray(last.point.variables)[..., 0], losses, int(last.step[0]))


def _objective(params: random_features.Params, texture: random_features.Texture) -> optimize.Evaluate:
    return lambda signal, _: random_features.loss(params, texture, signal)


def _begin(params: random_features.Params, texture: random_features.Texture, noise: jax.Array) -> optimize.State:
    evaluate = _objective(params, texture)
    return jax.vmap(lambda signal: optimize.init(evaluate, signal, jnp.float32(1), optimizer="lbfgs"))(noise)


def _advance(
    params: random_features.Params, texture: random_features.Texture, states: optimize.State, length: jax.Array
) -> tuple[optimize.State, optimize.Info]:
    evaluate = _objective(params, texture)
    chunk = functools.partial(optimize.chunk, evaluate, optimizer="lbfgs", longest=LONGEST_CHUNK)
    # Steps before seeds, as of a single run.
    return jax.vmap(lambda state: chunk(state, length), out_axes=(0, 1))(states)


_BEGIN = Jit(_begin)
_ADVANCE = Jit(_advance, donate_argnums=2)
