"""Converts a file with trained weights to the interchange file of nst_jax and installs it.

    python -m converters.convert FILE --backbone=NAME [--output=OUT.safetensors] [--classifier]
        [--format=NAME] [--convention=caffe|torchvision] [--kernels=tensorflow|theano]

FILE is a weight file, or the folder of a TensorFlow.js model; its format is found by content. Without `--output` the
result goes to the folder of installed weights, after which `--backbone=NAME` works everywhere. Takes seconds.

`--classifier` keeps the layers that tell classes, which style transfer does without (494 MB more for a VGG network).
`--convention` tells how the network wants its pixels, `--kernels` whether kernels of Keras are rotated as those for
Theano; both are asked for where the file leaves it open.
"""

import os
from pathlib import Path
from typing import NamedTuple

from absl import flags

from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import CONVENTIONS, with_head
from nst_jax.errors import UserError, choose, one_line
from nst_jax.io.files import file_error, make_folder

from . import command, mapping, published
from .formats.registry import FORMATS, detect
from .source import Provenance
from .table import aligned, spans

CONVERTER_VERSION = 2
KERNELS = {"tensorflow": False, "theano": True}
"""Whose convention kernels of a Keras file follow → whether they are rotated by 180 degrees."""

_THEANO_FILE = "th_kernels"  # what keras-applications put into the names of files for Theano
_SUFFIX = ".safetensors"


class Converted(NamedTuple):
    """What a conversion found and wrote.

    Attributes:
        tensors: our name → float32, kernels `[height, width, in, out]`; read again when asked for.
        matched: from where in the source.
        provenance: of the source.
        output: the file that was written.
    """

    tensors: mapping.Parameters
    matched: mapping.Match
    provenance: Provenance
    output: Path


def convert(
    path: Path,
    backbone: str,
    output: Path | None = None,
    *,
    source_format: str | None = None,
    convention: str | None = None,
    kernels: str | None = None,
    classifier: bool = False,
) -> Converted:
    """Converts the weights in `path` and writes them to `output`.

    Args:
        path: the source.
        backbone: whose weights these are.
        output: the file to write; by default the installed weights of the backbone.
        source_format: one of `FORMATS`; by default found by content.
        convention: how the network wants its pixels, one of `CONVENTIONS`; by default what files of this format have.
        kernels: one of `KERNELS`, where the file does not tell.
        classifier: whether to keep the layers that tell classes.

    Raises:
        UserError: the source cannot be used or the output not be written; then no file is written.
    """
    choose(backbone, BACKBONES, what="backbone")
    installed = pretrained.folder() / pretrained.file_name(backbone)
    target = installed if output is None else output
    if target.suffix != _SUFFIX:
        raise file_error(target, f"expected a name that ends in {_SUFFIX}, as what comes out is such a file")
    chosen = choose(source_format, FORMATS, what="format") if source_format else detect(path)
    tensors, found = FORMATS[chosen].read(path)
    if os.path.exists(target) and os.path.samefile(target, found.path):  # noqa: PTH110, PTH121 - never an error
        raise file_error(target, "expected a file of its own, found the one that is converted; choose another --output")
    if mapping.is_named_by_torchvision(tensors, BACKBONES[backbone]):
        found = found._replace(convention=None)  # They were ported: what files of the format usually have says nothing.
    provenance = _settle(found, convention, kernels)
    network = with_head(BACKBONES[backbone]) if classifier else BACKBONES[backbone]
    matched = mapping.match(tensors, provenance, network)
    if provenance.convention is None and provenance.backbone is None:
        raise file_error(
            path,
            "expected to be told how the network wants its pixels, found names that files in both conventions have; "
            "say --convention=torchvision (RGB, ImageNet mean and deviation) or --convention=caffe (BGR minus mean)",
        )
    values = mapping.Parameters(tensors, provenance, matched, network)
    metadata = {
        "converter_version": CONVERTER_VERSION,
        "licence": network.provenance.licence,
        **({pretrained.NUMBERS_KEY: provenance.numbers} if provenance.numbers else {}),
        "source_file": provenance.path.name,
        "source_format": provenance.format,
        "source_sha256": provenance.sha256,
    }
    if target == installed:
        make_folder(target.parent)
    pretrained.write(target, values, network, metadata)
    return Converted(values, matched, provenance, target)


