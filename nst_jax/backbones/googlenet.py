"""GoogLeNet, the first Inception network (Szegedy et al., arXiv:1409.4842, table 1), in the version of Caffe's model zoo.

Layer names are those of its prototxt, without the two classifiers on the way, which were for training alone. Pools
round up as Caffe's do; those inside Inception modules are always of maxima, since they choose among neighbours and do
not reduce the map.
"""

from typing import NamedTuple

from nst_jax.backbones.rows import Concat, Conv, GlobalAverage, LocalResponseNorm, Pool, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance


class _Widths(NamedTuple):
    """The numbers of features of an Inception module: a column of table 1 each, the `#` of the paper left out."""

    of_1x1: int
    of_3x3_reduce: int
    of_3x3: int
    of_5x5_reduce: int
    of_5x5: int
    of_pool_proj: int


def _conv(module: str, part: str, source: str, features: int, kernel: int, stride: int = 1) -> Conv:
    # The rectified response of conv1/7x7_s2 is conv1/relu_7x7.
    relu = f"{module}/relu_{part.removesuffix('_s2')}"
    return Conv(f"{module}/{part}", source, features, kernel, stride, padding=kernel // 2, relu=relu)


def _halving(name: str, source: str) -> Pool:
    return Pool(f"{name}/3x3_s2", source, size=3, stride=2, ceil=True)


def _inception(module: str, source: str, widths: _Widths) -> tuple[Row, ...]:
    """Returns an Inception module: three kernels and a pool side by side, concatenated; 1×1 kernels make them cheap."""
    reduce_3, reduce_5 = f"{module}/3x3_reduce", f"{module}/5x5_reduce"
    pool = Pool(f"{module}/pool", source, size=3, stride=1, padding=1, kind="max")
    parts = (
        _conv(module, "1x1", source, widths.of_1x1, kernel=1),
        _conv(module, "3x3", reduce_3, widths.of_3x3, kernel=3),
        _conv(module, "5x5", reduce_5, widths.of_5x5, kernel=5),
        _conv(module, "pool_proj", pool.name, widths.of_pool_proj, kernel=1),
    )
    return (
        parts[0],
        _conv(module, "3x3_reduce", source, widths.of_3x3_reduce, kernel=1),
        parts[1],
        _conv(module, "5x5_reduce", source, widths.of_5x5_reduce, kernel=1),
        parts[2],
        pool,
        parts[3],
        Concat(f"{module}/output", tuple(part.name for part in parts)),
    )


_ROWS = (
    _conv("conv1", "7x7_s2", INPUT, 64, kernel=7, stride=2),
    _halving("pool1", "conv1/7x7_s2"),
    LocalResponseNorm("pool1/norm1", "pool1/3x3_s2"),
    _conv("conv2", "3x3_reduce", "pool1/norm1", 64, kernel=1),
    _conv("conv2", "3x3", "conv2/3x3_reduce", 192, kernel=3),
    LocalResponseNorm("conv2/norm2", "conv2/3x3"),
    _halving("pool2", "conv2/norm2"),
    *_inception("inception_3a", "pool2/3x3_s2", _Widths(64, 96, 128, 16, 32, 32)),
    *_inception("inception_3b", "inception_3a/output", _Widths(128, 128, 192, 32, 96, 64)),
    _halving("pool3", "inception_3b/output"),
    *_inception("inception_4a", "pool3/3x3_s2", _Widths(192, 96, 208, 16, 48, 64)),
    *_inception("inception_4b", "inception_4a/output", _Widths(160, 112, 224, 24, 64, 64)),
    *_inception("inception_4c", "inception_4b/output", _Widths(128, 128, 256, 24, 64, 64)),
    *_inception("inception_4d", "inception_4c/output", _Widths(112, 144, 288, 32, 64, 64)),
    *_inception("inception_4e", "inception_4d/output", _Widths(256, 160, 320, 32, 128, 128)),
    _halving("pool4", "inception_4e/output"),
    *_inception("inception_5a", "pool4/3x3_s2", _Widths(256, 160, 320, 32, 128, 128)),
    *_inception("inception_5b", "inception_5a/output", _Widths(384, 192, 384, 48, 128, 128)),
)
_HEAD = (
    # Caffe pools the 7 × 7 positions that 224 × 224 pixels have; the mean over all of them is the same there, and
    # classifies pictures of any size.
    GlobalAverage("pool5/7x7_s1", "inception_5b/output"),
    Conv("loss3/classifier", "pool5/7x7_s1", 1000, kernel=1),
)

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

GOOGLENET = Backbone(
    name="googlenet",
    rows=_ROWS,
    # 104, 117, 123 in its prototxt: less than one grey level apart.
    preprocess=CONVENTIONS["caffe"],
    provenance=Provenance(
        "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
        "unrestricted use (BVLC Caffe model zoo)",
        "Szegedy et al., Going Deeper with Convolutions, CVPR 2015; trained by Sergio Guadarrama (BVLC)",
    ),
    family=FAMILY,
    head=_HEAD,
)
