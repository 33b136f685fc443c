"""onnxruntime-web, which computes ONNX graphs in browsers: fetched by npm from its registry, checked by hash.

npm keeps what it fetched in a cache of its own, so that a second page needs no network.
"""

import base64
import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from nst_jax.errors import UserError, one_line
from nst_jax.io.files import file_error

NAME = "onnxruntime-web"
VERSION = "1.30.0"
LICENCE = "MIT licence, © Microsoft Corporation"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_FILE = f"{NAME}-{VERSION}.tgz"
_BY_HAND = f"get {_FILE} by hand, as `npm pack {NAME}@{VERSION}` does, and name it with --runtime=FILE"
_SECONDS = 300

_PARTS = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}
"""Provider → its script and program. That of WebGPU computes on processors too, but half as fast."""

_EXPORTS = re.compile(r"export\s*\{([^{}]*)\};?\s*(//# sourceMappingURL=\S*\s*)?\Z")


class Part(NamedTuple):
    """What computes for one provider: a script that defines `ort`, and its program in WebAssembly."""

    script: bytes
    binary: bytes


def runtime(given: str | None, providers: tuple[str, ...]) -> dict[str, Part]:
    """Returns the parts of the runtime for some providers.

    Args:
        given: path of the package's file; none fetches it.
        providers: `wasm`, `webgpu`.

    Raises:
        UserError: npm is missing or cannot fetch it, or a file is another one.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(given) if given else fetch(Path(folder))
        try:
            data = path.read_bytes()
        except OSError as error:
            raise file_error(path, f"expected {_FILE}, found: {one_line(error.strerror)}") from error
    found = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != _SHA512:
        raise file_error(path, f"expected {_FILE} with sha512 {_SHA512}, found {found}; {_BY_HAND}")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {provider: _part(archive, *_PARTS[provider]) for provider in providers}


def fetch(folder: Path) -> Path:
    """Downloads the package to a folder and returns its path.

    Raises:
        UserError: npm is missing, or could not.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"expected npm to fetch {_FILE}, found none; install Node.js, or {_BY_HAND}")
    command = [npm, "pack", f"{NAME}@{VERSION}", "--loglevel=error", "--prefer-offline", "--ignore-scripts"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(f"expected npm to fetch {_FILE} in {_SECONDS} s, found no end; {_BY_HAND}") from None
    if done.returncode or not (folder / _FILE).is_file():
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise UserError(f"expected npm to fetch {_FILE}, found: {one_line(said[0])}; {_BY_HAND}")
    return folder / _FILE


def _part(archive: tarfile.TarFile, script: str, binary: str) -> Part:
    contents = []
    for name in (script, binary):
        file = archive.extractfile(f"package/dist/{name}")
        assert file is not None, f"{_FILE} has no {name}"
        contents.append(file.read())
    return Part(as_script(contents[0].decode()).encode(), contents[1])


def as_script(module: str) -> str:
    """Returns a module as a script that defines `ort`: workers of pages that are files may be no modules."""
    found = _EXPORTS.search(module)
    assert found is not None, "the module ends in no exports"
    pairs = [pair.split(" as ") for pair in found[1].split(",")]
    exports = ",".join(f"{pair[-1]}:{pair[0]}" for pair in pairs if pair[-1] != "default")
    return f"{module[: found.start()]}const ort={{{exports}}};\n".replace("import.meta.url", "self.location.href")
