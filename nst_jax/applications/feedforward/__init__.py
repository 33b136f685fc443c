"""Networks that paint in one pass: Johnson et al. 2016 and those that followed."""

from typing import TYPE_CHECKING

from nst_jax.lazy import attributes

if TYPE_CHECKING:
    from nst_jax.applications.feedforward import blocks as blocks
    from nst_jax.applications.feedforward import doodles as doodles
    from nst_jax.applications.feedforward import instant as instant
    from nst_jax.applications.feedforward import interpreter as interpreter
    from nst_jax.applications.feedforward import networks as networks
    from nst_jax.applications.feedforward import painting as painting
    from nst_jax.applications.feedforward import recipes as recipes
    from nst_jax.applications.feedforward import steps as steps
    from nst_jax.applications.feedforward import tables as tables
    from nst_jax.applications.feedforward import tiles as tiles
    from nst_jax.applications.feedforward import trained as trained
    from nst_jax.applications.feedforward import training as training
    from nst_jax.applications.feedforward import windows as windows
else:
    __getattr__, __dir__ = attributes(__name__)
