"""Every backbone by name, and its layers by theirs."""

from nst_jax.backbones.alexnet import ALEXNET, ALEXNET_TORCHVISION, CAFFENET
from nst_jax.backbones.efficientnet import EFFICIENTNET_LITE0
from nst_jax.backbones.googlenet import GOOGLENET, GOOGLENET_TORCHVISION, INCEPTION_V1, INCEPTION_V1_SLIM
from nst_jax.backbones.inception_v3 import INCEPTION_V3, INCEPTION_V3_TORCHVISION
from nst_jax.backbones.mobilenet_v2 import MOBILENET_V2, MOBILENET_V2_TORCHVISION
from nst_jax.backbones.nin import NIN
from nst_jax.backbones.resnet import RESNET50, RESNET50_KERAS, RESNET50_TORCHVISION
from nst_jax.backbones.spec import Backbone, layers
from nst_jax.backbones.squeezenet import (
    SQUEEZENET1_0,
    SQUEEZENET1_0_TORCHVISION,
    SQUEEZENET1_1,
    SQUEEZENET1_1_TORCHVISION,
)
from nst_jax.backbones.vgg import (
    VGG11_BN_TORCHVISION,
    VGG11_LRN,
    VGG11_TORCHVISION,
    VGG13_BN_TORCHVISION,
    VGG13_TORCHVISION,
    VGG16,
    VGG16_BN_TORCHVISION,
    VGG16_C,
    VGG16_TORCHVISION,
    VGG19,
    VGG19_BN_TORCHVISION,
    VGG19_NORMALIZED,
    VGG19_TORCHVISION,
)
from nst_jax.errors import choose

_ALL = (
    VGG16,
    VGG19,
    VGG16_TORCHVISION,
    VGG19_TORCHVISION,
    VGG19_NORMALIZED,
    SQUEEZENET1_1,
    SQUEEZENET1_1_TORCHVISION,
    VGG11_LRN,
    VGG16_C,
    VGG11_TORCHVISION,
    VGG13_TORCHVISION,
    VGG11_BN_TORCHVISION,
    VGG13_BN_TORCHVISION,
    VGG16_BN_TORCHVISION,
    VGG19_BN_TORCHVISION,
    SQUEEZENET1_0,
    SQUEEZENET1_0_TORCHVISION,
    ALEXNET,
    CAFFENET,
    ALEXNET_TORCHVISION,
    NIN,
    EFFICIENTNET_LITE0,
    RESNET50,
    RESNET50_KERAS,
    RESNET50_TORCHVISION,
    INCEPTION_V3,
    INCEPTION_V3_TORCHVISION,
    MOBILENET_V2,
    MOBILENET_V2_TORCHVISION,
    GOOGLENET,
    INCEPTION_V1,
    GOOGLENET_TORCHVISION,
    INCEPTION_V1_SLIM,
)

BACKBONES: dict[str, Backbone] = {backbone.name: backbone for backbone in _ALL}


def choose_layer(backbone: Backbone, layer: str, *, what: str = "layer") -> str:
    """Returns the name of a layer if the backbone has it.

    Args:
        backbone: the network, with its head where the layers of that count.
        layer: the name.
        what: what the layer is used for, such as `style layer`.

    Raises:
        UserError: it has not; the message names near matches, and the command that lists all layers.
    """
    listing = ""
    if backbone.name in BACKBONES:
        network = f"nst_jax.BACKBONES['{backbone.name}']"
        if backbone != BACKBONES[backbone.name]:
            network = f"nst_jax.backbones.spec.with_head({network})"
        listing = f'python -c "import nst_jax; print(*nst_jax.backbones.spec.layers({network}))"'
    return choose(layer, layers(backbone), what=f"{what} of {backbone.name}", listing=listing)
