"""Image quilting: quilts whose blocks are known beforehand."""

import itertools
import math

import numpy as np
import pytest

from nst_jax.applications import quilting
from nst_jax.applications.quilting import match_distribution, schedule, synthesize, transfer
from nst_jax.errors import UserError

pytestmark = pytest.mark.quick


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", [(40, 40), (53, 37), (12, 30)])
def test_a_periodic_texture_goes_on_with_its_period(shape):
    down, right = 5, 7
    texture = np.tile(noise(down, right, 3), (5, 4, 1))
    made = synthesize(texture, shape, patch=12, overlap=3, uniformity=0.0, rng=rng())
    assert made.shape == (*shape, 3)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[down:], made[:-down])
    np.testing.assert_array_equal(made[:, right:], made[:, :-right])
    assert any(
        np.array_equal(made[:down, :right], texture[y : y + down, x : x + right]) for y, x in np.ndindex(down, right)
    )


def is_in(texture, piece):
    windows = np.lib.stride_tricks.sliding_window_view(texture, piece.shape)
    return (windows == piece).all(axis=(-3, -2, -1)).any()


@pytest.mark.parametrize("kind", ["synthesis", "transfer"])
def test_what_no_cut_goes_through_is_a_part_of_the_texture(kind):
    texture, patch, overlap = noise(40, 50, 3), 11, 3
    if kind == "synthesis":
        made = synthesize(texture, (45, 60), patch=patch, overlap=overlap, rng=rng())
    else:
        made = transfer(texture, noise(45, 60, 3, seed=1), patch=patch, overlap=overlap, iterations=1, rng=rng())
    for y, x in itertools.product(range(0, 45 - patch, patch - overlap), range(0, 60 - patch, patch - overlap)):
        assert is_in(texture, made[y + overlap : y + patch - overlap, x + overlap : x + patch - overlap])
    assert np.isin(made.reshape(-1, 3)[:, 0], texture[..., 0]).all()  # where two blocks meet nothing is blended either


def test_seams_are_cheaper_than_those_of_blocks_drawn_at_random():
    # A random walk has no hard edges of its own, so that the largest jumps are the seams.
    walk = np.cumsum(noise(80, 80, 3) - 0.5, axis=0).cumsum(axis=1)
    texture = ((walk - walk.min()) / np.ptp(walk)).astype(np.float32)
    jumps = {
        tolerance: np.abs(
            np.diff(synthesize(texture, (120, 120), patch=18, tolerance=tolerance, uniformity=0.0, rng=rng()), axis=1)
        ).max()
        for tolerance in (0.1, 1e6)
    }
    assert jumps[0.1] < jumps[1e6] / 2


def test_a_picture_is_its_own_best_texture():
    picture = noise(44, 58, 3)
    passes = schedule(patch=16, overlap=2, alpha=(0.0, 0.0), iterations=1)
    assert passes[0].canvas(picture.shape[:2]) == (44, 58)
    exactly = {"tolerance": 0.0, "uniformity": 0.0}
    made = transfer(picture, picture, patch=16, overlap=2, alpha=(0.0, 0.0), iterations=1, **exactly, rng=rng())
    np.testing.assert_array_equal(made, picture)


def test_all_of_a_texture_is_used_and_not_only_what_fits_with_itself():
    texture = noise(60, 60, 3)
    texture[:, :30] = 0
    shares = {
        uniformity: (synthesize(texture, (120, 120), patch=12, uniformity=uniformity, rng=rng()) == 0).mean()
        for uniformity in (0.0, 3.0)
    }
    assert abs(shares[0.0] - 0.5) > 0.4  # in the half that the first block is from
    assert abs(shares[3.0] - 0.5) < 0.1


def test_a_transfer_is_as_bright_as_the_content_image_and_in_the_colours_of_the_style_image():
    y, x = np.mgrid[:60, :80].astype(np.float32)
    hill = np.exp(-((y - 30) ** 2 + (x - 40) ** 2) / 500)
    content = np.stack([hill, hill, hill], axis=-1)
    texture = np.linspace(0, 1, 64, dtype=np.float32)[:, None, None] * np.float32([0.9, 0.5, 0.1]) * np.ones((1, 50, 1))
    made = transfer(texture.astype(np.float32), content, patch=9, iterations=3, rng=rng())
    assert np.corrcoef(made[..., 0].ravel(), hill.ravel())[0, 1] > 0.8
    np.testing.assert_allclose(made[..., 2], made[..., 0] / 9, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "paint",
    [
        lambda seed: synthesize(noise(30, 30, 3), (50, 40), patch=9, rng=rng(seed)),
        lambda seed: transfer(noise(30, 30, 3), noise(50, 40, 3, seed=1), patch=9, iterations=2, rng=rng(seed)),
    ],
    ids=["synthesis", "transfer"],
)
def test_the_seed_decides(paint):
    np.testing.assert_array_equal(paint(3), paint(3))
    assert not np.array_equal(paint(3), paint(4))


