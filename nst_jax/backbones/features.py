"""The one model: a Linen module that interprets a backbone's table."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from nst_jax import conv
from nst_jax.backbones.spec import (
    INPUT,
    Backbone,
    Concat,
    Conv,
    GlobalAverage,
    Pool,
    Preprocess,
    layer_names,
    pool_overhang,
)
from nst_jax.settings import Padding, Pooling


class Features(nn.Module):
    """All activations of a backbone by layer name.

    Under jit, layers that nobody reads cost nothing, so there is no way to ask for some only.

    Attributes:
        backbone: the network.
        pooling: how its pools pool.
        padding: of the convolutions.
    """

    backbone: Backbone
    pooling: Pooling = "max"
    padding: Padding = "zeros"

    @nn.compact
    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """Returns the activations for RGB `images` `[..., H, W, 3]` in [0, 1]: each layer `[..., H', W', C]`."""
        lead = images.shape[:-3]
        maps = {INPUT: preprocess(images, self.backbone.preprocess).reshape(-1, *images.shape[-3:])}
        for row in self.backbone.rows:
            match row:
                case Conv():
                    linear = self._convolve(row, maps[row.input])
                    outputs = (linear, *[nn.relu(linear)] * 2) if row.relu else (linear,)
                case Pool():
                    outputs = (self._pool(row, maps[row.input]),)
                case Concat():
                    outputs = (jnp.concatenate([maps[name] for name in row.inputs], axis=-1),)
                case GlobalAverage():
                    outputs = (maps[row.input].mean(axis=(1, 2), keepdims=True),)
            maps |= dict(zip(layer_names(row), outputs, strict=True))
        del maps[INPUT]
        return {name: values.reshape(*lead, *values.shape[1:]) for name, values in maps.items()}

    def _convolve(self, row: Conv, images: jax.Array) -> jax.Array:
        shape = (row.kernel, row.kernel, images.shape[-1], row.features)
        kernel = self.param(f"{row.name}/kernel", nn.initializers.he_normal(), shape)
        bias = self.param(f"{row.name}/bias", nn.initializers.zeros, (row.features,))
        return conv.conv2d(images, kernel, bias, stride=row.stride, padding=row.padding, mode=self.padding)

    def _pool(self, row: Pool, images: jax.Array) -> jax.Array:
        overhang = tuple(pool_overhang(row, length) for length in images.shape[1:3])
        return conv.pool(images, size=row.size, stride=row.stride, overhang=overhang, kind=self.pooling)


def preprocess(images: jax.Array, how: Preprocess) -> jax.Array:
    """Returns RGB `images` `[..., 3]` in [0, 1] as the network wants them."""
    pixels = images if how.order == "RGB" else images[..., ::-1]
    return (pixels * how.scale - jnp.asarray(how.mean)) / jnp.asarray(how.std)
