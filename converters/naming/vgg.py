"""VGG networks: blocks in Keras; in torchvision, items of a sequence, and a classifier that is another sequence.

In torchvision AlexNet is like them.
"""

import re
from collections.abc import Sequence

from nst_jax.backbones.rows import Conv, LocalResponseNorm, Pool, Row

from .place import Pairs, Place, pair

_KERAS_CLASSIFIER = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}

# The second names are those in the files that Justin Johnson converted from Caffe, where the dropout comes first; the
# last ones are timm's, whose fc6 and fc7 are convolutions.
_TORCHVISION_CLASSIFIER = {
    "fc6": ("classifier.0", "classifier.1", "pre_logits.fc1"),
    "fc7": ("classifier.3", "classifier.4", "pre_logits.fc2"),
    "fc8": ("classifier.6", "head.fc"),
}


def ported(rows: Sequence[Row]) -> Pairs:
    """Yields the names in keras-applications."""
    for row in rows:
        if isinstance(row, Conv):
            name = re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", row.name)
            yield _KERAS_CLASSIFIER.get(name, name), Place(row.name)


def torchvision(rows: Sequence[Row]) -> Pairs:
    """Yields the names in torchvision, those of the sequence `features` saved alone too; a ReLU is an item of its own.

    Raises:
        TypeError: there is a row that torchvision's networks of this kind do not have.
    """
    item = 0
    for row in rows:
        match row:
            case Conv() if row.name in _TORCHVISION_CLASSIFIER:
                yield from ((theirs, Place(row.name)) for theirs in _TORCHVISION_CLASSIFIER[row.name])
            case Conv():
                for start in ("features.", ""):
                    yield from (
                        pair(row.name, f"{start}{item}", f"{start}{item + 1}")
                        if row.norm
                        else ((f"{start}{item}", Place(row.name)),)
                    )
                item += 3 if row.norm else 2
            case Pool() | LocalResponseNorm():
                item += 1
            case _:
                raise TypeError(f"{row.name}: expected a convolution, a pooling or a normalisation, found {row}")
