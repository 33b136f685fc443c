"""Coarse to fine: a picture at growing scales, each starting from the enlarged result of the one before.

At a coarse scale the network's receptive fields cover much of the picture: large strokes and shapes of the style are
laid out there, at a small share of the cost, and the finer scales add what the coarser could not show. Gatys et al.
2017 ("Controlling Perceptual Factors in Neural Style Transfer", arXiv:1611.07865, section 6) paint large pictures so;
the scales and what is carried from one to the next are those of crowsonkb's style-transfer-pytorch.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nst_jax.errors import UserError
from nst_jax.loop import Stage
from nst_jax.optimize import State
from nst_jax.rendering.canvas import crop, extend
from nst_jax.transfer import Transfer

COARSEST = 128
"""Long side in pixels of the coarsest scale."""


class Scale(NamedTuple):
    """A scale of a picture.

    Attributes:
        shape: height and width in pixels.
        steps: number of steps.
    """

    shape: tuple[int, int]
    steps: int


def long_sides(end: int, *, start: int = COARSEST, factor: float) -> tuple[int, ...]:
    """Returns the long sides of scales from coarse to fine: end / factorⁱ, rounded, while they are at least `start`.

    Raises:
        UserError: the factor is not above 1.
    """
    if not factor > 1:
        raise UserError(f"factor: expected more than 1 between scales, found {factor}")
    least = min(start, end)
    count = 1
    while round(end / factor**count) >= least:
        count += 1
    return tuple(round(end / factor**index) for index in reversed(range(count)))


def scaled(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Returns height and width of a picture of this shape, scaled to a long side; 1 pixel at least."""
    height, width = shape[:2]
    long = max(height, width)
    return max(1, round(height * side / long)), max(1, round(width * side / long))


def resize(
    pixels: jax.Array, shape: tuple[int, int], *, method: Any = jax.image.ResizeMethod.CUBIC_PYTORCH
) -> jax.Array:
    """Returns an array `[H, W, C]` enlarged to another height and width, by PyTorch's bicubic filter (a = −0.75)."""
    return jax.image.resize(pixels, (*shape, pixels.shape[-1]), method, antialias=False)


def carry(transfer: Transfer, before: State, state: State) -> State:
    """Returns the state that a scale starts with, with Adam's memory of the scale before.

    The first moments are enlarged like the picture, the second ones linearly, so that none is below 0, and the count
    of steps goes on. Pairs of L-BFGS are differences between points of another space, so that it starts again; so
    does the average of an averaging solver, and whatever optimises no pixels.
    """
    inner = optax.tree.get(state.memory, "mu")
    if inner is None or jnp.ndim(inner) != 3:
        return state
    margin = transfer.config.margin
    shape = transfer.start_shape.shape[:2]

    def moments(name: str, method: Any) -> jax.Array:
        values = crop(optax.tree.get(before.memory, name), margin)
        return extend(resize(values, shape, method=method), margin)

    memory = optax.tree.set(
        state.memory,
        mu=moments("mu", jax.image.ResizeMethod.CUBIC_PYTORCH),
        nu=jnp.maximum(moments("nu", jax.image.ResizeMethod.LINEAR), 0),
        count=optax.tree.get(before.memory, "count"),
    )
    return state.replace(memory=memory)


def stages(prepare: Callable[[int], Transfer], start: jax.Array, scales: Sequence[Scale]) -> list[Stage]:
    """Returns the stages of a transfer from coarse to fine.

    Args:
        prepare: index of a scale → its transfer; called when its scale is next.
        start: the initial image of the coarsest scale, `[H, W, 3]`.
        scales: from coarse to fine.
    """

    def scale(index: int) -> Stage:
        def enlarged(result: jax.Array | None) -> jax.Array:
            return start if result is None else jnp.clip(resize(result, scales[index].shape), 0, 1)

        return Stage(lambda: prepare(index), enlarged, scales[index].steps, carry)

    return [scale(index) for index in range(len(scales))]
