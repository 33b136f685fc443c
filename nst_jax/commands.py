"""The command that runs a script or a converter, in a clone or where the wheel is installed."""

import functools
import importlib.util
import re

_IN_A_CLONE = re.compile(r"python -m ((?:experiments|converters)\.\w+)")


def command(module: str) -> str:
    """Returns the command that starts a module of `experiments` or `converters`.

    Args:
        module: its name in a clone, such as `experiments.stylize`.

    Returns:
        `nst-jax stylize` where the wheel has installed the scripts, else `python -m experiments.stylize`.
    """
    return f"nst-jax {module.rpartition('.')[2]}" if _installed() else f"python -m {module}"


def as_typed_here(text: str) -> str:
    """Returns a text written for a clone, with every command replaced by that of `command`."""
    return _IN_A_CLONE.sub(lambda found: command(found[1]), text)


@functools.cache
def _installed() -> bool:
    """Returns whether the scripts are inside this package, as in the wheel, and not beside it."""
    return importlib.util.find_spec("nst_jax.experiments") is not None
