"""What a user may have set in JAX, and what then stays as it is: the same numbers to the bit under `jax_enable_x64`,
under stricter rules for types and ranks, and where `jax_transfer_guard` allows explicit transfers only.

Code of ours names its types, ranks and transfers, with the functions here; code of others runs under JAX's defaults.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Array = TypeVar("Array", jax.Array, np.ndarray)


def float32_on_device(values: jax.Array | np.ndarray | float) -> jax.Array:
    """Returns numbers of any type and shape as float32 on the device, by an explicit transfer."""
    if isinstance(values, jax.Array):
        return values.astype(jnp.float32)
    return jax.device_put(np.asarray(values, np.float32))


def int32_on_device(value: int) -> jax.Array:
    """Returns a whole number as an int32 scalar on the device, by an explicit transfer."""
    return jax.device_put(np.int32(value))


def per_channel(values: Array, rank: int) -> Array:
    """Returns `[C]` as `[1, ..., 1, C]` with `rank` axes, those of the maps `[..., C]` that it meets."""
    return values.reshape((1,) * (rank - 1) + values.shape)


@contextlib.contextmanager
def jax_defaults(variables: Any) -> Iterator[None]:
    """Traces a block under JAX's own defaults, for libraries that rely on them.

    Optax (0.2) computes decay rates and bias corrections in the default float, which `jax_enable_x64` makes float64;
    rounded to float32 they would have other last bits.

    Args:
        variables: the pytree that the block works on; where it has float64, x64 stays on.
    """
    wide = any(jnp.result_type(leaf).itemsize > 4 for leaf in jax.tree.leaves(variables))
    with jax.enable_x64(wide), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
