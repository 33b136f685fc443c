"""GoogLeNet, the first Inception network (Szegedy et al., arXiv:1409.4842, table 1), of Caffe, TensorFlow, torchvision.

`googlenet` is the one of Caffe's model zoo, `inception_v1` the one that Google published for TensorFlow
(inception5h.zip), whose pictures are those of Distill's "Feature Visualization". They differ in how windows are padded,
in the local response normalisation, in two numbers of features and in the names of their layers, which are those of
their files. `inception_v1_slim`, Google's for TF-slim, has batch normalisation instead, a last pool of two positions,
and, by a mistake that its weights have kept, 3×3 kernels where the paper has 5×5. `googlenet_torchvision` is its port,
padded as in Caffe. The layers of both have Caffe's names all the same. All are without the two classifiers on the way,
which were for training alone. Pools inside the modules are always of maxima: they choose among neighbours, and do not
reduce the map.
"""

from typing import NamedTuple

from nst_jax.backbones.rows import BatchNorm, Concat, Conv, GlobalAverage, LocalResponseNorm, Padding, Pool, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance


class _Widths(NamedTuple):
    """The numbers of features of an Inception module: its columns in table 1."""

    of_1x1: int
    of_3x3_reduce: int
    of_3x3: int
    of_5x5_reduce: int
    of_5x5: int
    of_pool_proj: int


_WIDTHS = {
    "3a": _Widths(64, 96, 128, 16, 32, 32),
    "3b": _Widths(128, 128, 192, 32, 96, 64),
    "4a": _Widths(192, 96, 208, 16, 48, 64),
    "4b": _Widths(160, 112, 224, 24, 64, 64),
    "4c": _Widths(128, 128, 256, 24, 64, 64),
    "4d": _Widths(112, 144, 288, 32, 64, 64),
    "4e": _Widths(256, 160, 320, 32, 128, 128),
    "5a": _Widths(256, 160, 320, 32, 128, 128),
    "5b": _Widths(384, 192, 384, 48, 128, 128),
}


