"""Inception v3 (Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", arXiv:1512.00567).

Modules and the layers before them have TensorFlow's names (`Conv2d_1a_3x3`, `Mixed_5b`), and within modules those that
torchvision gave to what has none there but numbers: `Mixed_5b/branch3x3dbl_1`. Rows are in the order in which both
programs make them, by which Keras numbers its layers. torchvision's weights are TensorFlow's of another training; its
average pools count the zeros around the map, which those of Keras do not.
"""

from collections.abc import Iterator

from nst_jax.backbones.rows import BatchNorm, Concat, Conv, GlobalAverage, Pool, PoolKind, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance

Size = int | tuple[int, int]

_OBLONG: tuple[Size, ...] = ((1, 7), (7, 1))


class _Builder:
    """Makes the rows of one variant.

    Args:
        norm: the normalisation behind every convolution.
        average: what average pools do at the edges.
    """

    def __init__(self, norm: BatchNorm, average: PoolKind) -> None:
        self._norm = norm
        self._average = average

    def conv(
        self, name: str, source: str, features: int, kernel: Size = 1, *, stride: int = 1, valid: bool = False
    ) -> Conv:
        """Returns a convolution with its ReLU; zeros keep the size of the map but where it is `valid` or strided."""
        high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (0, 0) if valid or stride > 1 else (high // 2, wide // 2)
        relu = f"{name}/relu"
        return Conv(name, source, features, kernel, stride, padding, relu, bias=False, norm=self._norm)

    def chain(self, name: str, source: str, *steps: tuple[int, Size], stride: int = 1) -> Iterator[Conv]:
        """Yields convolutions `name_1`, `name_2` and so on for channels and kernels; the stride is the last one's."""
        for index, (features, kernel) in enumerate(steps, start=1):
            own = f"{name}_{index}"
            yield self.conv(own, source, features, kernel, stride=stride if index == len(steps) else 1)
            source = own

    def pooled(self, module: str, source: str, features: int) -> Iterator[Row]:
        """Yields the branch that averages neighbours, and its 1×1 convolution."""
        yield Pool(f"{module}/pool", source, size=3, stride=1, padding=1, kind=self._average)
        yield self.conv(f"{module}/branch_pool", f"{module}/pool", features)

    def stem(self) -> Iterator[Row]:
        """Yields the layers before the modules, down to an eighth of the sides."""
        yield self.conv("Conv2d_1a_3x3", INPUT, 32, 3, stride=2)
        yield self.conv("Conv2d_2a_3x3", "Conv2d_1a_3x3", 32, 3, valid=True)
        yield self.conv("Conv2d_2b_3x3", "Conv2d_2a_3x3", 64, 3)
        yield Pool("MaxPool_3a_3x3", "Conv2d_2b_3x3", size=3, stride=2)
        yield self.conv("Conv2d_3b_1x1", "MaxPool_3a_3x3", 80)
        yield self.conv("Conv2d_4a_3x3", "Conv2d_3b_1x1", 192, 3, valid=True)
        yield Pool("MaxPool_5a_3x3", "Conv2d_4a_3x3", size=3, stride=2)

    def module_5(self, name: str, source: str, pooled: int) -> Iterator[Row]:
        """Yields a module with 5×5 and twice 3×3 convolutions (figure 5 of the paper)."""
        yield self.conv(f"{name}/branch1x1", source, 64)
        yield from self.chain(f"{name}/branch5x5", source, (48, 1), (64, 5))
        yield from self.chain(f"{name}/branch3x3dbl", source, (64, 1), (96, 3), (96, 3))
        yield from self.pooled(name, source, pooled)
        yield _together(name, "branch1x1", "branch5x5_2", "branch3x3dbl_3", "branch_pool")

    def module_6(self, name: str, source: str, narrow: int) -> Iterator[Row]:
        """Yields a module with 7×7 convolutions in oblong pieces (figure 6)."""
        flat, tall = _OBLONG
        yield self.conv(f"{name}/branch1x1", source, 192)
        yield from self.chain(f"{name}/branch7x7", source, (narrow, 1), (narrow, flat), (192, tall))
        steps = ((narrow, 1), (narrow, tall), (narrow, flat), (narrow, tall), (192, flat))
        yield from self.chain(f"{name}/branch7x7dbl", source, *steps)
        yield from self.pooled(name, source, 192)
        yield _together(name, "branch1x1", "branch7x7_3", "branch7x7dbl_5", "branch_pool")

    def module_7(self, name: str, source: str) -> Iterator[Row]:
        """Yields a module with convolutions side by side that end in oblong ones (figure 7)."""
        yield self.conv(f"{name}/branch1x1", source, 320)
        yield self.conv(f"{name}/branch3x3_1", source, 384)
        yield from self._split(f"{name}/branch3x3", f"{name}/branch3x3_1", 2)
        yield from self.chain(f"{name}/branch3x3dbl", source, (448, 1), (384, 3))
        yield from self._split(f"{name}/branch3x3dbl", f"{name}/branch3x3dbl_2", 3)
        yield from self.pooled(name, source, 192)
        yield _together(name, "branch1x1", "branch3x3", "branch3x3dbl", "branch_pool")

    def smaller_6(self, name: str, source: str) -> Iterator[Row]:
        """Yields the module that halves the sides of the modules 5 (figure 10)."""
        yield self.conv(f"{name}/branch3x3", source, 384, 3, stride=2)
        yield from self.chain(f"{name}/branch3x3dbl", source, (64, 1), (96, 3), (96, 3), stride=2)
        yield Pool(f"{name}/pool", source, size=3, stride=2, kind="max")
        yield _together(name, "branch3x3", "branch3x3dbl_3", "pool")

    def smaller_7(self, name: str, source: str) -> Iterator[Row]:
        """Yields the module that halves the sides of the modules 6."""
        flat, tall = _OBLONG
        yield from self.chain(f"{name}/branch3x3", source, (192, 1), (320, 3), stride=2)
        yield from self.chain(f"{name}/branch7x7x3", source, (192, 1), (192, flat), (192, tall), (192, 3), stride=2)
        yield Pool(f"{name}/pool", source, size=3, stride=2, kind="max")
        yield _together(name, "branch3x3_2", "branch7x7x3_4", "pool")

    def _split(self, name: str, source: str, index: int) -> Iterator[Row]:
        wide, high = f"{name}_{index}a", f"{name}_{index}b"
        yield self.conv(wide, source, 384, (1, 3))
        yield self.conv(high, source, 384, (3, 1))
        yield Concat(name, (wide, high))


def _together(module: str, *branches: str) -> Concat:
    return Concat(module, tuple(f"{module}/{branch}" for branch in branches))


def _table(norm: BatchNorm, average: PoolKind) -> tuple[Row, ...]:
    """Returns the rows of the convolutional part; see `_Builder`."""
    make = _Builder(norm, average)
    return (
        *make.stem(),
        *make.module_5("Mixed_5b", "MaxPool_5a_3x3", pooled=32),
        *make.module_5("Mixed_5c", "Mixed_5b", pooled=64),
        *make.module_5("Mixed_5d", "Mixed_5c", pooled=64),
        *make.smaller_6("Mixed_6a", "Mixed_5d"),
        *make.module_6("Mixed_6b", "Mixed_6a", narrow=128),
        *make.module_6("Mixed_6c", "Mixed_6b", narrow=160),
        *make.module_6("Mixed_6d", "Mixed_6c", narrow=160),
        *make.module_6("Mixed_6e", "Mixed_6d", narrow=192),
        *make.smaller_7("Mixed_7a", "Mixed_6e"),
        *make.module_7("Mixed_7b", "Mixed_7a"),
        *make.module_7("Mixed_7c", "Mixed_7b"),
    )


_HEAD = (GlobalAverage("avgpool", "Mixed_7c"), Conv("fc", "avgpool", 1000, kernel=1))

FAMILY = Family(
    preset="inception_v3",
    figure_preset="inception_v3",
    figure_ratios=(1e-3, 1e-2, 1e-1, 1.0),
    depth_layers=("Conv2d_1a_3x3", "Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e"),
    texture_preset="inception_v3",
    texture_layers=("Conv2d_1a_3x3", "Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5b", "Mixed_5d", "Mixed_6b"),
    fine_until="Conv2d_2b_3x3",
    dream_layers=("Mixed_6a", "Mixed_6c"),
    logits="fc",
)

_INCEPTION = "Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016"

INCEPTION_V3 = Backbone(
    "inception_v3",
    _table(BatchNorm(1e-3, scale=False), "average"),
    CONVENTIONS["tensorflow"],
    Provenance("https://keras.io/api/applications/inceptionv3/", "Apache-2.0", _INCEPTION),
    FAMILY,
    _HEAD,
)
INCEPTION_V3_TORCHVISION = Backbone(
    "inception_v3_torchvision",
    _table(BatchNorm(1e-3), "padded_average"),
    CONVENTIONS["tensorflow"],  # to which torchvision's network itself converts its usual one
    Provenance("https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth", "BSD-3-Clause", _INCEPTION),
    FAMILY,
    _HEAD,
)
