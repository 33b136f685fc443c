"""Kinds of terms of the loss, as data: content, style, total variation, activation.

A row of `TERMS` lists the formulas of its kind, names its options, and says whether it is minimised or maximised.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from nst_jax import activations, losses
from nst_jax.losses import Term
from nst_jax.tiling import CANVAS as CANVAS

CONTENT = "content"
STYLE = "style"
VARIATION = "total_variation"
ACTIVATION = "activation"


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
