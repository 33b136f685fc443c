"""Names and modules of a package that are imported when they are first used: parsing flags need not load JAX."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attributes(
    package: str, names: Mapping[str, tuple[str, str]] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` of a package, by which it has these names, and its modules.

    Args:
        package: its name.
        names: public name → module, and the name in there.
    """
    public = names or {}

    def get(name: str) -> Any:
        if name in public:
            module, attribute = public[name]
            return getattr(importlib.import_module(module), attribute)
        if importlib.util.find_spec(f"{package}.{name}") is not None:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names_of() -> list[str]:
        present = vars(sys.modules[package])
        special = (name for name in present if name.startswith("__"))
        modules = (found.name for found in pkgutil.iter_modules(present["__path__"]))
        return sorted({*special, *public, *modules})

    return get, names_of
