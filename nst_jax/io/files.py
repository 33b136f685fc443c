"""Files: atomic writes, hashes, checks, and one-line errors."""

import contextlib
import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nst_jax.errors import UserError, one_line
from nst_jax.io.stores import StorePath, located

_LONGEST_PROBLEM = 2000

_WINDOWS = os.name == "nt"

_WAITS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Seconds between attempts to replace a file that another program has open for a moment."""

_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[1-9¹²³])( *\..*)?", re.IGNORECASE)
"""Names that mean devices on Windows, in every folder and with any ending."""


def expand_home(text: str) -> str:
    """Returns a path with a `~` at its beginning replaced by the home folder; `./~` is a file of that name."""
    return os.path.expanduser(text)  # noqa: PTH111 - Path drops the ./ of a text, and raises where there is no home


def file_error(path: Path, problem: object) -> UserError:
    """Returns a one-line error about a file."""
    return UserError(one_line(f"{path}: {problem}", longest=_LONGEST_PROBLEM))


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> None:
    """Makes a folder and its parents, unless they exist.

    Raises:
        UserError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise file_error(path, f"expected a folder or room for a new one, found: {error}; choose another") from error


def check_folder(path: Path) -> None:
    """Checks that a folder exists and is writable, or can be made.

    Raises:
        UserError: it cannot be used.
    """
    if isinstance(path, StorePath):
        path.check_writable()
        return
    _check_name(path)
    try:
        nearest = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    except OSError as error:
        raise file_error(path, f"expected a folder, found: {error}; choose another") from error
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "no permission to write there" if nearest.is_dir() else "a file"
        raise file_error(path, f"expected a folder or room for a new one, found {what}: {nearest}; choose another")


def check_target(path: Path) -> Path:
    """Checks that a file can be written at `path`, and returns its real path, so that a link stays a link.

    Raises:
        UserError: its folder is missing or not writable, or `path` is no regular file.
    """
    if isinstance(path, StorePath):
        return path
    _check_name(path)
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise file_error(path, "expected a file, new or to be replaced, found a folder or device: choose another")
        if not target.parent.is_dir():
            raise file_error(path, f"expected the folder {target.parent}, found none: create it")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise file_error(path, f"no permission to write to the folder {target.parent}: choose another")
    except (OSError, ValueError) as error:
        raise file_error(path, f"cannot be written ({error}): choose another") from error
    return target


def remove(path: Path) -> None:
    """Removes a file, if it is there.

    Raises:
        UserError: it cannot be removed, as on Windows while a program has it open.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise file_error(path, f"cannot be removed ({error.strerror or error}): close what uses it") from error


@contextmanager
def atomic_write(path: str | os.PathLike, *, encoding: str | None = None, newline: str | None = None) -> Iterator[IO]:
    """Opens a file that is written whole or not at all: `path` keeps its old content until all of the new is written.

    Args:
        path: the file to create or replace.
        encoding: encoding of a text file; None opens a binary file.
        newline: as for `open` (the csv module wants "").

    Yields:
        The open file. Only write to it: any OSError counts as an error of writing.

    Raises:
        UserError: it cannot be written: missing folder, no permission, full disk, ...
    """
    path = located(path)
    target = check_target(path)
    where = ""
    try:
        temporary = _scratch(target) if isinstance(target, StorePath) else target.with_name(_temporary_name())
        where = f" in {temporary.parent}" if isinstance(target, StorePath) else ""
        try:
            # Mode x gives it the permissions of any new file; `tempfile` would restrict them to the owner.
            with temporary.open("xb" if encoding is None else "x", encoding=encoding, newline=newline) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())  # else a power cut may keep the new name and lose the content
            where = ""
            _replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):  # the error that brought us here is the one to tell
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        problem = f"{error.strerror or error}{where}"
        raise file_error(path, f"cannot be written ({problem}): make room or choose another") from error


def _temporary_name() -> str:
    return f".{secrets.token_hex(8)}.tmp"


def _scratch(target: StorePath) -> Path:
    """Returns a new path on the disk for what is to be put; from its suffix clients tell the type of an object."""
    return Path(tempfile.gettempdir(), _temporary_name() + target.suffix)


def _replace(temporary: Path, target: Path) -> None:
    """Puts a file in the place of another; Windows refuses while a virus scanner or a viewer has one of them open."""
    if isinstance(target, StorePath):
        target.put(temporary)
        temporary.unlink()
        return
    for wait in _WAITS if _WINDOWS else ():
        try:
            temporary.replace(target)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    temporary.replace(target)


@contextmanager
def on_disk(path: Path) -> Iterator[Path]:
    """Yields the path of a file on the disk with the same content, for libraries that open files by themselves.

    Raises:
        OSError: the file is at a store and cannot be read, or the disk is full.
    """
    if not isinstance(path, StorePath):
        yield path
        return
    copy = _scratch(path)
    try:
        copy.write_bytes(path.read_bytes())
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Removes a folder of files, as far as that can be done; nothing goes on from it."""
    with contextlib.suppress(OSError):
        for file in path.iterdir():
            file.unlink(missing_ok=True)
        path.rmdir()


def names_in(path: Path) -> set[str]:
    """Returns the names of what is in a folder, none if there is no folder.

    Raises:
        UserError: it cannot be listed.
    """
    try:
        return {each.name for each in path.iterdir()}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise file_error(path, f"cannot be listed ({error.strerror or error})") from error


def is_folder(path: Path) -> bool:
    """Returns whether there is such a folder; a name that none can have is no error."""
    try:
        return path.is_dir()
    except UserError:  # of a store that does not answer
        raise
    except (OSError, ValueError):
        return False


def normal(path: Path) -> Path:
    """Returns a path without `..`, by which a user tells two files apart: two links to one are two."""
    return path if isinstance(path, StorePath) else Path(os.path.abspath(path))  # noqa: PTH100 - Path would keep `..`


def _check_name(path: Path) -> None:
    """Checks that a path is none of the names under which Windows has devices.

    Raises:
        UserError: it is, and this is Windows.
    """
    if _WINDOWS and any(_DEVICES.fullmatch(part) for part in path.parts):
        raise file_error(path, "expected a file or folder, found the name of a device on Windows; choose another")
