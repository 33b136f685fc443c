"""The objective: from a canvas and its targets to one scalar and its named terms.

Targets and weights are pytrees keyed by term and layer, so that blending, sweeping and sharding treat all terms alike.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh

from nst_jax import tiling
from nst_jax.backbones import features
from nst_jax.backbones.spec import Backbone
from nst_jax.losses import Term
from nst_jax.measuring import Positions, in_tiles, measured
from nst_jax.ops.blur import blur
from nst_jax.ops.circular_padding import CIRCULAR
from nst_jax.smoothing import smoothed
from nst_jax.terms import CANVAS, CONTENT, STYLE, TERMS
from nst_jax.vocabulary import Blending, Padding, Pooling, Precision, Smoothing

Targets = dict[str, dict[str, Any]]
"""Term → layer → target of the statistic. Content: features `[H, W, C]`. Style: that of each style image, mostly its
statistic, with a leading axis `[S, ...]`; with regions that of each region in it, `[S, R, ...]`. Activation: weights of
the channels `[C]`, or the features of a guide `[M, C]`. At the layer `CANVAS`, what a term knows of the content image's
canvas, and total variation: nothing."""

Choices = dict[str, jax.Array]
"""Term → what each position of the picture chose of each style image's target, `[S, P]`; see `losses.Joint`."""


class RegionWeights(struct.PyTreeNode):
    """How much each region counts, and what belongs to it; see `guidance`.

    Attributes:
        terms: `[R]`, the weight of each region's style.
        positions: layer → `[h, w, R]`, the share of each position in the statistic of each region; they add up to 1.
    """

    terms: jax.Array
    positions: dict[str, jax.Array]


class Weights(struct.PyTreeNode):
    """Weights of the terms; all traced, so that changing one recompiles nothing.

    Attributes:
        terms: term → weight: α and β of Gatys et al. 2016, equation 7, and those of total variation and activation.
        layers: term → layer → weight within the term: w_l of equation 5.
        style_images: `[S]`, the share of each style image; they should add up to 1. With regions `[R, S]`, in each.
        regions: the regions; None where the picture has one style.
    """

    terms: dict[str, jax.Array | float]
    layers: dict[str, dict[str, jax.Array | float]]
    style_images: jax.Array
    regions: RegionWeights | None = None


