"""A whole transfer: from settings and two pictures to targets, to a run in chunks, to a picture."""

import functools
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nst_jax import optimize
from nst_jax.backbones import weights as weight_files
from nst_jax.backbones.spec import Backbone, layer_shapes, least_side, strides
from nst_jax.circular import CIRCULAR, check_sides
from nst_jax.compilation import Jit
from nst_jax.errors import UserError, choose
from nst_jax.objective import Objective, Targets, Weights
from nst_jax.settings import PRESETS, Optimizer, Settings, default_preset

LONGEST_CHUNK = 64
CHUNK_SECONDS = 1.0
"""How long the device works between two looks at progress, Ctrl-C and snapshots; short against a person's patience."""

NOISE_DEVIATION = 0.1
"""Of white noise, in units of the pixels. Gatys et al. do not tell theirs; neural-style has 0.001 of 255 around a mean
colour, Ng's course evenly spread ±20 of 255. What is left in the picture after the run differs little."""


Paintings = np.ndarray | Sequence[np.ndarray]
"""One painting `[H, W, 3]`, or several."""


@struct.dataclass
class Transfer:
    """One transfer, ready to run: a pytree whose static part is the program and whose arrays are the data.

    It works on a canvas `[H + 2 margin, W + 2 margin, 3]`, the picture and the margin that is cut off at the end.
    """

    params: Any
    targets: Targets
    weights: Weights
    objective: Objective = struct.field(pytree_node=False)
    optimizer: Optimizer = struct.field(pytree_node=False)
    margin: int = struct.field(pytree_node=False)

    def evaluate(self, canvas: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the loss of a canvas and its terms by name."""
        return self.objective.loss(self.params, canvas, self.targets, self.weights)


class History(NamedTuple):
    """The losses of some steps.

    Attributes:
        step: `[S]`, the number of each.
        loss: `[S]`, of the picture after it.
        terms: name → `[S]`.
        evaluations: `[S]`, of the loss and its gradient during it.
    """

    step: np.ndarray
    loss: np.ndarray
    terms: dict[str, np.ndarray]
    evaluations: np.ndarray


class DivergedError(UserError):
    """The loss is no number any more; `state` holds the last good picture, `history` the steps up to it."""

    def __init__(self, message: str, state: optimize.State, history: History) -> None:
        super().__init__(message)
        self.state = state
        self.history = history


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
        seed: of the noise, where the initial picture has any.

    Returns:
        The picture, float32 `[H, W, 3]` in [0, 1].

    Raises:
        UserError: the settings do not suit the backbone or the pictures, or the run diverged.
    """
    pretrained = pretrained or weight_files.load()
    settings = settings or PRESETS[default_preset(pretrained.backbone.name)]
    transfer = prepare(pretrained, settings, content, style)
    image = initial_image(settings, jnp.asarray(content), seed=seed)
    state = start(transfer, image, settings.learning_rate)
    for reached, _ in run(transfer, state, steps=settings.steps):
        state = reached
    return picture(transfer, state)


def prepare(pretrained: weight_files.Pretrained, settings: Settings, content: np.ndarray, style: Paintings) -> Transfer:
    """Computes what the picture should resemble.

    Args:
        pretrained: the backbone.
        settings: of the transfer.
        content: the photograph, `[H, W, 3]`, RGB in [0, 1].
        style: the painting, `[H', W', 3]`, or several of any sizes, whose styles are blended.

    Raises:
        UserError: a layer is unknown or vanishes at these sizes, or weights and layers do not match.
    """
    paintings = [style] if isinstance(style, np.ndarray) else list(style)
    weights = loss_weights(settings, paintings=len(paintings))
    objective = make_objective(pretrained.backbone, settings)
    params = jax.device_put(pretrained.params)
    _check_image(content, what="photograph")
    check_canvas(pretrained.backbone, settings, *content.shape[:2])
    targets = Targets(
        content=content_targets(params, objective, settings.content_layers, content, margin=settings.margin),
        style=stack([style_targets(params, objective, settings.style_layers, painting) for painting in paintings]),
    )
    prepared = objective.prepare(params, settings.content_layers + settings.style_layers)
    return Transfer(prepared, targets, weights, objective, settings.optimizer, settings.margin)


def make_objective(backbone: Backbone, settings: Settings) -> Objective:
    """Returns the formulas of the settings on a backbone."""
    return Objective(
        backbone=backbone,
        pooling=settings.pooling,
        padding=settings.padding,
        precision=settings.precision,
        remat=settings.remat,
        content_loss=settings.content_loss,
        style_loss=settings.style_loss,
        variation_loss=settings.variation_loss,
        blending=settings.blending,
    )


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
    """Returns equal pytrees as one, their arrays with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *targets)


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
        UserError: the margin is too wide, a layer is unknown or vanishes, or padding is circular and the stride of a
            layer does not divide the sides.
    """
    check_margin(settings.margin, height, width)
    canvas = (height + 2 * settings.margin, width + 2 * settings.margin, 3)
    check_layers(backbone, settings.content_layers, canvas, what="content layer")
    check_layers(backbone, settings.style_layers, canvas, what="style layer")
    layers = settings.content_layers + settings.style_layers
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
    if len(shares) != paintings or not paintings:
        raise UserError(f"blend_weights: expected one for each of {paintings} paintings, found {len(shares)}")
    weights = Weights(
        content=settings.content_weight,
        style=settings.style_weight,
        variation=settings.tv_weight,
        content_layers=dict.fromkeys(settings.content_layers, 1.0),
        style_layers=dict(zip(layers, per_layer, strict=True)),
        paintings=np.float32(shares),
    )
    return jax.tree.map(jnp.float32, weights)


def initial_image(settings: Settings, content: jax.Array, *, seed: int) -> jax.Array:
    """Returns the picture to start from, of the shape of `content` `[H, W, 3]`: the content, white noise, or a blend.

    The noise is Gaussian around grey; see `NOISE_DEVIATION` for that of the literature.
    """
    noise = 0.5 + NOISE_DEVIATION * jax.random.normal(jax.random.key(seed), content.shape)
    share = {"content": 0.0, "noise": 1.0, "blend": settings.init_noise}[settings.init]
    return (1 - share) * content + share * noise


def start(transfer: Transfer, image: jax.Array, learning_rate: float) -> optimize.State:
    """Returns the state before the first step of painting over an `image` `[H, W, 3]`; see `optimize.init`.

    Raises:
        DivergedError: the loss of the initial picture is no number.
    """
    state = _START(transfer, extend(image, transfer.margin), jnp.float32(learning_rate))
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
    return crop(state.point.image, transfer.margin)


def first_history(state: optimize.State) -> History:
    """Returns the history that consists of the picture before the first step."""
    return jax.tree.map(
        lambda value: np.asarray(value)[None],
        History(state.step, state.point.loss, state.point.terms, jnp.int32(1)),
    )


def history_of(done: int, info: optimize.Info) -> History:
    """Returns the history of the steps behind the first `done`, whose info is on the host."""
    return History(done + 1 + np.arange(len(info.loss)), info.loss, info.terms, info.evaluations)


def join(histories: list[History]) -> History:
    """Returns consecutive histories as one."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *histories)


def diverged(state: optimize.State, history: History) -> DivergedError:
    """Returns the error for a history whose first step after the state's, or only entry, is no number.

    Its history ends before that step.
    """
    done = int(state.step)
    bad = int(np.argmax(history.step > done)) if history.step[-1] > done else 0
    broken = {name: values[bad] for name, values in history.terms.items() if not np.isfinite(values[bad])}
    if broken:
        # A sum is no number because a part of it is none: name the part.
        term = next((name for name in broken if "/" in name), next(iter(broken)))
        problem = f"the {term} is {broken[term]}"
    elif not np.isfinite(history.loss[bad]):
        problem = f"the loss is {history.loss[bad]}"
    else:
        problem = "the gradient of the loss has parts that are none"
    return DivergedError(
        f"step {history.step[bad]}: expected numbers, {problem}; lower learning_rate or the weights",
        state,
        jax.tree.map(lambda values: values[:bad], history),
    )


def extend(images: np.ndarray | jax.Array, margin: int) -> jax.Array:
    """Returns the images `[..., H, W, 3]` with a margin that mirrors each.

    Raises:
        UserError: the margin is wider than what it could mirror.
    """
    *lead, height, width, _ = images.shape
    check_margin(margin, height, width)
    return jnp.pad(images, (*[(0, 0)] * len(lead), (margin, margin), (margin, margin), (0, 0)), mode="reflect")


def check_margin(margin: int, height: int, width: int) -> None:
    """Checks that a picture of so many pixels can be mirrored that far.

    Raises:
        UserError: it cannot.
    """
    if margin >= min(height, width):
        raise UserError(f"margin: expected less than the short side of {min(height, width)} px, found {margin}")


def crop(canvases: jax.Array, margin: int) -> np.ndarray:
    """Returns the canvases `[..., H, W, 3]` without their margin."""
    *_, height, width, _ = canvases.shape
    return np.asarray(canvases)[..., margin : height - margin, margin : width - margin, :]


@functools.partial(jax.jit, static_argnames=("objective", "layers"))
def _content_targets(params: Any, image: jax.Array, objective: Objective, layers: tuple[str, ...]) -> Any:
    return objective.content_targets(params, image, layers)


@functools.partial(jax.jit, static_argnames=("objective", "layers"))
def _style_targets(params: Any, image: jax.Array, objective: Objective, layers: tuple[str, ...]) -> Any:
    return objective.style_targets(params, image, layers)


def _start(transfer: Transfer, image: jax.Array, learning_rate: jax.Array) -> optimize.State:
    return optimize.init(transfer.evaluate, image, learning_rate, optimizer=transfer.optimizer)


def _advance(transfer: Transfer, state: optimize.State, length: jax.Array) -> tuple[optimize.State, optimize.Info]:
    return optimize.chunk(transfer.evaluate, state, length, optimizer=transfer.optimizer, longest=LONGEST_CHUNK)


_START = Jit(_start)
_ADVANCE = Jit(_advance, donate_argnames="state")


def _check_image(image: np.ndarray, *, what: str) -> None:
    if image.ndim != 3 or image.shape[-1] != 3 or not np.issubdtype(image.dtype, np.floating):
        raise UserError(
            f"{what}: expected floating-point RGB [H, W, 3] in [0, 1], found {image.dtype} {list(image.shape)}"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # NaN is not either
        raise UserError(f"{what}: expected values in [0, 1], found {low:g} to {high:g}")
