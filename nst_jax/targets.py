"""Targets and weights, from images and settings: the statistics a picture should have, and how much each counts."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import guidance
from nst_jax.activations import channel_weights
from nst_jax.backbones.spec import Backbone, channels
from nst_jax.objective import Objective, RegionWeights, Targets, Weights
from nst_jax.regions import Regions
from nst_jax.rendering.canvas import extend
from nst_jax.rendering.shifts import shifted
from nst_jax.settings import Settings
from nst_jax.surroundings import float32_on_device, int32_on_device
from nst_jax.terms import ACTIVATION, CANVAS, CONTENT, STYLE, TERMS
from nst_jax.vocabulary import RegionGuides

Layers = Mapping[str, tuple[str, ...]]
"""Term → the layers at which it is measured; absent terms are left out."""


def layers_of(settings: Settings) -> Layers:
    """Returns the layers of each term in the settings."""
    named = {term: kind.layers_in(settings) for term, kind in TERMS.items()}
    return {term: layers for term, layers in named.items() if layers or TERMS[term].always}


def union(layers: Iterable[Layers]) -> Layers:
    """Returns all layers of each term, in order of appearance."""
    found: dict[str, dict[str, None]] = {}
    for single in layers:
        for term, of in single.items():
            found.setdefault(term, {}).update(dict.fromkeys(of))
    return {term: tuple(of) for term, of in found.items()}


def network_layers(layers: Layers) -> tuple[str, ...]:
    """Returns the layers of the network that any term uses."""
    return tuple(layer for of in layers.values() for layer in of if layer != CANVAS)


@functools.partial(jax.jit, static_argnames=("objective", "term", "layers"))
def measure(
    params: Any,
    image: jax.Array,
    positions: Sequence[Mapping[str, jax.Array]] = (),
    *,
    objective: Objective,
    term: str,
    layers: tuple[str, ...],
) -> dict[str, Any]:
    """Returns layer → target of a term, for an image `[H, W, 3]`, RGB in [0, 1], perhaps that of each region in it."""
    return objective.statistics(params, image, term, layers, positions)


def measure_style(
    params: Any,
    image: jax.Array,
    guides: np.ndarray | None,
    how: RegionGuides,
    *,
    objective: Objective,
    layers: tuple[str, ...],
) -> dict[str, Any]:
    """Returns layer → target of a style image `[H, W, 3]`, with guides `[H, W, R]` that of each region in it."""
    positions: Any = ()
    if guides is not None:
        found = guidance.style_positions(objective.backbone, layers, guides, how, rotations=objective.rotations)
        positions = jax.tree.map(float32_on_device, found)
    return measure(params, image, positions, objective=objective, term=STYLE, layers=layers)


def measure_content(
    params: Any, canvas: jax.Array, *, objective: Objective, layers: tuple[str, ...], shifts: int
) -> dict[str, Any]:
    """Returns layer → target of the content image's canvas `[H, W, 3]`; from several shifts, `[shifts, ...]`."""
    read = functools.partial(measure, params, objective=objective, term=CONTENT, layers=layers)
    if shifts == 1:
        return read(canvas)
    return stack([read(shifted(canvas, int32_on_device(turn), shifts)) for turn in range(shifts)])


def measure_canvas(
    content: jax.Array | np.ndarray, *, objective: Objective, layers: Layers, margin: int
) -> dict[str, jax.Array]:
    """Returns term → target of the content image's canvas, for the terms of the canvas that have one.

    Computed on the host, in NumPy: once for a canvas, and some of it in double precision.

    Args:
        content: the content image, `[H, W, 3]`, RGB in [0, 1].
        objective: with the formulas.
        layers: the layers of the terms.
        margin: width of the canvas' margin in pixels.
    """
    targets = {
        term: formula.target
        for term, formula in objective.formulas
        if CANVAS in layers.get(term, ()) and formula.target
    }
    if not targets:
        return {}
    canvas = jax.device_get(extend(float32_on_device(content), margin))
    return {term: float32_on_device(target(canvas)) for term, target in targets.items()}


def make_targets(
    backbone: Backbone,
    settings: Settings,
    layers: Layers,
    content: Mapping[str, Any],
    styles: Sequence[Mapping[str, Any]],
    *,
    canvas: Mapping[str, jax.Array] | None = None,
    guide: Mapping[str, jax.Array] | None = None,
) -> Targets:
    """Returns the targets of all terms.

    Args:
        backbone: the network.
        settings: options of the transfer.
        layers: the layers of the settings, perhaps with others, whose weight is 0.
        content: layer → target of the content image's canvas.
        styles: for each style image, layer → target.
        canvas: term → target of the content image's canvas, see `measure_canvas`.
        guide: layer → features `[H, W, C]` of the guide, which replace channel weights.
    """
    targets: Targets = {CONTENT: dict(content), STYLE: stack(styles)}
    targets |= {term: {CANVAS: (canvas or {}).get(term)} for term, of in layers.items() if CANVAS in of}
    if ACTIVATION in layers:
        targets[ACTIVATION] = {
            layer: activation_target(backbone, settings, layer)
            if guide is None
            else guide[layer].reshape(-1, guide[layer].shape[-1])
            for layer in layers[ACTIVATION]
        }
    return targets


def activation_target(backbone: Backbone, settings: Settings, layer: str) -> jax.Array:
    """Returns the weights `[C]` of the channels to maximise; zeros at a layer that is no dream layer."""
    count = channels(backbone)[layer]
    if layer not in settings.dream_layers:
        return float32_on_device(np.zeros(count))
    return float32_on_device(channel_weights(layer, count, settings.dream_channels, settings.dream_channel_weights))


def make_weights(
    settings: Settings,
    layers: Layers,
    *,
    style_images: int,
    regions: Regions | None = None,
    positions: Mapping[str, Any] | None = None,
) -> Weights:
    """Returns the weights of the settings as arrays, 0 for layers that are not theirs.

    Args:
        settings: options that suit the numbers of style images and regions, see `checks.check_style`.
        layers: the layers of the settings, perhaps with others, whose weight is 0.
        style_images: number of style images.
        regions: the regions, if the picture has some.
        positions: layer → the positions of each region on the canvas, see `guidance.canvas_positions`.

    Raises:
        UserError: a region has no style image with a share.
    """
    within = {term: _layer_weights(settings, term) for term in layers}
    images: Any = np.array(settings.blend_weights or (1 / max(style_images, 1),) * style_images)
    of_regions: Any = None
    if regions is not None:
        # By its area each region has the balance of style and content that it would have as a picture of its own.
        terms: Any = regions.areas * np.array(settings.region_weights or (1.0,) * regions.count)
        of_regions, images = RegionWeights(terms, dict(positions or {})), regions.shares(images)
    weights = Weights(
        terms={term: TERMS[term].weight_in(settings) for term in layers},
        layers={term: {layer: within[term].get(layer, 0.0) for layer in of} for term, of in layers.items()},
        style_images=images,
        regions=of_regions,
    )
    return jax.tree.map(float32_on_device, weights)


def _layer_weights(settings: Settings, term: str) -> dict[str, float]:
    """Returns layer → weight within a term."""
    kind = TERMS[term]
    named = kind.layers_in(settings)
    if kind.layer_weights is None:
        return dict.fromkeys(named, 1.0)
    given = getattr(settings, kind.layer_weights) or (1 / max(len(named), 1),)
    return dict(zip(named, given * len(named) if len(given) == 1 else given, strict=True))


def stack(trees: Sequence[Any]) -> Any:
    """Returns pytrees of one structure stacked along a new leading axis; an empty dict if there are none."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees) if trees else {}
