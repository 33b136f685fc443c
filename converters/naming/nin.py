"""Network in Network: torchvision has none; pytorch-nin, of ProGamerGov for neural-style-pt, is one sequence."""

from collections.abc import Sequence

from nst_jax.backbones.rows import Conv, Pool, Row

from .place import Pairs, Place

_BEHIND_DROPOUT = "conv4-1024"


def ported(rows: Sequence[Row]) -> Pairs:
    """Yields the items of the sequence, in which a ReLU is one of its own, and so is a dropout."""
    item = 0
    for row in rows:
        item += row.name == _BEHIND_DROPOUT
        if isinstance(row, Conv):
            yield f"features.{item}", Place(row.name)
            yield str(item), Place(row.name)
            item += 2
        elif isinstance(row, Pool):
            item += 1
