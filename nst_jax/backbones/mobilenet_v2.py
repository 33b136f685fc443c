"""MobileNet v2 (Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv:1801.04381, table 2).

Layers have the names of TensorFlow's files, without the name of the network. Keras and TensorFlow pad strided layers
as SAME does, torchvision by one position on each side.
"""

from collections.abc import Iterator

from nst_jax.backbones.rows import Add, BatchNorm, Conv, GlobalAverage, Padding, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance

_BLOCKS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
"""Channels, number of blocks, stride of the first of them."""

_EXPANSION = 6
_CEILING = 6.0


def _table(norm: BatchNorm, padding: Padding) -> tuple[Row, ...]:
    """Returns the rows of the convolutional part; `padding` is that of 3×3 convolutions."""

    def rows() -> Iterator[Row]:
        yield _conv("Conv", INPUT, 32, norm, 3, 2, padding)
        source, channels, index = "Conv", 32, 0
        for features, count, first_stride in _BLOCKS:
            for stride in (first_stride, *(1,) * (count - 1)):
                name = f"expanded_conv_{index}" if index else "expanded_conv"
                expanded = channels
                middle = source
                if index:
                    middle, expanded = f"{name}/expand", _EXPANSION * channels
                    yield _conv(middle, source, expanded, norm)
                depthwise, project = f"{name}/depthwise", f"{name}/project"
                yield _conv(depthwise, middle, expanded, norm, 3, stride, padding, groups=expanded)
                yield _conv(project, depthwise, features, norm, linear=True)
                last = project
                if stride == 1 and channels == features:
                    last = f"{name}/add"
                    yield Add(last, (source, project))
                source, channels, index = last, features, index + 1
        yield _conv("Conv_1", source, 1280, norm)

    return tuple(rows())


def _conv(
    name: str,
    source: str,
    features: int,
    norm: BatchNorm,
    kernel: int = 1,
    stride: int = 1,
    padding: Padding = 0,
    *,
    groups: int = 1,
    linear: bool = False,
) -> Conv:
    relu = None if linear else f"{name}/Relu6"
    return Conv(name, source, features, kernel, stride, padding, relu, _CEILING, groups, bias=False, norm=norm)


_LOGITS = "Logits/Conv2d_1c_1x1"
_HEAD = (GlobalAverage("Logits/AvgPool", "Conv_1"), Conv(_LOGITS, "Logits/AvgPool", 1000, kernel=1))

FAMILY = Family(
    preset="mobilenet_v2",
    figure_preset="mobilenet_v2",
    figure_ratios=(1e-3, 1e-2, 1e-1, 1.0),
    # One for each size of its feature maps.
    depth_layers=("Conv", "expanded_conv_1/expand", "expanded_conv_3/expand", "expanded_conv_6/expand", "Conv_1"),
    texture_preset="mobilenet_v2",
    texture_layers=("Conv", *(f"expanded_conv_{index}/expand" for index in (1, 2, 3, 5, 6))),
    fine_until="expanded_conv_2/expand",
    dream_layers=("expanded_conv_8/expand", "expanded_conv_12/expand"),
    logits=_LOGITS,
)

_MOBILENET = "Sandler, Howard, Zhu, Zhmoginov & Chen, MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018"

MOBILENET_V2 = Backbone(
    "mobilenet_v2",
    _table(BatchNorm(1e-3), "same"),
    CONVENTIONS["tensorflow"],
    Provenance("https://keras.io/api/applications/mobilenet/", "Apache-2.0", _MOBILENET),
    FAMILY,
    _HEAD,
)
MOBILENET_V2_TORCHVISION = Backbone(
    "mobilenet_v2_torchvision",
    _table(BatchNorm(1e-5), 1),
    CONVENTIONS["torchvision"],
    Provenance("https://download.pytorch.org/models/mobilenet_v2-b0353104.pth", "BSD-3-Clause", _MOBILENET),
    FAMILY,
    _HEAD,
)
