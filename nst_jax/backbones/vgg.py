"""VGG-16 and VGG-19 (Simonyan & Zisserman, "Very Deep Convolutional Networks", arXiv:1409.1556, table 1, D and E)."""

from nst_jax.backbones.spec import INPUT, Backbone, Conv, Pool, Preprocess, Provenance, Row

_FEATURES = (64, 128, 256, 512, 512)

# Mean colour of ImageNet in the order blue, green, red, as subtracted when the Oxford networks were trained.
_CAFFE = Preprocess(scale=255.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), order="BGR")
_TORCHVISION = Preprocess(scale=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), order="RGB")

_CITATION = "Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015"


def _table(depths: tuple[int, ...]) -> tuple[Row, ...]:
    """Returns the rows of the convolutional part: blocks of 3×3 convolutions, each block ending in a 2×2 pooling.

    On sides that are no multiple of 2 Keras and torchvision drop the rest and Caffe keeps it; here it is dropped, since
    Keras and torchvision distribute the files that can still be had.
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

VGG16 = Backbone(
    name="vgg16",
    rows=_VGG16,
    preprocess=_CAFFE,
    provenance=Provenance("https://www.robots.ox.ac.uk/~vgg/research/very_deep/", "CC BY 4.0", _CITATION),
)
VGG19 = Backbone(
    name="vgg19",
    rows=_VGG19,
    preprocess=_CAFFE,
    provenance=Provenance("https://www.robots.ox.ac.uk/~vgg/research/very_deep/", "CC BY 4.0", _CITATION),
)
VGG19_TORCHVISION = Backbone(
    name="vgg19_torchvision",
    rows=_VGG19,
    preprocess=_TORCHVISION,
    provenance=Provenance("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "BSD-3-Clause", _CITATION),
)
