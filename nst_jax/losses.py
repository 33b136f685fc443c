"""Losses of one picture, signal or volume: content, style, total variation.

A formula is a `Term`: a statistic of features, and the error of that statistic against its target. Content losses
compare feature maps `F` and `P` `[..., C]` with any number of spatial axes, style losses compare Gram matrices `G` and
`A` `[C, C]` or moments, total variation takes the picture itself: an image `[H, W, 3]`, RGB in [0, 1], a signal
`[T, C]` or a volume `[D, H, W, C]`. All errors are scalars; a batch is `jax.vmap`.

Sources:
    Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016.
    Johnson, "neural-style", https://github.com/jcjohnson/neural-style, 2015 (`neural_style.lua`).
    Ng, Katanforoosh & Mourri, "Convolutional Neural Networks", week 4 assignment "Art Generation with Neural Style
    Transfer", 2017.
    Mahendran & Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015.
    Kolkin, Salavon & Shakhnarovich, "Style Transfer by Relaxed Optimal Transport and Self-Similarity", CVPR 2019.
    Li, Wang, Liu & Hou, "Demystifying Neural Style Transfer", IJCAI 2017.
    Galerne, Raad, Lezama & Morel, "Scaling Painting Style Transfer", arXiv:2212.13459, 2022.
    Crowson, "style_transfer", https://github.com/crowsonkb/style-transfer-pytorch, 2021.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nst_jax import edges, hypercolumns, matting, neighbours, quantiles, statistics, wasserstein
from nst_jax.vocabulary import ContentLoss, StyleLoss, VariationLoss


class Sum(NamedTuple):
    """How an error of whole maps is made of values at single positions, for maps that are never there as a whole.

    Attributes:
        value: (features `[..., C]`, target) → the value at each position, `[...]`, or a pytree of such values.
        error: (sums of the values over all positions, the extent of these along each axis, target) → the error.
        maps: whether the target is a map too, whose positions go along with those of the features.
        halo: how many positions on each side the value at one sees at most.
    """

    value: Callable[[jax.Array, Any], Any]
    error: Callable[[Any, Sequence[int], Any], jax.Array]
    maps: bool = False
    halo: int = 0


class Joint(NamedTuple):
    """How the layers of a term are compared as one, with what each position chose of the target when a run began.

    Attributes:
        align: (features `[h, w, C]`, height and width of the picture) → features at positions that all layers share.
        choose: (layer → aligned features, layer → weight, layer → target) → the choice, an array of integers.
        part: (aligned features, target, choice) → a pytree of arrays, to be added up over the layers by their weights.
        error: the sum → the error.
    """

    align: Callable[[jax.Array, tuple[int, int]], jax.Array]
    choose: Callable[[Mapping[str, jax.Array], Mapping[str, jax.Array | float], Mapping[str, Any]], jax.Array]
    part: Callable[[jax.Array, Any, jax.Array], Any]
    error: Callable[[Any], jax.Array]


class Term(NamedTuple):
    """A formula of the loss.

    Attributes:
        statistic: features `[..., C]` → the statistic that is compared, an array or a pytree of arrays; that of an
            additive style also takes shares of the positions `[...]`, for regions of a picture.
        error: (statistic, target) → a scalar. The target of a style may be a mean over several style images.
        additive: whether the statistic of a map follows from those of its parts: it is a mean over positions, or `sum`
            says how the error is one. Only means of these say something about several style images, and only then can a
            picture be painted in tiles.
        target: features of the target image → the target, where that is not the statistic; of a shape that does not
            depend on the size of the image, so that several stack. Of the canvas: pixels `[H, W, 3]` of the content
            image's → the target, in NumPy; where there is none, the term has no target.
        sum: the error as a sum over positions, where the statistic is the map itself.
        joint: how several layers have one error, where they do not have one each; statistics and targets are then those
            of aligned features, and `error` is the one of a single layer that chooses anew.
        pool: targets of several images → that of all of them together; their mean where the term is additive.
    """

    statistic: Callable[..., Any]
    error: Callable[[Any, Any], jax.Array]
    additive: bool = True
    target: Callable[[Any], Any] | None = None
    sum: Sum | None = None
    joint: Joint | None = None
    pool: Callable[[Sequence[Any]], Any] | None = None


_NEXT_TO_NOTHING = 1e-6
"""A negligible mean square; activations of the networks are of the order of 1 to 1000."""


def half_squared_error(features: jax.Array, target: jax.Array) -> jax.Array:
    """Returns ½ Σ (F − P)²: content in Gatys et al. 2016, equation 1."""
    return jnp.sum(jnp.square(features - target)) / 2


def mean_squared_error(features: jax.Array, target: jax.Array) -> jax.Array:
    """Returns the mean of (F − P)² over all elements: content in neural-style (`nn.MSECriterion`)."""
    return jnp.mean(jnp.square(features - target))


def quarter_mean_squared_error(features: jax.Array, target: jax.Array) -> jax.Array:
    """Returns Σ (F − P)² / (4 · n_H · n_W · n_C): content in Ng's course."""
    return mean_squared_error(features, target) / 4


