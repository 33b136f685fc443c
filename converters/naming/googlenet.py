"""GoogLeNet: the names of Princeton's training, which MatConvNet distributes, and those in torchvision.

Princeton's model for Caffe, of the same layers as the one of Caffe's model zoo, counts its modules; torchvision counts
the branches in a module.
"""

from collections.abc import Iterator, Sequence

from nst_jax.backbones.rows import Conv, Row

from .place import Pairs, Place, pair

AUXILIARY = (
    *("loss1/", "loss1_", "loss2/", "loss2_"),  # in Caffe, and in MATLAB's files
    *("cls1_", "cls2_"),  # Princeton's
    *("aux1.", "aux2."),  # torchvision's
)
"""How the names of layers begin in classifiers on the way, which were for training alone."""

_DENSE = "loss3/classifier"
_STEM = ("conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3")
_PRINCETON_PARTS = {
    "1x1": "out0",
    "3x3_reduce": "reduction1",
    "3x3": "out1",
    "5x5_reduce": "reduction2",
    "5x5": "out2",
    "pool_proj": "out3",
}
_TORCHVISION_PARTS = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.0",
    "3x3": "branch2.1",
    "5x5_reduce": "branch3.0",
    "5x5": "branch3.1",
    "pool_proj": "branch4.1",  # behind the pool, which is an item too
}


def ported(rows: Sequence[Row]) -> Pairs:
    """Yields the names in Princeton's model."""
    yield from zip(("conv1", "reduction2", "conv2"), map(Place, _STEM), strict=True)
    yield "cls3_fc", Place(_DENSE)
    modules: dict[str, int] = {}
    for name, module, part in _inside_modules(rows):
        number = modules.setdefault(module, len(modules) + 1)
        yield f"icp{number}_{_PRINCETON_PARTS[part]}", Place(name)


def torchvision(rows: Sequence[Row]) -> Pairs:
    """Yields the names in torchvision."""
    yield "fc", Place(_DENSE)
    theirs = dict(zip(_STEM, ("conv1", "conv2", "conv3"), strict=True))
    theirs |= {
        name: f"{module.replace('_', '')}.{_TORCHVISION_PARTS[part]}" for name, module, part in _inside_modules(rows)
    }
    for ours, block in theirs.items():
        yield from pair(ours, f"{block}.conv", f"{block}.bn")


def _inside_modules(rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    """Yields the name of each convolution in a module, of the module, and of the part that it is there."""
    for row in rows:
        module, _, part = row.name.partition("/")
        if isinstance(row, Conv) and module.startswith("inception_"):
            yield row.name, module, part
