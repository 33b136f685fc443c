"""Whole numbers that stand for real ones, as programs for phones store weights: w = scale · (q - zero).

Each program says in its own way what scale and zero are. Its own arithmetic is followed to the last bit, but for
TensorFlow's, which rounds twice where one rounding is enough: 1.6e-7 of the largest weight in three real graphs.
"""

import math
from pathlib import Path

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

_CODES = 256


def table(path: Path, name: str, smallest: float, largest: float, *, whole: bool) -> np.ndarray:
    """Returns what each of the 256 codes of TensorFlow's `quint8` stands for, in single precision.

    `whole` is its mode MIN_FIRST, in which zero is one of the codes: w = (q + round(min / scale)) · scale with scale =
    (max - min) / 255. Without it, as in MIN_COMBINED: w = q · scale + min, up to half a step away.

    Source: tensorflow/core/kernels/quantization_utils.h, QuantizedToFloatStruct.

    Raises:
        UserError: smallest and largest are no range of numbers.
    """
    low, high = np.float32(smallest), np.float32(largest)
    with np.errstate(over="ignore", invalid="ignore"):
        span = high - low
    if not (np.isfinite(span) and span >= 0):
        raise file_error(
            path,
            f"{one_line(name)}: expected the range of its weights, found {smallest:g} to {largest:g}; fetch it again",
        )
    codes = np.arange(_CODES, dtype=np.float64)
    scale = np.float32(float(span) / (_CODES - 1))
    if scale == 0:
        return np.full(_CODES, low)
    with np.errstate(over="ignore"):
        zero = _rounded(float(low / scale)) if whole else float(low) / float(scale)
        return ((codes + zero) * float(scale)).astype(np.float32)


def _rounded(value: float) -> float:
    """Rounds halves away from zero, as C does."""
    return math.copysign(math.floor(abs(value) + 0.5), value)


def values(
    path: Path,
    name: str,
    codes: np.ndarray,
    scales: np.ndarray,
    zeros: np.ndarray | None,
    axis: int,
    *,
    wide: bool,
) -> np.ndarray:
    """Returns scale · (q - zero) in single precision.

    Args:
        path: of the file, for messages.
        name: of the tensor, for messages.
        codes: whole numbers of up to 32 bits.
        scales: one number, or one for each position along `axis`.
        zeros: as many whole numbers as `scales`; None if they are 0.
        axis: along which the scales go.
        wide: whether the product is computed in double precision, as TensorFlow Lite does, or in single precision,
            as ONNX does; the two differ for whole numbers beyond single precision.

    Raises:
        UserError: a scale is not a finite number of 0 or more, or a zero point is none of the codes.
    """
    if not (np.isfinite(scales).all() and (scales >= 0).all()):
        raise file_error(
            path, f"{one_line(name)}: expected scales of 0 or more, found others; fetch or make the file again"
        )
    limits = np.iinfo(codes.dtype)
    if zeros is not None and zeros.size and (zeros.min() < limits.min or zeros.max() > limits.max):
        raise file_error(
            path,
            f"{one_line(name)}: expected zero points from {limits.min} to {limits.max}, as {codes.dtype.name} has "
            "them, found others; fetch or make the file again",
        )
    along = [1] * codes.ndim
    if scales.size > 1:
        along[axis] = scales.size
    # A byte minus its zero point is exact in single precision; a difference of 32-bit numbers is not always.
    exact = np.dtype(np.float64 if codes.dtype.itemsize > 2 else np.float32)
    result = codes.astype(exact)
    if zeros is not None and zeros.any():
        result -= zeros.astype(exact).reshape(along)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused with all other infinite weights
        result = result if wide else result.astype(np.float32, copy=False)
        result *= scales.astype(result.dtype).reshape(along)
        return result.astype(np.float32, copy=False)