def relative_squared_error(features: jax.Array, target: jax.Array) -> jax.Array:
    """Returns Σ (F − P)² / Σ P², the error as a share of the target; for features and Gram matrices alike.

    Ours. It is 1 for zeros, whatever the layer, network and size, so that one weight means the same everywhere.
    """
    return jnp.sum(jnp.square(features - target)) / _size_of(target)


def _size_of(target: jax.Array) -> jax.Array:
    """Returns Σ P² and next to nothing: a black image's, of almost nothing, would make any other error infinite."""
    return jnp.sum(jnp.square(target)) + _NEXT_TO_NOTHING * target.size


def gram_error(gram: jax.Array, target: jax.Array) -> jax.Array:
    """Returns Σ (G − A)² / (4 N²): style in Gatys et al. 2016, equation 4, for N channels.

    The M² of the paper is already in the Gram matrices. Ng's course has the same formula as 1 / (2 n_H n_W n_C)².
    """
    return jnp.mean(jnp.square(gram - target)) / 4


def scaled_gram_error(gram: jax.Array, target: jax.Array) -> jax.Array:
    """Returns the mean of (G − A)² over all elements for G = F Fᵀ / (C · H · W): style in neural-style."""
    channels = gram.shape[-1]
    return jnp.mean(jnp.square((gram - target) / channels))


def mean_covariance_error(found: statistics.Moments, target: statistics.Moments) -> jax.Array:
    """Returns Σ (μ − μ_s)² / Σ μ_s² + Σ (Σ − Σ_s)² / Σ Σ_s²: the relative squared errors of mean and covariance.

    The moment loss of Kolkin et al. 2019, with squares in place of absolute values. A Gram matrix mixes both, mostly
    the mean; apart, the brightness and contrast of a layer cannot be traded for each other.
    """
    return relative_squared_error(found.mean, target.mean) + relative_squared_error(
        statistics.covariance(found), statistics.covariance(target)
    )


def mean_variance_error(found: statistics.ChannelMoments, target: statistics.ChannelMoments) -> jax.Array:
    """Returns Σ (μ − μ_s)² / Σ μ_s² + Σ (σ − σ_s)² / Σ σ_s² for means μ and standard deviations σ of the channels.

    The batch-norm statistics of Li et al. 2017, whose loss is (1/C) Σ ((μ − μ_s)² + (σ − σ_s)²); each as a share of the
    target here, so that one weight means the same in every layer.
    """
    return relative_squared_error(found.mean, target.mean) + relative_squared_error(
        _deviation(found), _deviation(target)
    )


def _deviation(moments: statistics.ChannelMoments) -> jax.Array:
    # A root has no derivative at 0, the variance of a channel that is silent everywhere.
    return jnp.sqrt(jnp.maximum(moments.square - jnp.square(moments.mean), 0) + _NEXT_TO_NOTHING)


