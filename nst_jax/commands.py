"""The command that runs a script or a converter, in a clone or where the wheel is installed."""

import contextlib
import functools
import importlib.util
import os
import re
import sys
from collections.abc import Iterator

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


@contextlib.contextmanager
def help_is_success() -> Iterator[None]:
    """Ends a block that printed its help and exits with status 0, also where the reader of a pipe closed it early.

    Absl's flags for help exit with 1; and Python itself would complain of the pipe that `--help | head -1` closes.
    """
    try:
        try:
            yield
        except SystemExit:
            sys.exit(0)
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer has to go somewhere when Python flushes it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
