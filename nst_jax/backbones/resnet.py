"""ResNet-50 (He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385, table 1).

Who ported it changed it, so that weights of one do not fit another:

| | convolution of a stage that skips positions | first pool | biases |
|---|---|---|---|
| Caffe, of the authors | the first 1×1 | begins in the corner, rounds up | in the first layer |
| Keras | the first 1×1 | padded by one | everywhere |
| torchvision | the first 3×3 | padded by one | none |

Layers have the names of the authors' Caffe files, in which `res2a` holds the rectified sum.
"""

from collections.abc import Iterator

from nst_jax.backbones.rows import Add, BatchNorm, Conv, GlobalAverage, Pool, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance

_STAGES = {2: (64, 3), 3: (128, 4), 4: (256, 6), 5: (512, 3)}
"""Number in the names → channels of the 3×3 convolutions, blocks. Blocks end in four times as many channels."""


def _table(pool: Pool, norm: BatchNorm, *, first_bias: bool, bias: bool, early_stride: bool) -> tuple[Row, ...]:
    """Returns the rows of the convolutional part.

    Args:
        pool: the one behind the first convolution.
        norm: the normalisation behind every convolution.
        first_bias: whether the first convolution has a bias.
        bias: whether the others have.
        early_stride: whether a stage skips positions in its first convolution, or in its second.
    """
    rows: list[Row] = [
        Conv("conv1", INPUT, 64, kernel=7, stride=2, padding=3, relu="conv1_relu", bias=first_bias, norm=norm),
        pool,
    ]
    source = pool.name
    for stage, (features, count) in _STAGES.items():
        for index in range(count):
            name = f"res{stage}{'abcdef'[index]}"
            stride = 2 if stage > 2 and index == 0 else 1
            rows += _block(name, source, features, norm, stride, bias=bias, early=early_stride, projected=index == 0)
            source = name
    return tuple(rows)


def _block(
    name: str, source: str, features: int, norm: BatchNorm, stride: int, *, bias: bool, early: bool, projected: bool
) -> Iterator[Row]:
    """Yields a block: 1×1, 3×3 and 1×1 convolutions, added to the input or, if `projected`, its 1×1 convolution."""

    def conv(branch: str, source: str, features: int, kernel: int, stride: int = 1, *, relu: bool = True) -> Conv:
        return Conv(
            f"{name}_{branch}",
            source,
            features,
            kernel,
            stride,
            padding=kernel // 2,
            relu=f"{name}_{branch}_relu" if relu else None,
            bias=bias,
            norm=norm,
        )

    if projected:
        yield conv("branch1", source, 4 * features, 1, stride, relu=False)
    yield conv("branch2a", source, features, 1, stride if early else 1)
    yield conv("branch2b", f"{name}_branch2a", features, 3, 1 if early else stride)
    yield conv("branch2c", f"{name}_branch2b", 4 * features, 1, relu=False)
    yield Add(name, (f"{name}_branch1" if projected else source, f"{name}_branch2c"), relu=f"{name}_relu")


_HEAD = (GlobalAverage("pool5", "res5c"), Conv("fc1000", "pool5", 1000, kernel=1))

_PADDED = Pool("pool1", "conv1", size=3, stride=2, padding=1)

FAMILY = Family(
    preset="resnet",
    figure_preset="resnet",
    figure_ratios=(1e-3, 1e-2, 1e-1, 1.0),
    depth_layers=("conv1", "res2c", "res3d", "res4f", "res5c"),  # the last of each size
    texture_preset="resnet",
    texture_layers=("conv1", "res2a", "res2c", "res3b", "res3d", "res4c", "res4f"),
    fine_until="res2c",
    dream_layers=("res4c", "res4f"),
    logits="fc1000",
)

_RESNET = "He, Zhang, Ren & Sun, Deep Residual Learning for Image Recognition, CVPR 2016"

RESNET50 = Backbone(
    "resnet50",
    _table(
        Pool("pool1", "conv1", size=3, stride=2, ceil=True),
        BatchNorm(1e-5),
        first_bias=True,
        bias=False,
        early_stride=True,
    ),
    # A mean picture there, which differs from this colour by less than a grey level on average.
    CONVENTIONS["caffe"],
    Provenance("https://github.com/KaimingHe/deep-residual-networks", "MIT", _RESNET),
    FAMILY,
    _HEAD,
)
RESNET50_KERAS = Backbone(
    "resnet50_keras",
    _table(_PADDED, BatchNorm(1.001e-5), first_bias=True, bias=True, early_stride=True),
    CONVENTIONS["caffe"],
    Provenance("https://keras.io/api/applications/resnet/", "MIT", _RESNET),
    FAMILY,
    _HEAD,
)
RESNET50_TORCHVISION = Backbone(
    "resnet50_torchvision",
    _table(_PADDED, BatchNorm(1e-5), first_bias=False, bias=False, early_stride=False),
    CONVENTIONS["torchvision"],
    Provenance("https://download.pytorch.org/models/resnet50-0676ba61.pth", "BSD-3-Clause", _RESNET),
    FAMILY,
    _HEAD,
)
