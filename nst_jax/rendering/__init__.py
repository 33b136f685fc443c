"""Rendering: the canvas, the variables that it is rendered from, random transformations, colours before and after."""

from typing import TYPE_CHECKING

from nst_jax.lazy import attributes

if TYPE_CHECKING:
    from nst_jax.rendering import canvas as canvas
    from nst_jax.rendering import colour_finish as colour_finish
    from nst_jax.rendering import colour_matching as colour_matching
    from nst_jax.rendering import grey as grey
    from nst_jax.rendering import laplacian as laplacian
    from nst_jax.rendering import luminance as luminance
    from nst_jax.rendering import oklab as oklab
    from nst_jax.rendering import parameterization as parameterization
    from nst_jax.rendering import transformation as transformation
else:
    __getattr__, __dir__ = attributes(__name__)
