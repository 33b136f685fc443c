"""Signals from and to files: sounds as WAV, numbers as text with one per line."""

import dataclasses
import fractions
import warnings
from pathlib import Path

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import atomic_write, file_error

SOUND = ".wav"
TEXT = ".csv"
FASTEST = 768_000
"""Samples per second; more are not a sound but a broken header."""


@dataclasses.dataclass(frozen=True)
class Signal:
    """Samples at equal distances.

    Attributes:
        values: `[T]`, float64; of a sound in [-1, 1].
        rate: samples per second.
        suffix: suffix of the file that it is written to, `SOUND` or `TEXT`.
    """

    values: np.ndarray
    rate: float
    suffix: str


def read(path: Path, *, rate: float | None, longest: int) -> Signal:
    """Reads the beginning of a sound, its channels mixed, or of a text file with one number per line.

    Args:
        path: the file, a sound if it ends in .wav.
        rate: samples per second: a sound is resampled to it, text has it; None for a sound's own, and 1 for text.
        longest: maximal number of samples; the rest is left out.

    Raises:
        UserError: it cannot be read, has anything but numbers, or all are the same.
    """
    is_sound = path.suffix.lower() == SOUND
    try:
        signal = _read_sound(path, rate, longest) if is_sound else _read_text(path, rate or 1.0, longest)
    except OSError as error:
        raise file_error(path, f"cannot be read ({error.strerror or error}); give a .wav file or text") from error
    if not np.isfinite(signal.values).all():
        bad = int(np.argmin(np.isfinite(signal.values)))
        raise file_error(path, f"expected numbers, found {signal.values[bad]} as sample {bad + 1}; replace or cut it")
    if not np.isfinite(np.ptp(signal.values)):
        raise file_error(path, "expected numbers that can be compared, found some too large; scale them down")
    if not np.ptp(signal.values) > 0:
        raise file_error(path, f"expected a signal that varies, found {len(signal.values)} equal samples; give another")
    return signal


def write(path: Path, signal: Signal) -> None:
    """Writes a signal, atomically: a sound with 16 bits, fainter if it would not fit; text with six digits.

    Raises:
        UserError: it cannot be written.
    """
    if signal.suffix == SOUND:
        from scipy.io import wavfile  # half a second, for which --help should not wait

        scale = 32767 / max(1.0, np.abs(signal.values).max())
        with atomic_write(path) as file:
            wavfile.write(file, round(signal.rate), np.rint(signal.values * scale).astype(np.int16))
    else:
        with atomic_write(path, encoding="utf-8") as file:
            file.writelines(f"{value:.6g}\n" for value in signal.values)


def _read_sound(path: Path, rate: float | None, longest: int) -> Signal:
    from scipy import signal as processing
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings(action="ignore", category=wavfile.WavFileWarning):  # about unknown chunks
            own, samples = wavfile.read(path)
    except OSError:
        raise
    except Exception as error:  # a broken header can make SciPy's reader raise anything
        raise file_error(path, f"expected a WAV file, found: {one_line(error)}; convert it again") from error
    if not (0 < own <= FASTEST and samples.size):
        raise file_error(path, f"expected sound, found {samples.size} samples at {own} Hz; give another")
    target = max(1, round(rate or own))
    # As many as are needed, and some more for the filter that resamples.
    needed = -(-longest * own // target) + own // 10 + 100
    values = samples[:needed].astype(np.float64)
    if np.issubdtype(samples.dtype, np.integer):
        half = 2.0 ** (8 * samples.dtype.itemsize - 1)
        values = values / half - (samples.dtype == np.uint8)  # 8 bits are stored from 0 to 255
    values = values.reshape(len(values), -1).mean(axis=1)
    if target != own and np.isfinite(values).all():
        ratio = fractions.Fraction(target, own)
        values = processing.resample_poly(values, ratio.numerator, ratio.denominator)
    return Signal(values[:longest], float(target), SOUND)


def _read_text(path: Path, rate: float, longest: int) -> Signal:
    values = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                text = line.strip()
                try:
                    values += [float(text)] if text else []
                except ValueError:
                    if number > 1:  # the first one may be a heading
                        problem = f"expected one number per line, found {one_line(text, longest=60)!r} in line {number}"
                        raise file_error(path, f"{problem}; leave one column") from None
                if len(values) == longest:
                    break
    except UnicodeDecodeError as error:
        raise file_error(path, "expected text with one number per line, found other bytes; convert it") from error
    if not values:
        raise file_error(path, "expected one number per line, found none; give another file")
    return Signal(np.array(values), rate, TEXT)
