"""What weight files call the layers of a backbone: the names of the papers, and those of other programs."""

import re
from collections.abc import Iterator

from nst_jax.backbones.spec import Backbone, Conv, Pool, Row, with_head

_KERAS_CLASSIFIER = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}

# The second names are those of the files that Justin Johnson converted from Caffe, where the dropout comes first.
_TORCHVISION_CLASSIFIER = {
    "fc6": ("classifier.0", "classifier.1"),
    "fc7": ("classifier.3", "classifier.4"),
    "fc8": ("classifier.6",),
    "conv10": ("classifier.1",),
}


def aliases(backbone: Backbone) -> dict[str, str]:
    """Returns for every name that a layer of the backbone or of its head may have in a file what it is called here.

    Caffe, MatConvNet and the interchange file use the names of the papers.
    """
    rows = with_head(backbone).rows
    ours = [row.name for row in rows if isinstance(row, Conv)]
    return {name: name for name in ours} | {_keras(name): name for name in ours} | dict(_torchvision(rows))


def torchvision_names(backbone: Backbone) -> set[str]:
    """Returns what torchvision calls the layers of the backbone and of its head, as far as nobody else does."""
    return {theirs for theirs, ours in _torchvision(with_head(backbone).rows)}


def _keras(name: str) -> str:
    """Returns what keras-applications calls a layer; Keras 3 allows no slashes in names."""
    name = re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", name)
    return _KERAS_CLASSIFIER.get(name, name).replace("/", "_")


def _torchvision(rows: tuple[Row, ...]) -> Iterator[tuple[str, str]]:
    """Yields what torchvision calls the convolutions of a table.

    There they are items of a sequence, in which a ReLU is an item of its own, and so is a whole fire module; the
    classifier is another sequence.
    """
    item, fire = 0, ""
    for row in rows:
        match row:
            case Conv(name=name) if name in _TORCHVISION_CLASSIFIER:
                yield from ((theirs, name) for theirs in _TORCHVISION_CLASSIFIER[name])
            case Conv(name=name) if "/" in name:
                module, _, part = name.partition("/")
                item, fire = (item if module == fire else item + 1), module
                yield from _in_sequence(f"{item - 1}.{part.replace('squeeze1x1', 'squeeze')}", name)
            case Conv(name=name):
                yield from _in_sequence(str(item), name)
                item += 2
            case Pool():
                item += 1


def _in_sequence(item: str, name: str) -> Iterator[tuple[str, str]]:
    """Yields the name of an item in the whole network, and in its sequence `features` saved alone."""
    yield f"features.{item}", name
    yield item, name
