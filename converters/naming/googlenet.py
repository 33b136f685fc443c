"""GoogLeNet: the names of Princeton's training, which MatConvNet distributes, of TF-slim's, and those in torchvision.

Princeton's model for Caffe, of the same layers as the one of Caffe's model zoo, counts its modules; TF-slim and
torchvision count the branches in a module.
"""

from collections.abc import Iterator, Sequence

from nst_jax.backbones.rows import Conv, Row

from .place import Pairs, Place, pair

AUXILIARY = (
    *("loss1/", "loss1_", "loss2/", "loss2_"),  # in Caffe, and in MATLAB's files
    *("cls1_", "cls2_"),  # Princeton's
    *("aux1.", "aux2."),  # torchvision's
    "InceptionV1/Logits/",  # TF-slim's only one, whose 1001 classes are not those of the others
    "InceptionV1/InceptionV1/",  # operations of its graph; its normalisations have ones for the scales they lack
)
"""How the names of what is left out begin, above all classifiers on the way, which were for training alone."""

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
_SLIM_STEM = ("Conv2d_1a_7x7", "Conv2d_2b_1x1", "Conv2d_2c_3x3")
_SLIM_PARTS = {
    "1x1": "Branch_0/Conv2d_0a_1x1",
    "3x3_reduce": "Branch_1/Conv2d_0a_1x1",
    "3x3": "Branch_1/Conv2d_0b_3x3",
    "5x5_reduce": "Branch_2/Conv2d_0a_1x1",
    "5x5": "Branch_2/Conv2d_0b_3x3",
    "pool_proj": "Branch_3/Conv2d_0b_1x1",
}
_SLIM_OTHERS = {"inception_5a/5x5": "Branch_2/Conv2d_0a_3x3"}
_TORCHVISION_PARTS = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.0",
    "3x3": "branch2.1",
    "5x5_reduce": "branch3.0",
    "5x5": "branch3.1",
    "pool_proj": "branch4.1",  # behind the pool, which is an item too
}


def ported(rows: Sequence[Row]) -> Pairs:
    """Yields the names in Princeton's model, and in TF-slim's."""
    yield from zip(("conv1", "reduction2", "conv2"), map(Place, _STEM), strict=True)
    yield "cls3_fc", Place(_DENSE)
    modules: dict[str, int] = {}
    for name, module, part in _inside_modules(rows):
        number = modules.setdefault(module, len(modules) + 1)
        yield f"icp{number}_{_PRINCETON_PARTS[part]}", Place(name)
    slim = dict(zip(_STEM, _SLIM_STEM, strict=True))
    for name, module, part in _inside_modules(rows):
        after = chr(ord(module[-1]) + 1)  # modules begin with b there, behind the pool
        slim[name] = f"Mixed_{module[-2]}{after}/{_SLIM_OTHERS.get(name, _SLIM_PARTS[part])}"
    for ours, theirs in slim.items():
        yield from pair(ours, f"InceptionV1/{theirs}", f"InceptionV1/{theirs}/BatchNorm")


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
