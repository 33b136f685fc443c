"""What a run has made, a picture or a network, where it cannot be written where it is wanted."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from nst_jax.errors import UserError


class SavedElsewhereError(UserError):
    """A result is saved, but not where it was wanted: as `path`, for the reason that is this error's cause."""

    def __init__(self, problem: UserError, path: Path, what: str) -> None:
        super().__init__(f"{problem}; the {what} is saved as {path}")
        self.path = path


def write_or_rescue(
    output: Path, workdir: Path, write: Callable[[Path], None], *, what: Literal["picture", "network"] = "picture"
) -> None:
    """Writes a result to `output`; if that fails, into the folder of the run, which may be on another disk.

    Args:
        output: the file that is wanted.
        workdir: the folder of the run; no file that is there already is overwritten.
        write: writes the result to a path.
        what: what it is.

    Raises:
        UserError: it cannot be written to `output`; the message says whether and where it was saved instead.
    """
    try:
        write(output)
    except UserError as error:
        if output.parent.resolve() == workdir.resolve():
            raise
        names = (f"{what}{number}{output.suffix}" for number in itertools.chain([""], itertools.count(2)))
        spare = next(path for path in (workdir / name for name in names) if not path.exists())
        try:
            write(spare)
        except UserError:
            raise error from None
        raise SavedElsewhereError(error, spare, what) from error
