"""ResNet: `res2a_branch2a` of Caffe is `conv2_block1_1_conv` in Keras, and `layer1.0.conv1` in torchvision.

Normalisations are layers of their own; in Caffe the scale behind one is another. The first port to Keras kept Caffe's
names.
"""

import re
from collections.abc import Sequence

from nst_jax.backbones.rows import Conv, Row

from .place import Pairs, Place, pair

_BRANCH = re.compile(r"res(\d)([a-f])_branch(1|2[a-c])")
_POSITIONS = {"1": 0, "2a": 1, "2b": 2, "2c": 3}
_DENSE = "fc1000"


def ported(rows: Sequence[Row]) -> Pairs:
    """Yields the names of normalisations in Caffe, and all those in both ports to Keras."""
    yield "predictions", Place(_DENSE)
    yield from pair("conv1", "conv1_conv", "conv1_bn")
    for start in ("bn_", "scale_"):
        yield f"{start}conv1", Place("conv1", normalisation=True)
    for row in rows:
        if found := _BRANCH.fullmatch(row.name):
            for start in ("bn", "scale"):
                yield row.name.replace("res", start), Place(row.name, normalisation=True)
            stage, block, branch = found.groups()
            keras = f"conv{stage}_block{_number(block)}_{_POSITIONS[branch]}"
            yield from pair(row.name, f"{keras}_conv", f"{keras}_bn")


def torchvision(rows: Sequence[Row]) -> Pairs:
    """Yields the names in torchvision."""
    yield "fc", Place(_DENSE)
    yield from pair("conv1", "conv1", "bn1")
    for row in rows:
        if isinstance(row, Conv) and (found := _BRANCH.fullmatch(row.name)):
            stage, block, branch = found.groups()
            within = f"layer{int(stage) - 1}.{_number(block) - 1}"
            position = _POSITIONS[branch]
            shortcut = (f"{within}.downsample.0", f"{within}.downsample.1")
            yield from pair(
                row.name, *((f"{within}.conv{position}", f"{within}.bn{position}") if position else shortcut)
            )


def _number(letter: str) -> int:
    return "abcdef".index(letter) + 1
