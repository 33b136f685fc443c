"""How many programs JAX has compiled."""

from collections.abc import Callable

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


def counter() -> Callable[[], int]:
    """Returns a function that returns how many programs were compiled, or taken from the cache of them, since now."""
    count = 0

    def listen(event: str, duration_secs: float, **about: str | int) -> None:  # noqa: ARG001 - JAX names them
        nonlocal count
        count += event == _EVENT

    jax.monitoring.register_event_duration_secs_listener(listen)
    return lambda: count
