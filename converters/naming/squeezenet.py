"""SqueezeNet: the authors' names everywhere but in torchvision, where a fire module is one item of a sequence."""

from collections.abc import Sequence

from nst_jax.backbones.rows import Conv, Pool, Row

from .place import Pairs, Place

_CLASSIFIER = {"conv10": "classifier.1"}


def torchvision(rows: Sequence[Row]) -> Pairs:
    """Yields the names in torchvision, those of the sequence `features` saved alone too."""
    item, fire = 0, ""
    for row in rows:
        module, _, part = row.name.partition("/")
        if row.name in _CLASSIFIER:
            yield _CLASSIFIER[row.name], Place(row.name)
        elif part and module != fire:
            item, fire = item + 1, module
        if isinstance(row, Conv) and row.name not in _CLASSIFIER:
            theirs = f"{item - 1}.{part.replace('squeeze1x1', 'squeeze')}" if part else str(item)
            yield from ((f"{start}{theirs}", Place(row.name)) for start in ("features.", ""))
        if not part:
            item += 1 if isinstance(row, Pool) else 2  # a ReLU is an item of its own
