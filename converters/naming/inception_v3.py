"""Inception v3: our names are torchvision's. In Keras its layers have numbers, which are those of our table.

TF-slim counts the branches of a module, and calls a layer by its place in the branch and its kernel, but for slips.
"""

from collections.abc import Sequence

from nst_jax.backbones.rows import Conv, Row

from .place import Pairs, Place, pair

AUXILIARY = (
    *("AuxLogits.", "InceptionV3/AuxLogits/"),  # the second classifier, which trains the layers before it
    "InceptionV3/Logits/",  # TF-slim's classifier, whose 1001 classes are not those of the others
    "InceptionV3/InceptionV3/",  # operations of TF-slim's graph; its normalisations have ones for the scales they lack
)
"""How the names of what is no part of the network begin."""

_DENSE = "fc"

_SLIM_PARTS = {
    "branch1x1": "Branch_0/Conv2d_0a_1x1",
    "branch3x3_1": "Branch_1/Conv2d_0a_1x1",
    "branch3x3_2a": "Branch_1/Conv2d_0b_1x3",
    "branch3x3_2b": "Branch_1/Conv2d_0b_3x1",
    "branch3x3dbl_1": "Branch_2/Conv2d_0a_1x1",
    "branch3x3dbl_2": "Branch_2/Conv2d_0b_3x3",
    "branch3x3dbl_3": "Branch_2/Conv2d_0c_3x3",
    "branch3x3dbl_3a": "Branch_2/Conv2d_0c_1x3",
    "branch3x3dbl_3b": "Branch_2/Conv2d_0d_3x1",
    "branch5x5_1": "Branch_1/Conv2d_0a_1x1",
    "branch5x5_2": "Branch_1/Conv2d_0b_5x5",
    "branch7x7_1": "Branch_1/Conv2d_0a_1x1",
    "branch7x7_2": "Branch_1/Conv2d_0b_1x7",
    "branch7x7_3": "Branch_1/Conv2d_0c_7x1",
    "branch7x7dbl_1": "Branch_2/Conv2d_0a_1x1",
    "branch7x7dbl_2": "Branch_2/Conv2d_0b_7x1",
    "branch7x7dbl_3": "Branch_2/Conv2d_0c_1x7",
    "branch7x7dbl_4": "Branch_2/Conv2d_0d_7x1",
    "branch7x7dbl_5": "Branch_2/Conv2d_0e_1x7",
    "branch7x7x3_1": "Branch_1/Conv2d_0a_1x1",
    "branch7x7x3_2": "Branch_1/Conv2d_0b_1x7",
    "branch7x7x3_3": "Branch_1/Conv2d_0c_7x1",
    "branch7x7x3_4": "Branch_1/Conv2d_1a_3x3",
    "branch_pool": "Branch_3/Conv2d_0b_1x1",
}
_SLIM_OTHERS = {
    "Mixed_5c/branch5x5_1": "Branch_1/Conv2d_0b_1x1",
    "Mixed_5c/branch5x5_2": "Branch_1/Conv_1_0c_5x5",
    "Mixed_6a/branch3x3": "Branch_0/Conv2d_1a_1x1",
    "Mixed_6a/branch3x3dbl_1": "Branch_1/Conv2d_0a_1x1",
    "Mixed_6a/branch3x3dbl_2": "Branch_1/Conv2d_0b_3x3",
    "Mixed_6a/branch3x3dbl_3": "Branch_1/Conv2d_1a_1x1",
    "Mixed_7a/branch3x3_1": "Branch_0/Conv2d_0a_1x1",
    "Mixed_7a/branch3x3_2": "Branch_0/Conv2d_1a_3x3",
    "Mixed_7c/branch3x3_2b": "Branch_1/Conv2d_0c_3x1",
}


def ported(rows: Sequence[Row]) -> Pairs:
    """Yields the name of the classifier in Keras, whose convolutions have numbers, and the names in TF-slim."""
    yield "predictions", Place(_DENSE)
    for row in rows:
        if isinstance(row, Conv) and row.norm:
            module, _, part = row.name.partition("/")
            theirs = f"{module}/{_SLIM_OTHERS.get(row.name) or _SLIM_PARTS[part]}" if part else module
            yield from pair(row.name, f"InceptionV3/{theirs}", f"InceptionV3/{theirs}/BatchNorm")


def torchvision(rows: Sequence[Row]) -> Pairs:
    """Yields the names in torchvision."""
    for row in rows:
        if isinstance(row, Conv) and row.norm:
            theirs = row.name.replace("/", ".")
            yield from pair(row.name, f"{theirs}.conv", f"{theirs}.bn")
    yield _DENSE, Place(_DENSE)
