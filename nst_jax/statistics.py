"""Statistics of a feature map: what is left of a picture's style when the positions are forgotten.

A map has any number of spatial axes before its channels: `[T, C]` of a signal, `[H, W, C]` of an image, `[D, H, W, C]`
of a volume. None of them is a batch: many maps are `jax.vmap`.
"""

import jax
import jax.numpy as jnp


def gram(features: jax.Array) -> jax.Array:
    """Returns the Gram matrix: the mean over positions of the products of channels.

    Gatys et al. 2016, equation 3, divided by the number of positions M. Their losses divide by M² later; dividing here
    gives the same numbers and lets the painting have another size than the picture.

    Args:
        features: `[..., C]`, of any precision.

    Returns:
        `[C, C]`, float32 at least, symmetric.
    """
    rows = features.reshape(-1, features.shape[-1])
    return _self_product(rows) / len(rows)


@jax.custom_vjp
def _self_product(rows: jax.Array) -> jax.Array:
    """Returns Fᵀ F for `[M, C]`, summed up in single precision at least.

    Its derivative is one product, F (Ḡ + Ḡᵀ), where JAX would compute two.
    """
    return jax.lax.dot_general(
        rows,
        rows,
        dimension_numbers=(((0,), (0,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.promote_types(rows.dtype, jnp.float32),
    )


def _self_product_forward(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _self_product(rows), rows


def _self_product_backward(rows: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    symmetric = (cotangent + cotangent.T).astype(rows.dtype)
    return (jnp.matmul(rows, symmetric, precision=jax.lax.Precision.HIGHEST),)


_self_product.defvjp(_self_product_forward, _self_product_backward)
