"""Networks that paint as StableHLO, by `jax.export`, for CPUs, GPUs and TPUs, and for pictures of many sizes.

    from jax import export
    paint = export.deserialize(pathlib.Path("NAME.stablehlo").read_bytes())
    picture = paint.call(content, code)

Content image and picture are `[H, W, 3]`, RGB in [0, 1]; their sides are multiples of the network's stride, as a symbol
times it, and at least eight times as long. Arguments are those of `painting.paint` and `painting.encode`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from nst_jax.applications.feedforward import painting
from nst_jax.applications.feedforward.networks import (
    COLOURS,
    Matched,
    Network,
    Predicted,
    Transformer,
    input_channels,
    network_stride,
)
from nst_jax.applications.feedforward.steps import stride
from nst_jax.applications.feedforward.trained import Trained

PLATFORMS = ("cpu", "cuda", "tpu")
LEAST = 8
"""Least number of strides of a side: what reflection needs on every map, with room."""


def painter(trained: Trained, code: painting.Code = None, sides: tuple[int, int] | None = None) -> bytes:
    """Returns the program from a content image, and a style, to the picture.

    Args:
        trained: the network.
        code: the style that is fixed in it; none leaves it an argument, if there is any.
        sides: height and width, if they are fixed too; then of any length.
    """
    network = trained.network
    channels = input_channels(network)
    content = _image(network_stride(network), channels)
    if sides:
        content = jax.ShapeDtypeStruct((*sides, channels), jnp.float32)
    shapes = jax.eval_shape(lambda: code) if code is not None else _code(network, trained.params)
    if code is not None or shapes is None:
        return _exported(lambda content: painting.paint(network, trained.params, content, code), content)
    return _exported(lambda content, code: painting.paint(network, trained.params, content, code), content, shapes)


def coder(trained: Trained) -> bytes:
    """Returns the program from a style image to its code."""
    network = trained.network
    return _exported(lambda image: painting.encode(network, trained.params, image), _style(network))


def _exported(function: Any, *arguments: Any) -> bytes:
    return bytes(export.export(jax.jit(function), platforms=PLATFORMS)(*arguments).serialize())


def _image(multiple: int, channels: int = COLOURS) -> jax.ShapeDtypeStruct:
    """Returns images whose sides are multiples of a number."""
    sides = f"{multiple}*h,{multiple}*w" if multiple > 1 else "h,w"
    bounds = [f"h >= {LEAST}", f"w >= {LEAST}"]
    return jax.ShapeDtypeStruct((*export.symbolic_shape(sides, constraints=bounds), channels), jnp.float32)


def _style(network: Network) -> jax.ShapeDtypeStruct:
    if isinstance(network, Predicted):
        return jax.ShapeDtypeStruct((network.side, network.side, COLOURS), jnp.float32)
    assert isinstance(network, Matched), "a network with its styles in it sees none"
    return _image(stride(network.encoder))


def _code(network: Network, params: painting.Params) -> Any:
    """Returns the shapes of a code; None for a network with a single style."""
    if isinstance(network, Predicted | Matched):
        side = network.side if isinstance(network, Predicted) else LEAST * stride(network.encoder)
        image = jax.ShapeDtypeStruct((side, side, COLOURS), jnp.float32)
        return jax.eval_shape(lambda image: painting.encode(network, params, image), image)
    styles = network.styles if isinstance(network, Transformer) else 0
    return jax.ShapeDtypeStruct((styles,), jnp.float32) if styles else None
