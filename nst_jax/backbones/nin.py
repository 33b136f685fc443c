"""Network in Network (Lin, Chen & Yan, arXiv:1312.4400), as its authors trained it for Caffe's model zoo.

Each convolution is followed by two of 1×1. Johnson's neural-style offered it for little memory, and others for pictures
of 7000 pixels. Names of layers are those of its train_val.prototxt; there is no `relu4`.
"""

from nst_jax.backbones.rows import Conv, GlobalAverage, Pool, Row
from nst_jax.backbones.spec import CONVENTIONS, INPUT, Backbone, Family, Provenance


def _pool(name: str, source: str) -> Pool:
    return Pool(name, source, size=3, stride=2, ceil=True)


_ROWS: tuple[Row, ...] = (
    Conv("conv1", INPUT, 96, kernel=11, stride=4, relu="relu0"),
    Conv("cccp1", "conv1", 96, kernel=1, relu="relu1"),
    Conv("cccp2", "cccp1", 96, kernel=1, relu="relu2"),
    _pool("pool0", "cccp2"),
    Conv("conv2", "pool0", 256, kernel=5, padding=2, relu="relu3"),
    Conv("cccp3", "conv2", 256, kernel=1, relu="relu5"),
    Conv("cccp4", "cccp3", 256, kernel=1, relu="relu6"),
    _pool("pool2", "cccp4"),
    Conv("conv3", "pool2", 384, kernel=3, padding=1, relu="relu7"),
    Conv("cccp5", "conv3", 384, kernel=1, relu="relu8"),
    Conv("cccp6", "cccp5", 384, kernel=1, relu="relu9"),
    _pool("pool3", "cccp6"),
    Conv("conv4-1024", "pool3", 1024, kernel=3, padding=1, relu="relu10"),
    Conv("cccp7-1024", "conv4-1024", 1024, kernel=1, relu="relu11"),
    # One response for each class, and also a style layer of neural-style, so it is no part of the head.
    Conv("cccp8-1024", "cccp7-1024", 1000, kernel=1, relu="relu12"),
)
# In the file an average over 6 × 6 positions, which are all that are left of 224 × 224 pixels.
_HEAD = (GlobalAverage("pool4", "cccp8-1024"),)

FAMILY = Family(
    preset="nin",
    figure_preset="nin",
    figure_ratios=(1e-3, 1e-2, 1e-1, 1.0),
    depth_layers=("conv1", "cccp2", "conv2", "conv3", "conv4-1024"),
    texture_preset="nin",
    texture_layers=("conv1", "conv2", "conv3", "cccp8-1024"),
    fine_until="conv2",
    dream_layers=("cccp6", "cccp7-1024"),
    logits="cccp8-1024/linear",  # before the ReLU, which would cut the gradient off
)

NIN = Backbone(
    name="nin",
    rows=_ROWS,
    preprocess=CONVENTIONS["caffe"],  # its mean is another one by less than a grey level
    provenance=Provenance(
        "https://gist.github.com/mavenlin/d802a5849de39225bcc6",
        "BSD",
        "Lin, Chen & Yan, Network In Network, ICLR 2014",
    ),
    family=FAMILY,
    head=_HEAD,
)
