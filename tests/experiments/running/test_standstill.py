"""Whether a run that goes nowhere is noticed, and the reason that is given."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.running.standstill import standstill
from nst_jax.optimize import Evaluation, State

SHAPE = (4, 5, 3)
START = np.full(SHAPE, 0.5, np.float32)


def state(gradient):
    variables = jnp.asarray(START)
    return State(
        Evaluation(variables, jnp.float32(1), {}, jnp.full(SHAPE, gradient)), jnp.int32(3), (), jnp.bool_(True)
    )


@pytest.mark.parametrize(
    ("gradient", "reason"),
    [
        (0.0, "is 0: nothing pulls at it"),
        (1e20, "beyond single precision; lower the weights"),
        (1e-30, "so small that its square is 0 in single precision; raise the weights"),
        (1.0, "raise learning_rate or steps"),
    ],
)
def test_why_a_picture_stays_as_it_was(gradient, reason):
    for moved in (0.0, 0.001):  # less than half a level of 8 bits
        assert reason in standstill(START, START + np.float32(moved), state(gradient))


def test_a_single_pixel_that_moves_is_enough():
    picture = START.copy()
    picture[2, 3, 1] += 0.01
    assert standstill(START, picture, state(1.0)) is None
    assert "as it was" not in (standstill(START, picture * np.nan, state(1.0)) or "")
