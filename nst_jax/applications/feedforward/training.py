"""Training of networks that paint: one self-contained pytree, from style images and settings to a trained network.

    training = prepare(pretrained, settings, network, styles, steps=steps)
    state = training.init(key)
    state, losses = step(training, state, batch)

The objective is that of every transfer; only its targets are made in the step. Losses of single pictures are mapped
over the batch (`jax.vmap`). What a network learns follows from its kind:

| network | content's target | style's target |
|---|---|---|
| `Transformer` | each content image of the batch | by the number of its style, measured once |
| `Predicted` | the same | a style image of the batch, which the predictor sees |
| `Doodle` | none | that of each region of the style image, measured once, in the regions of a map of the batch |

Every style by number has an equal share of the style loss: its weight is divided by a moving average of its own error,
and multiplied by the mean of all averages, so that the ratio of style to content stays what the settings say.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh, PartitionSpec

from nst_jax.applications.feedforward import painting
from nst_jax.applications.feedforward.networks import (
    PAINTER,
    Doodle,
    Predicted,
    Transformer,
    network_parameters,
)
from nst_jax.applications.feedforward.steps import Conv, Norm, Residual, Step, Transposed, layers
from nst_jax.applications.feedforward.trained import Trained, grouped
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.checks import check_images
from nst_jax.compilation import Jit
from nst_jax.configuration import make_config
from nst_jax.errors import UserError
from nst_jax.guidance import positions
from nst_jax.objective import Objective, RegionWeights, Weights
from nst_jax.parallel import CELLS, replicate
from nst_jax.regions import Regions
from nst_jax.rendering.shifts import shift, shifted
from nst_jax.settings import Settings
from nst_jax.surroundings import float32_on_device, int32_on_device, jax_defaults
from nst_jax.targets import Layers, layers_of, make_targets, make_weights, measure_style, network_layers, stack
from nst_jax.terms import ACTIVATION, CANVAS, CONTENT, STYLE

_MEMORY = 0.98
"""Decay of the moving average of a style's error, for each picture in that style."""

_STYLES = "styles"

Variables = dict[str, jax.Array]
"""`part/layer/role` → values."""


class Batch(struct.PyTreeNode):
    """What a step trains with.

    Attributes:
        contents: what each picture is painted from, `[N, H, W, C]`: content images, RGB in [0, 1], or what
            `doodles.painted_from` returns.
        styles: the number of the style of each, `[N]`, int32; 0 where styles have none.
        canvas: term → what it knows of each content image, `[N, ...]`, see `Training.canvas_targets`.
        shown: the style images that a predictor sees, `[N, S, S, 3]`, RGB in [0, 1].
        regions: those of each map, with a leading axis N, see `Training.regions_of`.
    """

    contents: Any  # of JAX or, until they are placed, of NumPy
    styles: Any
    canvas: dict[str, Any]
    shown: Any = None
    regions: RegionWeights | None = None


