"""Activation-maximisation objectives (DeepDream, feature visualisation); the transfer subtracts them.

Each takes features `F` `[H, W, C]` and channel weights `w` `[C]` (ones for a whole layer, a single one for a channel,
any numbers for a direction in the layer), and returns a scalar. Channel, neuron, class_logit and deepdream are called
as in Lucid, the program of Olah et al.

Sources:
    Mordvintsev, Olah & Tyka, "Inceptionism: Going Deeper into Neural Networks", 2015 (DeepDream).
    Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import statistics
from nst_jax.errors import UserError
from nst_jax.losses import Sum, Term
from nst_jax.vocabulary import ActivationObjective

_NEXT_TO_NOTHING = 1e-6
"""Added to mean squares of activations, which are of the order of 1 to 10⁶, so that a silent layer has a gradient
too."""

_ROWS = 256
"""Positions whose products with a guide are in memory at once."""


def channel(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns the mean over positions of Σ_c w_c F_c: the channel objective of Olah et al. 2017, or a direction's."""
    return jnp.mean(_weighed(features, channels))


def class_logit(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns `channel` of the features less the mean over channels at each position.

    Ours, for logits; Lucid's takes them as they are. Evidence for every class is evidence for none, and softmax ignores
    it too. Pictures of classes then show less that has nothing to do with the class.
    """
    return channel(features - features.mean(axis=-1, keepdims=True), channels)


def neuron(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns Σ_c w_c F_c at the middle position: the neuron objective of Olah et al. 2017."""
    height, width, _ = features.shape
    return _weighed(features, channels)[height // 2, width // 2]


def deepdream(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns the mean over positions of ½ Σ_c w_c F_c², which amplifies whatever is active (DeepDream).

    Inceptionism's gradient at the layer is the activations themselves: that of ½ Σ F².
    """
    return jnp.mean(_weighed(jnp.square(features), channels)) / 2


def log_deepdream(features: jax.Array, channels: jax.Array) -> jax.Array:
    """Returns the logarithm of `deepdream`: the same direction, whatever the scale of the activations.

    Ours. A weight then means the same in every layer and network, and beside other losses.
    """
    return jnp.log(deepdream(features, channels) + _NEXT_TO_NOTHING)


def guided(features: jax.Array, guide: jax.Array) -> jax.Array:
    """Returns the mean over positions of F · G, for the position of a guide with features G where F · G is greatest.

    Guided dreaming, as in the notebook that Google published with Inceptionism: the gradient at the layer is that G.

    Args:
        features: `[H, W, C]`.
        guide: features of the guide, `[M, C]`.
    """
    return jnp.mean(_best(features, guide))


def _best(features: jax.Array, guide: jax.Array) -> jax.Array:
    """Returns F · G at each position, `[H W]`, for the position of the guide where it is greatest."""
    rows = features.reshape(-1, features.shape[-1])

    @jax.checkpoint
    def best(row: jax.Array) -> jax.Array:
        return jnp.matmul(guide, row, precision=jax.lax.Precision.HIGHEST).max()

    # All products at once would be 17 GB for 512 pixels at the first layer.
    return jax.lax.map(best, rows, batch_size=_ROWS)


def channel_weights(layer: str, count: int, chosen: Sequence[int], weights: Sequence[float]) -> np.ndarray:
    """Returns the channel weights of a layer, `[C]`.

    Args:
        layer: name of the layer, for errors.
        count: C.
        chosen: the channels; empty for all.
        weights: one per chosen channel; empty for 1 each.

    Raises:
        UserError: there is no such channel, or the numbers of channels and weights differ.
    """
    for index in chosen:
        if not 0 <= index < count:
            raise UserError(f"channel of {layer}: expected 0 to {count - 1}, found {index}")
    if weights and len(weights) != len(chosen):
        raise UserError(f"dream_channel_weights: expected {len(chosen)}, one per dream channel, found {len(weights)}")
    found = np.zeros(count, np.float32)
    np.add.at(found, list(chosen or range(count)), weights or 1)
    return found


def _weighed(features: jax.Array, channels: jax.Array) -> jax.Array:
    return jnp.matmul(features, channels, precision=jax.lax.Precision.HIGHEST)


def _over_positions(
    formula: Callable[[jax.Array, jax.Array], jax.Array],
    value: Callable[[jax.Array, jax.Array], jax.Array],
    of_mean: Callable[[jax.Array], jax.Array] = lambda mean: mean,
) -> Term:
    """Returns the term of a formula that is a function of the mean over positions of a value."""
    return Term(
        statistics.activations, formula, sum=Sum(value, lambda total, extent, _: of_mean(total / math.prod(extent)))
    )


def _halved_squares(features: jax.Array, channels: jax.Array) -> jax.Array:
    return _weighed(jnp.square(features), channels) / 2


ACTIVATION_OBJECTIVES: dict[ActivationObjective, Term] = {
    "channel": _over_positions(channel, _weighed),
    "class_logit": _over_positions(
        class_logit, lambda features, channels: _weighed(features - features.mean(axis=-1, keepdims=True), channels)
    ),
    "neuron": Term(statistics.activations, neuron, additive=False),
    "deepdream": _over_positions(deepdream, _halved_squares),
    "log_deepdream": _over_positions(log_deepdream, _halved_squares, lambda mean: jnp.log(mean + _NEXT_TO_NOTHING)),
    "guided": _over_positions(guided, lambda features, guide: _best(features, guide).reshape(features.shape[:-1])),
}
