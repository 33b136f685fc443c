"""From images and settings to a transfer, and to what it starts from: `prepare`, `initial_image`."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from nst_jax import guidance, optimize
from nst_jax.backbones.features import PREPARED
from nst_jax.backbones.pretrained import Pretrained
from nst_jax.checks import check_images
from nst_jax.configuration import TransferConfig, make_config
from nst_jax.free_memory import free_bytes
from nst_jax.io.images import Picture
from nst_jax.memory import settled
from nst_jax.objective import Targets
from nst_jax.problem import Kept, Matching, Transfer, seed_key
from nst_jax.regions import Regions
from nst_jax.rendering.canvas import canvas_shape, extend
from nst_jax.rendering.colour_matching import matched
from nst_jax.rendering.grey import is_grey, paints_grey
from nst_jax.rendering.luminance import chroma
from nst_jax.rendering.parameterization import PARAMETERIZATIONS, Shape
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
) -> Transfer:
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
) -> Transfer:
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
    config: TransferConfig,
    settings: Settings,
    layers: Layers,
    targets: Targets,
    content: Image,
    *,
    style_images: int,
    grey: bool,
    regions: Regions | None = None,
    seed: int,
) -> Transfer:
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


def initial_image(settings: Settings, content: Image, *, seed: int) -> jax.Array:
    """Returns the initial image `[H, W, 3]`: the content image, noise, or a blend of both.

    The noise is that of the parameterization; that of pixels is white. The more strength there is beyond 0.5, the more
    noise, as a run that starts from the content image keeps its shapes even where nothing asks for them.
    """
    share = 1 - content_share(settings)
    content = float32_on_device(content)
    if share == 0:
        return content
    height, width, _ = content.shape
    noise = _noise(seed_key(seed), settings.parameterization, (height, width))
    return float32_on_device(1 - share) * content + float32_on_device(share) * noise


def content_share(settings: Settings) -> float:
    """Returns the share of the content image in the initial image."""
    noise = {"content": 0.0, "noise": 1.0, "blend": settings.init_noise}[settings.init]
    return min(1 - noise, 2 - 2 * settings.strength)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _noise(key: jax.Array, parameterization: Parameterization, shape: Shape) -> jax.Array:
    return PARAMETERIZATIONS[parameterization].noise(key, shape)


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