def gram_moments_error(found: statistics.Moments, target: statistics.Moments) -> jax.Array:
    """Returns mean (G − A)² / C² + 10 (mean (μ − μ_s)² + mean (σ − σ_s)²) for Gram matrices, means and deviations.

    Galerne et al. 2022, with the ratio of 10 between the two parts that their program has; its weight of both is 1000.
    """
    ours, theirs = (
        statistics.ChannelMoments(moments.mean, jnp.diagonal(moments.second)) for moments in (found, target)
    )
    return scaled_gram_error(found.second, target.second) + 10 * (
        mean_squared_error(ours.mean, theirs.mean) + mean_squared_error(_deviation(ours), _deviation(theirs))
    )


def scaled_mse_gram_error(gram: jax.Array, target: jax.Array) -> jax.Array:
    """Returns Σ D² / (Σ |D| + 1e-8) for D = G − A: `ScaledMSELoss` of Crowson 2021.

    The absolute values of its derivative add up to about 1, however far away the target is: one layer, or one step,
    pulls as much as another.
    """
    difference = gram - target
    return jnp.sum(jnp.square(difference)) / (jnp.sum(jnp.abs(difference)) + 1e-8)


def relative_scaled_mse_gram_error(gram: jax.Array, target: jax.Array) -> jax.Array:
    """Returns `scaled_mse_gram_error` as a share of that of zeros: Σ D² / Σ |D| · Σ |A| / Σ A².

    Ours. It is 1 for zeros, so that one weight means the same in every layer.
    """
    of_zeros = scaled_mse_gram_error(jnp.zeros_like(target), target)
    return scaled_mse_gram_error(gram, target) / (of_zeros + _NEXT_TO_NOTHING)


def normalized_gradient_gram_error(features: jax.Array, target: jax.Array) -> jax.Array:
    """Returns `scaled_gram_error`, with a derivative that is divided by the sum of its absolute values.

    The option `-normalize_gradients` of neural-style. So no function has this derivative: a search along a line, as
    that of L-BFGS, may find nothing that descends.

    Args:
        features: `[..., C]`, of the picture.
        target: the Gram matrix of the style image, `[C, C]`.
    """
    fixed = jax.lax.stop_gradient(features)
    error, gradient = jax.value_and_grad(lambda values: scaled_gram_error(statistics.gram(values), target))(fixed)
    return error + jnp.sum((features - fixed) * (gradient / (jnp.sum(jnp.abs(gradient)) + 1e-8)))


def squared_variation(image: jax.Array) -> jax.Array:
    """Returns the mean over positions of the squared differences to the next position on each axis, summed over
    channels.

    Mahendran & Vedaldi 2015, section 3.1, with β = 2; a mean in place of their sum, so that it does not grow with the
    size.

    Args:
        image: `[..., C]`; the neighbours of a pixel of `[H, W, C]` are the lower and the right one.
    """
    *spatial, _ = image.shape
    squares = (_squares(jnp.diff(image, axis=axis)) for axis in range(len(spatial)))
    return sum(squares, start=jnp.zeros((), jnp.float32)) / math.prod(spatial)


def neural_style_variation(image: jax.Array) -> jax.Array:
    """Returns ½ Σ of the squared differences to the right and lower neighbours, for pixels in 0..255.

    Its gradient is what neural-style adds in `nn.TVLoss` (which has no value of its own), down to the last row and
    column, which have no differences along the border there. For images only.

    Raises:
        ValueError: `image` is not `[H, W, C]`.
    """
    if image.ndim != 3:
        raise ValueError(f"neural_style_variation: expected an image [H, W, C], found {image.shape}")
    corner = image[:-1, :-1]
    return (_squares(image[1:, :-1] - corner) + _squares(image[:-1, 1:] - corner)) * 255.0**2 / 2


