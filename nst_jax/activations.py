"""What of a layer's activations `F` is to be made large: gains, as the others are losses.

All take features `[H, W, C]` and weights of their channels `w` `[C]` (ones for a whole layer, a single one for a
channel, any numbers for a direction in the layer), and return a scalar.

Sources:
    Mordvintsev, Olah & Tyka, "Inceptionism: Going Deeper into Neural Networks", 2015 (DeepDream).
    Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import statistics
from nst_jax.errors import UserError
from nst_jax.losses import Term
from nst_jax.settings import ActivationObjective

_NEXT_TO_NOTHING = 1e-6
"""Beside mean squares of activations, which are of the order of 1 to 10⁶: a layer that is silent has a gradient too."""


_ROWS = 256
"""Positions whose products with a guide exist at once."""


def channel(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns the mean over positions of Σ_c w_c F_c: the channel objective of Olah et al. 2017, or a direction's."""
    return jnp.mean(_weighed(features, channels))


def class_logit(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns `channel` of what each channel has more than the mean of all channels at its position.

    Ours, for logits: what speaks for every class speaks for none, and softmax leaves it out likewise. Pictures of
    classes have less in them that has nothing to do with the class.
    """
    return channel(features - features.mean(axis=-1, keepdims=True), channels)


def neuron(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns Σ_c w_c F_c in the middle: the neuron objective of Olah et al. 2017."""
    height, width, _ = features.shape
    return _weighed(features, channels)[height // 2, width // 2]


def deepdream(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns ½ Σ_c w_c F_c², the mean over positions: whatever is there already, more of it (DeepDream).

    Inceptionism's gradient at the layer is the activations themselves, that of ½ Σ F².
    """
    return jnp.mean(_weighed(jnp.square(features), channels)) / 2


def log_deepdream(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns the logarithm of `deepdream`: the same direction, however large the activations of the layer are.

    Ours. A weight means the same in every layer and network so, and beside other losses.
    """
    return jnp.log(deepdream(features, channels) + _NEXT_TO_NOTHING)


def guided(features: jax.Array, guide: jax.Array) -> jax.Array:
    """Returns the mean over positions of F · G, with G the position of a guide whose F · G is greatest.

    Guided dreaming of the notebook that Google published with Inceptionism, where the gradient at the layer is that G.

    Args:
        features: `[H, W, C]`.
        guide: features of another picture, `[M, C]`.
    """
    rows = features.reshape(-1, features.shape[-1])

    @jax.checkpoint
    def best(row: jax.Array) -> jax.Array:
        return jnp.matmul(guide, row, precision=jax.lax.Precision.HIGHEST).max()

    # All products at once would be 17 GB for 512 pixels at the first layer.
    return jnp.mean(jax.lax.map(best, rows, batch_size=_ROWS))


def channel_weights(layer: str, count: int, chosen: Sequence[int], weights: Sequence[float]) -> np.ndarray:
    """Returns the weights of a layer's channels, `[C]`.

    Args:
        layer: its name, for what is said if this cannot be.
        count: C.
        chosen: the channels, or none: all of them.
        weights: one a chosen channel, or none: ones.

    Raises:
        UserError: there is no such channel, or the numbers of channels and weights differ.
    """
    for index in chosen:
        if not 0 <= index < count:
            raise UserError(f"channel of {layer}: expected 0 to {count - 1}, found {index}")
    if weights and len(weights) != len(chosen):
        raise UserError(f"dream_channel_weights: expected {len(chosen)}, one a dream channel, found {len(weights)}")
    found = np.zeros(count, np.float32)
    np.add.at(found, list(chosen or range(count)), weights or 1)
    return found


def _weighed(features: jax.Array, channels: jax.Array) -> jax.Array:
    return jnp.matmul(features, channels, precision=jax.lax.Precision.HIGHEST)


ACTIVATION_OBJECTIVES: dict[ActivationObjective, Term] = {
    "channel": Term(statistics.activations, channel),
    "class_logit": Term(statistics.activations, class_logit),
    "neuron": Term(statistics.activations, neuron),
    "deepdream": Term(statistics.activations, deepdream),
    "log_deepdream": Term(statistics.activations, log_deepdream),
    "guided": Term(statistics.activations, guided),
}
