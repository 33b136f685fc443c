"""What the benchmark runs: a step that other frameworks can do as well, and how much work it is."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import _samples
from nst_jax import image_io, transfer
from nst_jax.backbones.spec import Backbone, Conv, ancestors, convolutions, layer_shapes
from nst_jax.backbones.weights import Pretrained
from nst_jax.method import Transfer
from nst_jax.objective import CONTENT, STYLE, Targets
from nst_jax.presets import LEARNING_RATES, PRESETS, default_preset
from nst_jax.settings import Precision, Settings


def step_settings(backbone: str, precision: Precision, *, remat: bool = False) -> Settings:
    """Returns the settings of a step of Adam: layers and formulas of a preset, borders as every framework has them.

    The preset of the VGG networks is `gatys`.
    """
    preset = default_preset(backbone)
    return dataclasses.replace(
        PRESETS["gatys" if preset == "vgg" else preset],
        pooling="average",
        padding="zeros",
        margin=0,
        optimizer="adam",
        learning_rate=LEARNING_RATES["adam"],
        init="noise",
        precision=precision,
        remat=remat,
    )


def pictures(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a photograph and a painting that are packaged, `[size, size, 3]`, RGB in [0, 1]."""
    found = (image_io.read(path).pixels for path in (_samples.photograph(), _samples.painting()))
    photograph, painting = (np.clip(image_io.resize(pixels, (size, size)), 0, 1) for pixels in found)
    return photograph, painting


def blank(network: Pretrained, settings: Settings, size: int) -> Transfer:
    """Returns a transfer whose targets are ones: as good as any for how much memory it takes, and free to make."""
    shapes = layer_shapes(network.backbone, size, size)
    method = transfer.make_method(network.backbone, settings)
    layers = settings.content_layers + settings.style_layers
    targets = Targets(
        content={layer: np.ones(shapes[layer], np.float32) for layer in settings.content_layers},
        style={layer: np.ones((1, *shapes[layer][-1:] * 2), np.float32) for layer in settings.style_layers},
    )
    return Transfer(
        params=method.objective.prepare(jax.device_put(network.params), layers),
        targets=jax.device_put(targets),
        weights=transfer.loss_weights(settings, paintings=1),
        seed=jnp.uint32(0),
        method=method,
        canvas=(size, size),
    )


def multiply_adds(backbone: Backbone, layers: tuple[str, ...], size: int) -> int:
    """Returns the multiplications of the convolutions before some layers, computed directly, `size` × `size` pixels.

    Forward only; the gradient by the picture takes as many again.
    """
    shapes = layer_shapes(backbone, size, size)
    channels = {row.name: count for row, count in convolutions(backbone)}
    rows = [row for row in ancestors(backbone, layers) if isinstance(row, Conv)]
    return sum(row.kernel**2 * channels[row.name] * int(np.prod(shapes[row.name])) for row in rows)


@jax.jit
def evaluate(job: Transfer, image: jax.Array, rate: jax.Array, length: jax.Array) -> Any:
    """Evaluates the objective without total variation, and its gradient, `length` times in a loop.

    Args:
        job: with the objective.
        image: `[H, W, 3]`.
        rate: 0; the compiler does not know, and so cannot evaluate once for all.
        length: of the loop.

    Returns:
        The image after so many steps along the gradient, and the last loss.
    """

    def loss(image: jax.Array) -> jax.Array:
        _, terms = job.evaluate(image, jnp.int32(0))
        return job.weights.content * terms[CONTENT] + job.weights.style * terms[STYLE]

    def body(_: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        image, _ = carry
        value, gradient = jax.value_and_grad(loss)(image)
        return image - rate * gradient, value

    return jax.lax.fori_loop(0, length, body, (image, jnp.float32(0)))
