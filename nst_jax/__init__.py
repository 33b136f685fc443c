"""Neural style transfer as pure functions in JAX.

Example::

    import nst_jax

    network = nst_jax.load()
    photo = nst_jax.read_image("photo.jpg", size=512)
    painting = nst_jax.read_image("painting.jpg", size=512)
    picture = nst_jax.stylize(photo.pixels, painting.pixels, network)
    nst_jax.write_image("stylised.png", photo._replace(pixels=picture))
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "BACKBONES": ("nst_jax.backbones.registry", "BACKBONES"),
    "PRESETS": ("nst_jax.presets", "PRESETS"),
    "Settings": ("nst_jax.settings", "Settings"),
    "UserError": ("nst_jax.errors", "UserError"),
    "load": ("nst_jax.backbones.pretrained", "load"),
    "prepare": ("nst_jax.transfer", "prepare"),
    "read_image": ("nst_jax.io.images", "read"),
    "stylize": ("nst_jax.transfer", "stylize"),
    "write_image": ("nst_jax.io.images", "write"),
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: parsing flags or converting weights need not load JAX."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nst_jax' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)
