"""Batch normalisation in Caffe: sums of what was measured and the number to divide them by; its scale is another layer.

Source: BVLC/caffe, src/caffe/layers/batch_norm_layer.cpp and scale_layer.cpp.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from ..source import Tensor, Tensors


def normalisation(path: Path, layer: str, blobs: Sequence[Tensor]) -> Tensors:
    """Returns mean and variance of a layer BatchNorm with three blobs: both times a factor, and the factor.

    Raises:
        UserError: these are no such blobs.
    """
    if len(blobs) != 3 or math.prod(blobs[2].shape) != 1:
        found = ", ".join(str(list(blob.shape)) for blob in blobs) or "none"
        raise file_error(
            path,
            f"{one_line(layer)}: expected mean, variance and one factor in a layer BatchNorm, found blobs of shapes "
            f"{one_line(found)}; fetch it again",
        )
    mean, variance, factor = blobs

    def divided(tensor: Tensor) -> Tensor:
        def load() -> np.ndarray:
            # Caffe multiplies by 0 where the factor is 0: nothing has been measured.
            by = float(factor.load().item())
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused with all other weights
                return tensor.load() * tensor.dtype.type(1 / by if by else 0)

        return _vector(tensor)._replace(load=lambda: load().reshape(-1))

    return {f"{layer}/mean": divided(mean), f"{layer}/variance": divided(variance)}


def scale(path: Path, layer: str, blobs: Sequence[Tensor]) -> Tensors:
    """Returns scale and shift of a layer Scale with a bias.

    Raises:
        UserError: it has no blob or more than two.
    """
    if len(blobs) not in (1, 2):
        raise file_error(path, f"{one_line(layer)}: expected one or two blobs in a layer Scale, found {len(blobs)}")
    return {f"{layer}/{role}": _vector(blob) for role, blob in zip(("scale", "shift"), blobs, strict=False)}


def _vector(tensor: Tensor) -> Tensor:
    """Returns a tensor without its axes of length one, as in old shapes of four axes."""
    shape = (math.prod(tensor.shape),)
    return Tensor(shape, tensor.dtype, lambda: tensor.load().reshape(shape))
