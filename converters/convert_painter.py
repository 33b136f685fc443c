"""Converts the files of a network that paints in one pass, and installs the result; `convert` is the command."""

import re
from pathlib import Path
from typing import NamedTuple

from nst_jax.applications.feedforward import trained
from nst_jax.applications.feedforward.networks import parts
from nst_jax.backbones.pretrained import file_name, folder
from nst_jax.backbones.registry import BACKBONES
from nst_jax.errors import UserError, choose, one_line
from nst_jax.io.files import file_error, make_folder

from . import painter_mapping, source
from .formats.registry import FORMATS, detect
from .painters import DESIGNS
from .table import aligned, spans

_SUFFIX = ".safetensors"
_NAME = re.compile(r"\w[\w.-]{0,79}")


class Converted(NamedTuple):
    """Result of a conversion.

    Attributes:
        tensors: `part/layer/role` → float32; read again on access.
        matched: where the tensors are in the files.
        files: the files.
        output: the written file.
    """

    tensors: painter_mapping.Parameters
    matched: painter_mapping.Match
    files: list[painter_mapping.File]
    output: Path


def convert(
    paths: list[Path],
    network: str,
    output: Path | None = None,
    *,
    name: str | None = None,
    source_format: str | None = None,
) -> Converted:
    """Converts the weights in files and writes them to `output`.

    Args:
        paths: the files, one for each part of the network, or one for all, in any order.
        network: the design, one of `painters.DESIGNS`.
        output: the file to write; by default it is installed under the name.
        name: the name; by default that of the network, or of the file where there are many networks of the design.
        source_format: one of `FORMATS`; by default recognised by content.

    Raises:
        UserError: the files cannot be used, or the output cannot be written; then no file is written.
    """
    choose(network, DESIGNS, what="network that paints")
    design = DESIGNS[network]
    most = len(parts(design.network))
    if len(paths) > most:
        raise UserError(f"expected at most {most} files for {network}, found {len(paths)}")
    if output is not None and name is not None:
        raise UserError("--name, --output: expected one of them, found both; the name is that of an installed file")
    default = network if design.single else paths[0].stem
    target = output or folder() / file_name(_named(name or default, network))
    if target.suffix != _SUFFIX:
        raise file_error(target, f"expected a name that ends in {_SUFFIX}; choose another --output")
    files = []
    for path in paths:
        chosen = choose(source_format, FORMATS, what="format") if source_format else detect(path)
        tensors, provenance = FORMATS[chosen].read(path)
        files.append(painter_mapping.File(path, tensors, provenance))
    for file in files:
        source.check_target(target, file.provenance)
    matched = painter_mapping.match(files, network)
    values = painter_mapping.Parameters(matched, design.network)
    record = {
        "design": network,
        "licence": design.provenance.licence,
        "source_file": ", ".join(file.path.name for file in files),
        "source_format": ", ".join(dict.fromkeys(file.provenance.format for file in files)),
        "source_sha256": ", ".join(file.provenance.sha256 for file in files),
    }
    if output is None:
        make_folder(target.parent)
    trained.write(target, values, design.network, record=record)
    return Converted(values, matched, files, target)


def _named(name: str, network: str) -> str:
    """Returns a name under which a network can be installed: none of a backbone or of another network."""
    taken = name in BACKBONES or (name in DESIGNS and name != network)
    if not _NAME.fullmatch(name) or taken or name.endswith(_SUFFIX):
        raise UserError(
            f"expected a name of letters, digits, '-', '_' and '.' that no backbone has, and no other network, found "
            f"{one_line(name)!r}; give another with --name"
        )
    return name


def report(converted: Converted) -> str:
    """Returns the recognised formats, and a table of the parameters with their ranges of values."""
    rows = [("parameter", "in the source", "shape", "smallest", "largest")]
    for name, values in converted.tensors.items():
        source = converted.matched.sources[name][1]
        rows.append((name, one_line(source), str(list(values.shape)), *spans(values)))
    lines = [f"recognised {file.provenance.described}" for file in converted.files]
    lines += aligned(rows)
    if converted.matched.left_out:
        lines.append(f"left out, as it changes nothing: {', '.join(map(one_line, converted.matched.left_out))}")
    lines.append(f"wrote {one_line(converted.output)}")
    return "\n".join(lines)
