"""From images and settings to targets and weights: what a picture should resemble, and how much each term counts."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nst_jax.activations import channel_weights
from nst_jax.backbones.spec import Backbone, channels
from nst_jax.objective import ACTIVATION, CANVAS, CONTENT, STYLE, TERMS, VARIATION, Objective, Targets, Weights
from nst_jax.settings import Settings

Layers = Mapping[str, tuple[str, ...]]
"""Term → the layers at which it is measured; none for terms that are not there."""


def layers_of(settings: Settings) -> Layers:
    """Returns the layers that the settings name."""
    named = {term: getattr(settings, kind.layers) if kind.layers else (CANVAS,) for term, kind in TERMS.items()}
    return {term: layers for term, layers in named.items() if layers or TERMS[term].always}


def union(layers: Iterable[Layers]) -> Layers:
    """Returns all the layers of each term, in the order in which they come."""
    found: dict[str, dict[str, None]] = {}
    for single in layers:
        for term, of in single.items():
            found.setdefault(term, {}).update(dict.fromkeys(of))
    return {term: tuple(of) for term, of in found.items()}


def network_layers(layers: Layers) -> tuple[str, ...]:
    """Returns the layers of the network that are looked at."""
    return tuple(layer for of in layers.values() for layer in of if layer != CANVAS)


@functools.partial(jax.jit, static_argnames=("objective", "term", "layers"))
def measure(
    params: Any, image: jax.Array, *, objective: Objective, term: str, layers: tuple[str, ...]
) -> dict[str, Any]:
    """Returns layer → the statistic of a term there, for an image `[H, W, 3]`, RGB in [0, 1]."""
    return objective.statistics(params, image, term, layers)


def make_targets(
    backbone: Backbone,
    settings: Settings,
    layers: Layers,
    content: Mapping[str, Any],
    styles: Sequence[Mapping[str, Any]],
    *,
    guide: Mapping[str, jax.Array] | None = None,
) -> Targets:
    """Puts together what a picture is compared with.

    Args:
        backbone: the network.
        settings: of the transfer.
        layers: those of the settings, or more, which then weigh nothing.
        content: layer → the statistic of the content image's canvas.
        styles: for each style image, layer → its statistic.
        guide: layer → features `[H, W, C]` of what is to become active, instead of channels.
    """
    targets: Targets = {CONTENT: dict(content), STYLE: stack(styles), VARIATION: {CANVAS: None}}
    if ACTIVATION in layers:
        targets[ACTIVATION] = {
            layer: activation_target(backbone, settings, layer)
            if guide is None
            else guide[layer].reshape(-1, guide[layer].shape[-1])
            for layer in layers[ACTIVATION]
        }
    return targets


def activation_target(backbone: Backbone, settings: Settings, layer: str) -> jax.Array:
    """Returns the weights `[C]` of the channels that should become active; 0 at a layer that is none of theirs."""
    count = channels(backbone)[layer]
    if layer not in settings.dream_layers:
        return jnp.zeros(count)
    return jnp.asarray(channel_weights(layer, count, settings.dream_channels, settings.dream_channel_weights))


def make_weights(settings: Settings, layers: Layers, *, style_images: int) -> Weights:
    """Returns the weights of the settings as arrays, 0 for layers that are not theirs.

    Args:
        settings: that suit so many style images, see `checks.check_style`.
        layers: those of the settings, or more.
        style_images: how many there are.
    """
    within = {term: _layer_weights(settings, term) for term in layers}
    weights = Weights(
        terms={term: getattr(settings, TERMS[term].weight) for term in layers},
        layers={term: {layer: within[term].get(layer, 0.0) for layer in of} for term, of in layers.items()},
        style_images=jnp.array(settings.blend_weights or (1 / max(style_images, 1),) * style_images, jnp.float32),
    )
    return jax.tree.map(jnp.float32, weights)


def _layer_weights(settings: Settings, term: str) -> dict[str, float]:
    """Returns layer → its weight within a term."""
    kind = TERMS[term]
    named = getattr(settings, kind.layers) if kind.layers else (CANVAS,)
    if kind.layer_weights is None:
        return dict.fromkeys(named, 1.0)
    given = getattr(settings, kind.layer_weights) or (1 / max(len(named), 1),)
    return dict(zip(named, given * len(named) if len(given) == 1 else given, strict=True))


def stack(trees: Sequence[Any]) -> Any:
    """Returns equal pytrees as one, their arrays with a leading axis; nothing of none."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees) if trees else {}
