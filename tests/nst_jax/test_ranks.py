"""Signals and volumes: the formulas that images have, written again, and textures made of each."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from scipy import signal as processing

from nst_jax import losses
from nst_jax.applications import random_features
from nst_jax.errors import UserError
from nst_jax.ops.conv import convolve
from nst_jax.statistics import gram

pytestmark = pytest.mark.quick

SHAPES = {1: (23,), 2: (9, 11), 3: (5, 6, 7)}
INIT = jax.jit(random_features.init, static_argnames=("rank", "channels", "filters", "size", "scales"))
RANKS = pytest.mark.parametrize("rank", SHAPES)


def random(seed=0):
    return np.random.default_rng(seed)


def maps(rank, channels=3):
    return random().normal(size=(2, *SHAPES[rank], channels))


def outer(features):
    """The sum over positions of the products of channels."""
    axes = "xyz"[: features.ndim - 1]
    return np.einsum(f"{axes}c,{axes}d->cd", features, features)


def synthesise(original, *, size, scales, filters, steps):
    """A texture like the original, from noise, with its loss before and after."""
    for_filters, for_noise = jax.random.split(jax.random.key(0))
    rank, channels = original.ndim - 1, original.shape[-1]
    params = INIT(for_filters, rank=rank, channels=channels, filters=filters, size=size, scales=scales)

    @jax.jit
    def go(params, original, noise):
        texture = random_features.describe(params, original)
        problem = random_features.TextureSynthesis(params, texture, original.shape)
        start, _ = problem.step(problem.init(noise))
        end, _ = jax.lax.scan(lambda state, _: problem.step(state), start, length=steps)
        return start.evaluation, end.evaluation

    start, end = go(params, jnp.float32(original), jax.random.uniform(for_noise, original.shape))
    return np.asarray(end.variables), float(start.loss), float(end.loss)


@RANKS
def test_gram(rank):
    features = maps(rank)[0]
    expected = outer(features) / np.prod(SHAPES[rank])
    np.testing.assert_allclose(jax.jit(gram)(jnp.float32(features)), expected, rtol=1e-5, atol=1e-6)


@RANKS
def test_the_derivative_of_gram(rank):
    features, cotangent = maps(rank)[0], random().normal(size=(3, 3))
    _, pull = jax.vjp(gram, jnp.float32(features))
    expected = np.einsum("...c,cd->...d", features, cotangent + cotangent.T) / np.prod(SHAPES[rank])
    np.testing.assert_allclose(pull(jnp.float32(cotangent))[0], expected, rtol=1e-4, atol=1e-6)


@RANKS
def test_content_and_style(rank):
    features, target = maps(rank)
    count = target.size
    expected = {
        "half_squared_error": ((features - target) ** 2).sum() / 2,
        "mean_squared_error": ((features - target) ** 2).sum() / count,
        "quarter_mean_squared_error": ((features - target) ** 2).sum() / (4 * count),
        "relative_squared_error": ((features - target) ** 2).sum() / (target**2).sum(),
    }
    for name, value in expected.items():
        found = losses.CONTENT_LOSSES[name].error(jnp.float32(features), jnp.float32(target))
        np.testing.assert_allclose(found, value, rtol=1e-5)
    found, wanted = (outer(values) / np.prod(SHAPES[rank]) for values in (features, target))
    expected = {
        "gram_error": ((found - wanted) ** 2).sum() / (4 * 3**2),
        "scaled_gram_error": (((found - wanted) / 3) ** 2).mean(),
        "relative_squared_error": ((found - wanted) ** 2).sum() / (wanted**2).sum(),
    }
    for name, value in expected.items():
        term = losses.STYLE_LOSSES[name]
        loss = term.error(term.statistic(jnp.float32(features)), term.statistic(jnp.float32(target)))
        np.testing.assert_allclose(loss, value, rtol=1e-4)


@RANKS
def test_squared_variation(rank):
    values = maps(rank)[0]
    expected = 0.0
    for place in itertools.product(*map(range, SHAPES[rank])):
        for axis in range(rank):
            neighbour = tuple(index + (axis == at) for at, index in enumerate(place))
            if neighbour[axis] < SHAPES[rank][axis]:
                expected += ((values[neighbour] - values[place]) ** 2).sum()
    found = jax.jit(losses.squared_variation)(jnp.float32(values))
    np.testing.assert_allclose(found, expected / np.prod(SHAPES[rank]), rtol=1e-5)


@pytest.mark.parametrize("rank", [1, 3])
def test_variation_of_neural_style_is_one_of_images(rank):
    with pytest.raises(ValueError, match="expected an image"):
        losses.neural_style_variation(jnp.float32(maps(rank)[0]))


@RANKS
def test_convolution_and_its_derivative(rank):
    image, kernel = jnp.float32(maps(rank, 2)[:1]), random().normal(size=(*(3,) * rank, 2, 4))
    found, pull = jax.vjp(lambda x: convolve(x, jnp.float32(kernel)), image)
    for out in range(4):
        planes = (processing.correlate(image[0, ..., c], kernel[..., c, out], "valid") for c in range(2))
        np.testing.assert_allclose(found[0, ..., out], sum(planes), rtol=1e-4, atol=1e-5)
    cotangent = random().normal(size=found.shape)
    for c in range(2):
        planes = (processing.convolve(cotangent[0, ..., k], kernel[..., c, k], "full") for k in range(4))
        np.testing.assert_allclose(pull(jnp.float32(cotangent))[0][0, ..., c], sum(planes), rtol=1e-4, atol=1e-5)


@RANKS
def test_features_are_those_of_a_pyramid(rank):
    params = INIT(jax.random.key(1), rank=rank, channels=2, filters=5, size=2, scales=2)
    signal = random().normal(size=(*SHAPES[rank], 2))
    found = jax.jit(random_features.features)(params, jnp.float32(signal))
    assert list(found) == ["scale1", "scale2"]
    # An average of windows of 2 at every other position.
    smooth = ndimage.uniform_filter(signal, size=(*(2,) * rank, 1), origin=(*(-1,) * rank, 0))
    halved = smooth[tuple(slice(0, 2 * (length // 2), 2) for length in SHAPES[rank])]
    for values, layer, level in zip(found.values(), params, (signal, halved), strict=True):
        kernel, bias = map(np.asarray, layer)
        for out in range(5):
            planes = (processing.correlate(level[..., c], kernel[..., c, out], "valid") for c in range(2))
            np.testing.assert_allclose(values[..., out], np.maximum(sum(planes) + bias[out], 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 3])
def test_features_of_a_periodic_signal_move_with_it(rank):
    params = INIT(jax.random.key(1), rank=rank, channels=1, filters=4, size=3, scales=2)
    signal = jnp.float32(random().normal(size=(*(8,) * rank, 1)))
    features = jax.jit(functools.partial(random_features.features, params, periodic=True))
    still, moved = features(signal), features(jnp.roll(signal, (2,) * rank, range(rank)))
    for name, shift in (("scale1", 2), ("scale2", 1)):
        assert still[name].shape == (*(4 * shift,) * rank, 4)
        expected = jnp.roll(still[name], (shift,) * rank, range(rank))
        np.testing.assert_allclose(moved[name], expected, rtol=1e-5, atol=1e-6)
    inner = jax.jit(random_features.features)(params, signal)["scale1"]
    np.testing.assert_allclose(inner, still["scale1"][(slice(6),) * rank], rtol=1e-5, atol=1e-6)


def test_a_texture_has_no_unit_and_no_size():
    params = INIT(jax.random.key(1), rank=2, channels=2, filters=4, size=2, scales=2)
    signal = random(2).normal(size=(8, 8, 2))
    tiles = np.tile(signal, (12, 12, 1))
    texture = jax.jit(random_features.describe)(params, jnp.float32(0.1 * tiles + 3))
    # What is left is the border, which filters do not cross in the original.
    total, terms = jax.jit(random_features.loss)(params, texture, jnp.float32(0.1 * signal + 3))
    assert total < 1e-3
    np.testing.assert_allclose(total, sum(terms.values()) / 2, rtol=1e-6)
    for other in (0.1 * signal + 3.1, 0.15 * signal + 3):
        assert jax.jit(random_features.loss)(params, texture, jnp.float32(other))[0] > 10 * total


def test_a_signal_that_never_varies_has_a_texture():
    params = INIT(jax.random.key(1), rank=1, channels=1, filters=4, size=2, scales=2)
    still = jnp.full((8, 1), 0.5)
    loss = jax.jit(lambda still: random_features.loss(params, random_features.describe(params, still), still)[0])
    assert loss(still) < 1e-10


def test_filters_are_drawn_as_he_does():
    params = INIT(jax.random.key(0), rank=2, channels=3, filters=400, size=5, scales=3)
    kernels = [layer.kernel for layer in params]
    assert [kernel.shape for kernel in kernels] == [(5, 5, 3, 400)] * 3
    for kernel in kernels:
        np.testing.assert_allclose(kernel.std(), np.sqrt(2 / 75), rtol=0.02)
    assert abs(np.corrcoef(kernels[0].ravel(), kernels[1].ravel())[0, 1]) < 0.02


def test_many_scales():
    init = functools.partial(random_features.init, rank=1, channels=1, filters=2, size=1, scales=11)
    params = jax.eval_shape(init, jax.random.key(0))
    found = jax.eval_shape(random_features.features, params, jnp.zeros((1024, 1)))
    assert {name: values.shape[0] for name, values in found.items()} == {f"scale{1 + n}": 1024 >> n for n in range(11)}


@pytest.mark.parametrize("shape", [(39, 1), (64, 2), (64, 64, 1)])
def test_what_the_filters_cannot_see(shape):
    params = INIT(jax.random.key(0), rank=1, channels=1, filters=2, size=10, scales=3)
    with pytest.raises(UserError, match=r"expected the shape \[≥ 40, 1\], which these filters see, found"):
        random_features.features(params, jnp.zeros(shape))


def test_no_network_of_four_dimensions():
    with pytest.raises(UserError, match="rank: expected 1, 2 or 3"):
        random_features.init(jax.random.key(0), rank=4, channels=1, filters=2, size=3, scales=1)


def test_a_signal_is_synthesised():
    # Noise through two resonances over a floor of noise: a power spectrum with two peaks.
    noise, floor = random().standard_normal((2, 2048))
    bands = (0.05, 0.1), (0.5, 0.6)
    peaks = (processing.sosfilt(processing.butter(2, band, "bandpass", output="sos"), noise) for band in bands)
    signal = sum(peaks) + 0.03 * floor
    original = (signal - signal.min()) / np.ptp(signal)
    texture, first, last = synthesise(original[:, None], size=16, scales=3, filters=32, steps=150)
    assert last < 1e-3 * first
    wanted, found, white = (
        np.log(processing.welch(values, nperseg=128)[1][1:]) for values in (original, texture[:, 0], noise)
    )
    assert np.corrcoef(wanted, found)[0, 1] > 0.95
    assert abs(np.corrcoef(wanted, white)[0, 1]) < 0.5
    # And it is no copy of the original, however shifted.
    shifts = processing.correlate(texture[:, 0] - texture.mean(), original - original.mean())
    assert abs(shifts).max() < 0.5 * len(original) * texture.std() * original.std()


def test_a_volume_is_synthesised():
    # Sheets across the first axis: neighbours agree along two axes and not along the third.
    sheets = ndimage.gaussian_filter(random().standard_normal((16, 16, 16)), (0.7, 2.5, 2.5), mode="wrap")
    original = (sheets - sheets.min()) / np.ptp(sheets)
    texture, first, last = synthesise(original[..., None], size=3, scales=2, filters=16, steps=100)
    assert last < 1e-3 * first
    wanted, found = ([agreement(values, axis) for axis in range(3)] for values in (original, texture[..., 0]))
    np.testing.assert_allclose(found, wanted, atol=0.05)


def agreement(values, axis):
    """The correlation of neighbours along an axis."""
    moved = np.moveaxis(values, axis, 0)
    return np.corrcoef(moved[1:].ravel(), moved[:-1].ravel())[0, 1]
