"""Files at object stores, `s3://bucket/folder` or `gs://bucket/folder`: paths that read and write by requests.

A store has no folders, no locks and no renaming. It needs none: an object is put whole or not at all, a reader has the
old one until the new one is there, and of two writers the last one counts. The client libraries (fsspec with s3fs or
gcsfs) sign, retry and back off; credentials and endpoints are those of the environment, never part of an address.
"""

import contextlib
import errno
import fnmatch
import io
import os
import pathlib
import re
import secrets
import stat
import sys
import time
import urllib.request
from collections.abc import Generator, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from nst_jax.errors import UserError, one_line

if sys.platform == "win32":
    _Base = pathlib.WindowsPath
else:
    _Base = pathlib.PosixPath

_STORES: dict[str, tuple[str, dict[str, Any]]] = {
    "s3": (
        "s3fs",
        {
            "max_concurrency": 1,  # else every object is asked for its size before it is read
            "config_kwargs": {
                "retries": {"mode": "standard", "max_attempts": 5},
                "connect_timeout": 10,
                "read_timeout": 60,
            },
        },
    ),
    "gs": ("gcsfs", {}),
}
"""By scheme: the package of its client, and the client's options. All others are refused: fsspec has many, some of
which unpack, fetch or run what an address names."""

_ADDRESS = re.compile(r"([A-Za-z][\w+.:-]+)://(.*)", re.DOTALL)
"""Schemes have two letters at least: one is a drive of Windows."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_QUERY = re.compile(r"\?[^/]*=")
_IN_URLS = re.compile(r"//[^/\s@]*@|\?[^\s\"']*")
"""What messages about a URL must not repeat: credentials and queries, which may be signed."""

_PROBE = ".nst_jax"
_LOG_EVERY = 20.0
"""Seconds between two puts of a log, which a store cannot append to."""


class StoreError(OSError, UserError):
    """A request that failed: what any file may fail with, and one line for the user where nobody expects it."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class MissingError(StoreError, FileNotFoundError):
    """There is no such object, or no such bucket."""


def located(place: str | os.PathLike[str]) -> Path:
    """Returns the path of a file or folder that a user names: a local one, or an address at a store.

    Raises:
        UserError: the address is of no store that is known here, or its bucket has no name that one can have. The
            message does not repeat it, as it may hold a password.
    """
    if isinstance(place, Path):
        return place
    text = os.fspath(place)
    found = _ADDRESS.fullmatch(text)
    if not found:
        return Path(text)
    scheme, rest = found[1].lower(), found[2]
    host, slash, inside = rest.partition("/")
    if scheme == "file":
        if host not in ("", "localhost") or not slash:
            raise UserError("file://: expected file:///folder on this machine, found another address; give its path")
        return Path(urllib.request.url2pathname(f"/{inside}"))
    if scheme not in _STORES:
        known = ", ".join(f"{name}://" for name in (*_STORES, "file"))
        raise UserError(f"expected a path or an address of {known}, found {one_line(scheme, longest=40)}://")
    if not _BUCKET.fullmatch(host):
        raise UserError(
            f"{scheme}://: expected {scheme}://bucket/folder, found no name of a bucket there; a key or password "
            "belongs in the variables or files of the store's own tools, not in an address"
        )
    if _QUERY.search(inside):
        raise UserError(
            f"{scheme}://: expected {scheme}://bucket/folder, found a query behind it; leave it out, and have a key or "
            "signature in the variables or files of the store's own tools"
        )
    return StorePath(f"{scheme}:/{host}/{inside}")


def is_address(place: str | os.PathLike[str]) -> bool:
    """Returns whether this names a file or folder at a store; see `located` for what is raised."""
    return isinstance(located(place), StorePath)


