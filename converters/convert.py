"""Converts a file with trained weights and installs the result.

    python -m converters.convert FILE --backbone=NAME [--output=OUT.safetensors] [--classifier]
        [--format=NAME] [--convention=caffe|torchvision|tensorflow] [--kernels=tensorflow|theano]
    python -m converters.convert FILE [FILE] --network=NAME [--name=NAME] [--output=OUT.safetensors] [--format=NAME]

FILE is a weight file, or the folder of a TensorFlow.js model, a deeplearn.js checkpoint or MATLAB files with a tensor
each; its format is recognised by its content. Without `--output` the weights are installed, and `--backbone=NAME` works
in all scripts. Takes seconds.

`--classifier` keeps the classifier, which style transfer does not need (494 MB more for a VGG network). `--convention`
is the format in which the network expects its pixels, and `--kernels` says whether the kernels of a Keras file are
rotated as Theano has them; they are needed only where the file leaves this open.

`--network` is for networks that paint in one pass, some of which lie in two files, in any order. They are installed
under their name, or that of the file where many have one design; `--network=NAME` of `instant` then finds them.
"""

from pathlib import Path
from typing import NamedTuple

from absl import flags

from nst_jax.backbones import pretrained
from nst_jax.backbones.registry import BACKBONES
from nst_jax.backbones.spec import CONVENTIONS, with_head
from nst_jax.errors import UserError, choose, one_line
from nst_jax.io.files import file_error, make_folder

from . import command, convert_painter, mapping, reduced
from .fetching import published
from .formats.registry import FORMATS, detect
from .painters import DESIGNS
from .source import Provenance, check_target
from .table import aligned, spans

CONVERTER_VERSION = 2
KERNELS = {"tensorflow": False, "theano": True}
"""Convention of the kernels of a Keras file → whether they are rotated by 180 degrees."""

_ABOUT = {
    "torchvision": "of torchvision itself",
    "caffe": "converted from Caffe, BGR minus mean",
    "tensorflow": "RGB from -1 to 1",
}
_THEANO_FILE = "th_kernels"  # part of the names of files for Theano from keras-applications
_SUFFIX = ".safetensors"


class Converted(NamedTuple):
    """Result of a conversion.

    Attributes:
        tensors: our name → float32, kernels `[height, width, in, out]`; read again on access.
        matched: where the tensors are in the source.
        provenance: where the source comes from.
        output: the written file.
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
        backbone: the backbone of these weights.
        output: the file to write; by default the installed weights of the backbone.
        source_format: one of `FORMATS`; by default recognised by content.
        convention: the format of the pixels, one of `CONVENTIONS`; by default the usual one for files of this format.
        kernels: one of `KERNELS`, for files that leave it open.
        classifier: whether to keep the classifier.

    Raises:
        UserError: the source cannot be used, or the output cannot be written; then no file is written.
    """
    choose(backbone, BACKBONES, what="backbone")
    installed = pretrained.folder() / pretrained.file_name(backbone)
    target = installed if output is None else output
    if target.suffix != _SUFFIX:
        raise file_error(target, f"expected a name that ends in {_SUFFIX}; choose another --output")
    chosen = choose(source_format, FORMATS, what="format") if source_format else detect(path)
    tensors, found = FORMATS[chosen].read(path)
    check_target(target, found)
    if reduced.is_reduced(tensors):
        tensors, found = reduced.features(tensors), reduced.described(found)
    elif mapping.is_named_by_torchvision(tensors, BACKBONES[backbone]):
        found = found._replace(convention=None)  # they were ported, so the usual convention of the format says nothing
    provenance = _settle(found, convention, kernels)
    network = with_head(BACKBONES[backbone]) if classifier else BACKBONES[backbone]
    matched = mapping.match(tensors, provenance, network)
    unsaid = provenance.convention is None and provenance.backbone is None
    if unsaid and mapping.fitting(tensors, provenance, besides=BACKBONES[backbone]):
        raise file_error(path, f"expected to know the format of the pixels, {_advice(backbone)}")
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


