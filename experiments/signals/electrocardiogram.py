"""A signal with a known beat: an electrocardiogram as a model of the heart draws it."""

import numpy as np

# McSharry, Clifford, Tarassenko & Smith, "A dynamical model for generating synthetic electrocardiogram signals", IEEE
# Transactions on Biomedical Engineering 50(3), 2003, table I: the waves P, Q, R, S and T.
_ANGLES = np.array([-1 / 3, -1 / 12, 0, 1 / 12, 1 / 2]) * np.pi
_HEIGHTS = np.array([1.2, -5.0, 30.0, -7.5, 0.75])
_WIDTHS = np.array([0.25, 0.1, 0.1, 0.1, 0.4])


def electrocardiogram(
    rng: np.random.Generator,
    *,
    rate: float,
    seconds: float,
    beats_per_minute: float,
    irregularity: float = 0.03,
    noise: float = 0.005,
) -> np.ndarray:
    """Returns an electrocardiogram of `rate` samples a second, `[T]`, in units of about the height of an R wave.

    The model's differential equation in closed form, for a point that goes round once a beat: each wave is a Gaussian
    of the phase.

    Args:
        rng: of the lengths of the beats and the noise.
        rate: samples a second.
        seconds: of the signal.
        beats_per_minute: on average.
        irregularity: standard deviation of the length of a beat, as a share of it.
        noise: standard deviation of what the electrodes add.
    """
    time = np.arange(round(seconds * rate)) / rate
    count = int(2 * seconds * beats_per_minute / 60) + 2
    lengths = 60 / beats_per_minute * np.clip(1 + irregularity * rng.standard_normal(count), 0.5, 1.5)
    phase = 2 * np.pi * np.interp(time, np.concatenate([[0], np.cumsum(lengths)]), np.arange(count + 1)) - np.pi
    away = (phase[:, None] - _ANGLES + np.pi) % (2 * np.pi) - np.pi
    waves = _HEIGHTS * _WIDTHS**2 * np.exp(-((away / _WIDTHS) ** 2) / 2)
    return waves.sum(axis=1) / (_HEIGHTS * _WIDTHS**2).max() + noise * rng.standard_normal(len(time))