@pytest.mark.parametrize("iterations", [2, 3, 5])
def test_the_schedule_is_that_of_the_paper(iterations):
    passes = schedule(patch=36, overlap=None, alpha=quilting.ALPHA, iterations=iterations)
    alphas = [0.8 * (i - 1) / (iterations - 1) + 0.1 for i in range(1, iterations + 1)]
    assert [single.alpha for single in passes] == pytest.approx(alphas)
    assert [single.patch for single in passes] == [36, 24, 16, 11, 7][:iterations]
    assert [single.overlap for single in passes] == [12, 8, 5, 4, 2][:iterations]


@pytest.mark.parametrize(("patch", "sides"), [(3, [3]), (4, [4, 3]), (5, [5, 3]), (6, [6, 4, 3]), (36, [36, 24, 16])])
def test_by_default_there_are_three_passes_or_as_many_as_blocks_have_room_for(patch, sides):
    passes = schedule(patch=patch, overlap=None, alpha=quilting.ALPHA, iterations=None)
    assert [single.patch for single in passes] == sides
    assert passes[0].alpha == quilting.ALPHA[0]
    texture, content = noise(40, 40, 3), noise(42, 38, 3, seed=1)
    by_default, given = (
        transfer(texture, content, patch=patch, rng=rng(), **options) for options in ({}, {"iterations": len(sides)})
    )
    np.testing.assert_array_equal(by_default, given)


def test_every_row_of_blocks_is_reported():
    texture, content, laid = noise(30, 30, 3), noise(41, 50, 3, seed=1), []
    transfer(texture, content, patch=12, overlap=2, iterations=2, rng=rng(), laid=laid.append)
    # 12 and 8 px, every 10 and 7: 4 × 5, then 6 × 7 blocks.
    assert laid == [5] * 4 + [7] * 6
    passes = schedule(patch=12, overlap=2, alpha=quilting.ALPHA, iterations=2)
    assert sum(laid) == sum(math.prod(single.blocks((41, 50))) for single in passes)


def test_the_distribution_becomes_that_of_the_reference():
    values, reference = noise(12, 10), noise(15, 8, seed=1) ** 3
    matched = match_distribution(values, reference)
    np.testing.assert_allclose(np.sort(matched, axis=None), np.sort(reference, axis=None), rtol=1e-6)
    np.testing.assert_array_equal(np.argsort(matched, axis=None), np.argsort(values, axis=None))
    steps = np.float32([[0, 0, 1], [1, 1, 0]])
    assert len(np.unique(match_distribution(steps, reference))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 31}, "patch: expected 3 to 30, found 31"),
        ({"patch": 2}, "patch: expected 3 or more, found 2"),
        ({"overlap": 12}, "overlap: expected 1 to 11, found 12"),
        ({"overlap": 0}, "overlap: expected 1 to 11, found 0"),
        ({"iterations": 0}, "iterations: expected 1 to 4, found 0"),
        (
            {"iterations": 5},
            "iterations: expected 1 to 4, found 5; more than 4 need blocks .patch. of more than 12 pixels",
        ),
        ({"alpha": (0.1, 1.5)}, "alpha: expected 0 to 1, found 1.5"),
        ({"tolerance": -0.1}, "tolerance: expected 0 or more, found -0.1"),
        ({"tolerance": math.nan}, "tolerance: expected 0 or more, found nan"),
        ({"uniformity": -1.0}, "uniformity: expected 0 or more, found -1.0"),
        ({"blur": -1.0}, "blur: expected 0 or more, found -1.0"),
    ],
    ids=str,
)
def test_what_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        transfer(noise(30, 40, 3), noise(50, 60, 3), **{"patch": 12, "rng": rng(), **changes})


def test_a_block_larger_than_a_picture_is_refused():
    with pytest.raises(UserError, match="patch: expected 3 to 20, found 24"):
        synthesize(noise(30, 30, 3), (20, 90), patch=24, rng=rng())
