"""The layers of a network from fine to coarse, as the figures of Gatys, Ecker & Bethge go through them."""

from nst_jax.presets import default_preset

_LAYERS = {
    # A to E in arXiv:1508.06576.
    "vgg": ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"),
    # One for each size of its feature maps, and two of the last.
    "squeezenet": ("conv1", "fire2/concat", "fire4/concat", "fire6/concat", "fire8/concat"),
}
_PRESET = {"vgg": "gatys", "squeezenet": "squeezenet"}


def growing_layers(backbone: str) -> tuple[str, ...]:
    """Returns five layers of a backbone."""
    return _LAYERS[default_preset(backbone)]


def paper_preset(backbone: str) -> str:
    """Returns the name of the settings that come nearest to those of the paper."""
    return _PRESET[default_preset(backbone)]