def _settle(provenance: Provenance, convention: str | None, kernels: str | None) -> Provenance:
    """Returns the provenance with what the file leaves open, from what is known of published files and from flags."""
    layout = provenance.layout
    if kernels is not None:
        rotated = KERNELS[choose(kernels, KERNELS, what="value of --kernels")]
        if layout.rotated not in (None, rotated):
            raise file_error(
                provenance.path,
                f"expected kernels of {kernels}, found a file that tells that they are not; leave --kernels out",
            )
        layout = layout._replace(rotated=rotated)
    elif layout.rotated is None and layout.conv == "HWIO" and _THEANO_FILE not in provenance.path.name:
        # Axes as TensorFlow has them, and no word of Theano: as in the files that keras-applications published.
        layout = layout._replace(rotated=False)
    if layout.rotated is None:
        raise file_error(
            provenance.path,
            "expected to be told whether its kernels are rotated by 180 degrees as those of Theano are, found nothing "
            "in the file that tells; say --kernels=theano (th_kernels) or --kernels=tensorflow (tf_kernels)",
        )
    known = published.convention(provenance.sha256)
    if convention is not None:
        choose(convention, CONVENTIONS, what="value of --convention")
        if known not in (None, convention):
            raise file_error(
                provenance.path,
                f"expected --convention={convention}, found by its hash a published file in the convention of {known}; "
                "leave --convention out",
            )
    # What people say goes before what files of a format usually have: weights may have been ported.
    return provenance._replace(layout=layout, convention=convention or known or provenance.convention)


def report(converted: Converted) -> str:
    """Returns what was recognised and a table of the layers with their ranges of values."""
    provenance, matched = converted.provenance, converted.matched
    rows = [("parameter", "in the source", "shape", "smallest", "largest")]
    for name, values in converted.tensors.items():
        rows.append((name, one_line(matched.sources[name]), str(list(values.shape)), *spans(values)))
    lines = [f"recognised {provenance.described}", *aligned(rows)]
    if matched.head:
        lines.append(f"left out the classifier: {_listed(matched.head)}; keep it with --classifier")
    if matched.foreign:
        lines.append(f"left out dense layers of another classifier: {_listed(matched.foreign)}")
    lines.append(f"wrote {one_line(converted.output)}")
    return "\n".join(lines)


def _listed(layers: tuple[str, ...]) -> str:
    return ", ".join(one_line(layer) for layer in layers)


def _define_flags() -> None:
    flags.DEFINE_string("backbone", None, f"whose weights these are: {', '.join(BACKBONES)}")
    flags.DEFINE_string("output", None, "the file to write; by default the weights are installed")
    flags.DEFINE_string("format", None, f"of FILE: {', '.join(FORMATS)}; by default found by content")
    flags.DEFINE_string("convention", None, f"how the network wants its pixels: {', '.join(CONVENTIONS)}")
    flags.DEFINE_string("kernels", None, f"whose kernels are in a Keras file: {', '.join(KERNELS)}")
    flags.DEFINE_bool("classifier", False, "keep the layers that tell classes")


def _command(file: str) -> None:
    given = flags.FLAGS
    if given.backbone is None:
        raise UserError(f"expected --backbone=NAME with one of: {', '.join(BACKBONES)}")
    converted = convert(
        Path(file),
        given.backbone,
        command.path(given.output, "output"),
        source_format=given.format,
        convention=given.convention,
        kernels=given.kernels,
        classifier=given.classifier,
    )
    print(report(converted))


if __name__ == "__main__":
    _define_flags()
    command.run(_command, arguments=["FILE"])
