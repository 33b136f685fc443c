"""A style transfer: one self-contained pytree, from images and settings to a picture.

`prepare` makes it; `Transfer.init`, `Transfer.step` and `Transfer.result` are the parts of any run.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from nst_jax import guidance, optimize
from nst_jax.backbones.features import PREPARED
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.checks import check_images
from nst_jax.configuration import TransferConfig, make_config
from nst_jax.free_memory import free_bytes
from nst_jax.io.images import Picture
from nst_jax.memory import settled
from nst_jax.objective import Choices, Targets, Weights
from nst_jax.regions import Regions
from nst_jax.rendering.canvas import CUBIC, canvas_shape, crop, extend, resize
from nst_jax.rendering.colour_matching import matched
from nst_jax.rendering.grey import is_grey, paints_grey, project
from nst_jax.rendering.luminance import chroma, recoloured
from nst_jax.rendering.parameterization import PARAMETERIZATIONS, Shape
from nst_jax.rendering.shifts import shifted
from nst_jax.rendering.transformation import transform
from nst_jax.settings import Settings
from nst_jax.surroundings import float32_on_device
from nst_jax.targets import (
    Layers,
    layers_of,
    make_targets,
    make_weights,
    measure,
    measure_canvas,
    measure_content,
    measure_style,
    network_layers,
    union,
)
from nst_jax.terms import ACTIVATION, CONTENT, STYLE
from nst_jax.vocabulary import Parameterization

Image = jax.Array | np.ndarray
"""`[H, W, 3]`, RGB in [0, 1]."""


def prepare(
    network: Pretrained,
    settings: Settings,
    content: Image,
    style: Image | Sequence[Image],
    *,
    regions: Regions | None = None,
    guide: Image | None = None,
    solver: optimize.MakeSolver | None = None,
    seed: int = 0,
) -> "Transfer":
    """Matches colours, measures the targets and returns the transfer towards them.

    Args:
        network: the backbone.
        settings: options of the transfer.
        content: the content image, `[H, W, 3]`, RGB in [0, 1].
        style: the style image, `[H', W', 3]`, or several of any sizes, whose styles are blended; an empty list without
            style layers.
        regions: which parts of the content image follow which parts of the style images, and which stay as they are.
        guide: an image `[H', W', 3]` whose features are amplified at the dream layers, for `guided`.
        solver: a function of a learning rate and `bounds`, in place of the settings' optimiser; see
            `optimize.from_optax`.
        seed: seed of random transformations.

    Raises:
        UserError: an array is not an image, a layer is unknown or vanishes at these sizes, or the settings do not fit.
    """
    styles = as_images(style)
    check_images(network.backbone, settings, content, styles, guide, regions=regions)
    content, styles = matched(settings, content, styles)
    return prepare_matched(network, settings, content, styles, guide=guide, regions=regions, solver=solver, seed=seed)


def prepare_matched(
    network: Pretrained,
    settings: Settings,
    content: Image,
    styles: Sequence[Image],
    *,
    guide: Image | None = None,
    regions: Regions | None = None,
    solver: optimize.MakeSolver | None = None,
    seed: int = 0,
) -> "Transfer":
    """Does what `prepare` does, with images that were checked and have their colours matched; see `matched`."""
    backbone = network.backbone
    settings = settled(settings, backbone, [image.shape for image in (content, *styles)], free_bytes())
    config, layers = make_config(backbone, settings, solver=solver), layers_of(settings)
    params, seen = ready(network, settings).params, config.seen(float32_on_device(content))

    def style_targets(image: Image, guides: np.ndarray | None) -> dict[str, Any]:
        return measure_style(
            params,
            float32_on_device(image),
            guides,
            settings.region_guides,
            objective=config.objective,
            layers=layers.get(STYLE, ()),
        )

    targets = make_targets(
        backbone,
        settings,
        layers,
        content=measure_content(
            params,
            extend(seen, settings.margin),
            objective=config.objective,
            layers=layers.get(CONTENT, ()),
            shifts=config.shifts,
        ),
        styles=list(map(style_targets, styles, regions.styles if regions else [None] * len(styles))),
        canvas=measure_canvas(seen, objective=config.objective, layers=layers, margin=settings.margin),
        guide=None
        if guide is None
        else measure(
            params, float32_on_device(guide), objective=config.objective, term=ACTIVATION, layers=settings.dream_layers
        ),
    )
    return assemble(
        params,
        config,
        settings,
        layers,
        targets,
        content,
        style_images=len(styles),
        grey=paints_grey(settings, map(is_grey, (content, *styles))),
        regions=regions,
        seed=seed,
    )


def assemble(
    params: Any,
    config: "TransferConfig",
    settings: Settings,
    layers: Layers,
    targets: Targets,
    content: Image,
    *,
    style_images: int,
    grey: bool,
    regions: Regions | None = None,
    seed: int,
) -> "Transfer":
    """Returns a transfer towards targets that were measured before.

    Args:
        params: parameters of the backbone, prepared or not.
        config: the static part.
        settings: the source of the weights and the learning rate.
        layers: the layers of the settings, perhaps with others, whose weight is 0.
        targets: the targets at all these layers.
        content: the content image, `[H, W, 3]`, in the size of the picture.
        style_images: number of style images.
        grey: whether the picture is grey.
        regions: the regions, if the picture has some.
        seed: seed of random transformations.

    Raises:
        UserError: a region has no style image with a share, or nothing is left of it in a layer.
    """
    height, width, _ = content.shape
    matching = kept = positions = None
    if config.objective.chooses:
        matching = Matching(
            extend(config.seen(float32_on_device(content)), settings.margin), float32_on_device(settings.match_content)
        )
    if regions is not None:
        positions = guidance.canvas_positions(
            config.objective.backbone,
            layers[STYLE],
            regions,
            settings.region_guides,
            margin=settings.margin,
            shifts=config.shifts,
        )
        if regions.keep is not None:
            images = config.seen(float32_on_device(content)), float32_on_device(regions.keep[..., np.newaxis])
            kept = Kept(*(extend(image, settings.margin) for image in images))
    return Transfer(
        params=config.objective.prepare(params, network_layers(layers)),
        targets=targets,
        weights=make_weights(settings, layers, style_images=style_images, regions=regions, positions=positions),
        learning_rate=float32_on_device(settings.learning_rate),
        grey=jax.device_put(np.bool_(grey)),
        key=seed_key(seed),
        matching=matching,
        kept=kept,
        chroma=chroma(float32_on_device(content)) if config.luminance else None,
        config=config,
        canvas=canvas_shape(height, width, settings.margin),
    )


class Matching(struct.PyTreeNode):
    """The content image's part in the picture that chooses among positions of the style image, see `losses.Joint`.

    Attributes:
        content: the canvas of the content image.
        share: its share; the rest is what the transfer starts from.
    """

    content: jax.Array
    share: jax.Array


class Kept(struct.PyTreeNode):
    """What stays of the content image.

    Attributes:
        content: the canvas of the content image, `[H, W, 3]`.
        share: how much of each of its pixels stays, `[H, W, 1]` in [0, 1].
    """

    content: jax.Array
    share: jax.Array

    def put_back(self, canvas: jax.Array) -> jax.Array:
        """Returns a canvas with what stays; where all of a pixel does, to the bit."""
        return self.share * self.content + (1 - self.share) * canvas


class Transfer(struct.PyTreeNode):
    """One transfer, self-contained: a pytree whose static part is the program and whose arrays are the data.

    It works on a canvas `[H + 2 margin, W + 2 margin, 3]`: the picture and a margin that is cropped at the end.

    Attributes:
        params: parameters of the backbone, see `Objective.prepare`.
        targets: the statistics that the canvas is compared with; those of the content image from each shift.
        weights: weights of the terms; the positions of regions from each shift.
        learning_rate: learning rate of the solver.
        grey: whether the canvas is grey.
        key: random key of transformations, and of variables that do not follow from the image alone.
        matching: how what does not change is chosen of the targets; None if nothing is.
        kept: what stays of the content image; None if nothing does.
        chroma: what is added to the luminance that is painted, `[H, W, 3]`; None if colours are painted.
        config: the static part.
        canvas: height and width of the canvas.
    """

    params: Any
    targets: Targets
    weights: Weights
    learning_rate: jax.Array
    grey: jax.Array
    key: jax.Array
    matching: Matching | None
    kept: Kept | None
    chroma: jax.Array | None
    config: TransferConfig = struct.field(pytree_node=False)
    canvas: tuple[int, int] = struct.field(pytree_node=False)

    def init(self, image: jax.Array) -> optimize.State:
        """Returns the state of an initial image `[H, W, 3]`, which the first step evaluates, see `optimize.Solver`."""
        canvas = extend(project(self.grey, self.config.seen(image)), self.config.margin)
        variables = self.config.parameterizer.encode(canvas, self.key)
        chosen = self._choose(canvas) if self.matching else None
        return self.solver.init(functools.partial(self.evaluate, chosen=chosen), variables).replace(chosen=chosen)

    def step(self, state: optimize.State) -> tuple[optimize.State, optimize.Info]:
        """Returns the state after one step, and the loss found in it; the first step evaluates the initial image."""
        return self.solver.step(functools.partial(self.evaluate, chosen=state.chosen), state)

    def result(self, state: optimize.State) -> jax.Array:
        """Returns the picture `[H, W, 3]` of a state, without the margin."""
        picture = crop(self.render(self.solver.read(state)), self.config.margin)
        return picture if self.chroma is None else recoloured(picture, self.chroma)

    def carry(self, before: optimize.State, state: optimize.State) -> optimize.State:
        """Returns a state from a start with what goes on from the last state of the same transfer at a coarser scale.

        That is the number of steps, and Adam's memory, as in crowsonkb's style-transfer-pytorch: its count, its first
        moments enlarged by the cubic filter, and its second moments linearly, so that none is below 0. Pairs of L-BFGS
        are differences in another space, so that it starts anew; so do averages, and whatever optimises no pixels.
        """
        state = state.replace(step=before.step)
        memories = optax.tree.get_all_with_path(before.memory, "nu")
        if not memories or self.config.parameterization != "pixels":
            return state

        def enlarged(moments: jax.Array, method: Any) -> jax.Array:
            picture = resize(crop(moments, self.config.margin), self.start_shape.shape[:2], method=method)
            return extend(picture, self.config.margin)

        memory = optax.tree.set(
            state.memory,
            count=optax.tree.get_all_with_path(before.memory, "count")[0][1],
            mu=enlarged(optax.tree.get(before.memory, "mu"), CUBIC),
            nu=jnp.maximum(enlarged(memories[0][1], "linear"), 0),
        )
        return state.replace(memory=memory)

    def again(self, state: optimize.State) -> optimize.State:
        """Returns a state of this transfer with other weights as one of it as it is, see `optimize.Solver`."""
        return self.solver.again(state)

    def evaluate(self, variables: jax.Array, step: jax.Array, chosen: Choices | None = None) -> optimize.Evaluation:
        """Returns the loss of the canvas that the variables render to in a step, its terms and its gradient.

        Args:
            variables: the variables.
            step: number of the step.
            chosen: what the start chose, in its state.
        """
        # Pixels are projected themselves, so that they and the canvas are one array, of which a large picture has few.
        pixels = self.config.parameterization == "pixels" and self.kept is None
        variables = project(self.grey, variables) if pixels else variables

        def loss(variables: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
            return self.loss(variables if pixels else self.render(variables), step, chosen)

        (value, terms), gradient = jax.value_and_grad(loss, has_aux=True)(variables)
        gradient = project(self.grey, gradient) if pixels else gradient
        return optimize.Evaluation(variables, value, terms, gradient)

    def loss(
        self, canvas: jax.Array, step: jax.Array, chosen: Choices | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the loss of a canvas as the network sees it in a step, and its terms; see `Objective.loss`."""
        seen, moves, targets, weights = canvas, self.config.transformation, self.targets, self.weights
        if moves.moves:
            seen = transform(moves, canvas, jax.random.fold_in(self.key, step))
        if self.config.shifts > 1:
            turn = step // self.config.shift_steps % self.config.shifts
            seen = shifted(seen, turn, self.config.shifts)
            targets = {**targets, CONTENT: jax.tree.map(lambda of: of[turn], targets[CONTENT])}
            if weights.regions is not None:
                positions = jax.tree.map(lambda of: of[turn], weights.regions.positions)
                weights = weights.replace(regions=weights.regions.replace(positions=positions))
        return self.config.objective.loss(self.params, canvas, targets, weights, seen=seen, chosen=chosen)

    def _choose(self, canvas: jax.Array) -> Choices:
        """Returns what the mean of content image and start, by their shares, chooses of the targets."""
        assert self.matching is not None, "asked for by init"
        content, share = project(self.grey, self.matching.content), self.matching.share
        mean = share * content + (1 - share) * canvas
        return self.config.objective.choose(self.params, mean, self.targets, self.weights)

    def render(self, variables: jax.Array) -> jax.Array:
        """Returns the canvas of the variables."""
        canvas = project(self.grey, self.config.parameterizer.render(variables, self.canvas))
        return canvas if self.kept is None else self.kept.put_back(canvas)

    @property
    def solver(self) -> optimize.Solver:
        """The solver, with the bounds of the variables."""
        solver = self.config.solver(self.learning_rate, bounds=self.config.parameterizer.bounds)
        return optimize.averaged(solver, self.config.averaging) if self.config.averaging else solver

    @property
    def axes(self) -> "Transfer":
        """The axis of cells in each array of stacked transfers; None for the parameters, which all share."""
        arrays = dict.fromkeys(("targets", "weights", "learning_rate", "grey", "key", "matching", "kept", "chroma"), 0)
        return self.replace(params=None, **arrays)

    @property
    def start_shape(self) -> jax.ShapeDtypeStruct:
        """The shape of the image that `init` takes, without margin."""
        height, width = (side - 2 * self.config.margin for side in self.canvas)
        return jax.ShapeDtypeStruct((height, width, 3), jnp.float32)