class State(struct.PyTreeNode):
    """The state of a training.

    Attributes:
        variables: what is trained.
        memory: Adam's moments.
        step: number of steps done.
        errors: `[K]`, the moving average of the error of each style by number, or of all together; 0 for one without a
            picture so far.
        weights: `[K]`, what of the weight of that average is behind it: 1 − decay^pictures.
    """

    variables: Variables
    memory: Any
    step: jax.Array
    errors: jax.Array
    weights: jax.Array


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The static, compiled part. Hashable.

    Attributes:
        network: the network.
        objective: the loss network and the formulas.
        settings: the source of targets, shifts and precision.
        first: number of the first style that is trained.
        mesh: devices that share each batch, see `Training.over`.
    """

    network: Transformer | Predicted | Doodle
    objective: Objective
    settings: Settings
    first: int = 0
    mesh: Mesh | None = None

    @property
    def layers(self) -> Layers:
        """The layers of each term."""
        return layers_of(self.settings)


class Training(struct.PyTreeNode):
    """A training, self-contained: a pytree whose static part is the program and whose arrays are the data.

    Attributes:
        backbone: parameters of the loss network, see `Objective.prepare`.
        targets: layer → target of the style images, `[K, ...]`, of a doodle's regions `[1, R, ...]`; empty with a
            predictor.
        weights: weights of the terms.
        frozen: what is not trained, by the names of variables; of styles that are there already, the first rows.
        learning_rate: Adam's.
        steps: number of steps of the whole training.
        fade: number of steps at the end over which the learning rate falls to 0.
        config: the static part.
    """

    backbone: Any
    targets: dict[str, Any]
    weights: Weights
    frozen: Variables
    learning_rate: jax.Array
    steps: jax.Array
    fade: jax.Array
    config: TrainingConfig = struct.field(pytree_node=False)

    def init(self, key: jax.Array) -> State:
        """Returns the state before the first step; of new styles in a trained network, the mean of those in it."""
        fresh = named(painting.initial(self.config.network, key))
        variables = {name: values for name, values in fresh.items() if name not in self.frozen}
        for name, old in self.frozen.items():
            if len(old) < len(fresh[name]):
                new = len(fresh[name]) - len(old)
                variables[name] = jnp.broadcast_to(old.mean(axis=0, keepdims=True), (new, old.shape[1]))
        errors, weights = (float32_on_device(np.zeros(self._count)) for _ in range(2))  # two, as both are given up
        with jax_defaults(variables):
            memory = self._adam.init(variables)
        return State(variables, memory, int32_on_device(0), errors, weights)

    def step(self, state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        """Returns the state after one step on a batch, and the losses found in it: their mean, the mean of each term
        and layer, and as `styles` the moving averages `[K]`.
        """
        mesh = self.config.mesh
        gradients, found = self._spread(mesh)(self, state, batch) if mesh else self._gradients(state, batch)
        with jax_defaults(state.variables):
            updates, memory = self._adam.update(gradients, state.memory)
        rate = -self.rate(state.step)
        variables = {name: values + rate * updates[name] for name, values in state.variables.items()}
        errors, weights = self._averaged(state, found.pop(_STYLES), found[STYLE])
        after = State(variables, memory, state.step + 1, errors, weights)
        means = {name: values.mean() for name, values in found.items()}
        return after, {**means, _STYLES: errors / jnp.maximum(weights, 1e-9)}

    def _gradients(self, state: State, batch: Batch) -> tuple[Variables, dict[str, jax.Array]]:
        """Returns the gradient of the mean loss, and the loss, terms and style of each picture, `[N]`."""

        def loss(variables: Variables) -> tuple[jax.Array, dict[str, jax.Array]]:
            params = grouped(self.whole(variables), self.config.network)
            each = jax.vmap(self._loss, in_axes=(None, None, None, 0))
            totals, terms = each(params, shares(state.errors, state.weights), state.step, batch)
            return totals.mean(), {"loss": totals, **terms, _STYLES: batch.styles}

        return jax.grad(loss, has_aux=True)(state.variables)

    @staticmethod
    def _spread(mesh: Mesh) -> Any:
        """Returns `_gradients` of a batch whose pictures are spread over the devices of a mesh.

        Their parts are added up by name: left to XLA's partitioner (jax 0.10, CPUs), gradients of kernels were those of
        one device's pictures alone.
        """

        def own(training: Training, state: State, batch: Batch) -> tuple[Variables, dict[str, jax.Array]]:
            gradients, found = training._gradients(state, batch)
            return jax.lax.pmean(gradients, CELLS), jax.lax.all_gather(found, CELLS, tiled=True)

        everywhere, rows = PartitionSpec(), PartitionSpec(CELLS)
        return jax.shard_map(
            own, mesh=mesh, in_specs=(everywhere, everywhere, rows), out_specs=everywhere, check_vma=False
        )

    def over(self, mesh: Mesh) -> "Training":
        """Returns the same on all devices of a mesh, whose `cells` share each batch."""
        config = dataclasses.replace(self.config, mesh=mesh)
        return replicate(jax.device_get(self.replace(config=config)), mesh)

    def whole(self, variables: Variables) -> Variables:
        """Returns all parameters: those that are trained, those that are not, and tables that have rows of both."""
        found = {**self.frozen, **variables}
        for name in self.frozen.keys() & variables.keys():
            found[name] = jnp.concatenate([self.frozen[name], variables[name]])
        return {name: found[name] for name in network_parameters(self.config.network)}

    def rate(self, step: jax.Array) -> jax.Array:
        """Returns the learning rate of a step."""
        left = (self.steps - step).astype(jnp.float32)
        return self.learning_rate * jnp.minimum(1.0, left / jnp.maximum(self.fade, 1.0))

    def canvas_targets(self, content: np.ndarray) -> dict[str, np.ndarray]:
        """Returns term → what the terms of the canvas know of a content image `[H, W, 3]`; computed on the host."""
        return {
            term: np.asarray(formula.target(content))
            for term, formula in self.config.objective.formulas
            if CANVAS in self.config.layers.get(term, ()) and formula.target
        }

    def regions_of(self, guides: np.ndarray, step: int) -> RegionWeights:
        """Returns the regions of a map `[H, W, R]`, as the loss network sees it at a step; computed on the host.

        All that the map has count alike, however small they are.
        """
        config, settings = self.config, self.config.settings
        has = guides.max(axis=(0, 1)) > 0
        filled = np.where(
            has, guides, np.float32(1)
        )  # of what is not there the statistics are of all, and weigh nothing
        seen = np.roll(filled, shift(step % settings.shifts, settings.shifts), (0, 1))
        found = positions(
            config.objective.backbone, config.layers[STYLE], seen, settings.region_guides, what="random map"
        )
        return RegionWeights((has / has.sum()).astype(np.float32), found)

    def _loss(
        self, params: Any, factors: jax.Array, step: jax.Array, sample: Batch
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the loss of one picture, and its terms."""
        config, settings = self.config, self.config.settings
        objective, layers = config.objective, config.layers

        def seen(image: jax.Array) -> jax.Array:
            return shifted(image, step % settings.shifts, settings.shifts) if settings.shifts > 1 else image

        def measured(image: jax.Array, term: str) -> dict[str, Any]:
            return objective.statistics(self.backbone, image, term, layers[term])

        picture = self._paint(params, sample)
        targets = make_targets(
            objective.backbone,
            settings,
            layers,
            content=measured(seen(sample.contents), CONTENT) if layers[CONTENT] else {},
            styles=[
                jax.tree.map(lambda of: of[sample.styles], self.targets)
                if sample.shown is None
                else measured(sample.shown, STYLE)
            ],
            canvas=sample.canvas,
        )
        terms = {**self.weights.terms, STYLE: self.weights.terms[STYLE] * factors[sample.styles]}
        weights = self.weights.replace(terms=terms, regions=sample.regions)
        return objective.loss(self.backbone, picture, targets, weights, seen=seen(picture))

    def _paint(self, params: Any, sample: Batch) -> jax.Array:
        config, precision = self.config, self.config.settings.precision
        wide = precision == "float32"
        code: Any = None
        match config.network:
            case Transformer():
                code = jax.nn.one_hot(sample.styles + config.first, config.network.styles, dtype=jnp.float32)
            case Predicted():
                code = painting.encode(config.network, params, sample.shown)
            case Doodle():
                pass
            case _:
                assert_never(config.network)
        picture = painting.unclipped(
            config.network,
            params,
            sample.contents.astype(jnp.bfloat16) if precision == "bfloat16" else sample.contents,
            code,
            precision=jax.lax.Precision.HIGHEST if wide else jax.lax.Precision.DEFAULT,
        )
        return picture.astype(jnp.float32)

    def _averaged(self, state: State, styles: jax.Array, errors: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the moving averages of the styles, and their weights, with the errors `[N]` of a batch."""
        among = jax.nn.one_hot(styles, self._count, dtype=jnp.float32)
        count = among.sum(axis=0)
        mean = jnp.dot(errors, among, precision=jax.lax.Precision.HIGHEST) / jnp.maximum(count, 1.0)
        kept = _MEMORY**count
        return state.errors * kept + (1 - kept) * mean, state.weights * kept + (1 - kept)

    @property
    def _count(self) -> int:
        network = self.config.network
        return network.styles - self.config.first if isinstance(network, Transformer) else 1

    @property
    def _adam(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(b2=self.config.settings.adam_decay)


def shares(errors: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns the factor of each style's weight, `[K]`, from its moving average, see `State`; 1 of an unknown one."""
    known = weights > 0
    means = jnp.where(known, errors / jnp.where(known, weights, 1.0), 0.0)
    mean = means.sum() / jnp.maximum(known.sum(), 1)
    return jnp.where(known, mean / jnp.where(means > 0, means, 1.0), 1.0)


def _step(training: Training, state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
    return training.step(state, batch)


step = Jit(_step, donate_argnums=1)
"""`Training.step`, compiled: (training, state, batch) → (state, losses). The state that it is given is given up."""


def prepare(
    pretrained: Pretrained,
    settings: Settings,
    network: Transformer | Predicted | Doodle,
    styles: Sequence[np.ndarray],
    guides: np.ndarray | None = None,
    *,
    size: int,
    steps: int,
    fade: float = 0.0,
    trained: Trained | None = None,
) -> Training:
    """Measures the style images and returns the training.

    Args:
        pretrained: the loss network.
        settings: the objective, and the learning rate; without content layers for a doodle.
        network: the network, with a code for every style.
        styles: the style images that are trained, `[H, W, 3]` each, RGB in [0, 1]; of a doodle the only one. Where a
            predictor sees those of the batch, one of their size.
        guides: how much each pixel of a doodle's style image belongs to each region, `[H, W, R]`.
        size: side of the content images, in pixels.
        steps: number of steps of the whole training.
        fade: share of them, at the end, over which the learning rate falls to 0.
        trained: a trained network, whose weights stay as they are; `network` is `with_more_styles` of it.

    Raises:
        UserError: the settings do not fit.
    """
    config = make_config(pretrained.backbone, settings)
    if config.objective.chooses or ACTIVATION in layers_of(settings):
        raise UserError("style_loss, dream_layers: expected terms that need no start, found some; leave them out")
    regions = None
    if guides is not None:
        count = guides.shape[-1]
        regions = Regions(np.full((size, size, count), 1 / count, np.float32), (guides,))
    for image in styles:
        check_images(pretrained.backbone, settings, np.zeros((size, size, 3), np.float32), [image], regions=regions)
    found = layers_of(settings)
    params = config.objective.prepare(jax.device_put(pretrained.params), network_layers(found))
    targets = [
        measure_style(
            params,
            float32_on_device(image),
            guides,
            settings.region_guides,
            objective=config.objective,
            layers=found[STYLE],
        )
        for image in ([] if isinstance(network, Predicted) else styles)
    ]
    weights = make_weights(settings, found, style_images=1, regions=regions)
    frozen = {} if trained is None else _as_table(named(trained.params), trained.network)
    return Training(
        backbone=params,
        targets=stack(targets),
        weights=weights,
        frozen=jax.tree.map(float32_on_device, frozen),
        learning_rate=float32_on_device(settings.learning_rate),
        steps=int32_on_device(steps),
        fade=float32_on_device(round(fade * steps)),
        config=TrainingConfig(
            network,
            config.objective,
            settings,
            network.styles - len(styles) if isinstance(network, Transformer) else 0,
        ),
    )


def with_more_styles(network: Any, count: int) -> Transformer:
    """Returns a trained network with places for more styles behind those in it.

    Raises:
        UserError: it has no place for styles.
    """
    if not isinstance(network, Transformer) or not any(layer.norm for layer, _ in layers(network.steps, 3)):
        raise UserError("finetune: expected a network with its styles in it and normalised layers, found another")
    total = max(network.styles, 1) + count
    return dataclasses.replace(network, steps=tuple(_with_code(step, total) for step in network.steps), styles=total)


def named(params: Mapping[str, Any]) -> Variables:
    """Returns part → variables of `Painter` as `part/layer/role` → values, which `trained.grouped` undoes."""
    return {f"{part}/{name}": values for part, of in params.items() for name, values in of["params"].items()}


def _with_code(step: Step, code: int) -> Step:
    match step:
        case Conv() | Transposed():
            return step if step.norm is None else dataclasses.replace(step, norm=_coded(step.norm, code))
        case Residual():
            return Residual(tuple(_with_code(part, code) for part in step.steps))
        case _:
            return step


def _coded(norm: Norm, code: int) -> Norm:
    return dataclasses.replace(norm, code=code)


def _as_table(tensors: Variables, network: Any) -> Variables:
    """Returns the tensors of a network with the scales and shifts of its only style as a table of one row."""
    coded = {
        f"{PAINTER}/{layer.name}/{role}"
        for layer, _ in layers(network.steps, 3)
        if layer.norm is not None and not layer.norm.code
        for role in ("scale", "shift")
    }
    return {name: values[None] if name in coded else values for name, values in tensors.items()}
