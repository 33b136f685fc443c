"""The console command `nst-jax`, which runs any script and any converter by its name.

    nst-jax stylize photo.jpg painting.jpg
    nst-jax convert FILE --backbone=vgg19
    nst-jax --help

It imports none of them, nor JAX, so that the list is printed at once; each is run as `python -m` would run it.
"""

import ast
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import nst_jax
from nst_jax.commands import help_is_success
from nst_jax.console import accept_any_text
from nst_jax.errors import UserError, choose

_ABOVE = Path(__file__).parents[2]  # the folder of both packages: of a clone, or nst_jax as the wheel has it
_PREFIX = __package__.removesuffix("experiments.cli")  # nothing in a clone, or "nst_jax."

_USAGE = """\
usage: nst-jax SCRIPT [--flag=value ...]
       nst-jax SCRIPT --help
       nst-jax --version
"""


class Command(NamedTuple):
    """A script or converter.

    Attributes:
        module: the full name of its module.
        summary: the first line of its docstring.
    """

    module: str
    summary: str


def commands(package: str) -> dict[str, Command]:
    """Returns the commands in `experiments` or `converters`, by name."""
    found = {}
    for path in sorted((_ABOVE / package).glob("*.py")):
        source = path.read_text("utf-8")
        if 'if __name__ == "__main__":' in source:
            summary = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
            found[path.stem] = Command(f"{_PREFIX}{package}.{path.stem}", summary)
    return found


def main() -> None:
    """Runs the command that the first argument names, with the other arguments; without any, lists all commands."""
    accept_any_text()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name == "--version":
        print(f"nst-jax {nst_jax.__version__}")
        return
    scripts, converters = commands("experiments"), commands("converters")
    if name in ("--help", "-h", "help"):
        with help_is_success():
            print(_USAGE, _table("scripts", scripts), _table("converters", converters), sep="\n", end="")
        return
    known = scripts | converters
    chosen = name.replace("-", "_")
    if chosen not in known:
        try:
            choose(name, known, what="script")
        except UserError as error:
            sys.exit(f"error: {error}")
    sys.argv[1:] = arguments
    runpy.run_module(known[chosen].module, run_name="__main__", alter_sys=True)


def _table(title: str, rows: dict[str, Command]) -> str:
    width = max(map(len, rows))
    return "".join([f"{title}:\n", *(f"  {name:{width}}  {row.summary}\n" for name, row in rows.items())])


if __name__ == "__main__":
    main()
