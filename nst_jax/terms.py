"""Kinds of terms of the loss, as data: content, style, total variation, edges, matting, activation.

A row of `TERMS` lists the formulas of its kind, names its options, and says whether it is minimised or maximised.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from nst_jax import activations, losses
from nst_jax.losses import Term
from nst_jax.settings import Settings
from nst_jax.tiling import CANVAS as CANVAS

CONTENT = "content"
STYLE = "style"
VARIATION = "total_variation"
LAPLACIAN = "laplacian"
MATTING = "matting"
ACTIVATION = "activation"

STEEPNESS = (2.0, 1.0)
"""Powers of s / (1 − s) with which strength s changes the ratio of style to content, below and above 0.5: with them
the content error grows about evenly."""


class TermKind(NamedTuple):
    """A kind of term, whatever its formula.

    Attributes:
        formulas: name → formula, or the only one under None.
        formula: the option of `Settings` that names the formula; None where there is a single one.
        weight: the option that holds the weight.
        layers: the option that names the layers; None for a term of the canvas itself.
        layer_weights: the option that holds the layers' weights: one per layer, one for all, or none for 1 / number of
            layers each; None for a term whose layers all have weight 1.
        label: short name of the term and its layers.
        sign: 1 to minimise the term, −1 to maximise it.
        blended: whether it has one target per style image.
        keeps: whether it holds the picture to the content image; what does not makes it another.
        always: whether it is reported, as 0, even without layers; one of the canvas, even with weight 0. Another has a
            target, or costs time, that a transfer without it should not have.
    """

    formulas: Mapping[Any, Term]
    formula: str | None
    weight: str
    layers: str | None
    label: str
    layer_weights: str | None = None
    sign: int = 1
    blended: bool = False
    keeps: bool = False
    always: bool = True

    def chosen(self, settings: Settings) -> Term:
        """Returns the formula that settings name."""
        return self.formulas[getattr(settings, self.formula) if self.formula else None]

    def weight_in(self, settings: Settings) -> float:
        """Returns its weight in settings, with their strength.

        With a ratio r of what makes another picture to what keeps the content image, r or 1 / r, whichever is less than
        1, is a factor of its side: so no weight grows, one side is left alone at each end, and total variation, which
        is on the side of style, goes with it.
        """
        return float(getattr(settings, self.weight) * shares(settings.strength)[0 if self.keeps else 1])

    def layers_in(self, settings: Settings) -> tuple[str, ...]:
        """Returns the layers at which settings have it."""
        if self.layers:
            return tuple(getattr(settings, self.layers))
        return (CANVAS,) if self.always or getattr(settings, self.weight) else ()


def shares(strength: float) -> tuple[float, float]:
    """Returns the factors of the weights of what keeps the content image, and of what does not; 1 and 1 at 0.5."""
    if strength <= 0.5:
        return 1.0, (strength / (1 - strength)) ** STEEPNESS[0]
    return ((1 - strength) / strength) ** STEEPNESS[1], 1.0


TERMS: dict[str, TermKind] = {
    CONTENT: TermKind(losses.CONTENT_LOSSES, "content_loss", "content_weight", "content_layers", "content", keeps=True),
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
    LAPLACIAN: TermKind(
        losses.LAPLACIAN_LOSSES, "laplacian_pool", "laplacian_weight", None, "laplacian", keeps=True, always=False
    ),
    MATTING: TermKind({None: losses.MATTING_LOSS}, None, "matting_weight", None, "matting", keeps=True, always=False),
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