def crowson_variation(image: jax.Array) -> jax.Array:
    """Returns 2 [(mean ∂→² + mean ∂↓²) / 3 + (mean ∂↘² + mean ∂↙²) / 12] of an image with its border repeated once.

    `TVLoss` of style_transfer, whose weight of 2 is beside the 2 of the formula. The means are over all channels and
    all differences: those to the right and lower neighbour of each pixel, and those between the diagonal neighbours of
    the image with its border. For images only.

    Raises:
        ValueError: `image` is not `[H, W, C]`.
    """
    if image.ndim != 3:
        raise ValueError(f"crowson_variation: expected an image [H, W, C], found {image.shape}")
    values = _crowson_values(image, None)
    return _crowson_error(jax.tree.map(jnp.sum, values), image.shape[:2], None)


def circular_squared_variation(image: jax.Array) -> jax.Array:
    """Returns `squared_variation` of a picture that repeats: with differences across its border."""
    *spatial, _ = image.shape
    squares = (_squares(jnp.roll(image, -1, axis) - image) for axis in range(len(spatial)))
    return sum(squares, start=jnp.zeros((), jnp.float32)) / math.prod(spatial)


def _squares(values: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(values))


def _variation_values(image: jax.Array, _: None) -> jax.Array:
    """Returns what each pixel of `[H, W, C]` has in `squared_variation`, `[H, W]`; the last ones have no neighbour."""
    return jnp.sum(_down_and_right(image), axis=-1)


def _down_and_right(image: jax.Array) -> jax.Array:
    """Returns the squared differences of each pixel to the lower and to the right one, added up, `[H, W, C]`."""
    down = jnp.pad(jnp.square(jnp.diff(image, axis=0)), ((0, 1), (0, 0), (0, 0)))
    right = jnp.pad(jnp.square(jnp.diff(image, axis=1)), ((0, 0), (0, 1), (0, 0)))
    return down + right


def _neural_style_values(image: jax.Array, _: None) -> jax.Array:
    corner = image[:-1, :-1]
    squares = jnp.square(image[1:, :-1] - corner) + jnp.square(image[:-1, 1:] - corner)
    return jnp.pad(jnp.sum(squares, axis=-1), ((0, 1), (0, 1)))


class _Directions(NamedTuple):
    """Squared differences of pixels along the axes and along the diagonals, as means over channels."""

    axes: jax.Array
    diagonals: jax.Array


def _crowson_values(image: jax.Array, _: None) -> _Directions:
    """Returns what each pixel of `[H, W, C]` has in `crowson_variation`, `[H, W]` each.

    Of the (H + 1) (W + 1) squares of four pixels in the image with its border, a pixel has the one below and to the
    right of it; pixels of the first row and column have those beyond, too. In a part of a picture these are not its
    own, unless the picture begins there.
    """
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    falling, rising = padded[1:, 1:] - padded[:-1, :-1], padded[1:, :-1] - padded[:-1, 1:]
    squares = jnp.mean(jnp.square(falling) + jnp.square(rising), axis=-1)
    diagonals = squares[1:, 1:]
    diagonals = diagonals.at[0].add(squares[0, 1:]).at[:, 0].add(squares[1:, 0])  # that of the corner is 0
    return _Directions(jnp.mean(_down_and_right(image), axis=-1), diagonals)


def _crowson_error(total: _Directions, extent: Sequence[int], _: None) -> jax.Array:
    height, width = extent
    return 2 * (total.axes / (3 * height * width) + total.diagonals / (12 * (height + 1) * (width + 1)))


def _of_the_canvas(formula: Callable[[jax.Array], jax.Array], by_sum: Sum | None = None) -> Term:
    """Returns the term whose error is its statistic, without a target."""
    return Term(formula, lambda found, _: found, sum=by_sum)


def _of_edges(pool: int) -> Term:
    """Returns the term of edges that are seen in squares of this side."""

    def error(total: jax.Array, extent: Sequence[int], _: Any) -> jax.Array:
        return total / edges.positions(*extent, pool=pool)

    return Term(
        statistics.activations,
        functools.partial(edges.error, pool=pool),
        target=edges.brightness,
        sum=Sum(functools.partial(edges.values, pool=pool), error, maps=True, halo=edges.halo(pool)),
    )


