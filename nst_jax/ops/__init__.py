"""The operations of layers: functions of arrays, independent of any network."""

from typing import TYPE_CHECKING

from nst_jax.lazy import attributes

if TYPE_CHECKING:
    from nst_jax.ops import blur as blur
    from nst_jax.ops import circular_padding as circular_padding
    from nst_jax.ops import conv as conv
    from nst_jax.ops import normalisation as normalisation
    from nst_jax.ops import pooling as pooling
    from nst_jax.ops import winograd as winograd
else:
    __getattr__, __dir__ = attributes(__name__)
