"""Local response normalisation against its formula, its derivative, and what Caffe computed with GoogLeNet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io

from nst_jax.backbones.features import Features
from nst_jax.backbones.rows import Concat, Conv, LocalResponseNorm, Pool
from nst_jax.backbones.spec import Backbone, Preprocess, Provenance
from nst_jax.backbones.vgg import FAMILY
from nst_jax.ops.normalisation import local_response_norm

pytestmark = pytest.mark.quick

PLAIN = Preprocess(scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="RGB")
CAFFE = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
KRIZHEVSKY = {"size": 5, "alpha": 5 * 1e-4, "beta": 0.75, "k": 2.0}
OTHER = {"size": 3, "alpha": 0.7, "beta": 0.6, "k": 0.5}


def by_formula(values, *, size, alpha, beta, k):
    """Krizhevsky et al. 2012, section 3.3, with alpha / size for alpha, unit by unit."""
    result = np.empty_like(values)
    for *position, channel in np.ndindex(values.shape):
        around = values[(*position, slice(max(0, channel - size // 2), channel + size // 2 + 1))]
        result[(*position, channel)] = values[(*position, channel)] / (k + alpha / size * (around**2).sum()) ** beta
    return result


@pytest.mark.parametrize("constants", [CAFFE, KRIZHEVSKY, OTHER], ids=["caffe", "krizhevsky", "other"])
@pytest.mark.parametrize("shape", [(9,), (4, 7), (2, 3, 4, 8), (2, 1, 3, 2, 3)])
def test_is_the_formula(constants, shape):
    # As large as responses of networks that see 0 to 255.
    values = 200 * np.random.default_rng(0).standard_normal(shape)
    found = jax.jit(lambda maps: local_response_norm(maps, **constants))(np.float32(values))
    np.testing.assert_allclose(found, by_formula(values, **constants), rtol=1e-5)


@pytest.mark.parametrize("constants", [CAFFE, OTHER], ids=["caffe", "other"])
def test_derivative_is_that_of_finite_differences(constants):
    random = np.random.default_rng(0)
    values, cotangent = 30 * random.standard_normal((2, 3, 8)), random.standard_normal((2, 3, 8))
    with jax.enable_x64(True):

        def total(maps):
            return jnp.vdot(local_response_norm(maps, **constants), cotangent)

        found = jax.jit(jax.grad(total))(jnp.asarray(values))
        assert found.dtype == np.float64
        step = 1e-4
        moves = step * np.eye(values.size).reshape(-1, *values.shape)
        sides = [jax.jit(jax.vmap(total))(values + sign * moves) for sign in (1, -1)]
    expected = (np.asarray(sides[0]) - np.asarray(sides[1])).reshape(values.shape) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_half_precision_is_computed_in_single():
    values = 200 * np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
    narrow = jnp.asarray(values, jnp.bfloat16)
    found = local_response_norm(narrow, **CAFFE)
    assert found.dtype == jnp.bfloat16
    exact = local_response_norm(narrow.astype(jnp.float32), **CAFFE)
    np.testing.assert_array_equal(found, exact.astype(jnp.bfloat16))


def test_windows_have_a_middle():
    with pytest.raises(ValueError, match="size: expected an odd number of channels"):
        local_response_norm(jnp.ones((3, 3)), **CAFFE | {"size": 4})


def test_is_that_of_caffe_in_googlenet(shared):
    # Szegedy et al., arXiv:1409.4842, table 1, as in BVLC's deploy.prototxt: both of its normalisations, and of the
    # first Inception module behind them the three branches of convolutions.
    def conv(name, source, features, kernel, stride=1):
        return Conv(name, source, features, kernel, stride, padding=kernel // 2, relu=f"{name}/relu")

    module = "inception_3a"
    rows = (
        conv("conv1/7x7_s2", "data", 64, 7, stride=2),
        Pool("pool1/3x3_s2", "conv1/7x7_s2", size=3, stride=2, ceil=True),
        LocalResponseNorm("pool1/norm1", "pool1/3x3_s2"),
        conv("conv2/3x3_reduce", "pool1/norm1", 64, 1),
        conv("conv2/3x3", "conv2/3x3_reduce", 192, 3),
        LocalResponseNorm("conv2/norm2", "conv2/3x3"),
        Pool("pool2/3x3_s2", "conv2/norm2", size=3, stride=2, ceil=True),
        conv(f"{module}/1x1", "pool2/3x3_s2", 64, 1),
        conv(f"{module}/3x3_reduce", "pool2/3x3_s2", 96, 1),
        conv(f"{module}/3x3", f"{module}/3x3_reduce", 128, 3),
        conv(f"{module}/5x5_reduce", "pool2/3x3_s2", 16, 1),
        conv(f"{module}/5x5", f"{module}/5x5_reduce", 32, 5),
        Concat("branches", tuple(f"{module}/{branch}" for branch in ("1x1", "3x3", "5x5"))),
    )
    folder = shared / "weights/networks/googlenet_bvlc"

    def parameter(name, part):
        return scipy.io.loadmat(folder / "Params" / f"{name.replace('/', '_')}_{part}.mat")

    def activations(file):
        return scipy.io.loadmat(folder / "reference" / f"{file}.mat")["data"].transpose(1, 0, 2)

    params = {}
    for row in rows:
        if isinstance(row, Conv):
            params[f"{row.name}/kernel"] = parameter(row.name, "w")["weights"].transpose(1, 0, 2, 3)
            params[f"{row.name}/bias"] = parameter(row.name, "b")["bias"].ravel()
    network = Backbone("googlenet", rows, PLAIN, Provenance("", "", ""), FAMILY)
    found = jax.jit(Features(network).apply)({"params": params}, activations("1_data"))["branches"]
    expected = activations("20_inception_3a_output")[..., : found.shape[-1]]
    # 224 channels in float32; without the normalisations the activations are several times as large.
    np.testing.assert_allclose(found, expected, atol=3e-6 * expected.max())
