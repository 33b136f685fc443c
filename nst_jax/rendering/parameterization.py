"""What is optimised in place of the pixels, and how a picture is rendered from it.

Mordvintsev, Pezzotti, Schubert & Olah, "Differentiable Image Parameterizations", Distill 2018: the same picture can be
written in other variables, and where an optimiser arrives depends on them. Every one of them is a single array of real
numbers, so that the optimisers need not know.
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

from nst_jax.settings import Parameterization

Shape = tuple[int, int]
"""Height and width of a picture."""

_EVERYWHERE = (-math.inf, math.inf)

_DARKEST = 1 / 255
"""Of what can be rendered from a spectrum, as white is the brightest: beyond these the logistic function is flat."""

_AMPLITUDE = 0.25
"""Of the logit's wave of a whole cycle a pixel, for a unit of its coefficient; see `_amplitudes`."""

_CORRELATION_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""Square root of the correlation of red, green and blue (rows) in the photographs of ImageNet; as published with
Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017."""

_COLOURS = (_CORRELATION_ROOT / np.linalg.norm(_CORRELATION_ROOT, axis=0).max()).T
"""Directions of colour that are not correlated there, one a row: light, blue to red, green to purple."""

NOISE_DEVIATION = 0.1
"""Of white noise, in units of the pixels. Gatys et al. do not tell theirs; neural-style has 0.001 of 255 around a mean
colour, Ng's course evenly spread ±20 of 255. What is left in the picture after the run differs little."""

_COEFFICIENTS_DEVIATION = 0.01

_HIDDEN = (32,) * 6
"""Units of the hidden layers of the coordinate network."""

_FINEST = 6.0
"""Of the first layer's weights, how often it can change sign over half the picture: the finest detail at the start."""

_GAIN = 1.6
"""Of the other layers: tanh shrinks what it is given."""

_ROWS = 64
"""Of pixels that the perceptron paints at once."""

_FIT_STEPS = 300
_FIT_RATE = 5e-3
_FIT_POINTS = 128**2


@dataclasses.dataclass(frozen=True)
class Parameterizer:
    """One way to write a picture.

    Attributes:
        noise: a key, the picture's height and width to a random picture `[H, W, 3]`, as good to start from as any.
        encode: a picture `[H, W, 3]`, RGB in [0, 1], and a key to variables that render to it, as nearly as they can.
        render: the variables and the picture's height and width to the picture `[H, W, 3]`, RGB in [0, 1].
        bounds: within which the variables stay.
    """

    noise: Callable[[jax.Array, Shape], jax.Array]
    encode: Callable[[jax.Array, jax.Array], jax.Array]
    render: Callable[[jax.Array, Shape], jax.Array]
    bounds: tuple[float, float] = _EVERYWHERE


def _logistic_spectrum(variables: jax.Array, shape: Shape) -> jax.Array:
    """Returns the picture of coefficients `[H, W, 3]`: of its logit, by frequency, in colours that are not correlated.

    The transform is Hartley's, which is Fourier's for real numbers: cos + sin. It is its own inverse.
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
    """Returns how much a unit of each coefficient is worth, `[H, W, 1]`: less, the higher its frequency.

    As amplitudes in photographs fall (Field 1987); Adam, which changes all variables as fast, changes coarse forms
    first so.
    """
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    return (_AMPLITUDE / np.maximum(frequency, 1 / max(shape))).astype(np.float32)[..., None]


def _coefficient_noise(key: jax.Array, shape: Shape) -> jax.Array:
    return _logistic_spectrum(_COEFFICIENTS_DEVIATION * jax.random.normal(key, (*shape, 3)), shape)


def _pixel_noise(key: jax.Array, shape: Shape) -> jax.Array:
    """Returns Gaussian noise around grey; see `NOISE_DEVIATION` for that of the literature."""
    return 0.5 + NOISE_DEVIATION * jax.random.normal(key, (*shape, 3))


def _paint(variables: jax.Array, shape: Shape) -> jax.Array:
    """Returns the picture that a perceptron paints, from a pixel's position to its colour."""
    row = jax.checkpoint(functools.partial(_perceptron, variables))
    return jax.lax.map(row, _positions(shape), batch_size=_ROWS)  # or a large picture would take gigabytes


def _positions(shape: Shape) -> jax.Array:
    """Returns (x, y) of every pixel's centre, `[H, W, 2]`, from −1 to 1 along the longer side."""
    across, down = ((2 * np.arange(length) + 1 - length) / max(shape) for length in shape[::-1])
    return jnp.float32(np.stack(np.meshgrid(across, down), axis=-1))


def _perceptron(variables: jax.Array, values: jax.Array) -> jax.Array:
    *hidden, last = _layers(variables)
    for matrix, bias in hidden:
        values = jnp.tanh(jnp.matmul(values, matrix, precision=jax.lax.Precision.HIGHEST) + bias)
    matrix, bias = last
    return jax.nn.sigmoid(jnp.matmul(values, matrix, precision=jax.lax.Precision.HIGHEST) + bias)


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
    """Returns the variables of a perceptron after it has learnt to paint a picture, by Adam on the squared error."""
    height, width, _ = image.shape
    stride = max(1, math.ceil(math.sqrt(height * width / _FIT_POINTS)))
    positions, colours = (values[::stride, ::stride] for values in (_positions((height, width)), image))
    solver = optax.adam(optax.cosine_decay_schedule(_FIT_RATE, _FIT_STEPS))

    def step(_: int, carry: tuple[jax.Array, optax.OptState]) -> tuple[jax.Array, optax.OptState]:
        variables, memory = carry
        gradient = jax.grad(lambda weights: jnp.mean(jnp.square(_perceptron(weights, positions) - colours)))(variables)
        updates, memory = solver.update(gradient, memory)
        return optax.apply_updates(variables, updates), memory

    start = _unlearnt(key)
    variables, _ = jax.lax.fori_loop(0, _FIT_STEPS, step, (start, solver.init(start)))
    return variables


def _unlearnt(key: jax.Array) -> jax.Array:
    """Returns the variables of a perceptron that has learnt nothing: a random painting."""
    parts = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(_WIDTHS)):
        matrix, bias = (
            jax.random.normal(jax.random.fold_in(key, 2 * index + part), (size,))
            for part, size in enumerate((inputs * outputs, outputs))
        )
        gain = _FINEST if index == 0 else _GAIN
        parts += [gain / math.sqrt(inputs) * matrix, (gain / 2 if index == 0 else 0.1) * bias]
    return jnp.concatenate(parts)


def _random_painting(key: jax.Array, shape: Shape) -> jax.Array:
    return _paint(_unlearnt(key), shape)


PARAMETERIZATIONS: dict[Parameterization, Parameterizer] = {
    "pixels": Parameterizer(_pixel_noise, lambda image, _: image, lambda variables, _: variables, bounds=(0.0, 1.0)),
    "fourier": Parameterizer(_coefficient_noise, _spectrum, _logistic_spectrum),
    "coordinates": Parameterizer(_random_painting, _fit, _paint),
}
