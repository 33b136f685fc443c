"""The objective: a picture and what it should resemble, to one scalar and its named terms."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from nst_jax import activations, losses
from nst_jax.backbones import features
from nst_jax.backbones.spec import Backbone
from nst_jax.circular import CIRCULAR
from nst_jax.settings import Blending, ContentLoss, Gain, Padding, Pooling, Precision, StyleLoss, VariationLoss
from nst_jax.statistics import gram

CONTENT = "content"
STYLE = "style"
VARIATION = "total_variation"
ACTIVATION = "activation"


@struct.dataclass
class Targets:
    """What a picture is compared with.

    Attributes:
        content: layer → features of the photograph `[H, W, C]`.
        style: layer → Gram matrices of the paintings `[S, C, C]`.
        activation: layer → what of it is to be made large: the weights of its channels `[C]`, or the features of a
            guide `[M, C]`.
    """

    content: dict[str, jax.Array]
    style: dict[str, jax.Array]
    activation: dict[str, jax.Array] = struct.field(default_factory=dict)


@struct.dataclass
class Weights:
    """How much each term counts; all of them traced, so that changing one recompiles nothing.

    Attributes:
        content: α of Gatys et al. 2016, equation 7.
        style: β of the same.
        variation: of the total variation.
        content_layers: layer → its weight within the content loss.
        style_layers: layer → w_l of equation 5.
        paintings: `[S]`, the share of each painting in the style; they should add up to 1.
        activation: δ, of what is made large.
        activation_layers: layer → its weight within that.
    """

    content: jax.Array | float
    style: jax.Array | float
    variation: jax.Array | float
    content_layers: dict[str, jax.Array | float]
    style_layers: dict[str, jax.Array | float]
    paintings: jax.Array
    activation: jax.Array | float = 0.0
    activation_layers: dict[str, jax.Array | float] = struct.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Objective:
    """The static part: the network, how it is run, which formulas. Hashable: a static argument of jit.

    Attributes:
        backbone: that looks at the pictures.
        pooling: `max` or `average`.
        padding: see `settings.Padding`.
        precision: of the network.
        remat: whether the gradient computes activations anew instead of keeping them.
        content_loss: name of the formula.
        style_loss: likewise.
        variation_loss: likewise.
        blending: what is added up when there are several paintings.
        gain: name of the formula.
    """

    backbone: Backbone
    pooling: Pooling
    padding: Padding
    precision: Precision
    remat: bool
    content_loss: ContentLoss
    style_loss: StyleLoss
    variation_loss: VariationLoss
    blending: Blending
    gain: Gain = "log_mean_square"

    def prepare(self, params: Any, layers: Sequence[str]) -> Any:
        """Returns the parameters with what makes many evaluations at these layers fast: constants, not to be learnt."""
        # What is prepared takes memory, of which there is none to spare with remat; it is in single precision.
        if self.remat or self.precision != "float32":
            return params
        return features.prepare(params, self.backbone, layers)

    def read(self, params: Any, image: jax.Array, readers: Mapping[str, Callable[[jax.Array], Any]]) -> dict[str, Any]:
        """Returns layer → what a reader makes of its activations `[H', W', C]` for an image `[H, W, 3]`."""
        model = features.Features(self.backbone, self.pooling, self.padding, self.precision, self.remat)
        return model.apply(params, image, readers)

    def content_targets(self, params: Any, image: jax.Array, layers: Sequence[str]) -> dict[str, jax.Array]:
        """Returns the features `[H', W', C]` of a photograph `[H, W, 3]` at the given layers."""
        return self.read(params, image, dict.fromkeys(layers, _at_least_single))

    def style_targets(self, params: Any, image: jax.Array, layers: Sequence[str]) -> dict[str, jax.Array]:
        """Returns the Gram matrices `[C, C]` of a painting `[H, W, 3]`, of any size, at the given layers."""
        # A painting is no tile: wrapped, it would have a seam in its statistics that the picture is to have nowhere.
        plain = dataclasses.replace(self, padding="reflect") if self.padding == CIRCULAR else self
        return plain.read(params, image, dict.fromkeys(layers, gram))

    def loss(
        self,
        params: Any,
        image: jax.Array,
        targets: Targets,
        weights: Weights,
        *,
        seen: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns α L_content + β L_style + γ L_variation − δ G_activation, and the terms by name.

        Args:
            params: of the backbone.
            image: `[H, W, 3]`, RGB in [0, 1].
            targets: at the layers that count.
            weights: with an entry for each of these layers.
            seen: what the network sees instead of the image.

        Returns:
            The scalar, and the terms before α, β, γ and δ: `content`, `style`, `total_variation`, and `activation`
            where something is to be made large; and before the weights of the layers `content/conv4_2`,
            `style/conv1_1` and so on.
        """

        def errors(layer: str, values: jax.Array) -> dict[str, jax.Array]:
            found = {}
            if layer in targets.content:
                found[CONTENT] = losses.CONTENT_LOSSES[self.content_loss](values, targets.content[layer])
            if layer in targets.style:
                found[STYLE] = self._style_error(gram(values), targets.style[layer], weights.paintings)
            if layer in targets.activation:
                found[ACTIVATION] = activations.GAINS[self.gain](values, targets.activation[layer])
            return found

        layers = {**targets.content, **targets.style, **targets.activation}
        readers = {layer: functools.partial(errors, layer) for layer in layers}
        found = self.read(params, image if seen is None else seen, readers)
        parts = {
            CONTENT: (targets.content, weights.content_layers),
            STYLE: (targets.style, weights.style_layers),
            ACTIVATION: (targets.activation, weights.activation_layers),
        }
        by_layer = {term: {layer: found[layer][term] for layer in of} for term, (of, _) in parts.items()}
        terms = {
            term: sum((shares[layer] * by_layer[term][layer] for layer in of), start=jnp.float32(0))
            for term, (of, shares) in parts.items()
            if of or term != ACTIVATION
        }
        terms[VARIATION] = losses.VARIATION_LOSSES[self.variation_loss](image)
        total = weights.content * terms[CONTENT] + weights.style * terms[STYLE] + weights.variation * terms[VARIATION]
        if targets.activation:
            total -= weights.activation * terms[ACTIVATION]
        terms |= {f"{term}/{layer}": value for term, values in by_layer.items() for layer, value in values.items()}
        return total, terms

    def _style_error(self, found: jax.Array, grams: jax.Array, shares: jax.Array) -> jax.Array:
        """Returns how far a Gram matrix `[C, C]` is from those of the paintings `[S, C, C]` with shares `[S]`."""
        formula = losses.STYLE_LOSSES[self.style_loss]
        if self.blending == "targets":
            return formula(found, jnp.einsum("s,scd->cd", shares, grams, precision=jax.lax.Precision.HIGHEST))
        return jnp.vdot(shares, jax.vmap(formula, in_axes=(None, 0))(found, grams))


def _at_least_single(values: jax.Array) -> jax.Array:
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))
