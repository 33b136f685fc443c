"""Every type of step against its definition in NumPy, or against JAX's own operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax.applications.feedforward.interpreter import Moments, Painter, Regional
from nst_jax.applications.feedforward.steps import Conv, MaxPool, Mean, Norm, Residual, Transposed

RANDOM = np.random.default_rng(0)
MAPS = RANDOM.standard_normal((2, 8, 6, 4), np.float32)


def numbers(*shape):
    return RANDOM.standard_normal(shape, np.float32)


def run(steps, params, maps=MAPS, **further):
    return np.asarray(jax.jit(Painter(steps).apply)({"params": params}, maps, **further))


def correlated(maps, kernel, stride=1):
    """A convolution without border, as a sum over the kernel's positions."""
    size = kernel.shape[0]
    high, wide = ((length - size) // stride + 1 for length in maps.shape[1:3])
    return sum(
        maps[:, y : y + (high - 1) * stride + 1 : stride, x : x + (wide - 1) * stride + 1 : stride] @ kernel[y, x]
        for y in range(size)
        for x in range(size)
    )


@pytest.mark.parametrize(
    ("border", "stride", "pads", "mode"),
    [
        ("reflect", 1, (1, 1), "reflect"),
        ("reflect", 2, (1, 1), "reflect"),
        ("zeros", 2, (1, 1), "constant"),
        ("same", 2, (0, 1), "constant"),  # TensorFlow's, for an even side
        ("same", 1, (1, 1), "constant"),
    ],
)
def test_convolution(border, stride, pads, mode):
    kernel, bias = numbers(3, 3, 4, 5), numbers(5)
    step = Conv("a", 5, kernel=3, stride=stride, border=border, bias=True, activation="relu")
    found = run((step,), {"a/kernel": kernel, "a/bias": bias})
    padded = np.pad(MAPS, ((0, 0), pads, pads, (0, 0)), mode=mode)
    np.testing.assert_allclose(found, np.maximum(correlated(padded, kernel, stride) + bias, 0), atol=1e-5)


def test_enlarged():
    kernel = numbers(3, 3, 4, 5)
    step = Conv("a", 5, kernel=3, enlarge=2, activation=None)
    twice = np.repeat(np.repeat(MAPS, 2, 1), 2, 2)
    padded = np.pad(twice, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    np.testing.assert_allclose(run((step,), {"a/kernel": kernel}), correlated(padded, kernel), atol=1e-5)


def test_depthwise():
    kernel = numbers(3, 3, 1, 4)
    step = Conv("a", 4, kernel=3, border="zeros", depthwise=True, activation=None)
    padded = np.pad(MAPS, ((0, 0), (1, 1), (1, 1), (0, 0)))
    each = [correlated(padded[..., c : c + 1], kernel[..., c : c + 1]) for c in range(4)]
    np.testing.assert_allclose(run((step,), {"a/kernel": kernel}), np.concatenate(each, -1), atol=1e-5)


@pytest.mark.parametrize(("border", "before"), [("zeros", 1), ("same", 0)])
def test_transposed(border, before):
    """Each input position adds the kernel to the output (`torch.nn.ConvTranspose2d`; TensorFlow's conv2d_transpose)."""
    kernel = numbers(3, 3, 4, 5)
    step = Transposed("a", 5, kernel=3, stride=2, border=border, activation=None)
    count, high, wide, _ = MAPS.shape
    full = np.zeros((count, 2 * high + 2, 2 * wide + 2, 5), np.float32)
    for y in range(high):
        for x in range(wide):
            full[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3] += np.einsum("nc,hwck->nhwk", MAPS[:, y, x], kernel)
    expected = full[:, before : before + 2 * high, before : before + 2 * wide]
    np.testing.assert_allclose(run((step,), {"a/kernel": kernel}), expected, atol=1e-5)


def test_instance_normalisation():
    kernel, scale, shift = numbers(1, 1, 4, 4), numbers(4), numbers(4)
    step = Conv("a", 4, kernel=1, norm=Norm(epsilon=1e-3), activation=None)
    found = run((step,), {"a/kernel": kernel, "a/scale": scale, "a/shift": shift})
    linear = MAPS @ kernel[0, 0]
    mean, variance = linear.mean((1, 2), keepdims=True), linear.var((1, 2), keepdims=True)
    np.testing.assert_allclose(found, (linear - mean) / np.sqrt(variance + 1e-3) * scale + shift, atol=1e-5)


def test_batch_normalisation():
    params = {"a/kernel": numbers(1, 1, 4, 4), "a/scale": numbers(4), "a/shift": numbers(4)}
    params |= {"a/mean": numbers(4), "a/variance": np.abs(numbers(4))}
    step = Conv("a", 4, kernel=1, norm=Norm("batch"), activation=None)
    deviation = np.sqrt(params["a/variance"] + 1e-5)
    expected = (MAPS @ params["a/kernel"][0, 0] - params["a/mean"]) / deviation * params["a/scale"] + params["a/shift"]
    np.testing.assert_allclose(run((step,), params), expected, atol=1e-5)


def test_conditional_normalisation():
    """Dumoulin et al. 2017, equation 5, with a style for each picture of the batch; Ghiasi's has an offset."""
    kernel, tables = numbers(1, 1, 4, 4), {"a/scale": numbers(3, 4), "a/shift": numbers(3, 4)}
    offsets = {"a/scale_offset": numbers(4), "a/shift_offset": numbers(4)}
    code = numbers(2, 3)
    plain = Conv("a", 4, kernel=1, norm=Norm(code=3), activation=None)
    affine = Conv("a", 4, kernel=1, norm=Norm(code=3, offset=True), activation=None)
    linear = MAPS @ kernel[0, 0]
    normal = (linear - linear.mean((1, 2), keepdims=True)) / np.sqrt(linear.var((1, 2), keepdims=True) + 1e-5)
    scale, shift = (code @ tables[f"a/{role}"] for role in ("scale", "shift"))
    expected = normal * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_allclose(run((plain,), {"a/kernel": kernel, **tables}, code=code), expected, atol=1e-4)
    expected = expected + normal * offsets["a/scale_offset"] + offsets["a/shift_offset"]
    np.testing.assert_allclose(
        run((affine,), {"a/kernel": kernel, **tables, **offsets}, code=code), expected, atol=1e-4
    )
    with pytest.raises(ValueError, match="a style code of 3 numbers"):
        Painter((plain,)).apply({"params": {"a/kernel": kernel, **tables}}, MAPS)


@pytest.mark.parametrize("fast", [False, True])
def test_codes_of_regions(fast):
    """Scales and shifts of the regions, blended at each position by the means of their guides over its pixels."""
    channels = 32 if fast else 4  # which then are computed in cells
    maps = RANDOM.standard_normal((1, 8, 6, channels), np.float32)
    step = Conv("a", channels, kernel=3, border="zeros", norm=Norm(code=2, offset=True), activation=None)
    params = {"a/kernel": numbers(3, 3, channels, channels) / channels}
    params |= {f"a/{role}": numbers(2, channels) for role in ("scale", "shift")}
    params |= {f"a/{role}_offset": numbers(channels) for role in ("scale", "shift")}
    guides, codes = RANDOM.uniform(size=(16, 12, 3)).astype(np.float32), numbers(3, 2)
    guides[:2, :2] = 0  # of no region: all styles alike
    network = Painter((step,), fast=fast)
    found = jax.jit(network.apply)({"params": params}, maps, Regional(codes, guides))
    linear = correlated(np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0))), params["a/kernel"])
    normal = (linear - linear.mean((1, 2), keepdims=True)) / np.sqrt(linear.var((1, 2), keepdims=True) + 1e-5)
    means = guides.reshape(8, 2, 6, 2, 3).mean((1, 3))
    means[0, 0] = 1
    shares = means / means.sum(-1, keepdims=True)
    scale, shift = (shares @ (codes @ params[f"a/{role}"] + params[f"a/{role}_offset"]) for role in ("scale", "shift"))
    np.testing.assert_allclose(found, normal * scale + shift, atol=2e-4)