@dataclasses.dataclass(frozen=True)
class Objective:
    """The network, its options and the formulas. Hashable: a static argument of jit.

    Attributes:
        backbone: the network.
        pooling: see `vocabulary.Pooling`.
        padding: see `vocabulary.Padding`.
        antialias: whether the network sees images blurred by one pixel.
        precision: see `vocabulary.Precision`.
        remat: whether the gradient recomputes activations instead of storing them.
        formulas: (term in `TERMS`, its formula).
        blending: see `vocabulary.Blending`.
        rotations: whether style images are also turned by 90, 180 and 270 degrees.
        smoothing: see `vocabulary.Smoothing`; without tiles.
        tile: about how many pixels a side the parts have in which the network sees a picture; 0 for all of it at once.
        mesh: devices among which these parts are divided; see `parallel.spread_tiles`.
    """

    backbone: Backbone
    pooling: Pooling
    padding: Padding
    antialias: bool
    precision: Precision
    remat: bool
    formulas: tuple[tuple[str, Term], ...]
    blending: Blending
    rotations: bool = False
    smoothing: Smoothing = "none"
    tile: int = 0
    mesh: Mesh | None = None

    def prepare(self, params: Any, layers: Sequence[str]) -> Any:
        """Returns the parameters, with constants that speed up many evaluations at these layers; not for training.

        Prepared parameters are returned unchanged.
        """
        # The constants take memory, which remat is there to save, and they are in single precision.
        if features.PREPARED in params or self.remat or self.precision != "float32":
            return params
        return features.prepare(params, self.backbone, layers)

    def statistics(
        self,
        params: Any,
        image: jax.Array,
        term: str,
        layers: Sequence[str],
        positions: Sequence[Positions] = (),
    ) -> dict[str, Any]:
        """Returns layer → target of a term, for the target image `[H, W, 3]`; most are its statistics.

        Prepared constants are not used.

        Args:
            params: parameters of the backbone.
            image: the target image.
            term: the term.
            layers: its layers.
            positions: those of each region in the image, and with `rotations` in each turned one; nothing for targets
                of the whole image.
        """
        turns = 4 if self.rotations and TERMS[term].blended else 1
        each = [
            self._statistics(params, jnp.rot90(image, turn) if turn else image, term, layers, own)
            for turn, own in zip(range(turns), positions or [{}] * turns, strict=True)
        ]
        if turns == 1:
            return each[0]
        formula = dict(self.formulas)[term]
        return {layer: _pooled(formula, [of[layer] for of in each]) for layer in layers}

    def _statistics(
        self, params: Any, image: jax.Array, term: str, layers: Sequence[str], positions: Positions
    ) -> dict[str, Any]:
        """Returns the same for an image as it is."""
        # A style image does not repeat: wrapped, its statistics would include a seam that the picture should not have.
        plain = TERMS[term].blended and self.padding == CIRCULAR
        padding: Padding = "reflect" if plain else self.padding
        image = blur(image, wrap=padding == CIRCULAR) if self.antialias else image
        formula, params = dict(self.formulas)[term], {"params": params["params"]}
        windows = self._windows(padding, image, layers)
        if windows is None:

            def target(layer: str, values: jax.Array) -> Any:
                aligned = _aligned(formula, self._smoothed(term, values), image.shape)
                return formula.target(aligned) if formula.target else measured(formula, aligned, positions.get(layer))

            return self._read(padding, params, image, {layer: functools.partial(target, layer) for layer in layers})
        if formula.sum is None:
            found = self._in_tiles(windows, padding, params, image, {of: {term: None} for of in layers}, positions)
            return {layer: of[term] for layer, of in found.items()}

        def read(params: Any, pixels: jax.Array, _: tiling.Tile) -> dict[str, Any]:
            return self._read(_inside(padding), params, pixels, dict.fromkeys(layers, formula.statistic))

        return tiling.maps(windows, read, params, image)

    @property
    def chooses(self) -> bool:
        """Whether a term compares what `choose` chose."""
        return any(formula.joint for _, formula in self.formulas)

    def choose(self, params: Any, canvas: jax.Array, targets: Targets, weights: Weights) -> Choices:
        """Returns what the positions of a canvas choose of the targets, for the terms whose layers are joint."""
        seen = blur(canvas, wrap=self.padding == CIRCULAR) if self.antialias else canvas
        found: Choices = {}
        for term, formula in self.formulas:
            if formula.joint is None or not targets.get(term):
                continue

            def align(values: jax.Array, term: str = term, formula: Term = formula) -> jax.Array:
                return _aligned(formula, self._smoothed(term, values), canvas.shape)

            values = self._read(self.padding, params, seen, dict.fromkeys(targets[term], align))
            pick = functools.partial(formula.joint.choose, values, weights.layers[term])
            found[term] = jax.lax.map(pick, targets[term])  # one style image after the other, to save memory
        return found

    def loss(
        self,
        params: Any,
        canvas: jax.Array,
        targets: Targets,
        weights: Weights,
        *,
        seen: jax.Array | None = None,
        chosen: Choices | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns Σ ± w_t Σ_l w_tl error_t(statistic_t(F_l), target_tl) over terms t and layers l, and every term.

        Args:
            params: parameters of the backbone.
            canvas: `[H, W, 3]`, RGB in [0, 1].
            targets: targets at all layers in use.
            weights: weights with an entry for each of these layers.
            seen: `[H, W, 3]`, the input of the network if it is not the canvas.
            chosen: what `choose` returned for the canvas of the start.

        Returns:
            The scalar; and by name the unweighted terms (`content`, `style`, ...) and the unweighted errors of layers
            (`content/conv4_2`, `style/conv1_1`, ...).
        """

        def errors(layer: str, values: jax.Array) -> dict[str, Any]:
            return {
                term: jax.vmap(formula.joint.part, in_axes=(None, 0, 0))(
                    _aligned(formula, self._smoothed(term, values), canvas.shape), targets[term][layer], choices[term]
                )
                if formula.joint
                else self._error(layer, term, self._smoothed(term, values), targets[term][layer], weights)
                for term, formula in self.formulas
                if layer in targets.get(term, ())
            }

        choices = chosen or {}
        layers = dict.fromkeys(layer for of in targets.values() for layer in of if layer != CANVAS)
        seen = canvas if seen is None else seen
        seen = blur(seen, wrap=self.padding == CIRCULAR) if self.antialias else seen
        windows = self._windows(self.padding, seen, tuple(layers), halo=self._halo(targets))
        if windows is None:
            readers: dict[str, Callable] = {layer: functools.partial(errors, layer) for layer in layers}
            found = self._read(self.padding, params, seen, readers)
        else:
            found = self._errors_in_tiles(
                windows, params, seen, targets, weights, with_canvas=seen is canvas and self.padding != CIRCULAR
            )
        if CANVAS not in found:
            found[CANVAS] = self._errors_of_canvas(windows, params, canvas, targets, weights) or errors(CANVAS, canvas)
        present = [term for term, _ in self.formulas if term in targets]
        by_layer = {term: {layer: found[layer][term] for layer in targets[term]} for term in present}
        nothing = jnp.zeros((), jnp.float32)

        def added(term: str, of: Mapping[str, Any]) -> Any:
            each = [weights.layers[term][layer] for layer in of]
            return jax.tree.map(
                lambda *parts: sum((weight * part for weight, part in zip(each, parts, strict=True)), start=nothing),
                *of.values(),
            )

        terms = {term: self._joined(term, added(term, of), weights) if of else nothing for term, of in by_layer.items()}
        total = sum(
            (TERMS[term].sign * (weights.terms[term] * of) for term, of in terms.items()),
            start=nothing,
        )
        named = {
            f"{term}/{layer}": self._joined(term, part, weights)
            for term, of in by_layer.items()
            for layer, part in of.items()
        }
        return total, terms | {name: error for name, error in named.items() if not name.endswith(f"/{CANVAS}")}

    def _joined(self, term: str, part: Any, weights: Weights) -> jax.Array:
        """Returns the error of one layer's part, or of several that were added up, where it is not that already."""
        joint = dict(self.formulas)[term].joint
        return part if joint is None else jnp.vdot(weights.style_images, jax.vmap(joint.error)(part))

    def _read(self, padding: Padding, params: Any, image: jax.Array, readers: Mapping[str, Callable]) -> dict[str, Any]:
        network = features.Features(self.backbone, self.pooling, padding, self.precision, self.remat)
        return cast(dict[str, Any], network.apply(params, image, readers))  # Linen's apply is untyped

    def _smoothed(self, term: str, values: jax.Array) -> jax.Array:
        """Returns a layer's features as a term sees them."""
        return smoothed(values, self.smoothing) if term in (CONTENT, STYLE) else values

    def _error(self, layer: str, term: str, values: jax.Array, target: Any, weights: Weights) -> jax.Array:
        """Returns the error of a layer's features."""
        formula, regions = dict(self.formulas)[term], weights.regions
        own = regions.positions[layer] if regions is not None and TERMS[term].blended else None
        return self._compared(term, formula, measured(formula, values, own), target, weights)

    def _compared(self, term: str, formula: Term, found: Any, target: Any, weights: Weights) -> jax.Array:
        """Returns the error of a layer's statistic; the target of a blended term is `[S, ...]`, one per style image."""
        if not TERMS[term].blended:
            return formula.error(found, target)
        if weights.regions is None:
            return self._blended(formula, found, target, weights.style_images)
        each = jax.vmap(functools.partial(self._blended, formula), in_axes=(0, 1, 0))
        return jnp.vdot(weights.regions.terms, each(found, target, weights.style_images))

    def _blended(self, formula: Term, found: Any, target: Any, shares: jax.Array) -> jax.Array:
        """Returns the error of a statistic and those of several style images `[S, ...]`, by their shares `[S]`."""
        if self.blending == "losses":
            return jnp.vdot(shares, jax.vmap(formula.error, in_axes=(None, 0))(found, target))
        blend = functools.partial(jnp.tensordot, shares, axes=1, precision=jax.lax.Precision.HIGHEST)
        return formula.error(found, jax.tree.map(blend, target))

    def _halo(self, targets: Targets) -> int:
        """Returns how many pixels on each side the terms of the canvas see."""
        return max((of.sum.halo for term, of in self.formulas if of.sum and CANVAS in targets.get(term, ())), default=1)

    def _windows(
        self, padding: Padding, image: jax.Array, layers: Sequence[str], *, halo: int = 1
    ) -> tiling.Layout | None:
        """Returns the windows in which the network sees a picture, None if it sees all of it at once."""
        if not self.tile:
            return None
        height, width, _ = image.shape
        around = padding == CIRCULAR
        return tiling.layout(self.backbone, tuple(layers), (height, width), self.tile, around=around, halo=halo)

    def _errors_in_tiles(
        self,
        windows: tiling.Layout,
        params: Any,
        image: jax.Array,
        targets: Targets,
        weights: Weights,
        *,
        with_canvas: bool,
    ) -> dict[str, dict[str, jax.Array]]:
        """Returns layer → term → error, each of what is added up window by window.

        Those of the canvas are among them where the image is the canvas and they are sums: all at once, they take four
        more arrays of its size.
        """
        formulas = dict(self.formulas)
        layers = dict.fromkeys(layer for of in targets.values() for layer in of)
        if not with_canvas or any(CANVAS in targets.get(term, ()) and of.sum is None for term, of in formulas.items()):
            layers.pop(CANVAS, None)
        wanted: dict[str, dict[str, Any]] = {
            layer: {term: targets[term][layer] for term in formulas if layer in targets.get(term, ())}
            for layer in layers
        }
        within = {
            layer: {term: target if formulas[term].sum else None for term, target in of.items()}
            for layer, of in wanted.items()
        }

        def error(layer: str, term: str, found: Any, target: Any) -> jax.Array:
            by_sum = formulas[term].sum
            if by_sum is not None:
                return by_sum.error(found, windows.extent(layer), target)
            return self._compared(term, formulas[term], found, target, weights)

        positions = weights.regions.positions if weights.regions else {}
        found = self._in_tiles(windows, self.padding, params, image, within, positions)
        return {
            layer: {term: error(layer, term, found[layer][term], target) for term, target in of.items()}
            for layer, of in wanted.items()
        }

    def _errors_of_canvas(
        self, windows: tiling.Layout | None, params: Any, canvas: jax.Array, targets: Targets, weights: Weights
    ) -> dict[str, jax.Array]:
        """Returns term → error of the terms of the canvas in tiles, where the network sees another image than that.

        Nothing if there are no tiles, or no term that compares the canvas with a map, which are those that take memory.
        """
        mine = {term: {CANVAS: of[CANVAS]} for term, of in targets.items() if CANVAS in of}
        sums = [dict(self.formulas)[term].sum for term in mine]
        if windows is None or self.padding == CIRCULAR or not all(sums) or not any(of and of.maps for of in sums):
            return {}
        return self._errors_in_tiles(windows, params, canvas, mine, weights, with_canvas=True)[CANVAS]

    def _in_tiles(
        self,
        windows: tiling.Layout,
        padding: Padding,
        params: Any,
        image: jax.Array,
        targets: Mapping[str, Mapping[str, Any]],
        positions: Positions,
    ) -> dict[str, dict[str, Any]]:
        """Returns layer → term → what `measuring.in_tiles` adds up over the windows of an image."""
        read = functools.partial(self._read, _inside(padding))
        return in_tiles(windows, read, dict(self.formulas), params, image, targets, positions, mesh=self.mesh)


def _pooled(formula: Term, targets: Sequence[Any]) -> Any:
    """Returns the target of several images of equal size together."""
    if formula.pool:
        return formula.pool(targets)
    return jax.tree.map(lambda *each: sum(each[1:], start=each[0]) / len(each), *targets)


def _aligned(formula: Term, features: jax.Array, picture: Sequence[int]) -> jax.Array:
    """Returns features as a formula compares them: of joint layers at positions of a picture that all share."""
    height, width, *_ = picture
    return formula.joint.align(features, (height, width)) if formula.joint else features


def _inside(padding: Padding) -> Padding:
    """Returns the padding within windows: those of a picture that repeats itself have their surroundings in them."""
    return "zeros" if padding == CIRCULAR else padding
