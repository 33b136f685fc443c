"""AlexNet (Krizhevsky, Sutskever & Hinton, NIPS 2012), as Caffe's model zoo and torchvision have trained it.

`alexnet` normalises, then pools, as the paper does; `caffenet`, Caffe's reference model, pools first. Their files have
the same names and shapes; only Caffe's own say, by the name of the network, which one they are of. Both split some
layers into two groups of channels, which were on two GPUs. That of torchvision has neither groups nor normalisation,
and other widths (Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997).
"""

from nst_jax.backbones.rows import Conv, LocalResponseNorm, Pool, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance


def _pool(name: str, source: str, *, ceil: bool) -> Pool:
    return Pool(name, source, size=3, stride=2, ceil=ceil)


def _caffe(*, normalised_first: bool) -> tuple[Row, ...]:
    """Returns the rows of Caffe's two networks."""
    rows: list[Row] = []

    def reduce(index: int) -> str:
        """Appends a pooling and a normalisation, and returns the name of what they end in."""
        pool, norm = f"pool{index}", f"norm{index}"
        if normalised_first:
            rows.extend((LocalResponseNorm(norm, f"conv{index}"), _pool(pool, norm, ceil=True)))
            return pool
        rows.extend((_pool(pool, f"conv{index}", ceil=True), LocalResponseNorm(norm, pool)))
        return norm

    rows.append(Conv("conv1", INPUT, 96, kernel=11, stride=4, relu="relu1"))
    rows.append(Conv("conv2", reduce(1), 256, kernel=5, padding=2, groups=2, relu="relu2"))
    rows.append(Conv("conv3", reduce(2), 384, kernel=3, padding=1, relu="relu3"))
    rows.append(Conv("conv4", "conv3", 384, kernel=3, padding=1, groups=2, relu="relu4"))
    rows.append(Conv("conv5", "conv4", 256, kernel=3, padding=1, groups=2, relu="relu5"))
    rows.append(_pool("pool5", "conv5", ceil=True))
    return tuple(rows)


_TORCHVISION = (
    Conv("conv1", INPUT, 64, kernel=11, stride=4, padding=2, relu="relu1"),
    _pool("pool1", "conv1", ceil=False),
    Conv("conv2", "pool1", 192, kernel=5, padding=2, relu="relu2"),
    _pool("pool2", "conv2", ceil=False),
    Conv("conv3", "pool2", 384, kernel=3, padding=1, relu="relu3"),
    Conv("conv4", "conv3", 256, kernel=3, padding=1, relu="relu4"),
    Conv("conv5", "conv4", 256, kernel=3, padding=1, relu="relu5"),
    _pool("pool5", "conv5", ceil=False),
)

# The fully connected layers as convolutions: the first sees the 6 × 6 positions that are left of 227 × 227 pixels.
_HEAD = (
    Conv("fc6", "pool5", 4096, kernel=6, relu="relu6"),
    Conv("fc7", "fc6", 4096, kernel=1, relu="relu7"),
    Conv("fc8", "fc7", 1000, kernel=1),
)

FAMILY = Family(
    # Layers of Gatys, Ecker & Bethge, NIPS 2015, figure 3 B, which has textures of this network: poorer than VGG's.
    preset="alexnet",
    figure_preset="alexnet",
    figure_ratios=(1e-3, 1e-2, 1e-1, 1.0),
    depth_layers=("conv1", "conv2", "conv3", "conv4", "conv5"),
    texture_preset="alexnet",
    texture_layers=("conv1", "conv2", "conv3", "conv4", "conv5"),
    fine_until="conv2",
    dream_layers=("conv4", "conv5"),
    logits="fc8",
)

_ALEXNET = "Krizhevsky, Sutskever & Hinton, ImageNet Classification with Deep Convolutional Neural Networks, NIPS 2012"
_CAFFE = f"{_ALEXNET}; Jia et al., Caffe: Convolutional Architecture for Fast Feature Embedding, 2014"

ALEXNET = Backbone(
    name="alexnet",
    rows=_caffe(normalised_first=True),
    preprocess=CONVENTIONS["caffe"],  # its mean is another one by less than a grey level
    provenance=Provenance(
        "https://github.com/BVLC/caffe/tree/master/models/bvlc_alexnet", "unrestricted use (BVLC)", _CAFFE
    ),
    family=FAMILY,
    head=_HEAD,
)
CAFFENET = Backbone(
    name="caffenet",
    rows=_caffe(normalised_first=False),
    preprocess=CONVENTIONS["caffe"],
    provenance=Provenance(
        "https://github.com/BVLC/caffe/tree/master/models/bvlc_reference_caffenet", "unrestricted use (BVLC)", _CAFFE
    ),
    family=FAMILY,
    head=_HEAD,
)
ALEXNET_TORCHVISION = Backbone(
    name="alexnet_torchvision",
    rows=_TORCHVISION,
    preprocess=CONVENTIONS["torchvision"],
    provenance=Provenance(
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "BSD-3-Clause",
        f"{_ALEXNET}; Krizhevsky, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997",
    ),
    family=FAMILY,
    head=_HEAD,
)
