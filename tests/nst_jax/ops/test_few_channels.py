import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax.ops import conv, few_channels


def _random(*shape):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


def _compare(ours, theirs, *arguments):
    """Compares values and both derivatives; they are sums of some hundred products in another order."""
    expected, pull = jax.vjp(theirs, *arguments)
    found, ours_pull = jax.vjp(ours, *arguments)
    cotangent = _random(*expected.shape)
    for here, there in zip((found, *ours_pull(cotangent)), (expected, *pull(cotangent)), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-3)


@pytest.mark.quick
def test_doubled_is_the_convolution_of_repeated_positions():
    def repeated(images, kernel):
        inner = images[:, 1:-1, 1:-1].repeat(2, axis=1).repeat(2, axis=2)
        return conv.convolve(jnp.pad(inner, ((0, 0), (1, 1), (1, 1), (0, 0))), kernel)

    def doubled(images, kernel):
        border = jnp.zeros(images.shape).at[:, 1:-1, 1:-1].set(1)
        return few_channels.convolve_doubled(images * border, kernel)

    _compare(doubled, repeated, _random(2, 7, 9, 3), _random(3, 3, 3, 4))


def test_doubled_takes_the_border_that_it_is_given():
    images = _random(1, 6, 6, 2)
    kernel = _random(3, 3, 2, 1)
    inner = images[:, 1:-1, 1:-1].repeat(2, axis=1).repeat(2, axis=2)
    reflected = jnp.pad(inner, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    edged = jnp.pad(images[:, 1:-1, 1:-1], ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    found = few_channels.convolve_doubled(edged, kernel)
    np.testing.assert_allclose(found, conv.convolve(reflected, kernel), atol=1e-4)


def test_blocks_are_the_plain_convolution():
    _compare(few_channels.convolve_in_blocks, conv.convolve, _random(1, 16, 20, 2), _random(9, 9, 2, 3))


@pytest.mark.parametrize(
    ("sides", "kernel", "suits"),
    [
        ((8, 12), (9, 9, 16, 3), True),
        ((8, 10), (9, 9, 16, 3), False),
        ((8, 12), (3, 3, 16, 3), False),
        ((8, 12), (9, 9, 3, 16), False),
    ],
)
def test_blocks_are_for_whole_blocks_and_few_channels(sides, kernel, suits):
    assert few_channels.suits_blocks(*sides, kernel) == (suits and jax.default_backend() == "cpu")
