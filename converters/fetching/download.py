"""Downloads a file: resumes where it broke off, checks it at the end, and never writes more than its limit.

While it is incomplete it is called `<name>.part`, and `<name>.part.json` says where it comes from.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import requests

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import atomic_write, file_error, sha256

_BLOCK = 1 << 14  # requests loses an incomplete block when a connection breaks
_PROGRESS = 1 << 20
_LENGTH = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/(?:([0-9]{1,18})|\*)")
_VALIDATOR = re.compile(r'"[!#-~]*"|\w[\w ,:+-]*', re.ASCII)  # a strong tag or a date; weak tags promise too little
_WRONG = "this is not the file; try again, or give --url with another address of it"

Show = Callable[[int, int | None], None]


class Wanted(NamedTuple):
    """A file to download.

    Attributes:
        url: its address; redirects are followed.
        path: the path to write, in an existing folder.
        size: size in bytes, None if unknown.
        hashes: name of the algorithm in `hashlib` → hexadecimal digits, perhaps only the first ones.
        largest: maximal size in bytes if the size is unknown.
    """

    url: str
    path: Path
    size: int | None
    hashes: Mapping[str, str]
    largest: int

    @property
    def part(self) -> Path:
        """The path of the incomplete file."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def record(self) -> Path:
        """The path of the record that says where `part` comes from."""
        return self.path.with_name(f"{self.path.name}.part.json")

    @property
    def address(self) -> str:
        """The address for messages."""
        return one_line(self.url, longest=2000)


class UnreachableError(UserError):
    """An address cannot be downloaded from now."""

    def __init__(self, wanted: Wanted, found: str) -> None:
        super().__init__(f"cannot fetch {wanted.address}: found {found}")
        self.found = found


def download(
    wanted: Wanted, show: Show, *, timeouts: tuple[float, float] = (10, 30), pauses: tuple[float, ...] = (1, 2, 4, 8)
) -> str:
    """Downloads a file to `wanted.path`, resuming an earlier download; only one process at a time may call it.

    Args:
        wanted: the file.
        show: called with the number of bytes so far, and the total, None if unknown.
        timeouts: seconds to wait for a connection, and for the next bytes.
        pauses: seconds to wait after one failed try, after two in a row, and so on; one more is the last.

    Returns:
        Its SHA-256 in hexadecimal.

    Raises:
        UnreachableError: there is no connection, or the server does not provide the file.
        UserError: the connection broke repeatedly, another file came, or it cannot be written. Then there is nothing
            at `wanted.path`.
    """
    try:
        if wanted.path.exists():  # complete before, but not yet converted: it is checked again
            wanted.path.replace(wanted.part)
        with requests.Session() as session:
            session.max_redirects = 10
            session.hooks["response"].append(_without_body)
            _Transfer(wanted, session, show, timeouts).complete(pauses)
        found = _check_hashes(wanted)
        wanted.part.replace(wanted.path)
        wanted.record.unlink(missing_ok=True)
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error}): make room or choose another folder"
        raise file_error(wanted.part, problem) from error
    return found


def _without_body(response: requests.Response, **_: Any) -> None:
    """Closes a redirect, as requests would read its whole body into memory, however long it is."""
    if response.is_redirect:
        response.close()