def _advice(backbone: str) -> str:
    """Returns what to add to the command: one line for each convention, each with the backbone that has it."""
    rows = BACKBONES[backbone].rows
    choices = []
    for name, about in _ABOUT.items():
        # The first of those that no file distinguishes.
        fitting = (other for other in BACKBONES.values() if (other.rows, other.preprocess) == (rows, CONVENTIONS[name]))
        if other := next(fitting, None):
            choices.append(f"--backbone={other.name} --convention={name} ({about})")
    return f"found names that files in several conventions have; give {' or '.join(choices)}"


def _settle(provenance: Provenance, convention: str | None, kernels: str | None) -> Provenance:
    """Returns the provenance, completed by flags and by what is known of published files."""
    layout = provenance.layout
    if kernels is not None:
        rotated = KERNELS[choose(kernels, KERNELS, what="value of --kernels")]
        if layout.rotated not in (None, rotated):
            raise file_error(
                provenance.path,
                f"expected kernels of {kernels}, found that the file says otherwise; leave --kernels out",
            )
        layout = layout._replace(rotated=rotated)
    elif layout.rotated is None and layout.conv == "HWIO" and _THEANO_FILE not in provenance.path.name:
        # Axes as in TensorFlow and no mention of Theano, as in the files that keras-applications published.
        layout = layout._replace(rotated=False)
    if layout.rotated is None:
        raise file_error(
            provenance.path,
            "expected to know whether its kernels are rotated by 180 degrees, as in Theano, found nothing about that "
            "in the file; give --kernels=theano (th_kernels) or --kernels=tensorflow (tf_kernels)",
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
    # A flag takes precedence over the usual convention of the format, as weights may have been ported.
    return provenance._replace(layout=layout, convention=convention or known or provenance.convention)


def report(converted: Converted) -> str:
    """Returns the recognised format, and a table of the layers with their ranges of values."""
    provenance, matched = converted.provenance, converted.matched
    rows = [("parameter", "in the source", "shape", "smallest", "largest")]
    for name, values in converted.tensors.items():
        rows.append((name, one_line(matched.sources[name]), str(list(values.shape)), *spans(values)))
    lines = [f"recognised {provenance.described}", *aligned(rows)]
    if matched.head:
        lines.append(f"left out the classifier: {_listed(matched.head)}; keep it with --classifier")
    if matched.foreign:
        lines.append(f"left out layers of other classifiers: {_listed(matched.foreign)}")
    lines.append(f"wrote {one_line(converted.output)}")
    return "\n".join(lines)


def _listed(layers: tuple[str, ...]) -> str:
    return ", ".join(one_line(layer) for layer in layers)


def _define_flags() -> None:
    flags.DEFINE_string("backbone", None, f"Backbone of these weights: {', '.join(BACKBONES)}.")
    command.define_path("output", None, "File to write; by default the weights are installed.")
    flags.DEFINE_string("format", None, f"Format of FILE: {', '.join(FORMATS)}; by default recognised by content.")
    flags.DEFINE_string("convention", None, f"Convention of the network's pixels: {', '.join(CONVENTIONS)}.")
    flags.DEFINE_string("kernels", None, f"Convention of the kernels of a Keras file: {', '.join(KERNELS)}.")
    flags.DEFINE_bool("classifier", False, "Keep the classifier.")
    flags.DEFINE_string("network", None, f"Network that paints with these weights: {', '.join(DESIGNS)}.")
    flags.DEFINE_string("name", None, "Name under which a network that paints is installed.")


def _command(file: str, *further: str) -> None:
    given = flags.FLAGS
    if (given.backbone is None) == (given.network is None):
        raise UserError(
            f"expected --backbone=NAME with one of: {', '.join(BACKBONES)}; "
            f"or --network=NAME with one of: {', '.join(DESIGNS)}"
        )
    if given.network is not None:
        _convert_painter([Path(file), *map(Path, further)])
        return
    if further or given.name is not None:
        raise UserError("expected one FILE and no --name with --backbone; several are for --network")
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


def _convert_painter(paths: list[Path]) -> None:
    given = flags.FLAGS
    if any(given[flag].present for flag in ("convention", "kernels", "classifier")):
        raise UserError("expected no --convention, --kernels or --classifier with --network; they are for backbones")
    output = command.path(given.output, "output")
    converted = convert_painter.convert(paths, given.network, output, name=given.name, source_format=given.format)
    print(convert_painter.report(converted))


if __name__ == "__main__":
    _define_flags()
    command.run(_command, arguments=[command.FILE], repeated=True)
