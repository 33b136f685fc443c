"""Batch normalisation as a part of the convolution before it.

Behind training it is an affine map of each channel, with the mean and variance that were measured then:

    scale · (conv(x) + bias − mean) / √(variance + ε) + shift

so that kernel and bias are all that is computed with. Files keep the arrays that were published.

Source: Ioffe & Szegedy, Batch Normalization, ICML 2015 (arXiv:1502.03167), algorithm 2, lines 10 and 11.
"""

from collections.abc import Mapping

import numpy as np

from nst_jax.backbones.rows import BatchNorm, Conv
from nst_jax.backbones.spec import Backbone, convolutions
from nst_jax.errors import UserError


def fold(tensors: Mapping[str, np.ndarray], backbone: Backbone) -> dict[str, np.ndarray]:
    """Returns the kernel and bias of every convolution, which `Features` computes with.

    Args:
        tensors: the published parameters, as `spec.parameter_shapes` lists them; float32.
        backbone: the network.

    Returns:
        `name/kernel` `[height, width, in / groups, out]` and `name/bias` `[out]`; computed in double precision where
        there is a normalisation, float32.

    Raises:
        UserError: a variance is negative, or a folded number too large for single precision.
    """
    found: dict[str, np.ndarray] = {}
    for row, _ in convolutions(backbone):
        kernel = tensors[f"{row.name}/kernel"]
        bias = tensors[f"{row.name}/bias"] if row.bias else np.zeros(row.features, np.float32)
        if row.norm is not None:
            kernel, bias = _folded(row, row.norm, kernel, bias, tensors)
        found |= {f"{row.name}/kernel": kernel, f"{row.name}/bias": bias}
    return found


def _folded(
    row: Conv, norm: BatchNorm, kernel: np.ndarray, bias: np.ndarray, tensors: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    numbers = {role: tensors[f"{row.name}/{role}"].astype(np.float64) for role in norm.parameters(row.features)}
    if numbers["variance"].min() < 0:
        raise UserError(f"{row.name}/variance: expected no number below 0, found {numbers['variance'].min():g}")
    factor = numbers.get("scale", 1.0) / np.sqrt(numbers["variance"] + norm.epsilon)
    with np.errstate(over="ignore"):  # refused below
        folded = (
            (kernel * factor).astype(np.float32),
            ((bias - numbers["mean"]) * factor + numbers["shift"]).astype(np.float32),
        )
    if not all(np.isfinite(values).all() for values in folded):
        raise UserError(f"{row.name}: expected numbers of single precision behind its normalisation, found larger ones")
    return folded
