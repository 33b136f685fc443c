"""Image parameterizations: the variables that are optimised in place of pixels, and the picture rendered from them.

Mordvintsev, Pezzotti, Schubert & Olah, "Differentiable Image Parameterizations", Distill 2018: the result of an
optimisation depends on the variables in which a picture is written. Each parameterization is a single array of real
numbers, so that solvers need not know it.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nst_jax.rendering import laplacian
from nst_jax.surroundings import jax_defaults, per_channel
from nst_jax.vocabulary import Parameterization

Shape = tuple[int, int]
"""Height and width of a picture."""

_EVERYWHERE = (-math.inf, math.inf)

_DARKEST = 1 / 255
"""The darkest value rendered from a spectrum, and 1 less the brightest: beyond, the logistic function is flat."""

_AMPLITUDE = 0.25
"""Amplitude, in logits, of a wave of one cycle per pixel for a coefficient of 1; see `_amplitudes`."""

_CORRELATION_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""Square root of the correlation of red, green and blue (rows) in the images of ImageNet, as published with Olah,
Mordvintsev & Schubert, "Feature Visualization", Distill 2017."""

_COLOURS = (_CORRELATION_ROOT / np.linalg.norm(_CORRELATION_ROOT, axis=0).max()).T
"""Decorrelated directions of colour, one per row: light, blue to red, green to purple."""

NOISE_DEVIATION = 0.1
"""Standard deviation of white noise, in units of the pixels. Gatys et al. do not give theirs; neural-style has 0.001 of
255 around a mean colour, Ng's course a uniform ±20 of 255. The pictures differ little."""

_COEFFICIENTS_DEVIATION = 0.01
"""Standard deviation of the coefficients of noise."""

_HIDDEN = (32,) * 6
"""Units of the hidden layers of the coordinate network."""

_FINEST = 6.0
"""Gain of the first layer: sign changes over half the picture, the finest detail at the start."""

_GAIN = 1.6
"""Gain of the other layers, because tanh shrinks its input."""

_ROWS = 64
"""Rows of pixels that the perceptron renders at once."""

_FIT_STEPS = 300
_FIT_RATE = 5e-3
_FIT_POINTS = 128**2


@dataclasses.dataclass(frozen=True)
class Parameterizer:
    """A parameterization of pictures.

    Attributes:
        noise: (key, height and width) → a random picture `[H, W, 3]` to start from.
        encode: (picture `[H, W, 3]`, RGB in [0, 1], key) → variables that render to it as nearly as possible.
        render: (variables, height and width) → the picture `[H, W, 3]`, RGB in [0, 1].
        bounds: the least and greatest value of a variable.
    """

    noise: Callable[[jax.Array, Shape], jax.Array]
    encode: Callable[[jax.Array, jax.Array], jax.Array]
    render: Callable[[jax.Array, Shape], jax.Array]
    bounds: tuple[float, float] = _EVERYWHERE


def _logistic_spectrum(variables: jax.Array, shape: Shape) -> jax.Array:
    """Returns the picture whose logit has these coefficients `[H, W, 3]`, by frequency, in decorrelated colours.

    The transform is Hartley's, a real Fourier transform with cos + sin, which is its own inverse.
    """
    waves = _hartley(variables * _amplitudes(shape))
    return jax.nn.sigmoid(jnp.matmul(waves, _COLOURS, precision=jax.lax.Precision.HIGHEST))


def _spectrum(image: jax.Array, _: jax.Array) -> jax.Array:
    logit = jax.scipy.special.logit(jnp.clip(image, _DARKEST, 1 - _DARKEST))
    waves = jnp.matmul(logit, np.linalg.inv(_COLOURS), precision=jax.lax.Precision.HIGHEST)
    return _hartley(waves) / _amplitudes(image.shape[:2])


def _hartley(waves: jax.Array) -> jax.Array:
    height, width, _ = waves.shape
    found = jnp.fft.fft2(waves, axes=(0, 1))
    return (found.real - found.imag) / math.sqrt(height * width)


@functools.cache
def _amplitudes(shape: Shape) -> np.ndarray:
    """Returns the amplitude of each coefficient of 1, `[H, W, 1]`, which falls with the frequency.

    Amplitudes in natural images fall alike (Field 1987); Adam, which changes all variables at the same rate, then
    changes coarse forms first.
    """
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    return (_AMPLITUDE / np.maximum(frequency, 1 / max(shape))).astype(np.float32)[..., None]


def _coefficient_noise(key: jax.Array, shape: Shape) -> jax.Array:
    return _logistic_spectrum(_COEFFICIENTS_DEVIATION * jax.random.normal(key, (*shape, 3), jnp.float32), shape)


