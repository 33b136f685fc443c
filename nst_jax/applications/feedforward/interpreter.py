"""The one network: a Linen module that interprets a sequence of steps."""

from collections.abc import Callable
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from flax import linen as nn

from nst_jax.applications.feedforward import blocks
from nst_jax.applications.feedforward.blocks import Cells, divided
from nst_jax.applications.feedforward.steps import (
    Activation,
    Border,
    Conv,
    Layer,
    MaxPool,
    Mean,
    Norm,
    Residual,
    Step,
    Transposed,
)
from nst_jax.ops import conv, few_channels
from nst_jax.surroundings import per_channel

INITIAL_SPREAD = 0.01
"""Standard deviation of new kernels and of the differences between styles (Magenta's, and torch's of the examples)."""

_ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    "relu": conv.rectify,
    "relu6": jax.nn.relu6,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
}


class Moments(NamedTuple):
    """Mean and variance of each channel, both `[N, 1, 1, C]`."""

    mean: jax.Array
    variance: jax.Array


class Regional(NamedTuple):
    """Styles of the regions of a picture.

    Attributes:
        codes: the style code of each region, `[R, K]`.
        guides: `[H, W, R]` in [0, 1], how much each pixel belongs to each region.
    """

    codes: jax.Array
    guides: jax.Array


