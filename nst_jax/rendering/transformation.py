"""Random transformations of the network's input, to which an optimised picture has to be robust.

Without them, pictures that maximise an activation are full of high frequencies that strides and kernels amplify
(Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017; jitter: Mordvintsev, Olah & Tyka, "Inceptionism",
2015).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Transformation:
    """The range of random transformations, drawn uniformly up to these values in both directions.

    Attributes:
        jitter: shift along both axes in pixels; pixels that leave on one side come in on the other.
        scale: change in size as a share: 0.1 for 0.9 to 1.1 times.
        rotate: rotation around the middle in degrees.
    """

    jitter: int = 0
    scale: float = 0.0
    rotate: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether it changes anything."""
        return bool(self.jitter or self.scale or self.rotate)


def transform(ranges: Transformation, image: jax.Array, key: jax.Array) -> jax.Array:
    """Returns a picture `[H, W, 3]` after a random transformation; beyond its border it is mirrored."""
    if ranges.jitter:
        image = jnp.roll(image, jax.random.randint(key, (2,), -ranges.jitter, ranges.jitter + 1, jnp.int32), (0, 1))
    if ranges.scale or ranges.rotate:
        amount = jax.random.uniform(jax.random.fold_in(key, 1), (2,), jnp.float32, minval=-1, maxval=1)
        image = _similar(image, 1 + ranges.scale * amount[0], jnp.deg2rad(ranges.rotate * amount[1]))
    return image


def _similar(image: jax.Array, factor: jax.Array, angle: jax.Array) -> jax.Array:
    """Returns a picture scaled by a factor and rotated, with bilinear interpolation."""
    height, width, _ = image.shape
    middle = np.array([(height - 1) / 2, (width - 1) / 2], np.float32)
    rows, columns = (np.arange(side, dtype=np.float32) for side in (height, width))
    down, across = np.meshgrid(rows - middle[0], columns - middle[1], indexing="ij")
    cosine, sine = jnp.cos(angle) / factor, jnp.sin(angle) / factor
    places = [cosine * down - sine * across + middle[0], sine * down + cosine * across + middle[1]]
    sample = jax.vmap(jax.scipy.ndimage.map_coordinates, in_axes=(-1, None, None, None), out_axes=-1)
    return sample(image, places, 1, "mirror")