def test_moments_of_the_whole():
    """A part of a picture is normalised as the whole is."""
    step = Conv("a", 4, kernel=1, norm=Norm(), activation=None)
    params = {"a/kernel": np.eye(4, dtype=np.float32)[None, None], "a/scale": np.ones(4, np.float32)}
    params["a/shift"] = np.zeros(4, np.float32)
    whole = run((step,), params)

    def known(name, maps):
        assert name == "a"
        return Moments(jnp.asarray(MAPS.mean((1, 2), keepdims=True)), jnp.asarray(MAPS.var((1, 2), keepdims=True)))

    part = Painter((step,)).apply({"params": params}, MAPS[:, :3], None, known)
    np.testing.assert_allclose(part, whole[:, :3], atol=1e-5)


def test_pools_and_residuals():
    kernel = numbers(1, 1, 4, 4)
    found = run((Residual((Conv("a", 4, kernel=1, activation=None),)), MaxPool(), Mean()), {"a/kernel": kernel})
    summed = MAPS + MAPS @ kernel[0, 0]
    pooled = summed.reshape(2, 4, 2, 3, 2, 4).max((2, 4))
    np.testing.assert_allclose(found, pooled.mean((1, 2), keepdims=True), atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("relu6", lambda x: np.clip(x, 0, 6)),
        ("tanh", np.tanh),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_activations(activation, formula):
    kernel = 5 * np.eye(4, dtype=np.float32)[None, None]
    found = run((Conv("a", 4, kernel=1, activation=activation),), {"a/kernel": kernel})
    np.testing.assert_allclose(found, formula(5 * MAPS), atol=1e-5)
