"""The one model: a Linen module that interprets a backbone's table."""

import functools
from collections.abc import Callable, Collection, Mapping, Set
from typing import Any, assert_never

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nst_jax.backbones.rows import Add, Concat, Conv, GlobalAverage, LocalResponseNorm, Pool, Row
from nst_jax.backbones.spec import INPUT, Backbone, Preprocess, ancestors, blocks, convolutions, layers
from nst_jax.ops import circular_padding, conv, normalisation, pooling
from nst_jax.surroundings import per_channel
from nst_jax.vocabulary import Padding, Pooling, Precision

PREPARED = "prepared"
"""The collection of variables, beside Linen's `params`, for the constants of `prepare`."""

Maps = dict[str, jax.Array]

_PRODUCTS: dict[Precision, jax.lax.Precision] = {
    "float32": jax.lax.Precision.HIGHEST,
    "tf32": jax.lax.Precision.DEFAULT,
    "bfloat16": jax.lax.Precision.DEFAULT,
}


class Features(nn.Module):
    """The activations of a backbone by layer name, or functions of them.

    Under jit, layers that are not used cost nothing, so there is no way to select some.

    Attributes:
        backbone: the network.
        pooling: kind of pooling.
        padding: padding of the convolutions, see `vocabulary.Padding`; if circular, of pools too.
        precision: precision of the activations (bfloat16) or of the products (tf32).
        remat: whether the derivative recomputes the activations, block by block, instead of storing them: less memory,
            a third more time.
    """

    backbone: Backbone
    pooling: Pooling = "max"
    padding: Padding = "zeros"
    precision: Precision = "float32"
    remat: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, read: Mapping[str, Callable[[jax.Array], Any]] | None = None) -> Any:
        """Returns functions of the activations of some layers.

        Args:
            images: RGB `[..., H, W, 3]` in [0, 1].
            read: layer → function of its activations `[..., H', W', C]`; by default the identity for every layer. With
                `remat` only the values of the functions are stored.

        Returns:
            Layer → value of its function.
        """
        if read is None:
            read = dict.fromkeys(layers(self.backbone), lambda values: values)
        kernels = {row.name: self._kernel(row, channels) for row, channels in convolutions(self.backbone)}
        lead = images.shape[:-3]
        values = preprocess(images, self.backbone.preprocess).reshape(-1, *images.shape[-3:])
        if self.precision == "bfloat16":
            kernels, values = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (kernels, values))
        found: dict[str, Any] = {}
        for rows in blocks(self.backbone):
            rows = _until(rows, read.keys() - found.keys())
            if not rows:
                break
            run = functools.partial(self._run, rows, lead, read)
            values, of_block = (jax.checkpoint(run) if self.remat else run)(kernels, values)
            found |= of_block
        return {layer: found[layer] for layer in read}

    def _kernel(self, row: Conv, channels: int) -> tuple[jax.Array, jax.Array, Any]:
        shapes = row.computed(channels)
        kernel = self.param(f"{row.name}/kernel", nn.initializers.he_normal(), shapes["kernel"])
        bias = self.param(f"{row.name}/bias", nn.initializers.zeros, shapes["bias"])
        return kernel, bias, self.get_variable(PREPARED, row.name)

    def _run(
        self,
        rows: tuple[Row, ...],
        lead: tuple[int, ...],
        read: Mapping[str, Callable[[jax.Array], Any]],
        kernels: dict[str, tuple[jax.Array, jax.Array, Any]],
        values: jax.Array,
    ) -> tuple[jax.Array, dict[str, Any]]:
        """Returns the last map of a block with input `values` `[N, H, W, C]`, and the values read from its layers."""
        maps: Maps = {rows[0].inputs[0]: values}
        outputs: tuple[jax.Array, ...]
        for row in rows:
            match row:
                case Conv():
                    linear = self._convolve(row, kernels[row.name], maps[row.input])
                    outputs = (linear, conv.rectify(linear, row.ceiling)) if row.relu else (linear,)
                case Pool():
                    outputs = (self._pool(row, maps[row.input]),)
                case LocalResponseNorm():
                    outputs = (
                        normalisation.local_response_norm(
                            maps[row.input], size=row.size, alpha=row.alpha, beta=row.beta, k=row.k
                        ),
                    )
                case Concat():
                    outputs = (jnp.concatenate([maps[name] for name in row.parts], axis=-1),)
                case Add():
                    total = functools.reduce(jnp.add, (maps[name] for name in row.parts))
                    outputs = (total, conv.rectify(total)) if row.relu else (total,)
                case GlobalAverage():
                    outputs = (maps[row.input].mean(axis=(1, 2), keepdims=True),)
                case _:
                    assert_never(row)
            for names, output in zip(row.outputs, outputs, strict=True):
                maps |= dict.fromkeys(names, output)
        read_here = [name for row in rows for name in row.names if name in read]
        return maps[rows[-1].name], {
            name: read[name](maps[name].reshape(*lead, *maps[name].shape[1:])) for name in read_here
        }

    def _convolve(self, row: Conv, kernel: tuple[jax.Array, jax.Array, Any], images: jax.Array) -> jax.Array:
        weights, bias, prepared = kernel
        return conv.conv2d(
            images,
            weights,
            bias,
            stride=row.stride,
            pads=_around(row, images),
            mode=self._mode(row),
            precision=_PRODUCTS[self.precision],
            prepared=prepared,
        )

    def _mode(self, row: Conv) -> Padding:
        if self.padding != "replicate_first":
            return self.padding
        return "replicate" if row.input == INPUT else "zeros"

    def _pool(self, row: Pool, images: jax.Array) -> jax.Array:
        kind: Pooling = self.pooling if row.kind is None else "max" if row.kind == "max" else "average"
        around = _around(row, images)
        if self.padding == circular_padding.CIRCULAR:
            (above, _), (left, _) = around
            images = circular_padding.wrap(images, size=(row.size,) * 2, stride=row.stride, before=(above, left))
            around = (0, 0), (0, 0)
        elif row.kind == "padded_average":
            images, around = jnp.pad(images, ((0, 0), *around, (0, 0))), ((0, 0), (0, 0))
        return pooling.pool(images, size=row.size, stride=row.stride, around=around, kind=kind)


