"""Files: images, folders of images, atomic writes, headers of safetensors files, paths at object stores."""

from typing import TYPE_CHECKING

from nst_jax.lazy import attributes

if TYPE_CHECKING:
    from nst_jax.io import colour_profile as colour_profile
    from nst_jax.io import files as files
    from nst_jax.io import image_decoding as image_decoding
    from nst_jax.io import image_encoding as image_encoding
    from nst_jax.io import image_folder as image_folder
    from nst_jax.io import image_metadata as image_metadata
    from nst_jax.io import images as images
    from nst_jax.io import png_colour as png_colour
    from nst_jax.io import region_maps as region_maps
    from nst_jax.io import safetensors_header as safetensors_header
    from nst_jax.io import stores as stores
else:
    __getattr__, __dir__ = attributes(__name__)
