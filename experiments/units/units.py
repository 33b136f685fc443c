"""Units of a network as a person names them: classes, channels, layers and directions in them."""

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
    """What a picture is to excite.

    Attributes:
        label: as a person reads it.
        layer: its name.
        channels: of the layer; all if none.
        weights: one a channel; ones if none.
        is_class: whether it is evidence for a class.
    """

    label: str
    layer: str
    channels: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    is_class: bool = False


def class_units(backbone: Backbone, names: Sequence[str]) -> list[Unit]:
    """Returns the units of ImageNet classes, by name or number.

    Args:
        backbone: with its head.
        names: as `imagenet.class_index` takes them.

    Raises:
        UserError: the network tells no classes, or there is no such class.
    """
    logits = backbone.family.logits
    if logits not in channels(backbone):
        able = ", ".join(name for name, known in BACKBONES.items() if known.head)
        raise UserError(f"--classes: expected a network that tells classes, found {backbone.name}; use one of: {able}")
    indices = [imagenet.class_index(name) for name in names]
    return [Unit(imagenet.class_name(index), logits, (index,), is_class=True) for index in indices]


def channel_units(backbone: Backbone, texts: Sequence[str]) -> list[Unit]:
    """Returns units: `fire8/concat` for a layer, `fire8/concat:12` a channel, `fire8/concat:12-0.5*40` a direction.

    Args:
        backbone: with its head, where that is wanted.
        texts: of the units.

    Raises:
        UserError: there is no such layer or channel, or the text is none of these.
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