class _Transfer(NamedTuple):
    wanted: Wanted
    session: requests.Session
    show: Show
    timeouts: tuple[float, float]

    def complete(self, pauses: tuple[float, ...]) -> None:
        """Fetches what is missing: retries as long as that makes progress, and a few times more."""
        most, failed = _size(self.wanted), 0
        while _size(self.wanted) != self.wanted.size:
            try:
                broken = self._go_on()
            except UnreachableError as error:
                if not failed:
                    raise
                broken = error.found
            if broken is None:
                return
            failed += 1
            if (size := _size(self.wanted)) >= most + _PROGRESS:
                most, failed = size, 1
            if failed > len(pauses):
                kept, _, total = _kept(self.wanted)
                raise UserError(
                    f"{self.wanted.address}: expected {self.wanted.size or total or 'more'} bytes, found that all "
                    f"tries broke off ({broken}); {kept} bytes are kept, and the same command continues from there"
                )
            time.sleep(pauses[failed - 1])

    def _go_on(self) -> str | None:
        """Requests the missing bytes once and appends them; returns why some are still missing, None if none are."""
        kept, validator, known = _kept(self.wanted)
        with self._ask(kept, validator) as response:
            length = response.headers.get("Content-Length", "")
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            first, total = (
                (None if number is None else int(number) for number in found.groups()) if found else (None, None)
            )
            coding = response.headers.get("Content-Encoding", "identity").lower()
            match response.status_code:
                case 200 | 206 if coding != "identity":
                    raise UnreachableError(self.wanted, f"it encoded as {one_line(coding)}, which was not requested")
                case 200:
                    return self._write(response, 0, int(length) if _LENGTH.fullmatch(length) else None)
                case 206 if kept and first == kept and (None in (known, total) or known == total):
                    return self._write(response, kept, total)
                case 416 if kept and total == kept and self.wanted.size is None:
                    return None
                case 206 | 416 if kept:
                    _discard(self.wanted)
                    return f"{response.status_code}, without the requested bytes"
                case status:
                    raise UnreachableError(self.wanted, f"{status} {one_line(response.reason)}")

    def _ask(self, start: int, validator: str) -> requests.Response:
        """Requests the bytes from `start` on, or all if the file has changed since."""
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator:
                headers["If-Range"] = validator
        try:
            return self.session.get(self.wanted.url, headers=headers, stream=True, timeout=self.timeouts)
        except (requests.RequestException, ValueError) as error:
            what = "connection" if isinstance(error, requests.ConnectionError | requests.Timeout) else "usable address"
            raise UnreachableError(self.wanted, f"no {what} ({_cause(error)})") from error

    def _write(self, response: requests.Response, done: int, total: int | None) -> str | None:
        """Writes the body from byte `done` on; returns why the file is incomplete, None if it is complete."""
        wanted = self.wanted
        if total is not None and (total > wanted.largest or wanted.size not in (None, total)):
            expected = f"at most {wanted.largest}" if wanted.size is None else wanted.size
            raise UserError(f"{wanted.address}: expected {expected} bytes, found {total}; {_WRONG}")
        total = wanted.size if total is None else total
        most = wanted.largest if total is None else total
        with wanted.part.open("ab" if done else "wb") as file:
            if not done:
                _write_record(wanted, response, total)
            self.show(done, total)
            try:
                for block in response.iter_content(_BLOCK):
                    done += len(block)
                    if done > most:
                        break
                    file.write(block)
                    file.flush()  # else it would be lost when the process is killed
                    self.show(done, total)
            except requests.RequestException as error:
                return _cause(error)
        if done > most:
            _discard(wanted)
            raise UserError(f"{wanted.address}: expected at most {most} bytes, found more; {_WRONG}")
        return None if total in (None, done) else "it ended too early"


def _kept(wanted: Wanted) -> tuple[int, str, int | None]:
    """Returns the number of bytes to resume from, what identifies this version of the file, and its size."""
    validator, total = "", None
    try:
        record = json.loads(wanted.record.read_text(encoding="utf-8"))
        if record["url"] == wanted.url:
            validator, total = str(record["validator"]), record["size"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # none, or a damaged one
    # If neither the server nor a hash would notice that the file has changed, the download starts again.
    return _size(wanted) if wanted.hashes or validator else 0, validator, total


def _write_record(wanted: Wanted, response: requests.Response, total: int | None) -> None:
    offered = (response.headers.get(name, "") for name in ("ETag", "Last-Modified"))
    validator = next(filter(_VALIDATOR.fullmatch, offered), "")
    with atomic_write(wanted.record, encoding="utf-8") as file:
        json.dump({"url": wanted.url, "validator": validator, "size": total}, file)


def _size(wanted: Wanted) -> int:
    return wanted.part.stat().st_size if wanted.part.exists() else 0


def _discard(wanted: Wanted) -> None:
    wanted.part.unlink(missing_ok=True)
    wanted.record.unlink(missing_ok=True)


def _check_hashes(wanted: Wanted) -> str:
    """Returns the SHA-256 of the download; removes it if one of its hashes is wrong."""
    for name, expected in wanted.hashes.items():
        with wanted.part.open("rb") as file:
            found = hashlib.file_digest(file, partial(hashlib.new, name, usedforsecurity=False)).hexdigest()
        if not found.startswith(expected.lower()):
            _discard(wanted)
            raise UserError(f"{wanted.address}: expected {name} {expected}, found {found}; {_WRONG}")
    return sha256(wanted.part)


def _cause(error: BaseException) -> str:
    """Returns the original error of the system, without what libraries added to it."""
    while below := error.__cause__ or error.__context__:
        error = below
    return one_line(getattr(error, "strerror", None) or error)
