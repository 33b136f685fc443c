"""Every backbone by name."""

from nst_jax.backbones.spec import Backbone
from nst_jax.backbones.squeezenet import SQUEEZENET1_1
from nst_jax.backbones.vgg import VGG16, VGG19, VGG19_TORCHVISION

BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone for backbone in (VGG16, VGG19, VGG19_TORCHVISION, SQUEEZENET1_1)
}
