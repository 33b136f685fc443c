"""PyTorch's names of tensors, in any file: `features.0.weight`, or `module.features.0.weight`."""

import re
from collections.abc import Iterable

from ..source import Layout

LAYOUT = Layout(conv="OIHW", dense="OIHW")

_PARALLEL = "module."  # prefix that torch.nn.DataParallel adds to every name
# A network within another, as in checkpoints of Lightning and of perceptual losses: `model.vgg.features.0.weight`.
_WITHIN = re.compile(r"((?:\w+\.)+?)features\.")
_PARALLEL_PART = re.compile(r"^features\.module\.")  # of the features alone, as PyTorch's ImageNet example has them
_ROLES = {"weight": "kernel"}
_KERAS_ROLES = {"_W": "kernel", "_b": "bias"}  # of weights ported from Keras before version 2: block1_conv1_W


def names(keys: Iterable[str]) -> dict[str, str]:
    """Returns key → name of the tensor here, such as `features.0/kernel`."""
    keys = list(keys)
    within = next((found[1] for key in keys if (found := _WITHIN.match(key))), _PARALLEL)
    prefix = within if all(key.startswith(within) for key in keys) else ""
    return {key: _name(_PARALLEL_PART.sub("features.", key.removeprefix(prefix))) for key in keys}


def _name(key: str) -> str:
    layer, dot, role = key.rpartition(".")
    if dot:
        return f"{layer}/{_ROLES.get(role, role)}"
    ported = next((ending for ending in _KERAS_ROLES if key.endswith(ending)), None)
    return f"{key.removesuffix(ported)}/{_KERAS_ROLES[ported]}" if ported else key
