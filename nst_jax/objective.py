"""The objective: from a canvas and its targets to one scalar and its named terms.

A term is data: its row in `TERMS` lists its formulas and says whether it is minimised or maximised. Targets and weights
are pytrees keyed by term and layer, so that blending, sweeping and sharding treat all terms alike.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import struct

from nst_jax import activations, losses
from nst_jax.backbones import features
from nst_jax.backbones.spec import Backbone
from nst_jax.losses import Term
from nst_jax.ops.circular_padding import CIRCULAR
from nst_jax.settings import Blending, Padding, Pooling, Precision

CONTENT = "content"
STYLE = "style"
VARIATION = "total_variation"
ACTIVATION = "activation"

CANVAS = "canvas"
"""The layer of terms of the canvas itself, which do not use the network."""

Targets = dict[str, dict[str, Any]]
"""Term → layer → target of the statistic. Content: features `[H, W, C]`. Style: that of each style image, mostly its
statistic, with a leading axis `[S, ...]`. Activation: weights of the channels `[C]`, or the features of a guide
`[M, C]`. Total variation, at the layer `CANVAS`: nothing."""


class TermKind(NamedTuple):
    """A kind of term, whatever its formula.

    Attributes:
        formulas: name → formula.
        formula: the option of `Settings` that names the formula.
        weight: the option that holds the weight.
        layers: the option that names the layers; None for a term of the canvas itself.
        layer_weights: the option that holds the layers' weights: one per layer, one for all, or none for 1 / number of
            layers each; None for a term whose layers all have weight 1.
        label: short name of the term and its layers.
        sign: 1 to minimise the term, −1 to maximise it.
        blended: whether it has one target per style image.
        always: whether it is reported, as 0, even without layers.
    """

    formulas: Mapping[Any, Term]
    formula: str
    weight: str
    layers: str | None
    label: str
    layer_weights: str | None = None
    sign: int = 1
    blended: bool = False
    always: bool = True


TERMS: dict[str, TermKind] = {
    CONTENT: TermKind(losses.CONTENT_LOSSES, "content_loss", "content_weight", "content_layers", "content"),
    STYLE: TermKind(
        losses.STYLE_LOSSES,
        "style_loss",
        "style_weight",
        "style_layers",
        "style",
        layer_weights="style_layer_weights",
        blended=True,
    ),
    VARIATION: TermKind(losses.VARIATION_LOSSES, "variation_loss", "tv_weight", None, "tv"),
    ACTIVATION: TermKind(
        activations.ACTIVATION_OBJECTIVES,
        "dream_objective",
        "dream_weight",
        "dream_layers",
        "dream",
        sign=-1,
        always=False,
    ),
}


class Weights(struct.PyTreeNode):
    """Weights of the terms; all traced, so that changing one recompiles nothing.

    Attributes:
        terms: term → weight: α and β of Gatys et al. 2016, equation 7, and those of total variation and activation.
        layers: term → layer → weight within the term: w_l of equation 5.
        style_images: `[S]`, the share of each style image; they should add up to 1.
    """

    terms: dict[str, jax.Array | float]
    layers: dict[str, dict[str, jax.Array | float]]
    style_images: jax.Array


@dataclasses.dataclass(frozen=True)
class Objective:
    """The network, its options and the formulas. Hashable: a static argument of jit.

    Attributes:
        backbone: the network.
        pooling: `max` or `average`.
        padding: see `settings.Padding`.
        precision: see `settings.Precision`.
        remat: whether the gradient recomputes activations instead of storing them.
        formulas: (term in `TERMS`, its formula).
        blending: see `settings.Blending`.
    """

    backbone: Backbone
    pooling: Pooling
    padding: Padding
    precision: Precision
    remat: bool
    formulas: tuple[tuple[str, Term], ...]
    blending: Blending

    def prepare(self, params: Any, layers: Sequence[str]) -> Any:
        """Returns the parameters, with constants that speed up many evaluations at these layers; not for training.

        Prepared parameters are returned unchanged.
        """
        # The constants take memory, which remat is there to save, and they are in single precision.
        if features.PREPARED in params or self.remat or self.precision != "float32":
            return params
        return features.prepare(params, self.backbone, layers)

    def statistics(self, params: Any, image: jax.Array, term: str, layers: Sequence[str]) -> dict[str, Any]:
        """Returns layer → target of a term, for the target image `[H, W, 3]`; most are its statistics.

        Prepared constants are not used.
        """
        # A style image does not repeat: wrapped, its statistics would include a seam that the picture should not have.
        plain = TERMS[term].blended and self.padding == CIRCULAR
        padding = "reflect" if plain else self.padding
        formula = dict(self.formulas)[term]
        read = dict.fromkeys(layers, formula.target or formula.statistic)
        return self._read(padding, {"params": params["params"]}, image, read)

    def loss(
        self,
        params: Any,
        canvas: jax.Array,
        targets: Targets,
        weights: Weights,
        *,
        seen: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns Σ ± w_t Σ_l w_tl error_t(statistic_t(F_l), target_tl) over terms t and layers l, and every term.

        Args:
            params: parameters of the backbone.
            canvas: `[H, W, 3]`, RGB in [0, 1].
            targets: targets at all layers in use.
            weights: weights with an entry for each of these layers.
            seen: `[H, W, 3]`, the input of the network if it is not the canvas.

        Returns:
            The scalar; and by name the unweighted terms (`content`, `style`, ...) and the unweighted errors of layers
            (`content/conv4_2`, `style/conv1_1`, ...).
        """

        def errors(layer: str, values: jax.Array) -> dict[str, jax.Array]:
            return {
                term: self._error(term, formula, values, targets[term][layer], weights)
                for term, formula in self.formulas
                if layer in targets.get(term, ())
            }

        layers = dict.fromkeys(layer for of in targets.values() for layer in of if layer != CANVAS)
        readers: dict[str, Callable] = {layer: functools.partial(errors, layer) for layer in layers}
        found = self._read(self.padding, params, canvas if seen is None else seen, readers)
        found[CANVAS] = errors(CANVAS, canvas)
        present = [term for term, _ in self.formulas if term in targets]
        by_layer = {term: {layer: found[layer][term] for layer in targets[term]} for term in present}
        nothing = jnp.zeros((), jnp.float32)
        terms = {
            term: sum((weights.layers[term][layer] * error for layer, error in of.items()), start=nothing)
            for term, of in by_layer.items()
        }
        total = sum(
            (TERMS[term].sign * (weights.terms[term] * of) for term, of in terms.items()),
            start=nothing,
        )
        named = {f"{term}/{layer}": error for term, of in by_layer.items() for layer, error in of.items()}
        return total, terms | {name: error for name, error in named.items() if not name.endswith(f"/{CANVAS}")}

    def _read(self, padding: Padding, params: Any, image: jax.Array, readers: Mapping[str, Callable]) -> dict[str, Any]:
        network = features.Features(self.backbone, self.pooling, padding, self.precision, self.remat)
        return cast(dict[str, Any], network.apply(params, image, readers))  # Linen's apply is untyped

    def _error(self, term: str, formula: Term, values: jax.Array, target: Any, weights: Weights) -> jax.Array:
        """Returns the error of a layer's features; the target of a blended term is `[S, ...]`, one per style image."""
        found = formula.statistic(values)
        if not TERMS[term].blended:
            return formula.error(found, target)
        shares = weights.style_images
        if self.blending == "losses":
            return jnp.vdot(shares, jax.vmap(formula.error, in_axes=(None, 0))(found, target))
        blend = functools.partial(jnp.tensordot, shares, axes=1, precision=jax.lax.Precision.HIGHEST)
        return formula.error(found, jax.tree.map(blend, target))
