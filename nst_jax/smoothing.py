"""Activations made smooth before they are compared, for networks whose sums let a few of them grow beyond all others.

Behind a residual sum few activations are large and most are next to nothing: a Gram matrix then is the product of a few
positions, and so says little of a style. An exponential that is normalised over the map brings them closer together.

Source: Wang, Li & Vasconcelos, Rethinking and Improving the Robustness of Image Style Transfer, CVPR 2021
(arXiv:2104.05623), section 5: SWAG, stylisation with activation smoothing.
"""

import jax

from nst_jax.vocabulary import Smoothing


def smoothed(features: jax.Array, kind: Smoothing) -> jax.Array:
    """Returns features as content and style are compared.

    With `softmax`, σ(F)_ik = n · exp(F_ik) / Σ_jl exp(F_jl) over positions and channels. The factor n, their number,
    is ours: so the mean is 1 and does not depend on the size of a picture. Losses relative to their target, as ours
    are, stay the same with it.

    Args:
        features: `[H, W, C]`.
        kind: how; see `vocabulary.Smoothing`.

    Returns:
        `[H, W, C]`.
    """
    if kind == "none":
        return features
    return features.size * jax.nn.softmax(features, axis=(-3, -2, -1))
