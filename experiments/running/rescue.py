"""A finished picture that cannot be written where it is wanted."""

import itertools
from collections.abc import Callable
from pathlib import Path

from nst_jax.errors import UserError


class SavedElsewhereError(UserError):
    """The picture is saved, but not where it was wanted: as `path`, for the reason that is this error's cause."""

    def __init__(self, problem: UserError, path: Path) -> None:
        super().__init__(f"{problem}; the picture is saved as {path}")
        self.path = path


def write_or_rescue(output: Path, workdir: Path, write: Callable[[Path], None]) -> None:
    """Writes a picture to `output`; if that fails, into the folder of the run, which may be on another disk.

    Args:
        output: the file that is wanted.
        workdir: the folder of the run; no file that is there already is overwritten.
        write: writes the picture to a path.

    Raises:
        UserError: it cannot be written to `output`; the message says whether and where it was saved instead.
    """
    try:
        write(output)
    except UserError as error:
        if output.parent.resolve() == workdir.resolve():
            raise
        names = (f"picture{number}{output.suffix}" for number in itertools.chain([""], itertools.count(2)))
        spare = next(path for path in (workdir / name for name in names) if not path.exists())
        try:
            write(spare)
        except UserError:
            raise error from None
        raise SavedElsewhereError(error, spare) from error