def _of_maps(error: Callable[[jax.Array, jax.Array], jax.Array], factor: Callable[[jax.Array], Any]) -> Term:
    """Returns the term of an error that is Σ (F − P)² times a factor, which depends on the target P alone."""

    def value(features: jax.Array, target: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(features - target), axis=-1)

    return Term(
        statistics.activations, error, sum=Sum(value, lambda total, _, target: total * factor(target), maps=True)
    )


def _of_positions(error: Callable[[jax.Array, neighbours.Sample], jax.Array]) -> Term:
    """Returns the term of an error that compares positions with each other."""
    return Term(neighbours.positions, error, additive=False, target=neighbours.sample, pool=neighbours.pool)


CONTENT_LOSSES: dict[ContentLoss, Term] = {
    "half_squared_error": _of_maps(half_squared_error, lambda _: 0.5),
    "mean_squared_error": _of_maps(mean_squared_error, lambda target: 1 / target.size),
    "quarter_mean_squared_error": _of_maps(quarter_mean_squared_error, lambda target: 1 / (4 * target.size)),
    "relative_squared_error": _of_maps(relative_squared_error, lambda target: 1 / _size_of(target)),
}

STYLE_LOSSES: dict[StyleLoss, Term] = {
    "gram_error": Term(statistics.gram, gram_error),
    "scaled_gram_error": Term(statistics.gram, scaled_gram_error),
    "relative_squared_error": Term(statistics.gram, relative_squared_error),
    "mean_covariance_error": Term(statistics.moments, mean_covariance_error),
    "mean_variance_error": Term(statistics.channel_moments, mean_variance_error),
    "gram_moments_error": Term(statistics.moments, gram_moments_error),
    "wasserstein2": Term(statistics.moments, wasserstein.wasserstein2),
    "relative_wasserstein2": Term(statistics.moments, wasserstein.relative_wasserstein2),
    "scaled_mse_gram_error": Term(statistics.gram, scaled_mse_gram_error),
    "relative_scaled_mse_gram_error": Term(statistics.gram, relative_scaled_mse_gram_error),
    "normalized_gradient_gram_error": Term(
        statistics.activations, normalized_gradient_gram_error, additive=False, target=statistics.gram
    ),
    "histogram": Term(quantiles.quantiles, relative_squared_error, additive=False),
    "sliced_wasserstein": Term(quantiles.sliced_quantiles, relative_squared_error, additive=False),
    "contextual": _of_positions(neighbours.contextual),
    "nearest_neighbour": _of_positions(neighbours.nearest_neighbour),
    "hypercolumns": _of_positions(neighbours.nearest_neighbour)._replace(
        joint=Joint(hypercolumns.align, hypercolumns.choose, hypercolumns.products, hypercolumns.error)
    ),
}

VARIATION_LOSSES: dict[VariationLoss, Term] = {
    "squared_variation": _of_the_canvas(
        squared_variation, Sum(_variation_values, lambda total, extent, _: total / math.prod(extent), halo=1)
    ),
    "neural_style_variation": _of_the_canvas(
        neural_style_variation, Sum(_neural_style_values, lambda total, *_: total * (255.0**2 / 2), halo=1)
    ),
    "crowson_variation": _of_the_canvas(crowson_variation, Sum(_crowson_values, _crowson_error, halo=1)),
    "circular_squared_variation": _of_the_canvas(circular_squared_variation),
}

LAPLACIAN_LOSSES: dict[int, Term] = {pool: _of_edges(pool) for pool in range(1, edges.MOST_POOL + 1)}
"""By the side of the squares, see `edges`."""

MATTING_LOSS = Term(
    statistics.activations,
    matting.error,
    target=matting.constants,
    sum=Sum(matting.residuals, lambda total, extent, _: total / matting.windows(*extent), maps=True, halo=matting.HALO),
)
"""The matting Laplacian, see `matting`."""
