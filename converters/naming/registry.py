"""The names of the layers of every backbone in files: a row for each family that has other names than its own."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nst_jax.backbones import alexnet as alexnet_table
from nst_jax.backbones import efficientnet as efficientnet_table
from nst_jax.backbones import googlenet as googlenet_table
from nst_jax.backbones import inception_v3 as inception_v3_table
from nst_jax.backbones import mobilenet_v2 as mobilenet_v2_table
from nst_jax.backbones import nin as nin_table
from nst_jax.backbones import resnet as resnet_table
from nst_jax.backbones import squeezenet as squeezenet_table
from nst_jax.backbones import vgg as vgg_table
from nst_jax.backbones.rows import Conv, Row
from nst_jax.backbones.spec import Backbone, Family, with_head

from . import efficientnet, googlenet, inception_v3, mobilenet_v2, nin, resnet, squeezenet, vgg
from .place import Pairs, Place

_Rule = Callable[[Sequence[Row]], Pairs]


class _Scheme(NamedTuple):
    """What a family is called elsewhere.

    Attributes:
        ported: the names in Keras, TensorFlow and others that do not show whose conventions a file follows.
        torchvision: the names in torchvision, which do.
        auxiliary: how the names of layers begin that only serve training, or are left out whatever is asked for.
    """

    ported: _Rule | None = None
    torchvision: _Rule | None = None
    auxiliary: tuple[str, ...] = ()


_SCHEMES: dict[Family, _Scheme] = {
    vgg_table.FAMILY: _Scheme(vgg.ported, vgg.torchvision),
    vgg_table.SHALLOW: _Scheme(vgg.ported, vgg.torchvision),
    squeezenet_table.FAMILY: _Scheme(None, squeezenet.torchvision),
    squeezenet_table.FAMILY_1_0: _Scheme(None, squeezenet.torchvision),
    alexnet_table.FAMILY: _Scheme(None, vgg.torchvision),
    nin_table.FAMILY: _Scheme(nin.ported),
    efficientnet_table.FAMILY: _Scheme(efficientnet.ported),
    googlenet_table.FAMILY: _Scheme(googlenet.ported, googlenet.torchvision, googlenet.AUXILIARY),
    googlenet_table.GOOGLE_FAMILY: _Scheme(auxiliary=("head0", "head1", "nn0", "nn1", "softmax0", "softmax1")),
    resnet_table.FAMILY: _Scheme(resnet.ported, resnet.torchvision),
    inception_v3_table.FAMILY: _Scheme(inception_v3.ported, inception_v3.torchvision, inception_v3.AUXILIARY),
    mobilenet_v2_table.FAMILY: _Scheme(mobilenet_v2.ported, mobilenet_v2.torchvision),
}


def aliases(backbone: Backbone) -> dict[str, Place]:
    """Returns every name that a layer of the backbone or its head may have in a file → what it is here.

    Caffe, MatConvNet and the interchange file use our names; Keras 3 allows no slashes in them.
    """
    ours = [row.name for row in with_head(backbone).rows if isinstance(row, Conv)]
    own = {written: Place(name) for name in ours for written in (name, name.replace("/", "_"))}
    return _names(_scheme(backbone).torchvision, backbone) | _names(_scheme(backbone).ported, backbone) | own


def torchvision_names(backbone: Backbone) -> set[str]:
    """Returns the names that only torchvision has for the layers of the backbone and its head."""
    ours = {row.name for row in with_head(backbone).rows}
    return _names(_scheme(backbone).torchvision, backbone).keys() - ours


def is_auxiliary(backbone: Backbone, layer: str) -> bool:
    """Returns whether a layer of a file only serves training."""
    return layer.startswith(_scheme(backbone).auxiliary)


def _scheme(backbone: Backbone) -> _Scheme:
    return _SCHEMES.get(backbone.family, _Scheme())


def _names(rule: _Rule | None, backbone: Backbone) -> dict[str, Place]:
    return dict(rule(with_head(backbone).rows)) if rule else {}
