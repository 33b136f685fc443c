r"""Rebuilds the embedded names of the ImageNet classes, nst_jax/backbones/data/imagenet_classes.tsv.

    python -m converters.embed_imagenet [--package=timm-1.0.31-py3-none-any.whl] [--output=imagenet_classes.tsv]

The wheel of `timm` 1.0.31 (PyPI) has the WordNet ids of the 1000 classes of ILSVRC 2012, in the order of the outputs of
networks, and their names and definitions from WordNet 3.0. Without `--package` pip fetches it (3 MB) and
checks its hash. Takes seconds and gives the same bytes each time.
"""

import io
import zipfile
from pathlib import Path

from nst_jax.backbones import imagenet
from nst_jax.io.files import atomic_write

from . import embedding
from .fetching.package import Package

PACKAGE = Package(
    name="timm",
    version="1.0.31",
    file="timm-1.0.31-py3-none-any.whl",
    sha256="5bd50f7d0fe6d09bf9285ac2523234a1b7e6bf075c0be3e7aed09139fcb617c7",
)
_ORDER = "timm/data/_info/imagenet_synsets.txt"
_NAMES = "timm/data/_info/imagenet_synset_to_lemma.txt"
_DEFINITIONS = "timm/data/_info/imagenet_synset_to_definition.txt"


def embed(package: Path, output: Path) -> None:
    """Writes number, WordNet id, names and definition of each class, one class per line, by number.

    Raises:
        UserError: the package is not the expected one, or the output cannot be written.
    """
    with zipfile.ZipFile(io.BytesIO(PACKAGE.read(package))) as wheel:
        order, *columns = (wheel.read(member).decode().splitlines() for member in (_ORDER, _NAMES, _DEFINITIONS))
    names, definitions = (dict(line.split("\t") for line in column) for column in columns)
    with atomic_write(output, encoding="utf-8", newline="\n") as file:
        for number, synset in enumerate(order):
            file.write(f"{number}\t{synset}\t{names[synset]}\t{definitions[synset]}\n")


if __name__ == "__main__":
    embedding.run(embed, PACKAGE, imagenet.FILE)
