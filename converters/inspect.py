"""Lists the content of a weight file of any supported format: tensors, shapes, ranges of values, and its producer.

The last line says which backbones, or networks that paint, have such weights.

    python -m converters.inspect FILE [--format=NAME]

FILE is a weight file, or the folder of a TensorFlow.js model, a deeplearn.js checkpoint or MATLAB files. Reads only
this file and writes nothing. Takes seconds.
"""

from pathlib import Path

from absl import flags

from nst_jax.applications.feedforward import trained
from nst_jax.errors import UserError, choose, one_line

from . import command, mapping, painter_mapping, reduced
from .formats.registry import FORMATS, detect
from .source import Provenance, Tensors
from .table import aligned, spans


def inspect(path: Path, source_format: str | None = None) -> str:
    """Returns the content of the file as lines of text.

    Raises:
        UserError: the file cannot be read, is in no known format or is damaged.
    """
    chosen = choose(source_format, FORMATS, what="format") if source_format else detect(path)
    tensors, provenance = FORMATS[chosen].read(path)
    rows = [("tensor", "shape", "numbers", "smallest", "largest")]
    for name, tensor in tensors.items():
        rows.append((one_line(name), str(list(tensor.shape)), tensor.dtype.name, *spans(tensor.load())))
    about = [provenance.described, f"sha256 {provenance.sha256}", *provenance.notes]
    return "\n".join([*about, *aligned(rows), _belonging(path, tensors, provenance)])


def _belonging(path: Path, tensors: Tensors, provenance: Provenance) -> str:
    """Returns which backbones or networks that paint have such weights, in a line."""
    if painters := painter_mapping.recognised(painter_mapping.File(path, tensors, provenance)):
        return f"weights of the network that paints {' or '.join(painters)}"
    try:
        trained.read(path)
    except UserError:
        pass  # no weight file of ours
    else:
        return f"weights of a network that paints in one pass; it goes by this path: instant --network={one_line(path)}"
    whole = (reduced.features(tensors), reduced.described(provenance)) if reduced.is_reduced(tensors) else None
    names = mapping.fitting(*(whole or (tensors, provenance)))
    return f"weights of {' or '.join(names)}" if names else "tensors of no network here"


def _define_flags() -> None:
    flags.DEFINE_string("format", None, f"Format of FILE: {', '.join(FORMATS)}; by default recognised by content.")


def _command(file: str) -> None:
    print(inspect(Path(file), flags.FLAGS.format))


if __name__ == "__main__":
    _define_flags()
    command.run(_command, arguments=[command.FILE])
