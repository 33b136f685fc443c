"""Downloads a file: goes on where it broke off, checks it at the end, and never writes more than it may have.

As long as it is incomplete it is called `<name>.part`, and `<name>.part.json` tells what it is a part of.
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

_BLOCK = 1 << 14  # requests loses what it has of a block when a connection breaks
_PROGRESS = 1 << 20
_LENGTH = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/(?:([0-9]{1,18})|\*)")
_VALIDATOR = re.compile(r'"[!#-~]*"|\w[\w ,:+-]*', re.ASCII)  # a strong tag or a date; a weak tag promises too little
_WRONG = "this is not the file; try again, or say --url with another address of it"

Show = Callable[[int, int | None], None]


class Wanted(NamedTuple):
    """A file to download.

    Attributes:
        url: where it is; redirects are followed.
        path: what it becomes, in a folder that there is.
        size: in bytes, None if it is not known.
        hashes: name of the algorithm in `hashlib` → hexadecimal digits, perhaps only the first ones.
        largest: bytes that it may have where its size is not known.
    """

    url: str
    path: Path
    size: int | None
    hashes: Mapping[str, str]
    largest: int

    @property
    def part(self) -> Path:
        """What it is called as long as it is incomplete."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def record(self) -> Path:
        """Where it is written down what `part` is a part of."""
        return self.path.with_name(f"{self.path.name}.part.json")

    @property
    def address(self) -> str:
        """The address for people."""
        return one_line(self.url, longest=2000)


class UnreachableError(UserError):
    """Nothing can be had from an address now."""

    def __init__(self, wanted: Wanted, found: str) -> None:
        super().__init__(f"cannot fetch {wanted.address}: found {found}")
        self.found = found


def download(
    wanted: Wanted, show: Show, *, timeouts: tuple[float, float] = (10, 30), pauses: tuple[float, ...] = (1, 2, 4, 8)
) -> str:
    """Downloads a file to `wanted.path`, from where an earlier download broke off; only one process at a time may.

    Args:
        wanted: the file.
        show: called with the bytes that are there and those that there will be, None if that is not known.
        timeouts: seconds to wait for a connection, and for the next bytes.
        pauses: seconds to wait after one try that failed, after two in a row, and so on; one more is the last.

    Returns:
        Its SHA-256 in hexadecimal.

    Raises:
        UnreachableError: there is no connection, or the server does not give the file.
        UserError: the connection broke again and again, what came is not the file, or it cannot be written. Then there
            is nothing at `wanted.path`.
    """
    try:
        if wanted.path.exists():  # It was whole before, and not used up: what it is will be seen once more.
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
    """Closes an answer that only leads elsewhere: requests would read all of it into memory, however long it is."""
    if response.is_redirect:
        response.close()


class _Transfer(NamedTuple):
    wanted: Wanted
    session: requests.Session
    show: Show
    timeouts: tuple[float, float]

    def complete(self, pauses: tuple[float, ...]) -> None:
        """Fetches what is missing: tries anew as long as that brings the file on, and a few times more."""
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
                    f"tries broke off ({broken}); {kept} bytes are kept, the same command goes on from there"
                )
            time.sleep(pauses[failed - 1])

    def _go_on(self) -> str | None:
        """Asks once for what is missing and appends what comes; returns why that is not all, None if it is."""
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
                    raise UnreachableError(self.wanted, f"it encoded as {one_line(coding)}, which was not asked for")
                case 200:
                    return self._write(response, 0, int(length) if _LENGTH.fullmatch(length) else None)
                case 206 if kept and first == kept and (None in (known, total) or known == total):
                    return self._write(response, kept, total)
                case 416 if kept and total == kept and self.wanted.size is None:
                    return None
                case 206 | 416 if kept:
                    _discard(self.wanted)
                    return f"{response.status_code}, without the bytes that were asked for"
                case status:
                    raise UnreachableError(self.wanted, f"{status} {one_line(response.reason)}")

    def _ask(self, start: int, validator: str) -> requests.Response:
        """Asks for the bytes from `start` on, or for all if the file has changed since."""
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
        """Writes the body from byte `done` on; returns why that is not all of the file, None if it is."""
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
                    file.flush()  # or it would be lost when the process is killed
                    self.show(done, total)
            except requests.RequestException as error:
                return _cause(error)
        if done > most:
            _discard(wanted)
            raise UserError(f"{wanted.address}: expected at most {most} bytes, found more; {_WRONG}")
        return None if total in (None, done) else "it ended too early"


def _kept(wanted: Wanted) -> tuple[int, str, int | None]:
    """Returns how many bytes can be built on, what tells this version of the file from others, and its size."""
    validator, total = "", None
    try:
        record = json.loads(wanted.record.read_text(encoding="utf-8"))
        if record["url"] == wanted.url:
            validator, total = str(record["validator"]), record["size"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # none, or a damaged one
    # Where neither the server nor a hash at the end would notice that the file has changed, it begins anew.
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
    """Returns the SHA-256 of what was downloaded; removes it if one of its hashes is wrong."""
    for name, expected in wanted.hashes.items():
        with wanted.part.open("rb") as file:
            found = hashlib.file_digest(file, partial(hashlib.new, name, usedforsecurity=False)).hexdigest()
        if not found.startswith(expected.lower()):
            _discard(wanted)
            raise UserError(f"{wanted.address}: expected {name} {expected}, found {found}; {_WRONG}")
    return sha256(wanted.part)


def _cause(error: BaseException) -> str:
    """Returns what the system said first, without what the libraries on the way made of it."""
    while below := error.__cause__ or error.__context__:
        error = below
    return one_line(getattr(error, "strerror", None) or error)