class _Version(NamedTuple):
    """What a version of the network has of its own.

    Attributes:
        stem: names of the three convolutions before the modules.
        pools: names of the four pools that halve the map.
        norms: the local normalisations behind the first pool and before the second, or none.
        module: what a module is called, with `{}` for its number.
        output: what the layer with all of its parts is called, with `{}` for the module.
        part: what a part of it is called, with `{module}` and `{part}`.
        reduce: what a 1×1 convolution before a larger one is called.
        projection: what the one behind the pool is called.
        widths: the numbers of features by module.
        same: whether windows are padded as TensorFlow's SAME; else as Caffe's, whose pools round up.
        batch_norm: the normalisation behind every convolution, which then has no bias, or None.
        largest: side of the largest kernel in a module.
        last_pool: side of the windows of the last pool that halves the map.
    """

    stem: tuple[str, str, str]
    pools: tuple[str, str, str, str]
    norms: tuple[LocalResponseNorm, LocalResponseNorm] | None
    module: str
    output: str
    part: str
    reduce: str
    projection: str
    widths: dict[str, _Widths]
    same: bool
    batch_norm: BatchNorm | None = None
    largest: int = 5
    last_pool: int = 3

    def conv(self, name: str, source: str, features: int, kernel: int, stride: int = 1) -> Conv:
        """Returns a convolution, rectified."""
        padding: Padding = "same" if self.same else kernel // 2
        norm, relu = self.batch_norm, _rectified(name)
        return Conv(name, source, features, kernel, stride, padding, relu, bias=norm is None, norm=norm)

    def halving(self, index: int, source: str) -> Pool:
        """Returns a pool that halves the map."""
        padding: Padding = "same" if self.same else 0
        name, size = self.pools[index], self.last_pool if index == len(self.pools) - 1 else 3
        return Pool(name, source, size, stride=2, ceil=not self.same, padding=padding)

    def inception(self, number: str, source: str) -> tuple[Row, ...]:
        """Returns a module: three kernels and a pool side by side, which 1×1 convolutions make cheap."""
        module, widths = self.module.format(number), self.widths[number]

        def named(part: str) -> str:
            return self.part.format(module=module, part=part)

        parts = tuple(named(part) for part in ("1x1", "3x3", "5x5", self.projection))
        before_3, before_5, pool = named(f"3x3_{self.reduce}"), named(f"5x5_{self.reduce}"), named("pool")
        return (
            self.conv(parts[0], source, widths.of_1x1, kernel=1),
            self.conv(before_3, source, widths.of_3x3_reduce, kernel=1),
            self.conv(parts[1], before_3, widths.of_3x3, kernel=3),
            self.conv(before_5, source, widths.of_5x5_reduce, kernel=1),
            self.conv(parts[2], before_5, widths.of_5x5, kernel=self.largest),
            Pool(pool, source, size=3, stride=1, padding=1, kind="max"),
            self.conv(parts[3], pool, widths.of_pool_proj, kernel=1),
            Concat(self.output.format(module), parts),
        )

    def inceptions(self, numbers: str, source: str) -> tuple[Row, ...]:
        """Returns modules one behind the other, given their numbers."""
        rows: list[Row] = []
        for number in numbers.split():
            rows += self.inception(number, source)
            source = rows[-1].name
        return tuple(rows)

    def rows(self) -> tuple[Row, ...]:
        """Returns the convolutional part."""
        first, second, third = self.stem
        behind = tuple(self.output.format(self.module.format(number)) for number in ("3b", "4e"))
        norms = self.norms or ()
        before_second, before_pool = (norm.name for norm in norms) if norms else (self.pools[0], third)
        return (
            self.conv(first, INPUT, 64, kernel=7, stride=2),
            self.halving(0, first),
            *norms[:1],
            self.conv(second, before_second, 64, kernel=1),
            self.conv(third, second, 192, kernel=3),
            *norms[1:],
            self.halving(1, before_pool),
            *self.inceptions("3a 3b", self.pools[1]),
            self.halving(2, behind[0]),
            *self.inceptions("4a 4b 4c 4d 4e", self.pools[2]),
            self.halving(3, behind[1]),
            *self.inceptions("5a 5b", self.pools[3]),
        )


def _rectified(name: str) -> str:
    """Returns the second name of a rectified response: Caffe's `conv1/relu_7x7` for `conv1/7x7_s2`."""
    module, slash, part = name.rpartition("/")
    return f"{module}/relu_{part.removesuffix('_s2')}" if slash else f"relu_{name}"


_CAFFE = _Version(
    stem=("conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3"),
    pools=("pool1/3x3_s2", "pool2/3x3_s2", "pool3/3x3_s2", "pool4/3x3_s2"),
    norms=(LocalResponseNorm("pool1/norm1", "pool1/3x3_s2"), LocalResponseNorm("conv2/norm2", "conv2/3x3")),
    module="inception_{}",
    output="{}/output",
    part="{module}/{part}",
    reduce="reduce",
    projection="pool_proj",
    widths=_WIDTHS,
    same=False,
)


def _google_norm(name: str, source: str) -> LocalResponseNorm:
    """Returns TensorFlow's normalisation: `depth_radius` 5 on each side, `alpha` 1e-4 not divided by their number."""
    return LocalResponseNorm(name, source, size=11, alpha=11e-4, beta=0.5, k=2.0)


# Numbers of the published graph as several programs have them that were ported from it. Those that were converted from
# it by MMdnn have a normalisation over 9 channels, with alpha divided by that and k = 1: not what its LRN nodes say.
_GOOGLE = _Version(
    stem=("conv2d0", "conv2d1", "conv2d2"),
    pools=("maxpool0", "maxpool1", "maxpool4", "maxpool10"),
    norms=(_google_norm("localresponsenorm0", "maxpool0"), _google_norm("localresponsenorm1", "conv2d2")),
    module="mixed{}",
    output="{}",
    part="{module}_{part}",
    reduce="bottleneck",
    projection="pool_reduce",
    widths=_WIDTHS | {"4a": _WIDTHS["4a"]._replace(of_3x3=204), "5a": _WIDTHS["5a"]._replace(of_5x5_reduce=48)},
    same=True,
)

