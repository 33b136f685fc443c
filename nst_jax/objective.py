"""The objective: a canvas and what it should resemble, to one scalar and its named terms.

A term is data: its row in `TERMS` says which formulas there are, and whether it is minimised or maximised. Targets and
weights are pytrees keyed by term and layer, so that whatever is done to one term (blending, sweeping, sharding) is done
to all.
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
"""The layer of terms that look at the canvas itself and not through the network."""

Targets = dict[str, dict[str, Any]]
"""Term → layer → what the statistic is compared with. Content: features `[H, W, C]`. Style: the statistic of each style
image, with a leading axis `[S, ...]`. Activation: weights of the channels `[C]`, or the features of a guide `[M, C]`.
Total variation, at the layer `CANVAS`: nothing."""


class TermKind(NamedTuple):
    """What a term is, whatever its formula.

    Attributes:
        formulas: name → formula.
        formula: the option of `Settings` that names it.
        weight: the option that is its weight.
        layers: the option that names its layers; None for one that looks at the canvas itself.
        layer_weights: the option with a weight for each layer, or one for all, or none for one divided by their number;
            None for a term whose layers count fully.
        label: what it is called in few letters, also of its layers.
        sign: 1 for what is minimised, −1 for what is maximised.
        blended: whether its targets are those of several style images.
        always: whether it is told of, as 0, where it has no layers.
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
    """How much each term counts; all of them traced, so that changing one recompiles nothing.

    Attributes:
        terms: term → its weight: α and β of Gatys et al. 2016, equation 7, and those of total variation and activation.
        layers: term → layer → its weight within the term, as w_l of equation 5.
        style_images: `[S]`, the share of each style image; they should add up to 1.
    """

    terms: dict[str, jax.Array | float]
    layers: dict[str, dict[str, jax.Array | float]]
    style_images: jax.Array


@dataclasses.dataclass(frozen=True)
class Objective:
    """The static part: the network, how it is run, which formulas. Hashable: a static argument of jit.

    Attributes:
        backbone: that looks at the pictures.
        pooling: `max` or `average`.
        padding: see `settings.Padding`.
        precision: of the network.
        remat: whether the gradient computes activations anew instead of keeping them.
        formulas: the formula of each term, by its name in `TERMS`.
        blending: what is added up when there are several style images.
    """

    backbone: Backbone
    pooling: Pooling
    padding: Padding
    precision: Precision
    remat: bool
    formulas: tuple[tuple[str, Term], ...]
    blending: Blending

    def prepare(self, params: Any, layers: Sequence[str]) -> Any:
        """Returns the parameters with what makes many evaluations at these layers fast: constants, not to be learnt.

        Those that were prepared already are returned as they are.
        """
        # What is prepared takes memory, of which there is none to spare with remat; it is in single precision.
        if features.PREPARED in params or self.remat or self.precision != "float32":
            return params
        return features.prepare(params, self.backbone, layers)

    def statistics(self, params: Any, image: jax.Array, term: str, layers: Sequence[str]) -> dict[str, Any]:
        """Returns the statistics of a term for an image `[H, W, 3]` at some layers: its targets, if it is the target.

        They are computed with the parameters as they are, whatever was prepared of them.
        """
        # A style image is no tile: wrapped, it would have a seam in its statistics that the picture is to have nowhere.
        plain = TERMS[term].blended and self.padding == CIRCULAR
        padding = "reflect" if plain else self.padding
        read = dict.fromkeys(layers, dict(self.formulas)[term].statistic)
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
        """Returns Σ ± w_t Σ_l w_tl error_t(statistic_t(F_l), target_tl) over terms t and layers l, and all of these.

        Args:
            params: of the backbone.
            canvas: `[H, W, 3]`, RGB in [0, 1].
            targets: at the layers that count.
            weights: with an entry for each of these layers.
            seen: what the network sees instead of the canvas.

        Returns:
            The scalar, and by name the terms before their weights (`content`, `style` ...), and before the weights of
            the layers `content/conv4_2`, `style/conv1_1` and so on.
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
        terms = {
            term: sum((weights.layers[term][layer] * error for layer, error in of.items()), start=jnp.float32(0))
            for term, of in by_layer.items()
        }
        total = sum((TERMS[term].sign * (weights.terms[term] * of) for term, of in terms.items()), start=jnp.float32(0))
        named = {f"{term}/{layer}": error for term, of in by_layer.items() for layer, error in of.items()}
        return total, terms | {name: error for name, error in named.items() if not name.endswith(f"/{CANVAS}")}

    def _read(self, padding: Padding, params: Any, image: jax.Array, readers: Mapping[str, Callable]) -> dict[str, Any]:
        network = features.Features(self.backbone, self.pooling, padding, self.precision, self.remat)
        return cast(dict[str, Any], network.apply(params, image, readers))  # Linen knows no types of what it applies

    def _error(self, term: str, formula: Term, values: jax.Array, target: Any, weights: Weights) -> jax.Array:
        """Returns the error of one layer's features, whose target may be that of several style images `[S, ...]`."""
        found = formula.statistic(values)
        if not TERMS[term].blended:
            return formula.error(found, target)
        shares = weights.style_images
        if self.blending == "losses":
            return jnp.vdot(shares, jax.vmap(formula.error, in_axes=(None, 0))(found, target))
        blend = functools.partial(jnp.tensordot, shares, axes=1, precision=jax.lax.Precision.HIGHEST)
        return formula.error(found, jax.tree.map(blend, target))
