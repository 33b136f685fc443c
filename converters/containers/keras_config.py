"""Descriptions of Keras models (JSON), as far as they affect how weights are read."""

import json
from collections.abc import Iterator
from typing import Any

from ..source import Axes

_FIRST = "channels_first"


def parse(description: str | bytes) -> Any:
    """Returns the description in JSON as an object, None if it is damaged: weights can be read without it."""
    try:
        return json.loads(description)
    except (ValueError, RecursionError):
        return None


def dense_axes(config: Any) -> Axes | None:
    """Returns the order of the axes flattened before the first dense layer, None if the model does not say.

    A model may work on channels-first maps, and its Flatten may or may not move the channels last: it does if its own
    `data_format` says channels-first (since Keras 2.2).
    """
    try:
        layers = list(_layers(config))
    except RecursionError:
        return None
    formats = {kind: [found for name, found in layers if name.startswith(kind)] for kind in ("Conv", "Flatten")}
    if not formats["Conv"]:
        return None
    return "IHWO" if _FIRST in formats["Conv"] and _FIRST not in formats["Flatten"] else "HWIO"


def _layers(config: Any) -> Iterator[tuple[str, str | None]]:
    """Yields class and `data_format` of every layer, however deep in models within models."""
    if isinstance(config, list):
        for item in config:
            yield from _layers(item)
    elif isinstance(config, dict):
        name, inner = config.get("class_name"), config.get("config")
        if isinstance(name, str) and isinstance(inner, dict):
            yield name, inner.get("data_format")
        for item in config.values():
            if isinstance(item, dict | list):
                yield from _layers(item)