class StorePath(_Base):
    """A path at a store, made by `located`.

    What it computes by itself (parents, names, suffixes) is that of pathlib; what asks the disk asks the store. There
    are no folders: each is as good as there, and gone with its last object.
    """

    def __str__(self) -> str:
        text = super().__str__().replace(os.sep, "/")
        scheme, colon, rest = text.partition(":/")
        return f"{scheme}://{rest}" if colon and scheme in _STORES else text  # else relative to one

    def __fspath__(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.parts

    def is_absolute(self) -> bool:
        """Returns True."""
        return True

    def absolute(self) -> "StorePath":
        """Returns the same path."""
        return self

    def resolve(self, *_: Any, **__: Any) -> "StorePath":
        """Returns the same path: there are no links."""
        return self

    def samefile(self, other: str | os.PathLike[str]) -> bool:
        """Returns whether the other path is the same."""
        return str(self) == str(other)

    def stat(self, **_: Any) -> os.stat_result:
        """Returns type, size and time of an object; a folder is there if something is in it."""
        with self._asking() as (store, key):
            found = store.info(key)
        kind = stat.S_IFDIR if found["type"] == "directory" else stat.S_IFREG
        changed = next((found[name] for name in ("LastModified", "mtime", "updated", "created") if name in found), None)
        seconds = changed.timestamp() if isinstance(changed, datetime) else 0.0
        return os.stat_result((kind, 0, 0, 1, 0, 0, found["size"] or 0, seconds, seconds, seconds))

    def exists(self, **_: Any) -> bool:
        """Returns whether there is an object, or something in the folder."""
        return self._kind() is not None

    def is_file(self, **_: Any) -> bool:
        """Returns whether there is an object."""
        return self._kind() == stat.S_IFREG

    def is_dir(self, **_: Any) -> bool:
        """Returns whether something is in the folder."""
        return self._kind() == stat.S_IFDIR

    def _kind(self) -> int | None:
        try:
            return self.stat().st_mode
        except FileNotFoundError:
            return None

    def iterdir(self) -> Generator["StorePath", None, None]:
        """Yields what is in the folder: one request for each thousand."""
        with self._asking() as (store, key):
            found = store.ls(key, detail=False)
        # Some tools put an empty object under the name of a folder.
        return (self / each.strip("/").rpartition("/")[2] for each in found if each.strip("/") != key)

    def glob(self, pattern: str, **_: Any) -> Generator["StorePath", None, None]:
        """Yields what is in the folder under names of a pattern without slashes; nothing if there is no folder."""
        with contextlib.suppress(FileNotFoundError):
            yield from (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Does nothing."""

    def rmdir(self) -> None:
        """Does nothing."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes an object; to some stores one that is not there is no error."""
        with contextlib.suppress(*[MissingError] * missing_ok), self._asking() as (store, key):
            store.rm_file(key)

    def read_bytes(self) -> bytes:
        """Returns the content of an object: one request."""
        with self._asking() as (store, key):
            return store.cat_file(key)

    def open(  # type: ignore[override] # of which pathlib has seven for as many modes
        self,
        mode: str = "r",
        buffering: int = -1,  # noqa: ARG002 - all of it
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Opens an object to be read, from memory, or a log to be appended to; `files.atomic_write` writes others."""
        if mode == "a":
            return _Log(self)
        if mode not in ("r", "rt", "rb"):
            raise self._error(errno.ENOTSUP, "a store takes files whole, and keeps none open")
        content = io.BytesIO(self.read_bytes())
        content.name = str(self)  # as files have it, and decoders use it
        file = io.BufferedReader(content)
        return file if mode == "rb" else io.TextIOWrapper(file, encoding, errors, newline)

    def put(self, content: bytes | Path) -> None:
        """Puts an object, whole: bytes, or a file of the disk."""
        if len(self.parts) < 3:
            raise self._error(errno.EISDIR, "expected a file in a bucket, found a bucket")
        with self._asking() as (store, key):
            if isinstance(content, bytes):
                store.pipe_file(key, content)
            else:
                store.put_file(os.fspath(content), key)

    def check_writable(self) -> None:
        """Puts an empty object into the folder and removes it: whether one may cannot be seen otherwise.

        Raises:
            StoreError: there is no such bucket, no permission, or no way to the store.
        """
        probe = self / f"{_PROBE}-{secrets.token_hex(8)}"  # as others may do the same now
        try:
            probe.put(b"")
            probe.unlink(missing_ok=True)
        except StoreError as error:
            error.filename = str(self)
            raise

    @contextlib.contextmanager
    def _asking(self) -> Iterator[tuple[Any, str]]:
        """Yields the client and the name of the object, and makes one error of whatever the client raises.

        Raises:
            UserError: the client's package is missing.
        """
        scheme, *names = self.parts
        name = scheme.rstrip(":/\\")
        package, options = _STORES[name]
        try:
            import fsspec

            store = fsspec.filesystem(name, use_listings_cache=False, **options)
        except ImportError as error:
            raise UserError(
                f"{name}://: expected the package {package}, found none; install it with: pip install 'nst_jax[store]'"
            ) from error
        key = "/".join(names)
        try:
            yield store, key
        except FileNotFoundError as error:
            text = _told(error)
            if " bucket " not in text:  # in words, where that is what is missing; else it names the file
                text = "no such file or folder at the store"
            raise MissingError(errno.ENOENT, text, str(self)) from error
        except PermissionError as error:
            raise self._error(errno.EACCES, f"no permission at the store: {_told(error)}") from error
        except Exception as error:  # of several libraries, with exceptions of their own
            raise self._error(errno.EIO, f"the store cannot be used now: {_told(error)}") from error

    def _error(self, number: int, problem: str) -> StoreError:
        return StoreError(number, problem, str(self))


class _Log(io.StringIO):
    """A text at a store that is appended to; it is put now and then, and when it is closed.

    What fails then is no error: a run is not worth less without its log.
    """

    def __init__(self, path: StorePath) -> None:
        super().__init__()
        self._path = path
        self._next = time.monotonic() + _LOG_EVERY
        with contextlib.suppress(OSError):
            super().write(path.read_bytes().decode(errors="replace"))

    def write(self, text: str) -> int:
        count = super().write(text)
        if time.monotonic() >= self._next:
            self._put()
        return count

    def flush(self) -> None:
        """Puts the text now, also the same once more, by which others see that its writer is there."""
        self._put()

    def close(self) -> None:
        if not self.closed:
            self._put()
        super().close()

    def _put(self) -> None:
        with contextlib.suppress(OSError):
            self._path.put(self.getvalue().encode(errors="replace"))
        self._next = time.monotonic() + _LOG_EVERY


def _told(error: Exception) -> str:
    """Returns what an error says, without credentials that a URL in it may hold."""
    text = str(error.args[-1]) if isinstance(error, OSError) and error.args else str(error)
    text = _IN_URLS.sub(lambda found: "//" if found[0][0] == "/" else "", text)
    return one_line(text).rstrip(".") or type(error).__name__