def initial_image(settings: Settings, content: Image, *, seed: int) -> jax.Array:
    """Returns the initial image `[H, W, 3]`: the content image, noise, or a blend of both.

    The noise is that of the parameterization; that of pixels is white. The more strength there is beyond 0.5, the more
    noise, as a run that starts from the content image keeps its shapes even where nothing asks for them.
    """
    share = {"content": 0.0, "noise": 1.0, "blend": settings.init_noise}[settings.init]
    share = max(share, 2 * settings.strength - 1)
    content = float32_on_device(content)
    if share == 0:
        return content
    height, width, _ = content.shape
    noise = _noise(seed_key(seed), settings.parameterization, (height, width))
    return float32_on_device(1 - share) * content + float32_on_device(share) * noise


@functools.partial(jax.jit, static_argnums=(1, 2))
def _noise(key: jax.Array, parameterization: Parameterization, shape: Shape) -> jax.Array:
    return PARAMETERIZATIONS[parameterization].noise(key, shape)


def seed_key(seed: int) -> jax.Array:
    """Returns the random key of a seed from 0 to 2³² − 1."""
    return jax.random.key(jax.device_put(np.uint32(seed)))


def as_images(images: Image | Sequence[Image]) -> list[Image]:
    """Returns one image `[H, W, 3]`, or several, as a list.

    What is none is left for `checks.check_image` to explain: a `Picture`, which is a tuple but not of images, or the
    rows of one image as lists.
    """
    if isinstance(images, Picture) or (isinstance(images, list) and _depth(images) == 3):
        return [images]  # type: ignore[list-item]
    return list(images) if isinstance(images, list | tuple) or np.ndim(images) == 4 else [images]  # type: ignore[list-item]


def _depth(value: object) -> int:
    """Returns how deep lists are nested, as far as the first item of each tells."""
    return 1 + _depth(value[0]) if isinstance(value, list) and value else 0


def ready(network: Pretrained, *settings: Settings) -> Pretrained:
    """Returns a network with its parameters on the device, prepared for transfers with all these settings.

    `prepare` does so itself; transfers that are prepared from the network returned here share its parameters.
    """
    if PREPARED in network.params:
        return network
    objective = make_config(network.backbone, settings[0]).objective
    layers = network_layers(union(map(layers_of, settings)))
    return network._replace(params=objective.prepare(jax.device_put(network.params), layers))