def _around(row: Conv | Pool, images: jax.Array) -> pooling.Around:
    """Returns by how many positions the windows of a row exceed maps `[N, H, W, C]` above, below, left and right."""
    down, across = (
        (window.around(length)[0], window.around(length)[1] + window.overhang(length))
        for window, length in zip(row.windows, images.shape[1:3], strict=True)
    )
    return down, across


def prepare(params: Any, backbone: Backbone, read: Collection[str]) -> Any:
    """Returns the variables for many evaluations of some layers.

    Args:
        params: parameters of the backbone, or an earlier result of this function.
        backbone: the network.
        read: the layers.

    Returns:
        `params`, and beside them the constants of `conv.prepare` for the kernels before these layers, through which
        there is no derivative by the parameters.
    """
    strides = tuple(
        (row.name, row.stride) for row in ancestors(backbone, read) if isinstance(row, Conv) and row.groups == 1
    )
    return {"params": params["params"], PREPARED: _prepare(params["params"], strides)}


@functools.partial(jax.jit, static_argnames="strides")
def _prepare(kernels: dict[str, jax.Array], strides: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    prepared = {name: conv.prepare(kernels[f"{name}/kernel"], stride=stride) for name, stride in strides}
    return {name: made for name, made in prepared.items() if made is not None}


def preprocess(images: jax.Array, convention: Preprocess) -> jax.Array:
    """Returns RGB `images` `[..., 3]` in [0, 1] in the input convention of a network."""
    pixels = images if convention.order == "RGB" else images[..., ::-1]
    mean, std = (per_channel(np.array(values, np.float32), pixels.ndim) for values in (convention.mean, convention.std))
    return (pixels * convention.scale - mean) / std


def _until(rows: tuple[Row, ...], wanted: Set[str]) -> tuple[Row, ...]:
    """Returns the rows of a block that wanted layers need: all if one lies in a later block, else up to the last.

    What lies beyond is not traced: nothing may be left of a small picture there.
    """
    here = [index for index, row in enumerate(rows) if not wanted.isdisjoint(row.names)]
    last = len(rows) if wanted - {name for row in rows for name in row.names} else max(here, default=-1) + 1
    return rows[:last]
