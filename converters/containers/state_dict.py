"""PyTorch's names of tensors, whatever file they are in: `features.0.weight`, or `module.features.0.weight`."""

from collections.abc import Iterable

from ..source import Layout

LAYOUT = Layout(conv="OIHW", dense="OIHW")

_PARALLEL = "module."  # what torch.nn.DataParallel puts in front of every name
_ROLES = {"weight": "kernel"}


def names(keys: Iterable[str]) -> dict[str, str]:
    """Returns for each key what the tensor is called here: `features.0/kernel`."""
    keys = list(keys)
    parallel = all(key.startswith(_PARALLEL) for key in keys)
    return {key: _name(key.removeprefix(_PARALLEL) if parallel else key) for key in keys}


def _name(key: str) -> str:
    layer, dot, role = key.rpartition(".")
    return f"{layer}/{_ROLES.get(role, role)}" if dot else key
