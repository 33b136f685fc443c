"""Applications of transfers and their parts: textures, strokes, dreams, quilts, networks that paint in one pass."""

from typing import TYPE_CHECKING

from nst_jax.lazy import attributes

if TYPE_CHECKING:
    from nst_jax.applications import block_matching as block_matching
    from nst_jax.applications import boundary_cut as boundary_cut
    from nst_jax.applications import coordinate_network as coordinate_network
    from nst_jax.applications import dream as dream
    from nst_jax.applications import feedforward as feedforward
    from nst_jax.applications import quilting as quilting
    from nst_jax.applications import random_features as random_features
    from nst_jax.applications import segments as segments
    from nst_jax.applications import strokes as strokes
    from nst_jax.applications import texture as texture
    from nst_jax.applications import top_patches as top_patches
else:
    __getattr__, __dir__ = attributes(__name__)
