"""Errors in the user's input: one exception, and the wording of its messages."""

import difflib
import unicodedata
from collections.abc import Iterable


class UserError(Exception):
    """Input that cannot be used. The message is one line: what was expected, what was found, what to do.

    Scripts print it without a traceback and exit with status 1.
    """


def one_line(value: object, *, longest: int = 200) -> str:
    """Returns `value` as one printable line: control characters escaped, long text cut.

    Spaces of other kinds become plain ones: macOS puts a narrow one into the names of its screenshots.
    """
    start = str(value)[: longest + 1]
    text = "".join(char if char.isprintable() else " " if _is_space(char) else repr(char)[1:-1] for char in start)
    return text if len(text) <= longest else f"{text[:longest]}…"


def _is_space(char: str) -> bool:
    return unicodedata.category(char) == "Zs"  # not the separators of lines and paragraphs


def choose(value: str, choices: Iterable[str], *, what: str, listing: str = "") -> str:
    """Returns `value` if it is one of the choices.

    Args:
        value: the name that was given.
        choices: the known names.
        what: the kind of thing that they name.
        listing: the command that prints all choices, where they are too many for one line; then the message has the
            near matches only, or else the first few.

    Raises:
        UserError: it is not; the message lists the choices, near matches first.
    """
    choices = list(choices)
    if value in choices:
        return value
    near = difflib.get_close_matches(value, choices, n=5, cutoff=0.5)
    if listing:
        some = ", ".join(near or choices[:5])
        expected = f"expected one of {len(choices)}, such as: {some}; all of them: {listing}"
        raise UserError(f"unknown {what} {one_line(value)!r}; {expected}")
    ordered = near + [choice for choice in choices if choice not in near]
    raise UserError(f"unknown {what} {one_line(value)!r}; expected one of: {', '.join(ordered)}")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Returns whether JAX raised the error because a device is out of memory."""
    return "RESOURCE_EXHAUSTED" in str(error)  # what XLA calls it
