"""Units of a network by their names: classes, channels, layers and directions in a layer."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from nst_jax.activations import channel_weights
from nst_jax.backbones import imagenet
from nst_jax.backbones.registry import BACKBONES, choose_layer
from nst_jax.backbones.spec import Backbone, channels
from nst_jax.errors import UserError, one_line

_TERM = re.compile(r"([+-]?)(?:(\d+(?:\.\d*)?)\*)?(\d+)")


class Unit(NamedTuple):
    """A unit to excite.

    Attributes:
        label: the name shown to users.
        layer: the name of its layer.
        channels: channels of the layer; empty means all.
        weights: one per channel; empty means 1 each.
        is_class: whether it is the logit of a class.
    """

    label: str
    layer: str
    channels: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    is_class: bool = False


def class_units(backbone: Backbone, names: Sequence[str]) -> list[Unit]:
    """Returns the units of ImageNet classes, by name or number.

    Args:
        backbone: the network with its head.
        names: as `imagenet.class_index` takes them.

    Raises:
        UserError: the network has no classifier, or a class is unknown.
    """
    logits = backbone.family.logits
    if logits not in channels(backbone):
        able = ", ".join(name for name, known in BACKBONES.items() if known.head)
        raise UserError(f"--classes: expected a network with a classifier, found {backbone.name}; use one of: {able}")
    indices = [imagenet.class_index(name) for name in names]
    return [Unit(imagenet.class_name(index), logits, (index,), is_class=True) for index in indices]


def channel_units(backbone: Backbone, texts: Sequence[str]) -> list[Unit]:
    """Returns units: `fire8/concat` for a layer, `fire8/concat:12` a channel, `fire8/concat:12-0.5*40` a direction.

    Args:
        backbone: the network, with its head if that has wanted layers.
        texts: the names of the units.

    Raises:
        UserError: a layer or channel is unknown, or a text has another form.
    """
    return [_channel_unit(backbone, text) for text in texts]


def _channel_unit(backbone: Backbone, text: str) -> Unit:
    layer, _, direction = text.partition(":")
    counts = channels(backbone)
    choose_layer(backbone, layer)
    terms = list(_TERM.finditer(direction))
    if "".join(term[0] for term in terms) != direction or text.endswith(":"):
        raise UserError(
            f"--channels: expected a layer, layer:channel or layer:direction like {layer}:12-0.5*40, "
            f"found {one_line(text)!r}"
        )
    chosen = tuple(int(term[3]) for term in terms)
    factors = tuple(float(f"{term[1]}{term[2] or 1}") for term in terms)
    channel_weights(layer, counts[layer], chosen, factors)
    return Unit(text, layer, chosen, () if set(factors) <= {1.0} else factors)
