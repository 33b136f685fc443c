"""Block matching: the error of a block at every place of a picture, for image quilting."""

import numpy as np
from scipy import fft

_TILE = 4  # times the side of a block: larger tiles leave the processor's cache, smaller ones are mostly overlap


class Matcher:
    """Computes the error Σ w (f − t)² of blocks t at all places of a picture f, for constant weights w.

    Σ w f² is computed once, and Σ w t² is a number; Σ (w t) f is a correlation, computed by FFT with the overlap-save
    method, which keeps the transforms of the picture's tiles.
    """

    def __init__(self, picture: np.ndarray, weights: np.ndarray) -> None:
        """Prepares for blocks with the shape of the weights.

        Args:
            picture: f, `[H, W, C]`.
            weights: w, `[h, w, C]`.
        """
        self._weights = weights
        self._mean = picture.mean(axis=(0, 1))  # subtracted for precision in float32
        centred = picture - self._mean
        self._squares = _Correlation(centred**2, weights.shape)(weights)
        self._correlation = _Correlation(centred, weights.shape)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Returns the error of a block t, `[h, w, C]`, at every place within the picture: `[H - h + 1, W - w + 1]`."""
        centred = block - self._mean
        weighted = self._weights * centred
        errors = self._correlation(weighted)
        errors *= -2
        errors += self._squares
        errors += np.sum(weighted * centred)
        return np.maximum(errors, 0, out=errors)  # below 0 is rounding


class _Correlation:
    """Correlates a picture `[H, W, C]` with kernels `[h, w, C]`, summing over channels."""

    def __init__(self, picture: np.ndarray, kernel: tuple[int, ...]) -> None:
        sides = kernel[:2]
        self._shape = tuple(length - side + 1 for length, side in zip(picture.shape, sides, strict=False))
        self._tile = tuple(
            fft.next_fast_len(min(_TILE * side, length), real=True)
            for side, length in zip(sides, picture.shape, strict=False)
        )
        self._steps = tuple(tile - side + 1 for tile, side in zip(self._tile, sides, strict=True))
        self._counts = tuple(-(-length // step) for length, step in zip(self._shape, self._steps, strict=True))
        missing = [
            (0, count * step + side - 1 - length)
            for count, step, side, length in zip(self._counts, self._steps, sides, picture.shape, strict=False)
        ]
        padded = np.pad(picture, (*missing, (0, 0)))
        tiles = np.lib.stride_tricks.sliding_window_view(padded, self._tile, axis=(0, 1))
        down, right = self._steps
        self._spectra = fft.rfft2(np.moveaxis(tiles[::down, ::right], 2, 0))  # [C, rows, columns, *tile]

    def __call__(self, kernel: np.ndarray) -> np.ndarray:
        spectra = fft.rfft2(np.moveaxis(kernel, -1, 0), self._tile).conj()
        total = self._spectra[0] * spectra[0]
        for tiles, spectrum in zip(self._spectra[1:], spectra[1:], strict=True):
            total += tiles * spectrum
        # The part of each tile where the kernel did not wrap.
        down, right = self._steps
        parts = fft.irfft2(total, self._tile, overwrite_x=True)[..., :down, :right]
        rows, columns = self._counts
        whole = parts.swapaxes(1, 2).reshape(rows * down, columns * right)
        return whole[: self._shape[0], : self._shape[1]]
