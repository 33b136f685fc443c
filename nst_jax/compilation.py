"""Compilation of long-running programs, where JAX's defaults cost memory."""

import functools
from collections.abc import Callable
from typing import Any

import jax

_KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander,small-while-loop-hoisting"}
"""XLA's CPU compiler removes optimisation barriers before it merges repeated computations (jax 0.10). So it stores
activations that were to be recomputed, and whole values where a bit of each is enough: a VGG-19 step then takes half as
much memory again, and 2.5 times as much with `remat`, at the same speed. This disables the pass that removes barriers,
and the one that makes a function of each loop over less than a kilobyte, in which XLA of jaxlib 0.12.0.1 cannot emit a
barrier and ends the process ("Check failed: buffer != nullptr")."""


class Jit:
    """A function compiled by `jax.jit` with options that suit the platform, which is known only at the first call."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        """Takes the options of `jax.jit`."""
        self._function = function
        self._options = options

    def __call__(self, *arguments: Any) -> Any:
        """Runs the function."""
        return self._jitted(*arguments)

    def shapes(self, *arguments: Any) -> Any:
        """Returns the shapes of its results for arguments like these, without computing them."""
        return jax.eval_shape(self._function, *arguments)  # not of the compiled: its options allow no jit around it

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """Returns the function lowered for arguments like these."""
        return self._jitted.lower(*arguments)

    @functools.cached_property
    def _jitted(self) -> Any:
        options = _KEEP_BARRIERS if jax.default_backend() == "cpu" else None
        return jax.jit(self._function, compiler_options=options, **self._options)
