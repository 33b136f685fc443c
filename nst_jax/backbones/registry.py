"""Every backbone by name, and its layers by theirs."""

from nst_jax.backbones.googlenet import GOOGLENET, INCEPTION_V1
from nst_jax.backbones.spec import Backbone, layers
from nst_jax.backbones.squeezenet import SQUEEZENET1_1, SQUEEZENET1_1_TORCHVISION
from nst_jax.backbones.vgg import VGG16, VGG16_TORCHVISION, VGG19, VGG19_NORMALIZED, VGG19_TORCHVISION
from nst_jax.errors import choose

_ALL = (
    VGG16,
    VGG19,
    VGG16_TORCHVISION,
    VGG19_TORCHVISION,
    VGG19_NORMALIZED,
    SQUEEZENET1_1,
    SQUEEZENET1_1_TORCHVISION,
    GOOGLENET,
    INCEPTION_V1,
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
