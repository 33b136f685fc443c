"""How every command of this package starts and ends: flags, arguments, one line about what is wrong."""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from nst_jax.errors import UserError, choose, one_line

INTERRUPTED = 130
"""Exit status after Ctrl-C: that of shells, 128 + SIGINT."""


def run(command: Callable[..., None], *, arguments: Sequence[str] = ()) -> None:
    """Parses the command line and runs the command; unusable input becomes one line on stderr and exit status 1.

    Args:
        command: called with the arguments of the command line that are no flags.
        arguments: what these are, for people.
    """

    def main(given: list[str]) -> None:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.FATAL)  # JAX reports at length which accelerators are not there
        try:
            if len(given) != len(arguments):
                wanted = " ".join(arguments) or "flags only"
                raise UserError(f"expected {wanted}, found {one_line(' '.join(given)) or 'nothing'}; see --help")
            command(*given)
        except UserError as error:
            sys.exit(f"error: {one_line(error, longest=4000)}")
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    app.run(main, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    """Parses flags as absl does, but says in one line what is wrong and what would be valid."""
    try:
        try:
            return flags.FLAGS(argv)[1:]
        except flags.UnrecognizedFlagError as error:
            return [choose(error.flagname, [f.name for f in flags.FLAGS.flags_by_module_dict()[argv[0]]], what="flag")]
    except (flags.Error, UserError) as error:
        sys.exit(f"error: {one_line(error, longest=4000)}")
