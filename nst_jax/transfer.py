"""A whole transfer: from settings and two pictures to targets, to a run in chunks, to a picture."""

import functools
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import optimize
from nst_jax.activations import channel_weights
from nst_jax.backbones import weights as weight_files
from nst_jax.backbones.spec import Backbone, channels, layer_shapes, least_side, strides, tensor
from nst_jax.canvas import check_margin, crop, extend
from nst_jax.circular import CIRCULAR, check_sides
from nst_jax.compilation import Jit
from nst_jax.errors import UserError, choose
from nst_jax.history import History, diverged, first_history, history_of
from nst_jax.method import LONGEST_CHUNK, Method, Transfer
from nst_jax.objective import Objective, Targets, Weights
from nst_jax.parameterization import PARAMETERIZATIONS
from nst_jax.settings import PRESETS, Settings, default_preset
from nst_jax.transformation import Transformation

CHUNK_SECONDS = 1.0
"""How long the device works between two looks at progress, Ctrl-C and snapshots; short against a person's patience."""

Paintings = np.ndarray | Sequence[np.ndarray]
"""One painting `[H, W, 3]`, or several."""


def stylize(
    content: np.ndarray,
    style: Paintings,
    pretrained: weight_files.Pretrained | None = None,
    *,
    settings: Settings | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Paints a photograph in the manner of a painting.

    Args:
        content: the photograph, `[H, W, 3]`, RGB in [0, 1].
        style: the painting, `[H', W', 3]`, or several of any sizes, whose styles are blended.
        pretrained: the backbone, else the best one that is installed.
        settings: how, else the default of the backbone.
        seed: of the noise, where the initial picture has any, and of random movements.

    Returns:
        The picture, float32 `[H, W, 3]` in [0, 1].

    Raises:
        UserError: the settings do not suit the backbone or the pictures, or the run diverged.
    """
    pretrained = pretrained or weight_files.load()
    settings = settings or PRESETS[default_preset(pretrained.backbone.name)]
    transfer = prepare(pretrained, settings, content, style, seed=seed)
    image = initial_image(settings, jnp.asarray(content), seed=seed)
    state = start(transfer, image, settings.learning_rate)
    for reached, _ in run(transfer, state, steps=settings.steps):
        state = reached
    return picture(transfer, state)


def prepare(
    pretrained: weight_files.Pretrained, settings: Settings, content: np.ndarray, style: Paintings, *, seed: int = 0
) -> Transfer:
    """Computes what the picture should resemble.

    Args:
        pretrained: the backbone.
        settings: of the transfer.
        content: the photograph, `[H, W, 3]`, RGB in [0, 1].
        style: the painting, `[H', W', 3]`, or several of any sizes, whose styles are blended; none without style
            layers.
        seed: of the transformations.

    Raises:
        UserError: a layer is unknown or vanishes at these sizes, or weights and layers do not match.
    """
    paintings = [style] if isinstance(style, np.ndarray) else list(style)
    weights = loss_weights(settings, paintings=len(paintings))
    method = make_method(pretrained.backbone, settings)
    objective = method.objective
    params = jax.device_put(pretrained.params)
    _check_image(content, what="photograph")
    check_canvas(pretrained.backbone, settings, *content.shape[:2])
    targets = Targets(
        content=content_targets(params, objective, settings.content_layers, content, margin=settings.margin),
        style=stack([style_targets(params, objective, settings.style_layers, painting) for painting in paintings]),
        activation=activation_targets(pretrained.backbone, settings),
    )
    prepared = objective.prepare(params, settings.content_layers + settings.style_layers + settings.dream_layers)
    return Transfer(prepared, targets, weights, jnp.uint32(seed), method, canvas_shape(settings, content.shape))


def make_method(backbone: Backbone, settings: Settings) -> Method:
    """Returns what is compiled of the settings, on a backbone."""
    objective = Objective(
        backbone=backbone,
        pooling=settings.pooling,
        padding=settings.padding,
        precision=settings.precision,
        remat=settings.remat,
        content_loss=settings.content_loss,
        style_loss=settings.style_loss,
        variation_loss=settings.variation_loss,
        blending=settings.blending,
        gain=settings.dream_gain,
    )
    return Method(
        objective=objective,
        optimizer=settings.optimizer,
        margin=settings.margin,
        parameterization=settings.parameterization,
        transformation=Transformation(settings.jitter, settings.random_scale, settings.random_rotate),
    )


def canvas_shape(settings: Settings, shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns height and width of the canvas of a picture of this shape."""
    return shape[0] + 2 * settings.margin, shape[1] + 2 * settings.margin


def content_targets(
    params: Any, objective: Objective, layers: tuple[str, ...], content: np.ndarray, *, margin: int
) -> dict[str, jax.Array]:
    """Returns the features of a photograph's canvas: layer → `[H', W', C]`.

    Args:
        params: of the backbone.
        objective: that will compare with them.
        layers: where.
        content: the photograph, `[H, W, 3]`, RGB in [0, 1].
        margin: of the canvas.

    Raises:
        UserError: this is no picture, or a layer is unknown or vanishes at its size.
    """
    _check_image(content, what="photograph")
    canvas = extend(content, margin)
    check_layers(objective.backbone, layers, canvas.shape, what="content layer")
    return _content_targets(params, canvas, objective, layers)


def style_targets(
    params: Any, objective: Objective, layers: tuple[str, ...], painting: np.ndarray
) -> dict[str, jax.Array]:
    """Returns the Gram matrices of a painting `[H, W, 3]` of any size: layer → `[C, C]`.

    Raises:
        UserError: this is no picture, or a layer is unknown or vanishes at its size.
    """
    _check_image(painting, what="painting")
    check_layers(objective.backbone, layers, painting.shape, what="style layer")
    return _style_targets(params, jnp.asarray(painting), objective, layers)


def stack(targets: Sequence[Any]) -> Any:
    """Returns equal pytrees as one, their arrays with a leading axis; nothing of none."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *targets) if targets else {}


def activation_targets(backbone: Backbone, settings: Settings) -> dict[str, jax.Array]:
    """Returns the weights of the channels that should become active: layer → `[C]`.

    Raises:
        UserError: a layer has no such channel, or weights and channels do not match.
    """
    counts = channels(backbone)
    return {
        layer: jnp.asarray(
            channel_weights(layer, counts[layer], settings.dream_channels, settings.dream_channel_weights)
        )
        for layer in settings.dream_layers
    }


def check_dream(backbone: Backbone, settings: Settings, canvas: tuple[int, int]) -> None:
    """Checks that dream layers and channels are there, and are none whose activations are told otherwise already.

    Raises:
        UserError: not so.
    """
    check_layers(backbone, settings.dream_layers, (*canvas, 3), what="dream layer")
    used = {tensor(backbone, layer): layer for layer in settings.content_layers + settings.style_layers}
    shared = [layer for layer in settings.dream_layers if tensor(backbone, layer) in used]
    if shared and not settings.dream_anywhere:
        free = [row.name for row in backbone.rows if row.name not in used]
        raise UserError(
            f"dream_layers: expected layers that neither content nor style uses, found {', '.join(shared)}; choose "
            f"of {', '.join(free)}, or say dream_anywhere"
        )
    if settings.dream_layers and settings.dream_gain == "matched_response":
        raise UserError(
            "dream_gain: expected one that needs no guide, found matched_response, which dreams with a guide have"
        )
    if settings.dream_gain == "log_mean_square" and any(weight < 0 for weight in settings.dream_channel_weights):
        raise UserError("dream_channel_weights: expected none below 0 with log_mean_square; choose mean_response")
    activation_targets(backbone, settings)


def check_layers(backbone: Backbone, layers: tuple[str, ...], shape: tuple[int, ...], *, what: str) -> None:
    """Checks that a backbone has the layers, each once, and something is left there of a picture of this shape.

    Raises:
        UserError: not so.
    """
    height, width, _ = shape
    shapes = layer_shapes(backbone, height, width)
    for layer in layers:
        choose(layer, shapes, what=f"{what} of {backbone.name}")
        if min(shapes[layer]) < 1:
            raise UserError(
                f"{what} {layer}: nothing is left of a picture of {width}×{height} pixels there; "
                f"use at least {least_side(backbone, layer)}×{least_side(backbone, layer)}, or a lower layer"
            )
    if len(set(layers)) < len(layers):
        raise UserError(f"{what}s: expected each once, found {', '.join(layers)}")


def check_canvas(backbone: Backbone, settings: Settings, height: int, width: int) -> None:
    """Checks that a picture of so many pixels can be painted with these settings.

    Raises:
        UserError: the margin is too wide, a layer is unknown or vanishes, dream layers or channels cannot be used, or
            padding is circular and the stride of a layer does not divide the sides.
    """
    check_margin(settings.margin, height, width)
    canvas = canvas_shape(settings, (height, width))
    check_layers(backbone, settings.content_layers, (*canvas, 3), what="content layer")
    check_layers(backbone, settings.style_layers, (*canvas, 3), what="style layer")
    check_dream(backbone, settings, canvas)
    layers = settings.content_layers + settings.style_layers + settings.dream_layers
    if settings.padding == CIRCULAR and layers:
        stride = strides(backbone)
        deepest = max(layers, key=stride.get)
        check_sides(height, width, stride=stride[deepest], layer=deepest)


def loss_weights(settings: Settings, *, paintings: int) -> Weights:
    """Returns the weights of the settings as arrays, for so many paintings.

    Raises:
        UserError: there are more or fewer layer weights than style layers, or blend weights than paintings.
    """
    layers, given = settings.style_layers, settings.style_layer_weights or (1 / max(len(settings.style_layers), 1),)
    if len(given) not in (1, len(layers)):
        raise UserError(
            f"style_layer_weights: expected 1 or {len(layers)} numbers, one for each of {', '.join(layers)}, "
            f"found {len(given)}"
        )
    per_layer = given * len(layers) if len(given) == 1 else given
    shares = settings.blend_weights or (1 / max(paintings, 1),) * paintings
    if len(shares) != paintings or (layers and not paintings):
        raise UserError(f"blend_weights: expected one for each of {paintings} paintings, found {len(shares)}")
    weights = Weights(
        content=settings.content_weight,
        style=settings.style_weight,
        variation=settings.tv_weight,
        content_layers=dict.fromkeys(settings.content_layers, 1.0),
        style_layers=dict(zip(layers, per_layer, strict=True)),
        paintings=np.float32(shares),
        activation=settings.dream_weight,
        activation_layers=dict.fromkeys(settings.dream_layers, 1.0),
    )
    return jax.tree.map(jnp.float32, weights)


def initial_image(settings: Settings, content: jax.Array, *, seed: int) -> jax.Array:
    """Returns the picture to start from, of the shape of `content` `[H, W, 3]`: the content, noise, or a blend.

    The noise is that of the parameterization: white, of pixels.
    """
    noise = PARAMETERIZATIONS[settings.parameterization].noise(jax.random.key(seed), content.shape[:2])
    share = {"content": 0.0, "noise": 1.0, "blend": settings.init_noise}[settings.init]
    return (1 - share) * content + share * noise


def start(transfer: Transfer, image: jax.Array, learning_rate: float) -> optimize.State:
    """Returns the state before the first step of painting over an `image` `[H, W, 3]`; see `optimize.init`.

    Raises:
        DivergedError: the loss of the initial picture is no number.
    """
    state = _BEGIN(transfer, extend(image, transfer.method.margin), jnp.float32(learning_rate))
    if not state.point.finite:
        raise diverged(state, first_history(state))
    return state


def run(
    transfer: Transfer, state: optimize.State, *, steps: int, pause_every: int = 0
) -> Iterator[tuple[optimize.State, History]]:
    """Runs until `steps` steps are done, yielding now and then; what comes out does not depend on when.

    The state that went in is given up to the device; a yielded one may be used until the next is asked for.

    Args:
        transfer: what to do.
        state: to go on from.
        steps: at which to end, counted from the first of all.
        pause_every: yields at every multiple of it; 0 for only as time has passed.

    Yields:
        The state and the history of the steps since the last yield.

    Raises:
        DivergedError: a loss or a gradient is no number; the message names the step and the term.
    """
    advance = functools.partial(_ADVANCE, transfer)
    for reached, done, info in drive(advance, state, done=int(state.step), steps=steps, pause_every=pause_every):
        history = history_of(done, info)
        if not info.finite.all():
            raise diverged(reached, history)
        yield reached, history


def drive(
    advance: Callable[[optimize.State, jax.Array], tuple[optimize.State, optimize.Info]],
    state: optimize.State,
    *,
    done: int,
    steps: int,
    pause_every: int,
) -> Iterator[tuple[optimize.State, int, optimize.Info]]:
    """Has the device work in chunks, of such lengths that it is looked at once in `CHUNK_SECONDS`.

    Args:
        advance: runs a number of steps, at most `LONGEST_CHUNK`, from a state that it may overwrite.
        state: to go on from.
        done: the steps that were done before it.
        steps: at which to end, counted from the first of all.
        pause_every: yields at every multiple of it; 0 for only as time has passed.

    Yields:
        The state, the number of steps before the chunk, and the info of each of its steps, on the host.
    """
    length = 1
    warm = False
    while done < steps:
        length = min(length, steps - done, LONGEST_CHUNK)
        if pause_every:
            length = min(length, pause_every - done % pause_every)
        began = time.monotonic()
        state, info = advance(state, jnp.int32(length))
        info = jax.tree.map(operator.itemgetter(slice(length)), jax.device_get(info))
        seconds = time.monotonic() - began
        yield state, done, info
        done += length
        # The first call compiles, so its time says nothing about steps.
        length = max(1, int(length * CHUNK_SECONDS / seconds)) if warm else 1
        warm = True


def compile_steps(transfer: Transfer, state: optimize.State) -> jax.stages.Compiled:
    """Returns the program that `run` runs for arrays like these: `(transfer, state, length) → (state, info)`."""
    return _ADVANCE.lower(transfer, state, jnp.int32(1)).compile()


def picture(transfer: Transfer, state: optimize.State) -> np.ndarray:
    """Returns the picture `[H, W, 3]` that a run has come to, without the margin."""
    return crop(transfer.render(state.point.variables), transfer.method.margin)


@functools.partial(jax.jit, static_argnames=("objective", "layers"))
def _content_targets(params: Any, image: jax.Array, objective: Objective, layers: tuple[str, ...]) -> Any:
    return objective.content_targets(params, image, layers)


@functools.partial(jax.jit, static_argnames=("objective", "layers"))
def _style_targets(params: Any, image: jax.Array, objective: Objective, layers: tuple[str, ...]) -> Any:
    return objective.style_targets(params, image, layers)


_BEGIN = Jit(Transfer.begin)
_ADVANCE = Jit(Transfer.advance, donate_argnames="state")


def _check_image(image: np.ndarray, *, what: str) -> None:
    if image.ndim != 3 or image.shape[-1] != 3 or not np.issubdtype(image.dtype, np.floating):
        raise UserError(
            f"{what}: expected floating-point RGB [H, W, 3] in [0, 1], found {image.dtype} {list(image.shape)}"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # NaN is not either
        raise UserError(f"{what}: expected values in [0, 1], found {low:g} to {high:g}")
