"""The workload of the benchmark: a step that other frameworks can run too, and its number of operations."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.backbones.pretrained import Pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.rows import Conv
from nst_jax.backbones.spec import Backbone, ancestors, convolutions, layer_shapes
from nst_jax.configuration import make_config
from nst_jax.io import images
from nst_jax.presets import LEARNING_RATES, PRESETS
from nst_jax.problem import Transfer
from nst_jax.settings import Settings
from nst_jax.targets import layers_of, make_targets
from nst_jax.terms import CONTENT, STYLE, VARIATION
from nst_jax.transfer import assemble
from nst_jax.vocabulary import Precision

from ..cli import samples


def step_settings(backbone: str, precision: Precision, *, remat: bool = False) -> Settings:
    """Returns the settings of a step of Adam: layers and formulas of the paper, padding as in every framework."""
    return dataclasses.replace(
        PRESETS[BACKBONES[backbone].family.figure_preset],
        pooling="average",
        padding="zeros",
        antialias=False,
        shifts=1,
        margin=0,
        optimizer="adam",
        learning_rate=LEARNING_RATES["adam"],
        init="noise",
        precision=precision,
        remat=remat,
    )


def pictures(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sample content and style image, `[size, size, 3]`, RGB in [0, 1]."""
    found = (images.read(path).pixels for path in (samples.content_image(), samples.style_image()))
    content, style = (np.clip(images.resize(pixels, (size, size)), 0, 1) for pixels in found)
    return content, style


def blank(network: Pretrained, settings: Settings, size: int) -> Transfer:
    """Returns a transfer whose targets are all ones, which measures memory as well as any and costs nothing."""
    config, layers = make_config(network.backbone, settings), layers_of(settings)
    params = jax.device_put(network.params)
    image = jax.ShapeDtypeStruct((size, size, 3), jnp.float32)

    def ones(term: str) -> dict[str, Any]:
        measure = functools.partial(config.objective.statistics, term=term, layers=layers[term])
        return jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), jax.eval_shape(measure, params, image))

    targets = make_targets(network.backbone, settings, layers, content=ones(CONTENT), styles=[ones(STYLE)])
    content = np.empty(image.shape, image.dtype)
    return assemble(params, config, settings, layers, targets, content, style_images=1, grey=False, seed=0)


def multiply_adds(backbone: Backbone, layers: tuple[str, ...], size: int) -> int:
    """Returns the number of multiplications of direct convolution up to some layers, for `size` × `size` pixels.

    Forward only; the gradient with respect to the picture takes as many again.
    """
    shapes = layer_shapes(backbone, size, size)
    channels = {row.name: count for row, count in convolutions(backbone)}
    rows = [row for row in ancestors(backbone, layers) if isinstance(row, Conv)]
    kernels = {row.name: row.computed(channels[row.name])["kernel"] for row in rows}
    return sum(math.prod(kernel[:3]) * math.prod(shapes[name]) for name, kernel in kernels.items())


@jax.jit
def evaluate(transfer: Transfer, image: jax.Array, rate: jax.Array, length: jax.Array) -> Any:
    """Evaluates the objective without total variation, and its gradient, `length` times in a loop.

    Args:
        transfer: the transfer with the objective.
        image: `[H, W, 3]`.
        rate: 0, which the compiler does not know, so that it must evaluate every time.
        length: number of evaluations.

    Returns:
        The image after `length` steps along the gradient, and the last loss.
    """
    targets = {term: of for term, of in transfer.targets.items() if term != VARIATION}

    def loss(image: jax.Array) -> jax.Array:
        return transfer.config.objective.loss(transfer.params, image, targets, transfer.weights)[0]

    def body(_: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        image, _ = carry
        value, gradient = jax.value_and_grad(loss)(image)
        return image - rate * gradient, value

    return jax.lax.fori_loop(0, length, body, (image, jnp.float32(0)))
