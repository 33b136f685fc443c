"""VGG-16 and VGG-19 (Simonyan & Zisserman, "Very Deep Convolutional Networks", arXiv:1409.1556, table 1, D and E)."""

from nst_jax.backbones.rows import Conv, Pool, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance

_FEATURES = (64, 128, 256, 512, 512)


def _table(depths: tuple[int, ...]) -> tuple[Row, ...]:
    """Returns the rows of the convolutional part: blocks of 3×3 convolutions, each block ending in a 2×2 pooling.

    On sides that are no multiple of 2, Keras and torchvision drop the rest and Caffe keeps it; here it is dropped,
    since Keras and torchvision distribute the files that are still available.
    """
    rows: list[Row] = []
    source = INPUT
    for block, (depth, features) in enumerate(zip(depths, _FEATURES, strict=True), start=1):
        for index in range(1, depth + 1):
            name = f"conv{block}_{index}"
            rows.append(Conv(name, source, features, kernel=3, padding=1, relu=f"relu{block}_{index}"))
            source = name
        rows.append(Pool(f"pool{block}", source, size=2, stride=2, ceil=False))
        source = f"pool{block}"
    return tuple(rows)


_VGG16 = _table((2, 2, 3, 3, 3))
_VGG19 = _table((2, 2, 4, 4, 4))

# The fully connected layers, of which the first sees the 7 × 7 positions that are left of 224 × 224 pixels, as the
# convolutions that they are equal to (section 3.2 of the paper).
_HEAD = (
    Conv("fc6", "pool5", 4096, kernel=7, relu="relu6"),
    Conv("fc7", "fc6", 4096, kernel=1, relu="relu7"),
    Conv("fc8", "fc7", 1000, kernel=1),
)

FAMILY = Family(
    preset="vgg",
    figure_preset="gatys",
    figure_ratios=(1e-5, 1e-4, 1e-3, 1e-2),  # as in the paper
    depth_layers=("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"),  # A to E in arXiv:1508.06576
    # Gatys, Ecker & Bethge, NIPS 2015, section 3; there with the weights of vgg19_normalized.
    texture_preset="gatys",
    texture_layers=("conv1_1", "pool1", "pool2", "pool3", "pool4"),
    fine_until="relu2_1",  # as Gatys et al. 2017
    dream_layers=("conv4_3", "conv5_1"),  # chosen by looking
    logits="fc8",
)

_VGG = "Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015"
_OXFORD = Provenance("https://www.robots.ox.ac.uk/~vgg/research/very_deep/", "CC BY 4.0", _VGG)

VGG16 = Backbone("vgg16", _VGG16, CONVENTIONS["caffe"], _OXFORD, FAMILY, _HEAD)
VGG19 = Backbone("vgg19", _VGG19, CONVENTIONS["caffe"], _OXFORD, FAMILY, _HEAD)
VGG16_TORCHVISION = Backbone(
    name="vgg16_torchvision",
    rows=_VGG16,
    preprocess=CONVENTIONS["torchvision"],
    provenance=Provenance("https://download.pytorch.org/models/vgg16-397923af.pth", "BSD-3-Clause", _VGG),
    family=FAMILY,
    head=_HEAD,
)
VGG19_TORCHVISION = Backbone(
    name="vgg19_torchvision",
    rows=_VGG19,
    preprocess=CONVENTIONS["torchvision"],
    provenance=Provenance("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "BSD-3-Clause", _VGG),
    family=FAMILY,
    head=_HEAD,
)
VGG19_NORMALIZED = Backbone(
    name="vgg19_normalized",
    rows=_VGG19,
    preprocess=CONVENTIONS["caffe"],
    provenance=Provenance(
        "https://bethgelab.org/deeptextures/",
        "CC BY 4.0",
        f"{_VGG}; Gatys, Ecker & Bethge, Texture Synthesis Using Convolutional Neural Networks, NIPS 2015, section 2",
    ),
    family=FAMILY,
)
