"""Small random movements of the picture before the network looks at it, so that no picture can rely on exact places.

Without them, pictures that excite a unit most are full of high frequencies that strides and kernels happen to amplify
(Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017; jitter: Mordvintsev, Olah & Tyka, "Inceptionism",
2015).
"""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Transformation:
    """How far a picture is moved at most; each time another amount, evenly spread up to that in both directions.

    Attributes:
        jitter: in pixels, down and to the right; what leaves on one side comes in on the other.
        scale: as a share: 0.1 for 0.9 to 1.1 times as large.
        rotate: in degrees, around the middle.
    """

    jitter: int = 0
    scale: float = 0.0
    rotate: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether it does anything."""
        return bool(self.jitter or self.scale or self.rotate)


def transform(how: Transformation, image: jax.Array, key: jax.Array) -> jax.Array:
    """Returns a picture `[H, W, 3]` moved; what comes in from beyond its border mirrors it."""
    if how.jitter:
        image = jnp.roll(image, jax.random.randint(key, (2,), -how.jitter, how.jitter + 1), (0, 1))
    if how.scale or how.rotate:
        amount = jax.random.uniform(jax.random.fold_in(key, 1), (2,), minval=-1, maxval=1)
        image = _similar(image, 1 + how.scale * amount[0], jnp.deg2rad(how.rotate * amount[1]))
    return image


def _similar(image: jax.Array, factor: jax.Array, angle: jax.Array) -> jax.Array:
    """Returns a picture made `factor` times as large and turned, between pixels the linear mean of four."""
    height, width, _ = image.shape
    middle = jnp.float32([(height - 1) / 2, (width - 1) / 2])
    down, across = jnp.meshgrid(jnp.arange(height) - middle[0], jnp.arange(width) - middle[1], indexing="ij")
    cosine, sine = jnp.cos(angle) / factor, jnp.sin(angle) / factor
    places = [cosine * down - sine * across + middle[0], sine * down + cosine * across + middle[1]]
    sample = jax.vmap(jax.scipy.ndimage.map_coordinates, in_axes=(-1, None, None, None), out_axes=-1)
    return sample(image, places, 1, "mirror")
