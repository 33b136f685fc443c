"""The record of a run as JSON, with the versions of everything that affects its numbers."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nst_jax
from nst_jax.io.files import atomic_write

_RECORDED = ("jax", "jaxlib", "flax", "optax", "numpy", "pillow", "scipy", "imagecodecs", "safetensors")


def versions() -> dict[str, str]:
    """Returns the versions of everything that affects the numbers."""
    installed = {name: importlib.metadata.version(name) for name in _RECORDED}
    return {"nst_jax": nst_jax.__version__, "python": platform.python_version(), **installed}


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a record as JSON, atomically."""
    with atomic_write(path, encoding="utf-8") as file:
        file.write(json.dumps(record, indent=2) + "\n")
