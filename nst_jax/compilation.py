"""How programs that run for long are compiled, where JAX's own way costs memory."""

import functools
from collections.abc import Callable
from typing import Any

import jax

_KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}
"""XLA's CPU compiler removes the barriers before it looks for what is computed twice, and merges that (jax 0.10). So it
keeps what was to be computed anew, and values where a bit of each is enough: a VGG-19 step then takes half as much
memory again, and 2.5 times as much with `remat`, at the same speed. This leaves out the pass that removes them."""


class Jit:
    """A function compiled by `jax.jit`, as suits the platform, which is only known when it is called."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        """Takes the options of `jax.jit`."""
        self._function = function
        self._options = options

    def __call__(self, *arguments: Any) -> Any:
        """Runs the function."""
        return self._jitted(*arguments)

    def shapes(self, *arguments: Any) -> Any:
        """Returns the shapes of what it returns for arguments like these; computes nothing."""
        return jax.eval_shape(self._function, *arguments)  # not of the compiled: its options allow no jit around it

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """Returns the function lowered for arguments like these."""
        return self._jitted.lower(*arguments)

    @functools.cached_property
    def _jitted(self) -> Any:
        options = _KEEP_BARRIERS if jax.default_backend() == "cpu" else None
        return jax.jit(self._function, compiler_options=options, **self._options)
