"""One studio a folder: two would write the same files, and paint the same runs.

The lock is one of the system, which ends with its process however that ends: a studio that was killed leaves a file
behind and locks nobody out.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import file_error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module that may be missing has no type
    import msvcrt

LOCK = "studio.lock"
"""In the folder of the studio: process and address of that which is open, for the eyes of its owner alone."""

_PLACE = 1 << 20
"""Byte that Windows locks, behind the text, so that others can read it."""

_LONGEST = 500


@contextlib.contextmanager
def alone(workdir: Path) -> Iterator[Callable[[str], None]]:
    """Keeps other studios out of a folder while the block runs.

    Args:
        workdir: the folder.

    Yields:
        A function that notes the address, which others are told.

    Raises:
        UserError: another studio is open there, or the folder cannot be written.
    """
    path = workdir / LOCK
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise file_error(path, f"cannot be written ({error.strerror}): choose another folder") from error
    with file:
        if not _lock(file.fileno()):
            raise UserError(
                f"--workdir={workdir}: expected no other studio there, found one{_known(file.read(_LONGEST))}; "
                "use that one, end it, or choose another folder"
            )

        def note(address: str) -> None:
            file.seek(0)
            file.truncate()
            file.write(f"process {os.getpid()}, {address}\n")
            file.flush()

        note("which begins")
        yield note
        file.truncate(0)


def _lock(descriptor: int) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(descriptor, _PLACE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
    except (BlockingIOError, PermissionError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        return False
    except OSError:  # some network file systems have no locks
        return True
    return True


def _known(text: str) -> str:
    """Returns what a lock says of the studio that holds it."""
    return f" ({one_line(text.strip())})" if text.strip() else ""
