"""How every command of this package starts and ends: flags, arguments, errors in one line."""

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging

from nst_jax.commands import as_typed_here, help_is_success
from nst_jax.console import accept_any_text
from nst_jax.errors import UserError, choose, one_line
from nst_jax.io.files import expand_home

INTERRUPTED = 130
"""Exit status after Ctrl-C: that of shells, 128 + SIGINT."""

_TERMINATED = 143

FILE = "FILE"
"""The name of arguments that are paths."""


def run(
    command: Callable[..., None], *, arguments: Sequence[str] = (), repeated: bool = False, optional: bool = False
) -> None:
    """Parses the command line and runs the command; unusable input becomes one line on stderr and exit status 1.

    Args:
        command: called with the positional arguments of the command line.
        arguments: the names of these, for messages.
        repeated: whether the last of them may be there several times.
        optional: whether all of them may be left out.
    """
    accept_any_text()

    def main(given: list[str]) -> None:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.FATAL)  # JAX logs at length which accelerators are missing
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))  # so that temporary files are removed
        try:
            names = list(arguments)
            if repeated:
                names += names[-1:] * (len(given) - len(names))
            if len(given) != len(names) and not (optional and not given):
                wanted = " ".join(arguments) or "flags only"
                raise UserError(f"expected {wanted}, found {one_line(' '.join(given)) or 'nothing'}; see --help")
            command(*map(_expanded, names, given))
            if sys.stdout:
                sys.stdout.flush()
        except UserError as error:
            sys.exit(f"error: {one_line(error, longest=4000)}")
        except MemoryError:
            sys.exit("error: expected enough memory for the largest layer twice, found less; close other programs")
        except OSError as error:  # errors of files are reported where these are opened
            sys.stdout = None  # else Python would try again at its end, and print a traceback
            where = one_line(error.filename or "standard output")
            sys.exit(f"error: {where}: expected it to be usable, found: {one_line(error.strerror or error)}")
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    script = sys.modules["__main__"]
    script.__doc__ = as_typed_here(script.__doc__ or "")
    app.run(main, flags_parser=_parse)


def define_path(name: str, default: str | None, text: str) -> None:
    """Defines a flag for a path, in which a `~` at the beginning is the home folder."""
    flags.DEFINE(_PathParser(), name, default, text, module_name=sys.argv[0])


def _expanded(name: str, given: str) -> str:
    return expand_home(given) if name == FILE else given


class _PathParser(flags.ArgumentParser):
    def parse(self, argument: str) -> str:
        return expand_home(argument)

    def flag_type(self) -> str:
        return "path"


def path(given: str | None, flag: str) -> Path | None:
    """Returns the path that a flag gives, None if it was left out.

    Raises:
        UserError: it is empty, as from an unset variable.
    """
    if given == "":
        raise UserError(f"--{flag}: expected a path, found none; leave the flag out for its default")
    return None if given is None else Path(given)


def _parse(argv: list[str]) -> list[str]:
    """Parses flags as absl does, but reports mistakes in one line, with the valid choices."""
    try:
        try:
            with help_is_success():  # only the flags for help exit while flags are parsed
                return flags.FLAGS(argv)[1:]
        except flags.UnrecognizedFlagError as error:
            return [choose(error.flagname, [f.name for f in flags.FLAGS.flags_by_module_dict()[argv[0]]], what="flag")]
    except (flags.Error, UserError, UnicodeDecodeError) as error:
        sys.exit(f"error: {one_line(error, longest=4000)}")
