"""MobileNet v2: our names are TensorFlow's; Keras wrote `block_1_expand` for `expanded_conv_1/expand`.

torchvision counts: the blocks, and what is in each.
"""

import re
from collections.abc import Sequence

from nst_jax.backbones.rows import Conv, Row

from .place import Pairs, Place, pair

_BLOCK = re.compile(r"expanded_conv(?:_(\d+))?/(\w+)")
_DENSE = "Logits/Conv2d_1c_1x1"


def ported(rows: Sequence[Row]) -> Pairs:
    """Yields the names in TensorFlow's graphs, and those in Keras."""
    yield "predictions", Place(_DENSE)
    yield f"MobilenetV2/{_DENSE}", Place(_DENSE)
    yield from pair("Conv", "Conv1", "bn_Conv1")
    yield from pair("Conv_1", "Conv_1", "Conv_1_bn")
    for row in rows:
        if isinstance(row, Conv) and row.norm:
            yield from pair(row.name, f"MobilenetV2/{row.name}", f"MobilenetV2/{row.name}/BatchNorm")
            if found := _BLOCK.fullmatch(row.name):
                keras = f"block_{found[1]}_{found[2]}" if found[1] else f"expanded_conv_{found[2]}"
                yield from pair(row.name, keras, f"{keras}_BN")


def torchvision(rows: Sequence[Row]) -> Pairs:
    """Yields the names in torchvision."""
    layers = [row for row in rows if isinstance(row, Conv) and row.norm]
    blocks = list(dict.fromkeys(row.name.partition("/")[0] for row in layers))
    for row in layers:
        block, _, part = row.name.partition("/")
        steps = [other.name for other in layers if other.name.startswith(f"{block}/")]
        item = f"features.{blocks.index(block)}"
        if part == "project":  # the only one without a ReLU, and so no item of three
            position = len(steps) - 1
            yield from pair(row.name, f"{item}.conv.{position}", f"{item}.conv.{position + 1}")
        elif part:
            position = steps.index(row.name)
            yield from pair(row.name, f"{item}.conv.{position}.0", f"{item}.conv.{position}.1")
        else:
            yield from pair(row.name, f"{item}.0", f"{item}.1")
    yield "classifier.1", Place(_DENSE)
