"""Pretrained networks: their tables, the module that interprets these, their weights."""

from typing import TYPE_CHECKING

from nst_jax.lazy import attributes

if TYPE_CHECKING:
    from nst_jax.backbones import alexnet as alexnet
    from nst_jax.backbones import efficientnet as efficientnet
    from nst_jax.backbones import features as features
    from nst_jax.backbones import imagenet as imagenet
    from nst_jax.backbones import nin as nin
    from nst_jax.backbones import pretrained as pretrained
    from nst_jax.backbones import receptive_field as receptive_field
    from nst_jax.backbones import registry as registry
    from nst_jax.backbones import rows as rows
    from nst_jax.backbones import spec as spec
    from nst_jax.backbones import squeezenet as squeezenet
    from nst_jax.backbones import vgg as vgg
else:
    __getattr__, __dir__ = attributes(__name__)
