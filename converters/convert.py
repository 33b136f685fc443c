"""Converts a file with trained weights to the interchange file of nst_jax and installs it.

    python -m converters.convert FILE --backbone=NAME [--output=OUT.safetensors] [--format=NAME]

FILE is a weight file, or the folder of a TensorFlow.js model; its format is found by content. Without `--output` the
result goes to the folder of installed weights, after which `--backbone=NAME` works everywhere. Takes seconds.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app, flags

from converters import mapping
from converters.formats import FORMATS, detect
from converters.source import Provenance
from nst_jax.backbones import weights
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError, choose, one_line
from nst_jax.files import make_folder

CONVERTER_VERSION = 1


class Converted(NamedTuple):
    """What a conversion found and wrote.

    Attributes:
        tensors: our name → float32, kernels `[height, width, in, out]`.
        matched: from where in the source.
        provenance: of the source.
        output: the file that was written.
    """

    tensors: dict[str, np.ndarray]
    matched: mapping.Match
    provenance: Provenance
    output: Path


def convert(path: Path, backbone: str, output: Path | None = None, source_format: str | None = None) -> Converted:
    """Converts the weights in `path` and writes them to `output`.

    Args:
        path: the source.
        backbone: whose weights these are.
        output: the file to write; by default the installed weights of the backbone.
        source_format: one of `FORMATS`; by default found by content.

    Raises:
        UserError: the source cannot be used or the output not be written; then nothing is written.
    """
    choose(backbone, BACKBONES, what="backbone")
    chosen = choose(source_format, FORMATS, what="format") if source_format else detect(path)
    tensors, provenance = FORMATS[chosen].read(path)
    matched = mapping.match(tensors, provenance, BACKBONES[backbone])
    values = mapping.load(tensors, provenance, matched)
    metadata = {
        "converter_version": CONVERTER_VERSION,
        "licence": BACKBONES[backbone].provenance.licence,
        "source_file": provenance.path.name,
        "source_format": provenance.format,
        "source_sha256": provenance.sha256,
    }
    if output is None:
        output = weights.folder() / weights.file_name(backbone)
        make_folder(output.parent)
    weights.write(output, values, BACKBONES[backbone], metadata)
    return Converted(values, matched, provenance, output)


def report(converted: Converted) -> str:
    """Returns what was recognised and a table of the layers with their ranges of values."""
    provenance = converted.provenance
    rows = [("parameter", "in the source", "shape", "smallest", "largest")]
    for name, values in converted.tensors.items():
        span = (f"{values.min():.4g}", f"{values.max():.4g}")
        rows.append((name, one_line(converted.matched.sources[name]), str(list(values.shape)), *span))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    producer = f", written by {provenance.producer}" if provenance.producer else ""
    lines = [f"recognised {provenance.format}{producer}"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if converted.matched.ignored:
        lines.append(f"left out the classifier: {', '.join(one_line(layer) for layer in converted.matched.ignored)}")
    lines.append(f"wrote {one_line(converted.output)}")
    return "\n".join(lines)


def _define_flags() -> None:
    flags.DEFINE_string("backbone", None, f"whose weights these are: {', '.join(BACKBONES)}")
    flags.DEFINE_string("output", None, "the file to write; by default the weights are installed")
    flags.DEFINE_string("format", None, f"of FILE: {', '.join(FORMATS)}; by default found by content")


def main(argv: list[str]) -> int:
    """Runs the command; returns the exit status."""
    arguments = flags.FLAGS
    try:
        if len(argv) != 2:
            raise UserError(f"expected one FILE, found {len(argv) - 1}; see --help")
        if arguments.backbone is None:
            raise UserError(f"expected --backbone=NAME with one of: {', '.join(BACKBONES)}")
        output = Path(arguments.output) if arguments.output else None
        print(report(convert(Path(argv[1]), arguments.backbone, output, arguments.format)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    _define_flags()
    app.run(main)
