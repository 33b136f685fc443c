"""The VGG networks (Simonyan & Zisserman, "Very Deep Convolutional Networks", arXiv:1409.1556, table 1, A to E)."""

import dataclasses

from nst_jax.backbones.rows import BatchNorm, Conv, LocalResponseNorm, Pool, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance

_FEATURES = (64, 128, 256, 512, 512)
_BATCH_NORM = BatchNorm(epsilon=1e-5)  # torchvision's
# Of Krizhevsky et al. 2012, section 3.3, as the paper says: there alpha is 1e-4 and not divided by the size.
_RESPONSE_NORM = LocalResponseNorm("norm1", "conv1_1", size=5, alpha=5e-4, beta=0.75, k=2.0)


def _table(
    depths: tuple[int, ...],
    *,
    norm: BatchNorm | None = None,
    response_norm: LocalResponseNorm | None = None,
    pointwise: tuple[str, ...] = (),
) -> tuple[Row, ...]:
    """Returns the rows of the convolutional part: blocks of 3×3 convolutions, each block ending in a 2×2 pooling.

    On sides that are no multiple of 2, Keras and torchvision drop the rest and Caffe keeps it; here it is dropped,
    since Keras and torchvision distribute the files that are still available.

    Args:
        depths: number of convolutions of each block.
        norm: the batch normalisation of every convolution.
        response_norm: a layer behind the convolution that it reads.
        pointwise: the convolutions that are 1×1.
    """
    rows: list[Row] = []
    source = INPUT
    for block, (depth, features) in enumerate(zip(depths, _FEATURES, strict=True), start=1):
        for index in range(1, depth + 1):
            name = f"conv{block}_{index}"
            side = 1 if name in pointwise else 3
            relu = f"relu{block}_{index}"
            rows.append(Conv(name, source, features, kernel=side, padding=side // 2, relu=relu, norm=norm))
            source = name
            if response_norm is not None and response_norm.input == name:
                rows.append(response_norm)
                source = response_norm.name
        rows.append(Pool(f"pool{block}", source, size=2, stride=2, ceil=False))
        source = f"pool{block}"
    return tuple(rows)


_A = (1, 1, 2, 2, 2)
_B = (2, 2, 2, 2, 2)
_D = (2, 2, 3, 3, 3)
_E = (2, 2, 4, 4, 4)
_VGG16 = _table(_D)
_VGG19 = _table(_E)

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
# A and B have two convolutions in each of their last blocks.
SHALLOW = dataclasses.replace(FAMILY, dream_layers=("conv4_2", "conv5_1"))

_VGG = "Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015"
_OXFORD = Provenance("https://www.robots.ox.ac.uk/~vgg/research/very_deep/", "CC BY 4.0", _VGG)
_UNPUBLISHED = Provenance("https://arxiv.org/abs/1409.1556", "of whoever trained them; Oxford published none", _VGG)


def _torchvision(
    file: str, depths: tuple[int, ...], family: Family, norm: BatchNorm | None = None, citation: str = _VGG
) -> Backbone:
    """Returns the network that torchvision publishes as `file`, whose name begins with that of the network."""
    return Backbone(
        name=f"{file.partition('-')[0]}_torchvision",
        rows=_table(depths, norm=norm),
        preprocess=CONVENTIONS["torchvision"],
        provenance=Provenance(f"https://download.pytorch.org/models/{file}", "BSD-3-Clause", citation),
        family=family,
        head=_HEAD,
    )


VGG16 = Backbone("vgg16", _VGG16, CONVENTIONS["caffe"], _OXFORD, FAMILY, _HEAD)
VGG19 = Backbone("vgg19", _VGG19, CONVENTIONS["caffe"], _OXFORD, FAMILY, _HEAD)
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
VGG11_LRN = Backbone(
    "vgg11_lrn", _table(_A, response_norm=_RESPONSE_NORM), CONVENTIONS["caffe"], _UNPUBLISHED, SHALLOW, _HEAD
)
VGG16_C = Backbone(
    name="vgg16_c",
    rows=_table(_D, pointwise=("conv3_3", "conv4_3", "conv5_3")),
    preprocess=CONVENTIONS["caffe"],
    provenance=_UNPUBLISHED,
    family=FAMILY,
    head=_HEAD,
)

_BN = f"{_VGG}; Ioffe & Szegedy, Batch Normalization, ICML 2015"

VGG11_TORCHVISION = _torchvision("vgg11-8a719046.pth", _A, SHALLOW)
VGG13_TORCHVISION = _torchvision("vgg13-19584684.pth", _B, SHALLOW)
VGG16_TORCHVISION = _torchvision("vgg16-397923af.pth", _D, FAMILY)
VGG19_TORCHVISION = _torchvision("vgg19-dcbb9e9d.pth", _E, FAMILY)
VGG11_BN_TORCHVISION = _torchvision("vgg11_bn-6002323d.pth", _A, SHALLOW, _BATCH_NORM, _BN)
VGG13_BN_TORCHVISION = _torchvision("vgg13_bn-abd245e5.pth", _B, SHALLOW, _BATCH_NORM, _BN)
VGG16_BN_TORCHVISION = _torchvision("vgg16_bn-6c64b313.pth", _D, FAMILY, _BATCH_NORM, _BN)
VGG19_BN_TORCHVISION = _torchvision("vgg19_bn-c79401a0.pth", _E, FAMILY, _BATCH_NORM, _BN)
