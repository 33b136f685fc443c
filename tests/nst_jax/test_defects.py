"""Defects in numbers: each found where it was put, and near 1 where there is none."""

import numpy as np
import pytest
import skimage.data

from nst_jax import defects

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def photograph():
    return skimage.data.astronaut()[:, :500] / 255


def test_a_photograph_has_no_grain(photograph):
    assert {key: value for key, value in defects.grain(photograph).items() if not 0.75 < value < 1.25} == {}


@pytest.mark.parametrize("period", defects.PERIODS)
@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_a_grid_stands_out_in_its_direction_and_period_alone(photograph, direction, period):
    height, width, _ = photograph.shape
    place = np.arange(width)[None, :, None] if direction == "horizontal" else np.arange(height)[:, None, None]
    before, after = defects.grain(photograph), defects.grain(photograph + 0.02 * np.cos(2 * np.pi * place / period))
    assert after[direction, period] > 3
    assert {key for key in after if abs(after[key] - before[key]) > 0.05} == {(direction, period)}


def test_a_frame_is_found(photograph):
    assert defects.border_frame(photograph, photograph) == 1
    framed = photograph * 0.5
    framed[8:-8, 8:-8] = photograph[8:-8, 8:-8]
    assert defects.border_frame(framed, photograph) > 1.2


def test_blotches_are_found(photograph):
    assert defects.blotches(photograph, photograph) == 1
    width = photograph.shape[1]
    waves = np.cos(2 * np.pi * 8 * np.arange(width) / width)[None, :, None]
    assert defects.blotches(photograph + 0.2 * waves, photograph) > 1.5
    fine = np.random.default_rng(0).normal(scale=0.2, size=photograph.shape)
    assert defects.blotches(photograph + fine, photograph) == pytest.approx(1, abs=0.02)


def test_a_plain_picture_has_numbers_too():
    plain = np.full((64, 80, 3), 0.5)
    assert np.isfinite([*defects.grain(plain).values(), defects.border_frame(plain, plain)]).all()
    assert defects.blotches(plain, plain) == 1
