"""What a layer of a file is here."""

from collections.abc import Iterator
from typing import NamedTuple


class Place(NamedTuple):
    """A layer of a file, as a part of a row of a table.

    Attributes:
        row: name of the convolution.
        normalisation: whether it is the batch normalisation behind that.
    """

    row: str
    normalisation: bool = False


Pairs = Iterator[tuple[str, Place]]
"""Names of layers in files, each with what it is here."""


def pair(row: str, convolution: str, normalisation: str) -> Pairs:
    """Yields the names of a convolution and of the normalisation behind it."""
    yield convolution, Place(row)
    yield normalisation, Place(row, normalisation=True)
