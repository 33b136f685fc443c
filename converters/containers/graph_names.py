"""Which constants of a graph are weights, and names in TensorFlow's and what was exported from them: `conv1/weights`.

Kernels of other axes, such as `depthwise_weights`, keep their name.
"""

import collections
import re
from collections.abc import Iterable, Sequence

_ROLES = {"weights": "kernel", "biases": "bias", "Conv2D_bias": "bias"}
_JOINED = re.compile(r"(?P<layer>.+)_(?P<role>[wb])(?:_0)?")  # conv2d0_w, and Caffe2's conv1/7x7_s2_w_0
_JOINED_ROLES = {"w": "kernel", "b": "bias"}
_MERGED = ";"  # between the names of operations that TensorFlow Lite has made one


def names(keys: Iterable[str]) -> dict[str, str]:
    """Returns key → name of the tensor here; keys that would get the same one keep theirs."""
    wanted = {key: _name(key) for key in keys}
    taken = collections.Counter(wanted.values())
    return {key: name if taken[name] == 1 else key for key, name in wanted.items()}


def is_single(shape: Sequence[int]) -> bool:
    """Returns whether a constant of this shape is a setting of an operation, such as a tiny number below a root.

    A bias of one channel has an axis, and a kernel has more than one number.
    """
    return len(shape) != 1 and all(length == 1 for length in shape)


def _name(key: str) -> str:
    layer, slash, role = key.rpartition("/")
    if _MERGED in key:
        return key
    if slash and role in _ROLES:
        return f"{layer}/{_ROLES[role]}"
    joined = _JOINED.fullmatch(key)
    return f"{joined['layer']}/{_JOINED_ROLES[joined['role']]}" if joined else key
