"""Lazy packages, whose names and modules are imported at first use: parsing flags need not load JAX.

`EAGER_IMPORT=1` in the environment imports the names at once, for tools that look into the package rather than ask it,
such as those that make reference pages (Scientific Python's SPEC 1 has the variable).
"""

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attributes(
    package: str, names: Mapping[str, tuple[str, str]] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a package that give it these names and its modules.

    Args:
        package: name of the package.
        names: public name → (module, name in the module).
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

    if os.environ.get("EAGER_IMPORT"):
        vars(sys.modules[package]).update({name: get(name) for name in public})
    return get, names_of
