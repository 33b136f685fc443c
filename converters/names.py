"""The names of the layers of a backbone in weight files: those of the papers, and those of other programs."""

import itertools
import re
from collections.abc import Callable, Iterator

from nst_jax.backbones import googlenet, squeezenet, vgg
from nst_jax.backbones.rows import Conv, Pool, Row
from nst_jax.backbones.spec import Backbone, Family, with_head

_KERAS_CLASSIFIER = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}

# The second names are those in the files that Justin Johnson converted from Caffe, where the dropout comes first; the
# last ones are timm's, whose fc6 and fc7 are convolutions.
_TORCHVISION_CLASSIFIER = {
    "fc6": ("classifier.0", "classifier.1", "pre_logits.fc1"),
    "fc7": ("classifier.3", "classifier.4", "pre_logits.fc2"),
    "fc8": ("classifier.6", "head.fc"),
    "conv10": ("classifier.1",),
}


# The classifiers on the way of GoogLeNet, which were for training alone.
_AUXILIARY = {
    googlenet.FAMILY: re.compile(r"loss[12][/_]"),  # in Caffe, and in MATLAB's files
    googlenet.GOOGLE_FAMILY: re.compile(r"(?:head|nn|softmax)[01](?:_|$)"),
}


def is_auxiliary(backbone: Backbone, layer: str) -> bool:
    """Returns whether a layer of a file belongs to a classifier that was for training alone."""
    pattern = _AUXILIARY.get(backbone.family)
    return pattern is not None and pattern.match(layer) is not None


def aliases(backbone: Backbone) -> dict[str, str]:
    """Returns every name that a layer of the backbone or its head may have in a file → its name here.

    Caffe, MatConvNet and the interchange file use the names of the papers.
    """
    ours = [row.name for row in with_head(backbone).rows if isinstance(row, Conv)]
    return {name: name for name in ours} | {_keras(name): name for name in ours} | dict(_torchvision(backbone))


def torchvision_names(backbone: Backbone) -> set[str]:
    """Returns the names that only torchvision has for the layers of the backbone and its head."""
    return {theirs for theirs, ours in _torchvision(backbone)}


def _keras(name: str) -> str:
    """Returns the name of a layer in keras-applications; Keras 3 allows no slashes in names."""
    name = re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", name)
    return _KERAS_CLASSIFIER.get(name, name).replace("/", "_")


def _torchvision(backbone: Backbone) -> Iterator[tuple[str, str]]:
    """Yields the names in torchvision of the convolutions of a backbone and its head; nothing for other families.

    There, they are items of a sequence; the classifier is another sequence.
    """
    if backbone.family not in _TORCHVISION:
        return
    rows = with_head(backbone).rows
    features = tuple(itertools.takewhile(lambda row: row.name not in _TORCHVISION_CLASSIFIER, rows))
    for item, name in _TORCHVISION[backbone.family](features):
        yield f"features.{item}", name
        yield item, name  # of the sequence `features` saved alone
    for row in rows[len(features) :]:
        yield from ((theirs, row.name) for theirs in _TORCHVISION_CLASSIFIER.get(row.name, ()))


def _vgg(rows: tuple[Row, ...]) -> Iterator[tuple[str, str]]:
    """Yields the item of each convolution; a ReLU is an item of its own."""
    item = 0
    for row in rows:
        if isinstance(row, Conv):
            yield str(item), row.name
        item += _items(row)


def _squeezenet(rows: tuple[Row, ...]) -> Iterator[tuple[str, str]]:
    """Yields the item of each convolution; a fire module is one item, whose parts have names."""
    item, fire = 0, ""
    for row in rows:
        module, _, part = row.name.partition("/")
        if not part:
            if isinstance(row, Conv):
                yield str(item), row.name
            item += _items(row)
        elif isinstance(row, Conv):
            item, fire = (item if module == fire else item + 1), module
            yield f"{item - 1}.{part.replace('squeeze1x1', 'squeeze')}", row.name


def _items(row: Row) -> int:
    """Returns the number of items of torchvision's sequence for a row."""
    if isinstance(row, Conv):
        return 2
    if isinstance(row, Pool):
        return 1
    raise TypeError(f"{row.name}: expected a convolution or a pooling, found {row}")


_TORCHVISION: dict[Family, Callable[[tuple[Row, ...]], Iterator[tuple[str, str]]]] = {
    vgg.FAMILY: _vgg,
    squeezenet.FAMILY: _squeezenet,
}
"""Family → a function that yields the item of each convolution before the classifier."""
