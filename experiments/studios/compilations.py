"""How many programs JAX has compiled."""

from collections.abc import Callable
from typing import Any

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


def counter() -> Callable[[], int]:
    """Returns a function that returns how many programs were compiled, or taken from the cache of them, since now."""
    count = 0

    def listen(event: str, _: float, **_about: Any) -> None:
        nonlocal count
        count += event == _EVENT

    jax.monitoring.register_event_duration_secs_listener(listen)
    return lambda: count