def _pixel_noise(key: jax.Array, shape: Shape) -> jax.Array:
    """Returns Gaussian noise around grey; see `NOISE_DEVIATION` for that of the literature."""
    return 0.5 + NOISE_DEVIATION * jax.random.normal(key, (*shape, 3), jnp.float32)


def _levels(image: jax.Array, _: jax.Array) -> jax.Array:
    return laplacian.decompose(image)


def _sum_of_levels(variables: jax.Array, shape: Shape) -> jax.Array:
    return laplacian.bounded(laplacian.compose(variables, shape))


def _paint(variables: jax.Array, shape: Shape) -> jax.Array:
    """Returns the picture of a perceptron that maps the position of a pixel to its colour."""
    row = jax.checkpoint(functools.partial(_perceptron, variables))
    return jax.lax.map(row, _positions(shape), batch_size=_ROWS)  # all at once, a large picture would take gigabytes


def _positions(shape: Shape) -> np.ndarray:
    """Returns (x, y) of the centre of every pixel, `[H, W, 2]`, from −1 to 1 along the longer side."""
    across, down = ((2 * np.arange(length) + 1 - length) / max(shape) for length in shape[::-1])
    return np.stack(np.meshgrid(across, down), axis=-1).astype(np.float32)


def _perceptron(variables: jax.Array, values: jax.Array | np.ndarray) -> jax.Array:
    *hidden, last = _layers(variables)
    for matrix, bias in hidden:
        values = jnp.tanh(_affine(values, matrix, bias))
    return jax.nn.sigmoid(_affine(values, *last))


def _affine(values: jax.Array | np.ndarray, matrix: jax.Array, bias: jax.Array) -> jax.Array:
    return jnp.matmul(values, matrix, precision=jax.lax.Precision.HIGHEST) + per_channel(bias, values.ndim)


def _layers(variables: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """Returns the matrix and the bias of every layer."""
    layers, first = [], 0
    for inputs, outputs in itertools.pairwise(_WIDTHS):
        middle, last = first + inputs * outputs, first + (inputs + 1) * outputs
        layers.append((variables[first:middle].reshape(inputs, outputs), variables[middle:last]))
        first = last
    return layers


_WIDTHS = (2, *_HIDDEN, 3)


def _fit(image: jax.Array, key: jax.Array) -> jax.Array:
    """Returns the variables of a perceptron fitted to a picture, by Adam on the squared error."""
    height, width, _ = image.shape
    stride = max(1, math.ceil(math.sqrt(height * width / _FIT_POINTS)))
    positions, colours = (values[::stride, ::stride] for values in (_positions((height, width)), image))
    solver = optax.adam(optax.cosine_decay_schedule(_FIT_RATE, _FIT_STEPS))

    def step(_: int, carry: tuple[jax.Array, optax.OptState]) -> tuple[jax.Array, optax.OptState]:
        variables, memory = carry
        gradient = jax.grad(lambda weights: jnp.mean(jnp.square(_perceptron(weights, positions) - colours)))(variables)
        with jax_defaults(variables):
            updates, memory = solver.update(gradient, memory)
            return optax.apply_updates(variables, updates), memory

    start = _untrained(key)
    with jax_defaults(start):
        memory = solver.init(start)
    variables, _ = jax.lax.fori_loop(0, _FIT_STEPS, step, (start, memory))
    return variables


def _untrained(key: jax.Array) -> jax.Array:
    """Returns the random variables of an untrained perceptron."""
    parts = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(_WIDTHS)):
        matrix, bias = (
            jax.random.normal(jax.random.fold_in(key, 2 * index + part), (size,), jnp.float32)
            for part, size in enumerate((inputs * outputs, outputs))
        )
        gain = _FINEST if index == 0 else _GAIN
        parts += [gain / math.sqrt(inputs) * matrix, (gain / 2 if index == 0 else 0.1) * bias]
    return jnp.concatenate(parts)


def _random_picture(key: jax.Array, shape: Shape) -> jax.Array:
    return _paint(_untrained(key), shape)


PARAMETERIZATIONS: dict[Parameterization, Parameterizer] = {
    "pixels": Parameterizer(_pixel_noise, lambda image, _: image, lambda variables, _: variables, bounds=(0.0, 1.0)),
    "fourier": Parameterizer(_coefficient_noise, _spectrum, _logistic_spectrum),
    "laplacian": Parameterizer(_pixel_noise, _levels, _sum_of_levels),
    "coordinates": Parameterizer(_random_picture, _fit, _paint),
}
