"""Inception v3: our names are torchvision's. In Keras its layers have numbers, which are those of our table."""

from collections.abc import Sequence

from nst_jax.backbones.rows import Conv, Row

from .place import Pairs, Place, pair

AUXILIARY = "AuxLogits."
"""How the names of the second classifier begin, which trains the layers before it and is no part of the network."""

_DENSE = "fc"


def ported(rows: Sequence[Row]) -> Pairs:  # noqa: ARG001 - the convolutions have numbers
    """Yields the name of the classifier in Keras."""
    yield "predictions", Place(_DENSE)


def torchvision(rows: Sequence[Row]) -> Pairs:
    """Yields the names in torchvision."""
    for row in rows:
        if isinstance(row, Conv) and row.norm:
            theirs = row.name.replace("/", ".")
            yield from pair(row.name, f"{theirs}.conv", f"{theirs}.bn")
    yield _DENSE, Place(_DENSE)
