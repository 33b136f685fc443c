"""Every backbone by name."""

from nst_jax.backbones.spec import Backbone
from nst_jax.backbones.squeezenet import SQUEEZENET1_1, SQUEEZENET1_1_TORCHVISION
from nst_jax.backbones.vgg import VGG16, VGG16_TORCHVISION, VGG19, VGG19_NORMALIZED, VGG19_TORCHVISION

_ALL = (
    VGG16,
    VGG19,
    VGG16_TORCHVISION,
    VGG19_TORCHVISION,
    VGG19_NORMALIZED,
    SQUEEZENET1_1,
    SQUEEZENET1_1_TORCHVISION,
)

BACKBONES: dict[str, Backbone] = {backbone.name: backbone for backbone in _ALL}