_TORCHVISION = _CAFFE._replace(norms=None, batch_norm=BatchNorm(1e-3), largest=3, last_pool=2)
_SLIM = _TORCHVISION._replace(batch_norm=BatchNorm(1e-3, scale=False), same=True)

FAMILY = Family(
    preset="googlenet",
    figure_preset="googlenet",
    figure_ratios=(1e-3, 1e-2, 1e-1, 1.0),
    depth_layers=("conv1/7x7_s2", "conv2/3x3", "inception_3b/output", "inception_4c/output", "inception_5a/output"),
    texture_preset="googlenet",
    texture_layers=("conv1/7x7_s2", "conv2/3x3", "inception_3a/output", "inception_3b/output", "inception_4a/output"),
    fine_until="conv2/3x3",
    dream_layers=("inception_4c/output",),  # chosen by looking
    logits="loss3/classifier",
)
GOOGLE_FAMILY = Family(
    preset="inception_v1",
    figure_preset="inception_v1",
    figure_ratios=FAMILY.figure_ratios,
    depth_layers=("conv2d0", "conv2d2", "mixed3b", "mixed4c", "mixed5a"),
    texture_preset="inception_v1",
    texture_layers=("conv2d0", "conv2d2", "mixed3a", "mixed3b", "mixed4a"),
    fine_until="conv2d2",
    dream_layers=("mixed4c",),
    logits="softmax2_pre_activation",
)

_HEAD = (
    # Caffe pools the 7 × 7 positions that 224 × 224 pixels have; the mean over all of them is the same there, and
    # classifies pictures of any size.
    GlobalAverage("pool5/7x7_s1", "inception_5b/output"),
    Conv("loss3/classifier", "pool5/7x7_s1", 1000, kernel=1),
)

_INCEPTION = "Szegedy et al., Going Deeper with Convolutions, CVPR 2015"

GOOGLENET = Backbone(
    name="googlenet",
    rows=_CAFFE.rows(),
    # 104, 117, 123 in its prototxt: less than one grey level apart.
    preprocess=CONVENTIONS["caffe"],
    provenance=Provenance(
        "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
        "unrestricted use (BVLC, Caffe's model zoo)",
        f"{_INCEPTION}; trained by Sergio Guadarrama, BVLC",
    ),
    family=FAMILY,
    head=_HEAD,
)
GOOGLENET_TORCHVISION = Backbone(
    name="googlenet_torchvision",
    rows=_TORCHVISION.rows(),
    preprocess=CONVENTIONS["tensorflow"],  # to which torchvision's network itself converts its usual one
    provenance=Provenance("https://download.pytorch.org/models/googlenet-1378be20.pth", "BSD-3-Clause", _INCEPTION),
    family=FAMILY,  # chosen by looking at Caffe's
    head=_HEAD,
)
# Its classifier is left out: it has 1008 classes in an order of its own.
INCEPTION_V1 = Backbone(
    name="inception_v1",
    rows=_GOOGLE.rows(),
    preprocess=CONVENTIONS["inception5h"],
    provenance=Provenance(
        "https://storage.googleapis.com/download.tensorflow.org/models/inception5h.zip", "Apache-2.0", _INCEPTION
    ),
    family=GOOGLE_FAMILY,
)
# Its classifier is left out: the first of its 1001 classes is that of pictures of nothing.
INCEPTION_V1_SLIM = Backbone(
    name="inception_v1_slim",
    rows=_SLIM.rows(),
    preprocess=CONVENTIONS["tensorflow"],
    provenance=Provenance(
        "https://storage.googleapis.com/download.tensorflow.org/models/inception_v1_2016_08_28_frozen.pb.tar.gz",
        "Apache-2.0",
        _INCEPTION,
    ),
    family=FAMILY,  # as above
)
