"""A plot of the original and the synthesised signals, as waveforms and power spectra."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import signal as processing

from ..plotting.figures import plot

_SHOWN = 1200
"""Samples of a waveform that are plotted; more would be a band of ink."""
_WINDOW = 256
"""Samples per window of the power spectrum; larger windows would show noise."""


def power_spectrum(values: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns frequencies in Hz and the power density at them, of a signal `[T]`, by Welch's method."""
    return processing.welch(values, rate, nperseg=min(len(values), _WINDOW))


def write_plot(path: Path, signals: Mapping[str, np.ndarray], *, rate: float) -> None:
    """Draws signals `[T]` by name, the first one being the original, as a PNG, atomically.

    Raises:
        UserError: it cannot be written.
    """
    (original, first), *_ = signals.items()
    shown = min(len(first), _SHOWN)
    low, high = first.min(), first.max()
    margin = 0.08 * (high - low)
    with plot(path, width=14, height=0.6 + 1.7 * len(signals), dpi=110) as figure:
        grid = figure.subplots(len(signals), 2, sharex="col", sharey="col", width_ratios=(3, 1), squeeze=False)
        known, expected = power_spectrum(first, rate)
        for (waveform, spectrum), (name, values) in zip(grid, signals.items(), strict=True):
            color = "black" if name == original else "C0"
            waveform.plot(np.arange(shown) / rate, values[:shown], color=color, linewidth=0.9)
            waveform.set_title(name, loc="left", fontsize=10)
            frequencies, power = power_spectrum(values, rate)
            if name != original:
                spectrum.plot(known[1:], expected[1:], color="black", linewidth=0.7, alpha=0.6, label=original)
            spectrum.plot(frequencies[1:], power[1:], color=color, linewidth=0.9, label=name)
            spectrum.grid(visible=True, which="major", alpha=0.2)
        waveform.set(xlim=(0, shown / rate), ylim=(low - margin, high + margin), xlabel="seconds")
        spectrum.set(yscale="log", xlim=(0, rate / 2), xlabel="Hz")
        grid[0, 1].set_title("power spectrum", loc="left", fontsize=10)