def at_positions(guides: jax.Array, height: int, width: int) -> jax.Array:
    """Returns how much each of `height` × `width` positions belongs to each region: the means of guides `[H, W, R]`."""
    of_pixels = guides.reshape(height, guides.shape[0] // height, width, guides.shape[1] // width, -1)
    return of_pixels.mean(axis=(1, 3))


def shares_of(guides: jax.Array) -> jax.Array:
    """Returns the share of each region in each position's style, which add up to 1; equal ones where it has none."""
    total = guides.sum(axis=-1, keepdims=True)
    return jnp.where(total > 0, guides / jnp.where(total > 0, total, 1.0), 1 / guides.shape[-1])


Code = jax.Array | Regional | None
"""What stands for a style in normalisations: codes `[N, K]`, those of regions, or none."""

Measure = Callable[[str, jax.Array], Moments]
"""From the name of a layer and its map `[N, H, W, C]` before an instance normalisation to the moments that this takes;
where a picture is computed in parts, they are those of the whole."""


def own_moments(name: str, maps: jax.Array) -> Moments:  # noqa: ARG001 - a `Measure`
    """Returns the moments of maps over their own positions, in float32."""
    wide = maps.astype(jnp.promote_types(maps.dtype, jnp.float32))
    mean = wide.mean(axis=(1, 2), keepdims=True)
    return Moments(mean, jnp.square(wide - mean).mean(axis=(1, 2), keepdims=True))


class Painter(nn.Module):
    """A sequence of steps.

    Attributes:
        steps: the network.
        precision: precision of the products, on accelerators.
        fast: whether convolutions are computed as CPUs do it fastest (`blocks.py`); slower where there are derivatives.
    """

    steps: tuple[Step, ...]
    precision: jax.lax.Precision = jax.lax.Precision.HIGHEST
    fast: bool = False

    @nn.compact
    def __call__(self, maps: jax.Array, code: Code = None, measure: Measure = own_moments) -> jax.Array:
        """Returns what the steps make of a batch of maps.

        Args:
            maps: `[N, H, W, C]`, in the input convention of the network.
            code: the style codes, `[N, K]` or `[1, K]`, where normalisations read them; or those of regions, whose
                scales and shifts are blended at each position by its shares in them.
            measure: the moments that instance normalisations take.

        Returns:
            `[N, H', W', C']`.
        """
        return divided(self._run(self.steps, Cells(maps), code, measure), 1).values

    def _run(self, steps: tuple[Step, ...], cells: Cells, code: Code, measure: Measure) -> Cells:
        for step in steps:
            match step:
                case Conv():
                    cells = self._finish(step, self._convolve(step, cells), cells.channels, code, measure)
                case Transposed():
                    made = Cells(self._spread(step, divided(cells, 1).values))
                    cells = self._finish(step, made, cells.channels, code, measure)
                case MaxPool():
                    cells = Cells(nn.max_pool(divided(cells, 1).values, (step.size,) * 2, (step.size,) * 2))
                case Mean():
                    cells = Cells(cells.positions().mean(axis=(1, 2), keepdims=True))
                case Residual():
                    made = divided(self._run(step.steps, cells, code, measure), cells.side)
                    cells = Cells(cells.values + made.values, cells.side)
                case _:
                    assert_never(step)
        return cells

    def _parameter(self, layer: Layer, role: str, initial: Any, channels: int, dtype: Any) -> jax.Array:
        name = f"{layer.name}/{role}"
        if self.has_variable("params", name):  # Flax would trace its initializer for the shape, which takes half of all
            return self.get_variable("params", name).astype(dtype)
        return self.param(name, initial, layer.parameters(channels)[role]).astype(dtype)

    def _convolve(self, layer: Conv, cells: Cells) -> Cells:
        kernel = self._parameter(
            layer, "kernel", nn.initializers.normal(INITIAL_SPREAD), cells.channels, cells.values.dtype
        )
        between = blocks.sides(layer, cells.channels) if self.fast and jax.default_backend() == "cpu" else None
        if between is not None:
            whole = cells if cells.side == between.read else divided(cells, 1)
            if whole.side == between.read or blocks.fits(whole.values.shape, between.read):
                return blocks.convolve(layer, divided(whole, between.read), kernel, between)
        maps = divided(cells, 1).values
        if (layer.enlarge, layer.kernel, layer.stride, layer.depthwise) == (2, 3, 1, False):
            # Beyond the border of the enlarged map the reflected position is the second one, which repeats the first.
            for axis in (1, 2):
                maps = _repeat_ends(maps, axis) if layer.border == "reflect" else _extend(maps, axis, 3, 1, "zeros")
            return Cells(few_channels.convolve_doubled(maps, kernel, self.precision))
        if layer.enlarge > 1:
            maps = maps.repeat(layer.enlarge, axis=1).repeat(layer.enlarge, axis=2)
        for axis in (1, 2):
            maps = _extend(maps, axis, layer.kernel, layer.stride, layer.border)
        if layer.depthwise:
            shifted = None if self.fast else False
            return Cells(conv.convolve_each(maps, kernel, layer.stride, self.precision, shifted=shifted))
        height, width = (length - layer.kernel + 1 for length in maps.shape[1:3])
        if layer.stride == 1 and few_channels.suits_blocks(height, width, kernel.shape):
            return Cells(few_channels.convolve_in_blocks(maps, kernel, self.precision))
        return Cells(conv.convolve(maps, kernel, layer.stride, precision=self.precision))

    def _spread(self, layer: Transposed, maps: jax.Array) -> jax.Array:
        kernel = self._parameter(layer, "kernel", nn.initializers.normal(INITIAL_SPREAD), maps.shape[-1], maps.dtype)
        return jax.lax.conv_general_dilated(
            maps,
            kernel[::-1, ::-1],
            (1, 1),
            ((layer.kernel - 1 - layer.before, layer.stride - 1 + layer.before),) * 2,
            lhs_dilation=(layer.stride,) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=self.precision,
        )

    def _finish(self, layer: Layer, cells: Cells, channels: int, code: Code, measure: Measure) -> Cells:
        """Returns a linear response with its bias, normalised and activated; `channels` is what the layer read."""
        maps = cells.values
        if layer.bias:
            bias = self._parameter(layer, "bias", nn.initializers.zeros, channels, maps.dtype)
            maps = maps + per_channel(cells.each(bias), maps.ndim)
        if layer.norm is not None:
            cells = cells._replace(values=maps)
            maps = self._normalise(layer, layer.norm, cells, channels, code, measure)
        return cells._replace(values=maps if layer.activation is None else _ACTIVATIONS[layer.activation](maps))

    def _normalise(
        self, layer: Layer, norm: Norm, cells: Cells, channels: int, code: Code, measure: Measure
    ) -> jax.Array:
        maps = cells.values

        def own(role: str, initial: Any) -> jax.Array:
            return self._parameter(layer, role, initial, channels, jnp.float32)

        def styled(role: str, middle: float) -> jax.Array:
            values = own(
                role, _around(0.0 if norm.offset else middle) if norm.code else nn.initializers.constant(middle)
            )
            if not norm.code:
                return cells.each(per_channel(values, maps.ndim))
            if code is None:
                raise ValueError(f"{layer.name}: expected a style code of {norm.code} numbers, found none")
            codes = code.codes if isinstance(code, Regional) else code
            values = jnp.dot(codes, values, precision=jax.lax.Precision.HIGHEST)
            if norm.offset:
                values = values + per_channel(own(f"{role}_offset", nn.initializers.constant(middle)), 2)
            if not isinstance(code, Regional):
                return cells.each(values[:, None, None, :])
            high, wide = (length * cells.side for length in maps.shape[1:3])
            shares = shares_of(at_positions(code.guides, high, wide))
            blended = jnp.dot(shares, values, precision=jax.lax.Precision.HIGHEST)
            return divided(Cells(blended[None]), cells.side).values

        if norm.kind == "batch":
            mean, variance = (
                per_channel(own(role, nn.initializers.constant(at)), maps.ndim)
                for role, at in (("mean", 0.0), ("variance", 1.0))
            )
        else:
            in_any_order = measure is own_moments
            mean, variance = measure(layer.name, cells.positions() if in_any_order else divided(cells, 1).values)
        factor = styled("scale", 1.0) * cells.each(jax.lax.rsqrt(variance + norm.epsilon))
        return (maps * factor + (styled("shift", 0.0) - cells.each(mean) * factor)).astype(maps.dtype)


def _around(middle: float) -> Any:
    """Returns an initializer of normal numbers around one."""

    def initial(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return middle + INITIAL_SPREAD * jax.random.normal(key, shape, jnp.float32)

    return initial


def _repeat_ends(maps: jax.Array, axis: int) -> jax.Array:
    """Returns maps with their first and last position along an axis once more."""
    first = jax.lax.slice_in_dim(maps, 0, 1, axis=axis)
    last = jax.lax.slice_in_dim(maps, maps.shape[axis] - 1, maps.shape[axis], axis=axis)
    return jnp.concatenate([first, maps, last], axis)


def _extend(maps: jax.Array, axis: int, kernel: int, stride: int, border: Border) -> jax.Array:
    """Returns maps with what a convolution along one axis reads beyond their border.

    Reflection is written out in slices, as `jnp.pad` refuses lengths that are symbols, which `jax.export` has.
    """
    length = maps.shape[axis]
    before = after = kernel // 2
    if border == "same":
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        before, after = total // 2, total - total // 2
    if not before and not after:
        return maps
    if border == "reflect":
        above = jnp.flip(jax.lax.slice_in_dim(maps, 1, before + 1, axis=axis), axis)
        below = jnp.flip(jax.lax.slice_in_dim(maps, length - after - 1, length - 1, axis=axis), axis)
        return jnp.concatenate([above, maps, below], axis)
    pads = [(0, 0)] * maps.ndim
    pads[axis] = (before, after)
    return jnp.pad(maps, pads)
